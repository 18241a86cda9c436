//! The words of testbox as types. Everything here is plain data and pure functions: no I/O, no clock, no process.
//!
//! Read in this order: a [`RunPlan`] says what shall run and under which [`Limits`]; [`WallReport`]s say what is
//! really enforced; [`Evidence`] is what kernel and processes said; [`judge`] turns it into a [`Verdict`].

mod exit_code;
mod units;
mod wall;
mod plan;
mod spelling;
mod process_message;
mod evidence;
mod record;
mod event;
mod verdict;
mod judge;

pub use evidence::{
    CpuEvidence, DiskUse, Evidence, IoEvidence, MemoryEvidence, OutputEvidence, PayloadEnd, PidsEvidence, ProcessUse,
    Readback, Stop, StopCause,
};
pub use event::RunEvent;
pub use exit_code::ExitCode;
pub use judge::{judge, signal_name};
pub use plan::{
    EnvRule, Limits, Net, Origin, Reports, RunPlan, SeccompChoice, Setting, Terminal, Times, View,
};
pub use process_message::{InitMessage, SetupStep, SupervisorMessage};
pub use record::{Fault, RunRecord, Sample, Timeline, SCHEMA_VERSION};
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
