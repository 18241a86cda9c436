//! The command line: clap types, one file for each subcommand. Only what was typed; nothing is resolved here.

mod bundle;
mod completions;
mod defaults;
mod doctor;
mod gc;
mod help;
mod kill;
mod logs;
mod man;
mod options;
mod ps;
mod run;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use bundle::BundleArgs;
pub(crate) use completions::{CompletionsArgs, completions};
pub(crate) use doctor::DoctorArgs;
pub(crate) use gc::GcArgs;
pub(crate) use help::{HelpArgs, help};
pub(crate) use kill::KillArgs;
pub(crate) use logs::LogsArgs;
pub(crate) use man::{ManArgs, man_page, man_pages};
pub(crate) use ps::PsArgs;
pub(crate) use run::RunArgs;

/// Run tests in a box that they cannot break, and learn what went wrong
///
/// testbox runs a command, first of all pytest, in a sandbox with limits on memory, processes, CPU, disk, output and
/// time. A runaway test ends its own box and nothing else, and testbox says which limit it met.
#[derive(Debug, Parser)]
#[command(name = "testbox", version, disable_help_subcommand = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Bundle(BundleArgs),
    Doctor(DoctorArgs),
    Ps(PsArgs),
    Logs(LogsArgs),
    Kill(KillArgs),
    Gc(GcArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    Help(HelpArgs),
}

const AFTER_HELP: &str = "\
Topics:
  testbox help exit-codes   what each exit code means
  testbox help limits       what is limited, how, and what happens then
  testbox help policy       every key with its default; also `testbox help policy strict`

Example:
  testbox run --memory 2G -- pytest -x tests/";

/// What was typed; ends the process on a usage error (2), `--help` and `--version` (0).
pub(crate) fn parse() -> Cli {
    parse_from(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
}

fn parse_from(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    if let Some(args) = run_alone(&words) {
        return Ok(Cli { command: Command::Run(args) });
    }
    let matches = match Cli::command().try_get_matches_from(&words) {
        // Help shows the defaults, which are read from the default policy: not in every run.
        Err(error) if error.kind() == ErrorKind::DisplayHelp => command().try_get_matches_from(&words)?,
        matches => matches.map_err(with_nearest)?,
    };
    Cli::from_arg_matches(&matches)
}

/// `testbox run` without a mistake needs no other subcommand's flags, which take a tenth of a millisecond to lay out.
fn run_alone(words: &[OsString]) -> Option<RunArgs> {
    let words = words.get(1..).filter(|words| words.first().is_some_and(|word| word == "run"))?;
    let matches = RunArgs::augment_args(clap::Command::new("run")).try_get_matches_from(words).ok()?;
    RunArgs::from_arg_matches(&matches).ok()
}

/// Names the nearest subcommand where clap, whose measure is stricter, names none.
fn with_nearest(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let command = Cli::command();
    let nearest = testbox_model::nearest(typed, command.get_subcommands().map(clap::Command::get_name));
    let known = error.get(ContextKind::SuggestedSubcommand).is_some();
    if let Some(nearest) = nearest.filter(|_| !known) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![nearest.to_owned()]));
    }
    error
}

/// The whole command line, with the defaults of the default policy in its help.
fn command() -> clap::Command {
    defaults::shown(Cli::command())
}

#[cfg(test)]
mod tests;
