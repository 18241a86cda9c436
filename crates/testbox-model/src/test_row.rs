//! What is known of each test: its outcome as pytest says it, what testbox concludes, and what it used.

use serde::Serialize;

/// One test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TestRow {
    /// pytest's node id.
    pub nodeid: String,
    /// As pytest says it; `None`: it had begun and has no result.
    pub outcome: Option<TestOutcome>,
    /// What testbox concludes.
    pub verdict: TestVerdict,
    /// The phase in which it was when it was killed, or that failed: `setup`, `call`, `teardown`.
    pub phase: Option<&'static str>,
    /// When it began, in milliseconds since the start of the run.
    pub started_ms: u64,
    /// Wall time of all phases, in milliseconds.
    pub wall_ms: u64,
    /// Wall time of setup, call and teardown, in milliseconds.
    pub phases_ms: [u64; 3],
    /// The highest memory of its worker while it ran, page cache included, in bytes. `None`: not measured.
    pub peak_bytes: Option<u64>,
    /// What it left behind in its worker's memory (anonymous and shared, without page cache), in bytes.
    pub growth_bytes: Option<i64>,
    /// Page cache of its worker at its end, in bytes.
    pub cache_bytes: Option<u64>,
    /// CPU time, in milliseconds, of all its processes.
    pub cpu_ms: Option<u64>,
    /// The most processes and threads of its worker at the end of a phase.
    pub pids: Option<u64>,
    /// The worker that ran it, from 0.
    pub worker: u32,
    /// Where it was when a limit was near: calls, the innermost first, `file:line in function`.
    pub stack: Vec<String>,
    /// Why it did not pass, in a line.
    pub message: Option<String>,
    /// Why it did not pass, at length; cut.
    pub text: Option<String>,
    /// Attempts that were killed before this result, oldest first.
    pub killed_before: Vec<TestVerdict>,
}

/// A test's outcome in pytest's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestOutcome {
    /// All phases passed.
    Passed,
    /// The call failed.
    Failed,
    /// Setup or teardown failed.
    Error,
    /// Skipped.
    Skipped,
    /// Expected to fail, and failed.
    Xfailed,
    /// Expected to fail, and passed.
    Xpassed,
}

/// What testbox concludes of a test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestVerdict {
    /// It has a passing result.
    Passed,
    /// It has a failing result.
    Failed,
    /// It was skipped or failed as expected.
    Skipped,
    /// Its worker was killed for memory.
    Memory,
    /// Its worker met its limit of processes and was killed.
    Pids,
    /// It took longer than it may.
    Timeout,
    /// Its worker died by a signal that testbox did not send.
    Crashed,
    /// Its worker exited in the middle of it.
    Silent,
    /// It began and there is no result.
    #[default]
    Lost,
}

/// What the collection of a file, or an import, cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileProfile {
    /// The file's node id.
    pub nodeid: String,
    /// When it began, in milliseconds since the start of the run.
    pub started_ms: u64,
    /// Wall time in milliseconds; `None`: the collection ended in it.
    pub wall_ms: Option<u64>,
    /// Growth of the interpreter's resident memory, in bytes; of the box's memory if the collection ended in it.
    pub growth_bytes: i64,
    /// Its heavy imports, in the order of their end.
    pub imports: Vec<ImportProfile>,
}

/// What an import cost, everything that it imported itself included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportProfile {
    /// The module.
    pub module: String,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// Growth of the interpreter's resident memory, in bytes.
    pub growth_bytes: i64,
}

impl TestVerdict {
    /// The worker was killed or died in the test.
    pub fn is_kill(self) -> bool {
        matches!(self, Self::Memory | Self::Pids | Self::Timeout | Self::Crashed | Self::Silent)
    }

    /// The word that reports use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Timeout => "timeout",
            Self::Crashed => "crashed",
            Self::Silent => "silent",
            Self::Lost => "lost",
        }
    }
}
