//! cargo-audit and cargo-deny, where they are installed. They never fetch a database here: tests need no network.

use crate::error::Error;
use crate::program::{Program, cargo};
use crate::test::part::{Context, Outcome};

/// Known vulnerabilities of what the lock file holds, by a database fetched earlier.
pub(crate) fn audit(context: &Context<'_>) -> Result<Outcome, Error> {
    if !installed("audit") {
        return Ok(Outcome::not_run("cargo-audit is not installed"));
    }
    let database = std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cargo")))
        .map(|home| home.join("advisory-db"));
    match database.filter(|path| path.is_dir()) {
        None => Ok(Outcome::not_run("no advisory database was fetched on this machine (run `cargo audit` once)")),
        Some(_) => run(context, cargo().args(["audit", "--no-fetch", "--deny", "warnings"])),
    }
}

/// Licences, sources and banned packages.
pub(crate) fn deny(context: &Context<'_>) -> Result<Outcome, Error> {
    if !installed("deny") {
        return Ok(Outcome::not_run("cargo-deny is not installed"));
    }
    let program = cargo().args(["deny", "--locked", "check", "--config", ".deny.toml", "bans", "licenses", "sources"]);
    run(context, program)
}

fn installed(subcommand: &str) -> bool {
    cargo().args([subcommand, "--version"]).capture().is_ok_and(|ended| ended.status.success())
}

fn run(context: &Context<'_>, program: Program) -> Result<Outcome, Error> {
    let ended = program.dir(&context.workspace.root).capture()?;
    Ok(if ended.status.success() { Outcome::passed() } else { Outcome::failed(ended.both()) })
}
