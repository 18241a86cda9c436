//! `testbox gc`: what a power cut left.

use clap::Args;

/// Remove what runs left behind that were killed together with their reaper
///
/// Only cgroups are removed that carry this boot's identifier and the process id and start time of a testbox that is dead.
/// Runs in progress are never touched.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {}
