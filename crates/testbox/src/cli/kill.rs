//! `testbox kill`: ends boxes from outside.

use clap::Args;

/// End boxes: their runs are interrupted, with a report
///
/// The testbox of each box gets SIGTERM, and is waited for. With `--force` one that has not ended after 10 s is killed
/// without a report, and what dead runs left is removed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  testbox kill 14646\n  testbox kill --all-mine --force")]
pub(crate) struct KillArgs {
    /// The boxes as `testbox ps` names them; the first four characters or more are enough where only one has them
    #[arg(value_name = "ID", required_unless_present = "all_mine", conflicts_with = "all_mine")]
    pub(crate) ids: Vec<String>,

    /// End all boxes that this user started, and as root only those of root
    #[arg(long)]
    pub(crate) all_mine: bool,

    /// Kill what does not end, and remove what dead runs left
    #[arg(long)]
    pub(crate) force: bool,
}
