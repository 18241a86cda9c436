//! `testbox bundle`: the OCI bundle of a run, written instead of run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use testbox_config::Layer;

use super::options::Options;

/// Write the OCI bundle of a run, for `runc run` and for reading
///
/// The bundle is a config.json with the real limits and a skeleton of the root file system. As root `runc run` executes
/// it unchanged. Nothing is started.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct BundleArgs {
    /// The command and its arguments, best behind `--`
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    /// The folder to write; made if it does not exist, and must be empty
    ///
    /// Example: -o /tmp/bundle
    #[arg(short, long = "out", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: PathBuf,

    #[command(flatten)]
    options: Options,
}

impl BundleArgs {
    /// What the flags say.
    pub(crate) fn layer(&self) -> Layer {
        self.options.layer()
    }
}

const AFTER_HELP: &str = "\
Example:
  testbox bundle -o /tmp/bundle --memory 2G -- pytest
  runc run --bundle /tmp/bundle box";
