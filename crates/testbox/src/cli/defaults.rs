//! Puts the defaults of the default policy, their one home, into the help of the flags.

use clap::{Arg, Command};
use testbox_config::Layer;

/// The command with `[default: ...]` at each flag that a policy has a word for.
pub(super) fn shown(command: Command) -> Command {
    let Ok(policy) = testbox_config::defaults() else { return command };
    command.mut_subcommands(|subcommand| match subcommand.get_name() {
        "run" | "bundle" => subcommand.mut_args(|arg| with_default(arg, &policy)),
        _ => subcommand,
    })
}

fn with_default(arg: Arg, policy: &Layer) -> Arg {
    let Some(default) = arg.get_long().and_then(|key| default(key, policy)) else { return arg };
    let note = format!("[default: {default}]");
    let short = arg.get_help().map(|help| format!("{help} {note}"));
    let long = arg.get_long_help().map(|help| format!("{help}\n\n{note}"));
    match (short, long) {
        (Some(short), Some(long)) => arg.help(short).long_help(long),
        (Some(short), None) => arg.help(short),
        _ => arg,
    }
}

/// What the policy says, short enough for a line of help; switches that are off and empty lists say nothing.
fn default(key: &str, policy: &Layer) -> Option<String> {
    let text = policy.text(key)?;
    match text.as_str() {
        "" | "false" => None,
        long if long.contains(' ') => Some("see `testbox help policy`".to_owned()),
        _ => Some(text),
    }
}
