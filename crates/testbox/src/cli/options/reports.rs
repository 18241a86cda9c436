//! Reports and the terminal.

use clap::{ArgAction, Args, ValueHint};
use testbox_config::{HostPath, JsonTarget, Layer, OrNone, Switch, Typed, Verbosity, flag};

#[derive(Debug, Args)]
#[command(next_help_heading = "Reports and terminal")]
pub(super) struct ReportOptions {
    /// The folder of testbox.json and the journal
    ///
    /// It is made if it does not exist; one run at a time may use it. Example: --report-dir /tmp/report
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    report_dir: Option<Typed<HostPath>>,

    /// Print the JSON report on stdout (`-`), and the command's output on stderr
    ///
    /// Accepted are `-`, stdout, and `none`; the file in --report-dir is written anyhow. Example: --json -
    #[arg(long, value_name = "TARGET", allow_hyphen_values = true)]
    json: Option<Typed<OrNone<JsonTarget>>>,

    /// Say nothing but a verdict other than passed
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Say more; twice: everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Use no colours, as with NO_COLOR
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_color: Option<Typed<Switch>>,

    /// Give the command a terminal of its own
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tty: Option<Typed<Switch>>,

    /// Pass the command's output on byte by byte
    ///
    /// Without it control sequences that could harm the terminal or a CI log are made harmless; colours stay.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    raw_output: Option<Typed<Switch>>,
}

impl ReportOptions {
    pub(super) fn fill(&self, layer: &mut Layer) {
        layer.report_dir = flag("report-dir", self.report_dir.clone());
        layer.json = flag("json", self.json.clone());
        layer.verbosity = flag("verbosity", self.verbosity());
        layer.no_color = flag("no-color", self.no_color.clone());
        layer.tty = flag("tty", self.tty.clone());
        layer.raw_output = flag("raw-output", self.raw_output.clone());
    }

    fn verbosity(&self) -> Option<Typed<Verbosity>> {
        match (self.quiet, self.verbose) {
            (true, _) => Some(Typed::new(Verbosity(-1), "quiet")),
            (false, 0) => None,
            (false, 1) => Some(Typed::new(Verbosity(1), "verbose")),
            (false, _) => Some(Typed::new(Verbosity(2), "debug")),
        }
    }
}
