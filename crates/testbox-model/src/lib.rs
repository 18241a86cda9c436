//! The words of testbox as types. Everything here is plain data and pure functions: no I/O, no clock, no process.
//!
//! Read in this order: a [`RunPlan`] says what shall run and under which [`Limits`]; [`WallReport`]s say what is
//! really enforced; [`Evidence`] is what kernel and processes said; [`judge`] turns it into a [`Verdict`].

mod analysis;
mod event;
mod evidence;
mod exit_code;
mod judge;
mod plan;
mod process_message;
mod project_view;
mod record;
#[cfg(any(test, feature = "sample"))]
pub mod sample;
mod spelling;
mod test_row;
mod testing;
mod units;
mod verdict;
mod wall;

pub use analysis::{Leak, LeakPlace, suspected_leak};
pub use event::RunEvent;
pub use evidence::{
    CpuEvidence, DiskUse, Evidence, IoEvidence, MemoryEvidence, Outcomes, OutputEvidence, PayloadEnd, PidsEvidence,
    ProcessUse, PytestEvidence, PytestStage, Readback, RunningTest, StackDump, StallEvidence, Stop, StopCause,
    telling_call,
};
pub use exit_code::ExitCode;
pub use judge::{judge, signal_name};
pub use plan::{EnvRule, Limits, Net, Origin, Reports, RunPlan, SeccompChoice, Setting, Terminal, Times, View};
pub use process_message::{BoxEnd, InitMessage, SetupStep, SupervisorMessage};
pub use project_view::{Moment, ProjectCopy, ProjectView, by_fuse};
pub use record::{Fault, RunRecord, SCHEMA_VERSION, Sample, Timeline};
pub use test_row::{FileProfile, ImportProfile, TestOutcome, TestRow, TestVerdict};
pub use testing::{Isolate, IsolateError, Quota, QuotaOf, Testing};
pub use units::{Bytes, Duration, Rate, Size, UnitError};
pub use verdict::{Verdict, VerdictKind};
pub use wall::{Wall, WallReport, WallState};

/// The spelling in `candidates` that is nearest to `typed`, if one is near enough to be meant.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(typed, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}
