//! `testbox help`: topics, and the help of subcommands.

use clap::Args;
use clap::error::ErrorKind;

use crate::help::{TOPICS, topic};

/// Print a topic or the help of a subcommand
///
/// Topics are exit-codes, limits and policy; `testbox help policy strict` prints another policy.
#[derive(Debug, Args)]
pub(crate) struct HelpArgs {
    /// A topic or a subcommand
    #[arg(value_name = "TOPIC")]
    pub(crate) words: Vec<String>,
}

/// The text that `testbox help WORDS` prints.
///
/// # Errors
/// A usage error that names the topics and the nearest one; `exit()` on it prints it and exits with 2.
pub(crate) fn help(args: &HelpArgs) -> Result<String, clap::Error> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let mut command = super::command();
    command.build();
    if words.is_empty() {
        return Ok(command.render_long_help().to_string());
    }
    if let Some(text) = topic(&words) {
        return Ok(text);
    }
    match (command.find_subcommand_mut(words[0]), words.len()) {
        (Some(subcommand), 1) => Ok(subcommand.render_long_help().to_string()),
        _ => Err(unknown(command, &words.join(" "))),
    }
}

fn unknown(mut command: clap::Command, typed: &str) -> clap::Error {
    let subcommands = command.get_subcommands().map(clap::Command::get_name);
    let names: Vec<String> = TOPICS.into_iter().chain(subcommands).map(str::to_owned).collect();
    let nearest = testbox_model::nearest(typed, names.iter().map(String::as_str));
    let guess = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    let message = format!("`{typed}` is neither a topic nor a subcommand: accepted are {}{guess}", names.join(", "));
    command.error(ErrorKind::InvalidValue, message)
}
