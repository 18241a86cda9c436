//! Everything that can be wrong with a configuration, one variant each, with its exact fix.

use std::io;
use std::path::PathBuf;

use testbox_model::UnitError;

use crate::{Key, Place, Scope};

/// Why no plan could be made. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no command to run.
    #[error("there is no command to run")]
    NoCommand,
    /// A value is not of the accepted form.
    #[error("{place}: {problem}")]
    Value {
        /// Where.
        place: Box<Place>,
        /// What is wrong.
        problem: Box<UnitError>,
    },
    /// A list in place of a value, or a table in place of a list.
    #[error("{place} is a {found}: accepted is a {wanted}")]
    WrongKind {
        /// Where.
        place: Place,
        /// What is there.
        found: &'static str,
        /// What should be.
        wanted: &'static str,
    },
    /// A value of the right form that is too small or too large.
    #[error("{stated} is {problem}: accepted are {accepted}; did you mean `{nearest}`?")]
    OutOfRange {
        /// The value with its place.
        stated: String,
        /// `too small` or `too large`.
        problem: &'static str,
        /// The range, with what bounds it.
        accepted: String,
        /// The nearest accepted value.
        nearest: String,
    },
    /// This machine has less than the least that testbox demands.
    #[error("{place} needs at least {least}, and {bound} is {most}")]
    NoRoom {
        /// Where the value is named.
        place: Place,
        /// The least accepted value.
        least: String,
        /// What the machine has.
        most: String,
        /// What bounds it.
        bound: &'static str,
    },
    /// Two values that cannot both hold.
    #[error("{first} contradicts {second}: {why}")]
    Contradiction {
        /// One value with its place.
        first: String,
        /// The other value with its place.
        second: String,
        /// Why not both.
        why: &'static str,
        /// How to make them agree.
        fix: String,
    },
    /// A quota that limits nothing.
    #[error("{place}: the quota of `{pattern}` has no limit: accepted are memory, timeout, pids and isolate")]
    EmptyQuota {
        /// Where.
        place: Place,
        /// The tests.
        pattern: String,
    },
    /// A key that does not exist.
    #[error("{file}:{line}: unknown key `{key}`{}", guess(nearest.as_deref()))]
    UnknownKey {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The key as typed.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that exists, but not in this kind of file.
    #[error("{file}:{line}: `{key}` is not accepted in a {kind}: {instead}")]
    MisplacedKey {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
        /// The kind of file.
        kind: &'static str,
        /// Where it is accepted.
        instead: &'static str,
    },
    /// A file that is not TOML.
    #[error("{file}:{line}: {message}")]
    Toml {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    Read(io::Error),
    /// A configuration file that is a directory, a pipe or a device.
    #[error("cannot read `{}`: it is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Two project files that both have settings.
    #[error("both `{}` and `[tool.testbox]` of `{}` have settings of testbox", testbox.display(), pyproject.display())]
    TwoProjectFiles {
        /// The `testbox.toml`.
        testbox: PathBuf,
        /// The `pyproject.toml` beside it.
        pyproject: PathBuf,
    },
    /// A `TESTBOX_*` variable that means nothing.
    #[error("unknown environment variable `{name}`{}", guess(nearest.as_deref()))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The variable that was probably meant.
        nearest: Option<String>,
    },
    /// A `TESTBOX_*` variable that would change a wall.
    #[error(
        "environment variable `{name}` is refused: the environment may set limits, times, how tests are divided, and reports only"
    )]
    RefusedVariable {
        /// The variable.
        name: String,
        /// The key that it stands for.
        key: &'static str,
    },
    /// A `TESTBOX_*` variable whose value is not UTF-8.
    #[error("environment variable `{name}` is not UTF-8: `{value}`")]
    NonUtf8Variable {
        /// The variable.
        name: String,
        /// Its value, as far as it can be shown.
        value: String,
    },
    /// A path that is not there.
    #[error("{place}: `{}` does not exist", path.display())]
    PathMissing {
        /// Where it is named.
        place: Place,
        /// The path, absolute.
        path: PathBuf,
    },
    /// A path that testbox will not show, hide or write to.
    #[error("{place}: `{}` is refused: {why}", path.display())]
    PathRefused {
        /// Where it is named.
        place: Place,
        /// The path, absolute.
        path: PathBuf,
        /// The reason.
        why: &'static str,
        /// What to do instead.
        fix: String,
    },
    /// `~` without a home directory.
    #[error("{place}: `{text}` needs the home directory, and `HOME` is not set")]
    NoHome {
        /// Where it is named.
        place: Place,
        /// The path as typed.
        text: String,
    },
    /// A folder that cannot be the project.
    #[error("`{}` cannot be the project: {why}", path.display())]
    Project {
        /// The folder.
        path: PathBuf,
        /// The reason.
        why: &'static str,
        /// What to do instead.
        fix: &'static str,
    },
    /// A working directory outside the project.
    #[error("{place}: `{}` is not inside the project `{}`", cwd.display(), project.display())]
    CwdOutside {
        /// Where it is named.
        place: Place,
        /// The working directory.
        cwd: PathBuf,
        /// The project.
        project: PathBuf,
    },
    /// A report of the kernel without what it should have.
    #[error("cannot learn about this machine: `{path}` lacks {what}")]
    Machine {
        /// The kernel's file.
        path: String,
        /// What is missing.
        what: &'static str,
    },
    /// The default policy does not say a key; a fault of testbox.
    #[error("policy `default` does not say `{key}`")]
    Incomplete {
        /// The key.
        key: &'static str,
    },
}

impl ConfigError {
    /// The exact fix, where there is one beside what the message says.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoCommand => Some("put the command behind `--`, as in `testbox run -- pytest`".to_owned()),
            Self::Contradiction { fix, .. } | Self::PathRefused { fix, .. } => Some(fix.clone()),
            Self::Project { fix, .. } => Some((*fix).to_owned()),
            Self::Read(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Some("you may not read it: change its permissions, or run testbox as its owner".to_owned())
            }
            Self::NoRoom { place, .. } if place.key == "nofile" => {
                Some("raise it in the shell that starts testbox: `ulimit -n 4096`".to_owned())
            }
            Self::TwoProjectFiles { .. } => Some("keep the settings in one of the two files".to_owned()),
            Self::RefusedVariable { key, .. } => Some(format!("use the flag `--{key}`{}", or_file(key))),
            Self::UnknownVariable { nearest: None, .. } | Self::UnknownKey { nearest: None, .. } => {
                Some("`testbox help policy` lists every key".to_owned())
            }
            Self::CwdOutside { .. } => Some("name a folder inside the project, or start testbox there".to_owned()),
            Self::NoHome { .. } => Some("name the path in full, or set `HOME`".to_owned()),
            Self::Incomplete { .. } => Some("this is a fault of testbox; please report it".to_owned()),
            _ => None,
        }
    }

    pub(crate) fn value(place: Place, problem: UnitError) -> Self {
        Self::Value { place: Box::new(place), problem: Box::new(problem) }
    }
}

fn guess(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// The project file as the other way, where it accepts the key.
fn or_file(key: &str) -> &'static str {
    match Key::find(key).map(|key| key.scope) {
        Some(Scope::Policy) => "",
        _ => " or the project file",
    }
}
