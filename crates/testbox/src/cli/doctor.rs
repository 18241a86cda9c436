//! `testbox doctor`: what this host can enforce.

use clap::Args;

/// Try each wall on this host, and print what was found with the exact fix
///
/// Exits with 0 only if a run with the default policy would be fully enforced.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the commands of root that fix what was found
    #[arg(long, conflicts_with = "json")]
    pub(crate) fix: bool,

    /// Run these commands, as root, and look again
    #[arg(long, requires = "fix")]
    pub(crate) yes: bool,
}
