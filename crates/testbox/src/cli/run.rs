//! `testbox run`: a command in a box.

use std::ffi::OsString;

use clap::Args;
use testbox_config::Layer;

use super::options::Options;

/// Run a command in a box
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RunArgs {
    /// The command and its arguments, best behind `--`
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    options: Options,

    /// Print the plan, each value with its origin, and start nothing
    ///
    /// With `--json -` the plan is printed as JSON.
    #[arg(long, help_heading = "Reports and terminal")]
    pub(crate) dry_run: bool,
}

impl RunArgs {
    /// What the flags say.
    pub(crate) fn layer(&self) -> Layer {
        self.options.layer()
    }
}

const AFTER_HELP: &str = "\
Every flag with a default is also a key of `testbox.toml` and of `[tool.testbox]` in pyproject.toml; limits, times, \
how tests are divided, and reports also a variable like TESTBOX_MEMORY. Flags beat the environment, which beats the project file, which beats the \
policy. Lists are added to. `--dry-run` shows what holds and why; `testbox help exit-codes` lists the exit codes.

Examples:
  testbox run -- pytest
  testbox run --memory 2G --timeout 10m -- python -m pytest -x tests/
  testbox run --policy strict --json - -- pytest > report.json";
