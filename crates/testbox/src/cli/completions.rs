//! `testbox completions`: completions for the shells, from the same types that parse.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  testbox completions bash > ~/.local/share/bash-completion/completions/testbox")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// Writes the completions of `shell`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // Through a buffer: clap_complete panics where it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "testbox", &mut text);
    out.write_all(&text)
}
