//! What can go wrong in xtask; each message names operation, object and value.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot start `{program}`")]
    Start { program: String, source: io::Error },
    #[error("`{command}` failed ({status})\n{tail}")]
    Failed { command: String, status: ExitStatus, tail: String },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{what} is not the JSON that was expected")]
    Json { what: String, source: serde_json::Error },
    #[error("{} is not the TOML that was expected", path.display())]
    Toml { path: PathBuf, source: toml::de::Error },
    #[error("{} cannot be parsed as Rust", path.display())]
    Rust { path: PathBuf, source: syn::Error },
    #[error("`{entry}` in the archive {} is refused: {why}", archive.display())]
    Archive { archive: PathBuf, entry: String, why: &'static str },
    #[error("no Python of at least {wanted} that can make a venv was found; tried: {tried}")]
    NoPython { wanted: String, tried: String },
    #[error("programs are missing: {}", missing.join(", "))]
    MissingPrograms { missing: Vec<String>, packages: Vec<String> },
    #[error("cannot package {}: {why}", path.display())]
    Binary { path: PathBuf, why: &'static str },
    #[error("{what} is `{value}`, which is no whole number")]
    Value { what: &'static str, value: String },
    #[error("{complaint}")]
    NotAsExpected { complaint: String },
    #[error("{} is missing", path.display())]
    NotSetUp { path: PathBuf },
    #[error("{what}: {failed} of {total} failed")]
    NotAllHeld { what: &'static str, failed: usize, total: usize },
    #[error("only as root {what}")]
    NeedsRoot { what: &'static str },
    #[error("the guest failed: {what}\n--- end of its console ---\n{console}")]
    GuestFailed { what: String, console: String },
    #[error("the guest did not boot within {} s\n--- end of its console ---\n{console}", limit.as_secs())]
    GuestDidNotBoot { limit: Duration, console: String },
    #[error("the guest was not done after {} s\n--- end of its console ---\n{console}", limit.as_secs())]
    GuestTooSlow { limit: Duration, console: String },
    #[error("testbox does not run here, even with `--allow-degraded {}`:\n{output}", allowed.join(","))]
    TestboxDoesNotRun { allowed: Vec<String>, output: String },
}

impl Error {
    /// What to do about it.
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Start { program, .. } => format!("install `{program}`, or run `cargo xtask setup` as root"),
            Self::NoPython { .. } => "apt-get install python3 python3-venv".to_owned(),
            Self::MissingPrograms { packages, .. } => {
                format!("run this as root, or: apt-get install {}", packages.join(" "))
            }
            Self::NeedsRoot { .. } => "run this once as root; what was made then is enough for every user".to_owned(),
            Self::GuestTooSlow { .. } => "give it longer with `--timeout 30m`".to_owned(),
            Self::Binary { .. } => "build it with `cargo xtask dist`, without `--binary`".to_owned(),
            Self::NotSetUp { .. } => "run `cargo xtask setup` first".to_owned(),
            _ => return None,
        })
    }
}

/// The text for the terminal: message, causes, hint.
pub(crate) fn describe(error: &Error) -> String {
    let mut text = format!("error: {}\n", error.to_string().trim_end());
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = writeln!(text, "  Caused by: {error}");
        cause = error.source();
    }
    if let Some(hint) = error.hint() {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}
