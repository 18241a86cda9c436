//! What the box sees of the host.

use clap::{Args, ValueHint};
use testbox_config::{Glob, HostPath, Layer, Switch, Typed, flag, flags};
use testbox_model::EnvRule;

#[derive(Debug, Args)]
#[command(next_help_heading = "What the box sees")]
pub(super) struct ViewOptions {
    /// Mount the project read-write instead of as an overlay view
    ///
    /// Without it the box sees the project, may write to its view, and what it wrote is thrown away but for --output.
    /// Where the kernel refuses an overlay, the view is a copy, which takes room of --tmp-size.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    write: Option<Typed<Switch>>,

    /// Show another path of the host read-only (repeatable)
    ///
    /// It appears at its own place and must exist. Example: --ro ~/datasets
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    ro: Vec<Typed<HostPath>>,

    /// Show another path of the host read-write (repeatable)
    ///
    /// It appears at its own place and must exist; what the box writes there is not bounded by --tmp-size.
    /// Example: --rw ~/.cache/models
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    rw: Vec<Typed<HostPath>>,

    /// Hide a file or folder from the box (repeatable)
    ///
    /// It need not exist. Example: --hide .env
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    hide: Vec<Typed<HostPath>>,

    /// Carry these files out of the view of the project when the box is dead (repeatable)
    ///
    /// Accepted are globs relative to the project; `*` stays in one folder, `**` does not. What --junitxml, --cov-report
    /// and the like of the command name inside the project is added by itself. Example: --output 'build/**'
    #[arg(long, value_name = "GLOB")]
    output: Vec<Typed<Glob>>,

    /// Run a pytest command untouched, without testbox's plugin
    ///
    /// The plugin runs the tests in workers (--isolate) and tells what pytest is doing, so that whatever was killed has
    /// test, phase and line.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_plugin: Option<Typed<Switch>>,

    /// Pass or set an environment variable (repeatable)
    ///
    /// Accepted are NAME (the host's value), PREFIX* and NAME=VALUE. Example: --env DATABASE_URL --env DEBUG=1
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<Typed<EnvRule>>,

    /// Work as if testbox had been started in this folder
    ///
    /// The project is found from there upwards. Example: --cwd backend
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath)]
    cwd: Option<Typed<HostPath>>,
}

impl ViewOptions {
    pub(super) fn fill(&self, layer: &mut Layer) {
        layer.write = flag("write", self.write.clone());
        layer.ro = flags("ro", self.ro.clone());
        layer.rw = flags("rw", self.rw.clone());
        layer.hide = flags("hide", self.hide.clone());
        layer.output = flags("output", self.output.clone());
        layer.no_plugin = flag("no-plugin", self.no_plugin.clone());
        layer.env = flags("env", self.env.clone());
        layer.cwd = flag("cwd", self.cwd.clone());
    }
}
