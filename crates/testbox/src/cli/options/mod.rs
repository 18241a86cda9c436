//! The options of a run, in the groups of the help; `run` and `bundle` share them.

mod limits;
mod reports;
mod testing;
mod times;
mod view;
mod walls;

use clap::Args;
use testbox_config::Layer;

/// Every option that goes into the plan.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    limits: limits::LimitOptions,
    #[command(flatten)]
    times: times::TimeOptions,
    #[command(flatten)]
    testing: testing::TestOptions,
    #[command(flatten)]
    view: view::ViewOptions,
    #[command(flatten)]
    walls: walls::WallOptions,
    #[command(flatten)]
    reports: reports::ReportOptions,
}

impl Options {
    /// The options as a layer of the configuration, each with its flag as origin.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        self.limits.fill(&mut layer);
        self.times.fill(&mut layer);
        self.testing.fill(&mut layer);
        self.view.fill(&mut layer);
        self.walls.fill(&mut layer);
        self.reports.fill(&mut layer);
        layer
    }
}
