//! Events: what happens while a run goes on. The terminal and the journal read nothing else.

use serde::Serialize;

use crate::{PayloadEnd, ProjectCopy, Readback, StopCause, TestOutcome, TestRow, TestVerdict};

/// One thing that happened, at `at_ms` milliseconds since the start where that matters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// The box stands and the command is about to be executed.
    Started {
        /// What was read back of the payload's set-up.
        readback: Readback,
    },
    /// fuse-overlayfs shows the project to the box, because the kernel refuses its overlay.
    ProjectByFuse {
        /// Why it does.
        because: String,
    },
    /// The box sees a copy of the project, because there can be no overlay of it.
    ProjectCopied {
        /// What it took, and why it was made.
        copy: ProjectCopy,
    },
    /// testbox asks the command to end (SIGTERM, or the signal that it received itself).
    Stopping {
        /// Why.
        cause: StopCause,
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// The grace period passed: SIGKILL to the whole box.
    Killing {
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// The kernel killed a process of the box for memory.
    OomKill {
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// Most of the last seconds nothing of the box could run for want of memory.
    Stalled {
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// The command ended.
    Ended {
        /// How.
        payload: PayloadEnd,
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// A test has its result.
    Test {
        /// pytest's node id.
        nodeid: String,
        /// As pytest says it.
        outcome: Option<TestOutcome>,
        /// What testbox concludes.
        verdict: TestVerdict,
        /// Wall time of all phases, in milliseconds.
        wall_ms: u64,
        /// The worker that ran it, from 0.
        worker: u32,
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// A test was killed, or its worker died in it.
    TestKilled {
        /// pytest's node id.
        nodeid: String,
        /// The phase in which it was: `setup`, `call`, `teardown`.
        phase: &'static str,
        /// What testbox concludes.
        verdict: TestVerdict,
        /// Cause, number and limit, as what the test did: `used all of its 512.0 MiB`.
        summary: String,
        /// Where it was: calls, the innermost first.
        stack: Vec<String>,
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// Something the user must know that does not end the run.
    Warning {
        /// The whole sentence.
        text: String,
    },
}

impl RunEvent {
    /// That this test has its result.
    pub fn of_test(row: &TestRow, at_ms: u64) -> Self {
        let TestRow { nodeid, outcome, verdict, wall_ms, worker, .. } = row;
        let (outcome, verdict, wall_ms, worker) = (*outcome, *verdict, *wall_ms, *worker);
        Self::Test { nodeid: nodeid.clone(), outcome, verdict, wall_ms, worker, at_ms }
    }
}
