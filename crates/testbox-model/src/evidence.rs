//! Evidence: what kernel and processes said. No conclusions here.

use serde::{Deserialize, Serialize};

use crate::{Bytes, FileProfile, SetupStep, TestRow, Timeline};

/// Everything known about a run when it is over.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Evidence {
    /// How the payload ended.
    pub payload: PayloadEnd,
    /// What testbox did to end it, if it did.
    pub stop: Option<Stop>,
    /// What the payload's set-up was when read back, just before exec.
    pub readback: Option<Readback>,
    /// Memory.
    pub memory: MemoryEvidence,
    /// Processes and threads.
    pub pids: PidsEvidence,
    /// CPU.
    pub cpu: CpuEvidence,
    /// Block I/O.
    pub io: IoEvidence,
    /// Time without progress.
    pub stalled: StallEvidence,
    /// Output.
    pub output: OutputEvidence,
    /// Each bounded file system of the box.
    pub disk: Vec<DiskUse>,
    /// What pytest said through testbox's plugin, if it did.
    pub pytest: Option<PytestEvidence>,
    /// Processes still alive when the payload ended, killed with the box: `pid command`.
    pub left_behind: Vec<ProcessUse>,
}

/// How the payload ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum PayloadEnd {
    /// Nothing of it ran: a step of the set-up failed.
    SetupFailed {
        /// The step.
        step: SetupStep,
        /// The kernel's error number, 0 if there is none.
        errno: i32,
        /// What exactly.
        detail: String,
    },
    /// It exited.
    Exited {
        /// Its exit code.
        code: u8,
    },
    /// It died by a signal.
    Signaled {
        /// The signal's number.
        signal: u8,
    },
    /// The in-box init died and with it the box; no wait status was delivered.
    #[default]
    Lost,
}

/// What testbox did to end the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// Why.
    pub cause: StopCause,
    /// When, in milliseconds since the start.
    pub at_ms: u64,
    /// The grace period passed and the box was killed by SIGKILL.
    pub killed: bool,
}

/// Why testbox ended a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum StopCause {
    /// The run's timeout.
    Timeout,
    /// The time that pytest may take to configure itself and to collect.
    CollectTimeout,
    /// No output and no CPU use for the idle timeout.
    IdleTimeout,
    /// More output than allowed.
    OutputLimit,
    /// The limit of processes was reached and forks failed without a pause.
    ForkStorm,
    /// The sampling watchdog saw more memory than allowed (degraded mode only).
    MemoryWatchdog,
    /// A signal to testbox.
    Interrupted {
        /// The signal's number.
        signal: u8,
    },
    /// testbox itself failed while the box ran.
    Fault {
        /// What failed.
        detail: String,
    },
}

/// What a process's own status file said before exec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readback {
    /// User id as the box sees it.
    pub uid: u32,
    /// Group id as the box sees it.
    pub gid: u32,
    /// The five capability sets or-ed together; 0 = none.
    pub capabilities: u64,
    /// `no_new_privs` is set.
    pub no_new_privs: bool,
    /// Seccomp mode; 2 = filter.
    pub seccomp_mode: u32,
    /// Number of loaded filters.
    pub seccomp_filters: u32,
}

/// Memory, by the kernel's counters.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MemoryEvidence {
    /// The limit in force.
    pub limit_bytes: Option<Bytes>,
    /// The highest use.
    pub peak_bytes: Option<Bytes>,
    /// Processes killed by the kernel for this group's limit.
    pub oom_kills: u64,
    /// How often an allocation met the limit.
    pub limit_hits: u64,
    /// The largest processes when the use was highest, largest first.
    pub largest: Vec<ProcessUse>,
}

impl ProcessUse {
    /// A list of processes names so many at most.
    pub const LISTED: usize = 8;
}

impl DiskUse {
    /// The name of the scratch space.
    pub const SCRATCH: &'static str = "scratch";

    /// Who found no room gives back a little before anybody can look, such as the file that took its output: so much of a
    /// file system may be free, one part in so many and at most so many blocks or inodes, and there was no room.
    const SPARE_SHARE: u64 = 1024;
    const SPARE_MOST: u64 = 16;

    /// Whether there was no room, as far as one can see, when `free` of `all` blocks or inodes were free.
    pub fn is_spent(all: u64, free: u64) -> bool {
        all > 0 && free <= (all / Self::SPARE_SHARE).clamp(1, Self::SPARE_MOST)
    }

    /// It ran out of inodes, whatever became of its blocks.
    pub fn has_spent_inodes(&self) -> bool {
        Self::is_spent(self.inodes, self.inodes.saturating_sub(self.peak_inodes))
    }

    /// The file system in a sentence: `the scratch space`, `/dev/shm`.
    pub fn place(&self) -> String {
        if self.name.starts_with('/') { self.name.clone() } else { format!("the {} space", self.name) }
    }
}

/// One process, as last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessUse {
    /// Its command line, lossy and shortened to 120 characters.
    pub command: String,
    /// Its resident memory.
    pub resident_bytes: Bytes,
}

/// Processes and threads, by the kernel's counters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PidsEvidence {
    /// The limit in force.
    pub limit: Option<u64>,
    /// The highest number.
    pub peak: Option<u64>,
    /// How often a fork met the limit.
    pub refused_forks: u64,
}

/// CPU time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuEvidence {
    /// CPU time used by the box, in milliseconds.
    pub used_ms: u64,
    /// Time during which the CPU limit held the box back, in milliseconds.
    pub throttled_ms: u64,
}

/// Block I/O of the box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IoEvidence {
    /// Bytes read from devices.
    pub read_bytes: Option<u64>,
    /// Bytes written to devices.
    pub written_bytes: Option<u64>,
}

/// For how long the box went without what it wanted, in milliseconds, by the kernel's pressure stall information
/// (accounting/psi.rst); `None` where the kernel does not count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StallEvidence {
    /// Nothing of the box could run for want of memory: what it needs again and again does not fit (`full`).
    pub memory_ms: Option<u64>,
    /// Nothing of the box could run before a transfer was done (`full`).
    pub io_ms: Option<u64>,
    /// Something of the box could have run and had no CPU (`some`).
    pub cpu_ms: Option<u64>,
}

/// What the command printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutputEvidence {
    /// Bytes received from it.
    pub bytes: u64,
    /// The limit in force.
    pub limit_bytes: Option<Bytes>,
    /// Some of it was dropped.
    pub truncated: bool,
}

/// One bounded file system of the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskUse {
    /// What it is: `scratch`, `/dev/shm`.
    pub name: String,
    /// Its size.
    pub size_bytes: Bytes,
    /// The highest use seen.
    pub peak_bytes: Bytes,
    /// Its inodes.
    pub inodes: u64,
    /// The highest number of inodes in use that was seen.
    pub peak_inodes: u64,
    /// It was seen full: its blocks or its inodes were spent, see [`DiskUse::is_spent`].
    pub full: bool,
}

/// What pytest said, up to the end.
///
/// The plugin runs inside of the tests' interpreter, so this names and explains; it never acquits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PytestEvidence {
    /// pytest's version.
    pub version: String,
    /// The interpreter's version.
    pub python: String,
    /// How far it came.
    pub stage: PytestStage,
    /// The file that was being collected when the collection ended early.
    pub collecting: Option<String>,
    /// Tests collected and not deselected.
    pub collected: Option<u64>,
    /// Tests with a result, by outcome.
    pub outcomes: Outcomes,
    /// Tests that had begun and not ended, in the order of their begin; several with pytest-xdist.
    pub running: Vec<RunningTest>,
    /// pytest's own exit status, if the session finished.
    pub exit_status: Option<i32>,
    /// The interpreter came to its ordinary end.
    pub said_goodbye: bool,
    /// The last stack dump, taken when a limit was near.
    pub stack: Option<StackDump>,
    /// How the tests were divided: `session`, `file`, `3`, `test`, `none` if pytest ran them itself, or `other` if another
    /// plugin did.
    pub isolate: String,
    /// Every test that began, in the order of their begin; reports tell them beside the evidence, and so below.
    #[serde(skip)]
    pub tests: Vec<TestRow>,
    /// Tests that are only counted, because their rows would have taken too much memory.
    #[serde(skip)]
    pub tests_omitted: u64,
    /// What the collection cost, file by file.
    #[serde(skip)]
    pub collection: Vec<FileProfile>,
}

impl PytestEvidence {
    /// The file that the run ended in has cost what the box has taken since it began: its interpreter tells no more.
    pub fn end_collection(&mut self, timeline: &Timeline, peak_bytes: u64) {
        let early = matches!(self.stage, PytestStage::Configuration | PytestStage::Collection);
        if let Some(file) = self.collection.last_mut().filter(|file| early && file.wall_ms.is_none()) {
            let before = timeline.samples.iter().rev().find(|sample| sample.at_ms <= file.started_ms);
            let taken = peak_bytes.saturating_sub(before.map_or(0, |sample| sample.memory_bytes));
            file.growth_bytes = i64::try_from(taken).unwrap_or(i64::MAX);
        }
    }
}

/// How far a session came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PytestStage {
    /// Options, plugins and conftest files.
    #[default]
    Configuration,
    /// Finding tests; the test files are imported.
    Collection,
    /// Running them.
    Tests,
    /// The session finished.
    Finished,
}

/// Numbers of tests by outcome, as pytest means them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// All phases passed.
    pub passed: u64,
    /// The call failed.
    pub failed: u64,
    /// Setup or teardown failed.
    pub error: u64,
    /// Skipped, expected failures included.
    pub skipped: u64,
}

/// A test that had begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningTest {
    /// pytest's node id.
    pub nodeid: String,
    /// `setup`, `call` or `teardown`.
    pub phase: &'static str,
    /// When it began, in milliseconds since the start of the run.
    pub since_ms: u64,
}

/// Where the interpreter's main thread was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StackDump {
    /// Milliseconds since the start of the run.
    pub at_ms: u64,
    /// Calls, the innermost first, up to the test: `file:line in function`.
    pub calls: Vec<String>,
}

/// The call of a stack that is told where there is room for one: the innermost of the project, which its author can act on,
/// else the innermost. A test that forks may just be in a handler of the standard library, one that computes in numpy.
pub fn telling_call(calls: &[String]) -> Option<&String> {
    // Files of the project are named as seen from it.
    let is_own = |call: &&String| !call.starts_with(['/', '<']) && !call.contains("/site-packages/");
    calls.iter().find(is_own).or_else(|| calls.first())
}

impl Outcomes {
    /// Tests with a result.
    pub fn total(self) -> u64 {
        self.passed + self.failed + self.error + self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_call_is_the_innermost_of_the_project() {
        let told = |calls: &[&str]| {
            let calls: Vec<String> = calls.iter().map(|call| (*call).to_owned()).collect();
            telling_call(&calls).cloned()
        };
        let handler = "/usr/lib/python3.11/logging/__init__.py:241 in _releaseLock";
        let installed = ".venv/lib/python3.11/site-packages/numpy/core.py:7 in dot";
        let (own, test) = ("data.py:41 in load", "tests/test_io.py:7 in test_big");
        assert_eq!(told(&[handler, own, test]).as_deref(), Some(own));
        assert_eq!(told(&[installed, "<string>:1 in f", test]).as_deref(), Some(test));
        assert_eq!(told(&[handler, installed]).as_deref(), Some(handler));
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn a_file_in_which_the_run_ended_has_what_the_box_took_since() {
        let mut timeline = Timeline::new(100);
        for (at_ms, memory_bytes) in [(100, 10), (200, 30), (300, 90)] {
            timeline.push(crate::Sample { at_ms, memory_bytes, pids: 1, cpu_ms: 0 });
        }
        let file = |nodeid: &str, wall_ms| FileProfile {
            nodeid: nodeid.to_owned(),
            started_ms: 250,
            wall_ms,
            ..FileProfile::default()
        };
        let growth_in = |stage, wall_ms| {
            let collection = vec![file("a.py", Some(1)), file("b.py", wall_ms)];
            let mut seen = PytestEvidence { stage, collection, ..PytestEvidence::default() };
            seen.end_collection(&timeline, 100);
            [seen.collection[0].growth_bytes, seen.collection[1].growth_bytes]
        };
        assert_eq!(growth_in(PytestStage::Collection, None), [0, 70]);
        assert_eq!(growth_in(PytestStage::Collection, Some(5)), [0, 0], "it ended");
        assert_eq!(growth_in(PytestStage::Tests, None), [0, 0], "others have taken it since");
    }

    #[test]
    fn a_little_may_be_free_of_what_was_spent() {
        assert!(DiskUse::is_spent(8192, 8) && !DiskUse::is_spent(8192, 9), "32 MiB");
        assert!(DiskUse::is_spent(1 << 20, 16) && !DiskUse::is_spent(1 << 20, 17), "4 GiB");
        assert!(DiskUse::is_spent(100, 1) && !DiskUse::is_spent(100, 2));
        assert!(!DiskUse::is_spent(0, 0), "not bounded");
    }
}
