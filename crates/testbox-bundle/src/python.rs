//! The project's Python, found by files alone: nothing of the project or its environment is ever run.
//!
//! `search` finds the environment or interpreter in a fixed order; `venv` and `installation` say what it consists of;
//! `sites` and `editable` find what its `site-packages` folders refer to; `shebang` what the command's first line names.

mod editable;
mod error;
mod installation;
mod name_hash;
mod pipenv;
mod poetry;
mod pyenv;
mod search;
mod shebang;
mod sites;
mod venv;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub use error::PythonError;

use crate::bundle::Interpreter;
use crate::host::Host;
use crate::image::Image;
use crate::trust::Trust;
use crate::walk;
use search::{Place, Search};
use venv::Environment;

/// What discovery looks at.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub(crate) host: &'a Host,
    pub(crate) image: &'a Image,
    pub(crate) trust: &'a Trust<'a>,
    /// The command as typed.
    pub(crate) command: &'a [OsString],
    /// The working directory, resolved.
    pub(crate) cwd: &'a Path,
    /// The project's root, resolved.
    pub(crate) project: &'a Path,
    /// What the user shows by a flag: no objection holds below it.
    pub(crate) allowed: &'a [PathBuf],
    /// The PYTHONPATH that the command will get.
    pub(crate) python_path: Option<&'a OsStr>,
}

/// What discovery found.
#[derive(Debug, Default)]
pub(crate) struct Python {
    /// For reports; `None` if the command needs no Python and none was found.
    pub(crate) interpreter: Option<Interpreter>,
    /// Paths that must lead to the same things in the box as on the host.
    pub(crate) shown: Vec<PathBuf>,
    /// Folders at the front of PATH.
    pub(crate) bin_folders: Vec<PathBuf>,
    /// Variables that name the environment.
    pub(crate) variables: Vec<(&'static str, PathBuf)>,
    /// What the user must know.
    pub(crate) notes: Vec<String>,
}

/// How much Python a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Python with pytest.
    Pytest,
    /// Python.
    Python,
    /// None that we know of; a broken environment is then a note and no error.
    Perhaps,
}

/// Finds the Python of the command and all that it consists of.
pub(crate) fn discover(look: &Look<'_>) -> Result<Python, PythonError> {
    let need = need(look.command)?;
    match find(look, need) {
        Err(error) if need == Need::Perhaps => Ok(command_only(look, vec![format!("no Python is shown: {error}")])),
        found => found,
    }
}

/// Where a name without a slash leads in the caller's PATH.
pub(crate) fn which(look: &Look<'_>, name: &OsStr) -> Option<PathBuf> {
    let folders = look.host.env("PATH").unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let candidates = std::env::split_paths(folders).map(|folder| walk::absolute(look.cwd, &folder).join(name));
    candidates.into_iter().find(|path| is_program(look.host, path))
}

fn is_program(host: &Host, path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    walk::walk(host, path).is_ok_and(|end| end.metadata.is_file() && end.metadata.permissions().mode() & 0o111 != 0)
}

fn need(command: &[OsString]) -> Result<Need, PythonError> {
    use testbox_pytest::Recognised;
    match testbox_pytest::recognise(command) {
        Some(Recognised::Wrapped { tool, inner }) => {
            Err(PythonError::Wrapped { tool, inner: inner.join(OsStr::new(" ")).to_string_lossy().into_owned() })
        }
        Some(Recognised::Pytest { .. }) => Ok(Need::Pytest),
        None if command.first().is_some_and(|program| shebang::is_python(Path::new(program))) => Ok(Need::Python),
        None => Ok(Need::Perhaps),
    }
}

fn find(look: &Look<'_>, need: Need) -> Result<Python, PythonError> {
    let mut search = Search::new(look);
    let Some(found) = search.run()? else {
        let command = look.command.join(OsStr::new(" ")).to_string_lossy().into_owned();
        return match need {
            Need::Perhaps => Ok(command_only(look, Vec::new())),
            Need::Pytest | Need::Python => Err(PythonError::NoPython { command, looked: search.looked }),
        };
    };
    let environment = Environment::inspect(look, found)?;
    let pytest = environment.pytest(look)?;
    if need == Need::Pytest && pytest.is_none() {
        return Err(environment.without_pytest(look));
    }
    let second = script_environment(look, &environment)?;
    assemble(look, &environment, second.as_ref(), pytest)
}

/// The environment that the command's own script names, where it is another one.
fn script_environment(look: &Look<'_>, environment: &Environment) -> Result<Option<Environment>, PythonError> {
    let script = match look.command.first() {
        Some(program) if program.as_encoded_bytes().contains(&b'/') => walk::absolute(look.cwd, Path::new(program)),
        Some(program) => environment.bin_folder().join(program),
        None => return Ok(None),
    };
    let Some(shebang::Shebang::Program(named)) = shebang::of_script(look.host, &script) else { return Ok(None) };
    let end = walk::walk(look.host, &named);
    let end = end.map_err(|source| {
        let (interpreter, source) = (named.clone(), Box::new(source));
        PythonError::ScriptBroken { script, interpreter, source }
    })?;
    let foreign = shebang::is_python(&named) && !environment.holds(look, &named);
    if !foreign || end.path.starts_with("/usr") && named.starts_with("/usr") {
        return Ok(None);
    }
    let found_by = "the first line of the command's script".to_owned();
    Environment::inspect(look, search::Found { place: Place::Interpreter(named), found_by, by_caller: false }).map(Some)
}

fn assemble(
    look: &Look<'_>,
    environment: &Environment,
    second: Option<&Environment>,
    pytest: Option<String>,
) -> Result<Python, PythonError> {
    let mut python = command_only(look, Vec::new());
    for part in std::iter::once(environment).chain(second) {
        python.shown.extend(part.shown(look));
        for folder in part.site_folders(look) {
            python.shown.extend(editable::targets(look, &folder)?);
        }
    }
    python.shown.extend(sites::python_path(look)?);
    let own = environment.bin_folders(look);
    python.bin_folders.splice(0..0, own);
    python.variables = environment.variables(look);
    python.interpreter = Some(environment.interpreter(pytest));
    Ok(python)
}

/// What a command needs that is no Python matter: its own file, where it lies outside the system and the project.
fn command_only(look: &Look<'_>, notes: Vec<String>) -> Python {
    let program = look.command.first().filter(|program| !program.as_encoded_bytes().contains(&b'/'));
    let file = program.and_then(|name| which(look, name)).filter(|path| !path.starts_with("/usr"));
    let file = file.filter(|path| pyenv::root_of_shim(look, path).is_none() && !path.starts_with(look.project));
    let Some(file) = file.filter(|path| !is_system(look, path)) else { return Python { notes, ..Python::default() } };
    let folder = file.parent().map(Path::to_owned);
    Python { shown: vec![file], bin_folders: folder.into_iter().collect(), notes, ..Python::default() }
}

/// Does the path lead into what every box shows?
fn is_system(look: &Look<'_>, path: &Path) -> bool {
    walk::walk(look.host, path)
        .is_ok_and(|end| look.image.system.folders.iter().any(|folder| end.path.starts_with(folder)))
        && look.image.system.folders.iter().any(|folder| path.starts_with(folder))
}
