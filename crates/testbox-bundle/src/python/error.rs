//! What can be wrong with the project's Python, with what was looked for, where, and the fix.

use std::io;
use std::path::PathBuf;

use crate::walk::WalkError;

/// A Python that cannot be used in a box.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// The environment that a variable names does not exist.
    #[error("`{variable}` names the environment `{}`, which is not there", .path.display())]
    EnvironmentMissing {
        /// The variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// How to get it back.
        fix: String,
        /// What is missing.
        source: Box<WalkError>,
    },
    /// The environment has no usable interpreter.
    #[error("the environment `{}` (found by {found_by}) is broken: {what}", .environment.display())]
    EnvironmentBroken {
        /// The environment.
        environment: PathBuf,
        /// What led to it.
        found_by: String,
        /// What does not work.
        what: String,
        /// How to repair it.
        fix: String,
        /// Where the path ends.
        source: Box<WalkError>,
    },
    /// The folder has no `pyvenv.cfg` and is no conda environment.
    #[error("`{}` (found by {found_by}) is no environment: it has neither `pyvenv.cfg` nor `conda-meta`", .path.display())]
    NotAnEnvironment {
        /// The folder.
        path: PathBuf,
        /// What led to it.
        found_by: String,
    },
    /// A program is not part of a Python installation.
    #[error("`{}` (named by {named_by}) is not in a Python installation: no `lib/python3.*/os.py` in `{}`", .program.display(), .prefix.display())]
    NotAnInstallation {
        /// The program.
        program: PathBuf,
        /// What names it.
        named_by: String,
        /// Where the standard library should be.
        prefix: PathBuf,
    },
    /// A folder that the environment needs would show far more than code.
    #[error("`{}` (named by {named_by}) cannot be shown in the box: {why}", .path.display())]
    TooBroad {
        /// The folder.
        path: PathBuf,
        /// What names it.
        named_by: String,
        /// Why not.
        why: String,
    },
    /// A file of the environment names a folder that must not be shown.
    #[error("`{}` names `{}`, which cannot be shown in the box: {why}", .named_by.display(), .target.display())]
    Untrusted {
        /// The file.
        named_by: PathBuf,
        /// The folder.
        target: PathBuf,
        /// Why not.
        why: String,
    },
    /// Nothing on this machine can run the command.
    #[error("no Python found for `{command}`; looked for it in {}", .looked.join("; "))]
    NoPython {
        /// The command.
        command: String,
        /// Where, and what was found there.
        looked: Vec<String>,
    },
    /// The environment has no pytest.
    #[error("no pytest in `{}` (found by {found_by}); looked for it in {}", .environment.display(), quoted(.looked))]
    NoPytest {
        /// The environment or installation.
        environment: PathBuf,
        /// What led to it.
        found_by: String,
        /// The `site-packages` folders.
        looked: Vec<PathBuf>,
        /// How to install it.
        fix: String,
    },
    /// A script's first line names an interpreter that does not exist.
    #[error("`{}` names `{}` as its interpreter, which is not there", .script.display(), .interpreter.display())]
    ScriptBroken {
        /// The script.
        script: PathBuf,
        /// What its first line names.
        interpreter: PathBuf,
        /// What is missing.
        source: Box<WalkError>,
    },
    /// pyenv's version is not installed.
    #[error("pyenv's version `{version}` (named by {named_by}) is not installed in `{}`; installed: {}", .versions.display(), or_none(.installed))]
    PyenvVersion {
        /// The version.
        version: String,
        /// What names it.
        named_by: String,
        /// pyenv's folder of versions.
        versions: PathBuf,
        /// What is in it.
        installed: Vec<String>,
    },
    /// The command prepares an environment first, which a box cannot.
    #[error("`{tool}` prepares the environment before it starts the command, which a box without network cannot do")]
    Wrapped {
        /// The tool, as typed.
        tool: String,
        /// The command behind it.
        inner: String,
    },
    /// A file of the environment cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PythonError {
    /// The exact fix.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::EnvironmentMissing { fix, .. } | Self::EnvironmentBroken { fix, .. } | Self::NoPytest { fix, .. } => {
                Some(fix.clone())
            }
            Self::NotAnEnvironment { path, .. } => Some(format!("create it: `python3 -m venv {}`", path.display())),
            Self::NotAnInstallation { .. } => {
                Some("activate the environment, or give the interpreter's own path: `testbox run -- /path/to/python -m pytest`".to_owned())
            }
            Self::TooBroad { path, .. } => Some(format!(
                "create the environment in a folder of its own: `python3 -m venv .venv`; or allow it: `--ro {}`",
                path.display()
            )),
            Self::Untrusted { named_by, target, .. } => Some(format!(
                "if the tests need it, allow it with `--ro {}`; else remove it from `{}`",
                target.display(),
                named_by.display()
            )),
            Self::NoPython { .. } => Some("create an environment in the project: `python3 -m venv .venv && .venv/bin/pip install pytest`".to_owned()),
            Self::ScriptBroken { script, .. } => Some(format!(
                "the environment was moved or its Python removed; install the package of `{}` again",
                script.display()
            )),
            Self::PyenvVersion { version, .. } => Some(format!("install it: `pyenv install {version}`")),
            Self::Wrapped { inner, .. } => {
                Some(format!("testbox finds the project's environment itself: `testbox run -- {inner}`"))
            }
            Self::Unreadable { path, .. } => Some(format!("make it readable: `chmod a+r {}`", path.display())),
        }
    }
}

fn quoted(paths: &[PathBuf]) -> String {
    let quoted: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    if quoted.is_empty() { "no folder: it has no `site-packages`".to_owned() } else { quoted.join(", ") }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
