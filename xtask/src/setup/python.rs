//! The Python that environments are made from.

use std::path::{Path, PathBuf};

use crate::cache::{is_root, reachable_by_all};
use crate::error::Error;
use crate::program::Program;
use crate::setup::{say, tools};

/// An interpreter that can make environments.
pub(crate) struct Python {
    /// Its real path.
    pub(crate) program: PathBuf,
    /// `3.11`.
    pub(crate) version: String,
    /// Every user can run it; not so if it lies in root's home.
    pub(crate) for_every_user: bool,
}

/// What an interpreter says of itself.
const QUESTION: &str = "import ensurepip, os, sys, venv
print(sys.version_info[0], sys.version_info[1], sep='.')
print(os.path.realpath(sys.executable))
print(sys.base_prefix)";

/// An interpreter of at least this version; one that every user can run, before one that only root can.
pub(crate) fn find(wanted: (u32, u32), install: bool) -> Result<Python, Error> {
    if let Some(python) = best(wanted) {
        return Ok(python);
    }
    if install
        && tools::apt_install(&["python3", "python3-venv"])?
        && let Some(python) = best(wanted)
    {
        return Ok(python);
    }
    let tried = candidates().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Err(Error::NoPython { wanted: format!("{}.{}", wanted.0, wanted.1), tried })
}

/// An interpreter of exactly this version, `3.8`, also of those that pyenv has installed and not put on PATH.
pub(crate) fn exactly(version: &str) -> Option<Python> {
    let name = format!("python{version}");
    let of_pyenv = pyenv_versions().into_iter().map(|folder| folder.join("bin").join(&name));
    let candidates = tools::find(&name).into_iter().chain([Path::new("/usr/bin").join(&name)]).chain(of_pyenv);
    candidates.filter_map(|path| ask(&path)).find(|python| python.version == version)
}

fn pyenv_versions() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")));
    let entries = root.and_then(|root| fs_err::read_dir(root.join("versions")).ok());
    entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn best(wanted: (u32, u32)) -> Option<Python> {
    let mut last_resort = None;
    for candidate in candidates() {
        match ask(&candidate).filter(|python| version_of(&python.version) >= wanted) {
            Some(python) if python.for_every_user => return Some(python),
            Some(python) => last_resort = last_resort.or(Some(python)),
            None => {}
        }
    }
    if let Some(python) = &last_resort {
        say("python", &format!("{} can be run by root only; fewer tests will run", python.program.display()));
    }
    last_resort
}

/// Programs named `python3` or `python3.N`, each as PATH has it and as /usr/bin has it.
fn candidates() -> Vec<PathBuf> {
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
    let in_usr = |name: &&str| Some(Path::new("/usr/bin").join(name)).filter(|path| path.is_file());
    names.iter().flat_map(|name| [tools::find(name), in_usr(name)]).flatten().collect()
}

fn ask(candidate: &Path) -> Option<Python> {
    let answer = Program::new(candidate).args(["-c", QUESTION]).stdout().ok()?;
    let [version, program, prefix] = answer.lines().collect::<Vec<_>>()[..] else { return None };
    let for_every_user = !is_root() || (reachable_by_all(Path::new(program)) && reachable_by_all(Path::new(prefix)));
    Some(Python { program: program.into(), version: version.to_owned(), for_every_user })
}

/// `3.11` as numbers; what is no version counts as the oldest.
pub(crate) fn version_of(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version_of("3.9") < version_of("3.10"));
        assert_eq!(version_of("nonsense"), (0, 0));
    }
}
