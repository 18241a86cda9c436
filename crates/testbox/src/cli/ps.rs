//! `testbox ps`: the boxes that are there.

use clap::Args;

/// List the boxes of this user, with what they use of their limits
///
/// As root the boxes of every user. A box whose testbox is dead is `orphaned`: `testbox gc` removes it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  testbox ps --json | jq '.boxes[].memory_bytes'")]
pub(crate) struct PsArgs {
    /// Print the boxes as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
