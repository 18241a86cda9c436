//! The thresholds of `cargo xtask stats`.

use crate::error::Error;
use crate::stats;
use crate::test::part::{Context, Outcome};

/// Measures and compares.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    Ok(Outcome::complaints(&stats::measure(context.workspace)?.complaints()))
}
