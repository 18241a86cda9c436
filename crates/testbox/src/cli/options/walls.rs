//! The walls.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};
use testbox_config::{Layer, NameOrFile, Switch, Typed, WallName, flag, flags};
use testbox_model::{Net, Wall};

#[derive(Debug, Args)]
#[command(next_help_heading = "Walls")]
pub(super) struct WallOptions {
    /// The network: none (loopback only) or the host's
    ///
    /// With `host` the network wall is off, and every report says so. Example: --net host
    #[arg(long, value_name = "NET", value_parser = PossibleValuesParser::new(["none", "host"]).try_map(|text| text.parse::<Typed<Net>>()))]
    net: Option<Typed<Net>>,

    /// The policy: default, strict, open, or a file
    ///
    /// A policy is a commented file of limits and walls; `testbox help policy` prints the default one. A file is named
    /// with a `/` or ends in .toml. Example: --policy ./ci.toml
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::FilePath)]
    policy: Option<Typed<NameOrFile>>,

    /// The seccomp profile: default, strict, open, or a file
    ///
    /// A file is named with a `/` or ends in .json. Example: --seccomp strict
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::FilePath)]
    seccomp: Option<Typed<NameOrFile>>,

    /// Run even where this host can build these walls only in a weaker form (repeatable, comma separated)
    ///
    /// Without it testbox refuses to run; with it every report says which wall is degraded and how. `namespaces` stands
    /// for all that is made of them, the walls disk and network too: where the kernel refuses them, Landlock and seccomp
    /// take their place (`testbox help limits`).
    /// Example: --allow-degraded memory,pids
    #[arg(long, value_name = "WALL", value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Wall::ALL.map(Wall::name)).try_map(|text| text.parse::<Typed<WallName>>()))]
    allow_degraded: Vec<Typed<WallName>>,

    /// Do not read the project file
    ///
    /// So that a project cannot open its own box; policy `strict` says so too. `--no-project-file=false` reads it all the
    /// same.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_project_file: Option<Typed<Switch>>,
}

impl WallOptions {
    pub(super) fn fill(&self, layer: &mut Layer) {
        layer.net = flag("net", self.net.clone());
        layer.policy = flag("policy", self.policy.clone());
        layer.seccomp = flag("seccomp", self.seccomp.clone());
        layer.allow_degraded = flags("allow-degraded", self.allow_degraded.clone());
        layer.no_project_file = flag("no-project-file", self.no_project_file.clone());
    }
}
