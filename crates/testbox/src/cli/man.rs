//! `testbox man`: man pages, from the same types that parse.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use clap_mangen::Man;
use fs_err as fs;

/// Write the man pages, or print the main one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  testbox man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder to write all pages to; made if it does not exist
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// Writes the main man page.
///
/// # Errors
/// Those of `out`.
pub(crate) fn man_page(out: &mut dyn Write) -> io::Result<()> {
    Man::new(super::command()).render(out)
}

/// Writes a page for testbox and for each subcommand, and says which.
///
/// # Errors
/// Where the folder cannot be made or a page not written; the error names the path.
pub(crate) fn man_pages(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    let mut command = super::command();
    command.build();
    let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
    std::iter::once(command).chain(subcommands).map(|command| write_page(dir, command)).collect()
}

fn write_page(dir: &Path, command: clap::Command) -> io::Result<PathBuf> {
    let man = Man::new(command);
    let path = dir.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(&path, page)?;
    Ok(path)
}
