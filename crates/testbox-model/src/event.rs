//! Events: what happens while a run goes on. The terminal and the journal read nothing else.

use serde::Serialize;

use crate::{PayloadEnd, Readback, StopCause};

/// One thing that happened, at `at_ms` milliseconds since the start where that matters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// The box stands and the command is about to be executed.
    Started {
        /// What was read back of the payload's set-up.
        readback: Readback,
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
    /// The command ended.
    Ended {
        /// How.
        payload: PayloadEnd,
        /// Milliseconds since the start.
        at_ms: u64,
    },
    /// Something the user must know that does not end the run.
    Warning {
        /// The whole sentence.
        text: String,
    },
}
