//! `testbox logs`: the journal of a run.

use clap::Args;

/// Print the journal of a run, one line an event
///
/// The journal is `journal.jsonl` in the report folder of the run; events stand in it as soon as they happen.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  testbox logs --follow 14646\n  testbox logs --last")]
pub(crate) struct LogsArgs {
    /// A box as `testbox ps` names it; the first four characters or more are enough where only one has them
    #[arg(value_name = "ID", required_unless_present = "last", conflicts_with = "last")]
    pub(crate) id: Option<String>,

    /// The last run of the project that you are in
    #[arg(long)]
    pub(crate) last: bool,

    /// Go on until the run ends
    #[arg(short, long, conflicts_with = "last")]
    pub(crate) follow: bool,
}
