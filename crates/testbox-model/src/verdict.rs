//! The verdict: what testbox concludes.

use serde::Serialize;

use crate::ExitCode;

/// The conclusion of a run, ready for every report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The cause in one word.
    pub kind: VerdictKind,
    /// What testbox returns.
    pub exit_code: ExitCode,
    /// Cause, number and limit in one sentence, without the leading word: `the box used all of its 2.0 GiB (...)`.
    pub summary: String,
    /// Where the tests were: test, phase, line, and how many had a result; only if the run ended early.
    pub place: Option<String>,
    /// What to do next.
    pub hint: Option<String>,
}

/// The cause of the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// Exit code 0, and no evidence against it.
    Passed,
    /// The command's own non-zero exit code, and no limit behind it.
    Failed,
    /// The memory limit.
    Memory,
    /// The limit of processes and threads.
    Pids,
    /// Scratch space, inodes or file size.
    Disk,
    /// The output limit.
    Output,
    /// The run's timeout.
    Timeout,
    /// The idle timeout.
    IdleTimeout,
    /// A signal that testbox did not send.
    Crashed,
    /// Exit code 0, but pytest did not come to its end: results are missing.
    Lost,
    /// SIGINT or SIGTERM to testbox.
    Interrupted,
    /// The command was found but could not be executed.
    NotExecutable,
    /// The command was not found.
    NotFound,
    /// testbox's own fault or the host's; nothing is said about the tests.
    SandboxFault,
}

impl VerdictKind {
    /// The word that opens the verdict line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Disk => "disk",
            Self::Output => "output",
            Self::Timeout => "timeout",
            Self::IdleTimeout => "idle timeout",
            Self::Crashed => "crashed",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::NotExecutable => "not executable",
            Self::NotFound => "not found",
            Self::SandboxFault => "sandbox fault",
        }
    }
}
