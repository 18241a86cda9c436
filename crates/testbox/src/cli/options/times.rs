//! The timeouts.

use clap::Args;
use testbox_config::{Layer, OrNone, Typed, flag};
use testbox_model::Duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Times")]
pub(super) struct TimeOptions {
    /// Wall time of the whole run
    ///
    /// Then the whole box is ended and testbox exits with 124. Accepted are durations like 90s, 5m or 1h30m, at most 365d.
    /// Example: --timeout 10m
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    timeout: Option<Typed<Duration>>,

    /// Time without output and without CPU use
    ///
    /// Then the whole box is ended and testbox exits with 124. Accepted are durations up to --timeout, and `none`.
    /// Example: --idle-timeout 60s
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    idle_timeout: Option<Typed<OrNone<Duration>>>,

    /// Time from SIGTERM to SIGKILL
    ///
    /// Accepted are durations up to --timeout. Example: --grace 10s
    #[arg(long, value_name = "DUR", allow_hyphen_values = true)]
    grace: Option<Typed<Duration>>,
}

impl TimeOptions {
    pub(super) fn fill(&self, layer: &mut Layer) {
        layer.timeout = flag("timeout", self.timeout.clone());
        layer.idle_timeout = flag("idle-timeout", self.idle_timeout.clone());
        layer.grace = flag("grace", self.grace.clone());
    }
}
