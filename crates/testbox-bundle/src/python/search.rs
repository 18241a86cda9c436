//! The order in which environments are looked for; the first that is there wins, broken or not.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::shebang::{self, Shebang, is_python};
use super::{Look, PythonError, pipenv, poetry, pyenv, which};
use crate::walk;

/// Where a search ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) place: Place,
    /// What led to it, for people.
    pub(crate) found_by: String,
    /// The caller's own command or environment names it; else files of the project did.
    pub(crate) by_caller: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The folder of a virtual or conda environment.
    Environment(PathBuf),
    /// An interpreter.
    Interpreter(PathBuf),
}

/// One search, with what it looked at in vain.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    look: &'a Look<'a>,
    pub(crate) looked: Vec<String>,
}

/// What a step of the search gives: something, nothing here, or something broken.
type Outcome = Result<Option<Found>, PythonError>;

impl<'a> Search<'a> {
    pub(crate) fn new(look: &'a Look<'a>) -> Self {
        Self { look, looked: Vec::new() }
    }

    /// Looks everywhere, in order; `base` of conda comes late because conda activates it in every shell.
    pub(crate) fn run(&mut self) -> Outcome {
        let steps: [fn(&mut Self) -> Outcome; 8] = [
            Self::command_path,
            Self::active_environment,
            Self::active_conda,
            Self::uv_environment,
            Self::local_folders,
            Self::tool_caches,
            Self::conda_base,
            Self::command_in_path,
        ];
        for step in steps {
            if let Some(found) = step(self)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A command with a slash names its interpreter itself.
    fn command_path(&mut self) -> Outcome {
        let program = self.look.command.first().filter(|program| program.as_encoded_bytes().contains(&b'/'));
        let Some(program) = program else { return Ok(None) };
        let path = walk::absolute(self.look.cwd, Path::new(program));
        if let Some(root) = pyenv::root_of_shim(self.look, &path) {
            return self.shim(&root, &path);
        }
        if !is_python(&path) {
            let named = self.interpreter_of(&path).filter(|named| is_python(named));
            return Ok(named.map(|named| interpreter(named, format!("the first line of `{}`", path.display()))));
        }
        Ok(Some(interpreter(path, "the command".to_owned())))
    }

    fn active_environment(&mut self) -> Outcome {
        self.named("VIRTUAL_ENV", |path| {
            format!("`deactivate` it, or create it again: `python3 -m venv {}`", path.display())
        })
    }

    fn active_conda(&mut self) -> Outcome {
        if self.conda_base_is_active() {
            return Ok(None);
        }
        self.named("CONDA_PREFIX", |_| "`conda deactivate` it, or create it again with `conda create`".to_owned())
    }

    fn conda_base(&mut self) -> Outcome {
        if !self.conda_base_is_active() {
            return Ok(None);
        }
        self.named("CONDA_PREFIX", |_| "`conda deactivate` it, or install conda again".to_owned())
    }

    fn conda_base_is_active(&self) -> bool {
        self.look.host.env("CONDA_DEFAULT_ENV") == Some(OsStr::new("base"))
    }

    fn uv_environment(&mut self) -> Outcome {
        self.named("UV_PROJECT_ENVIRONMENT", |_| "create it: `uv sync`".to_owned())
    }

    /// An environment that a variable names: it must be there.
    fn named(&mut self, variable: &'static str, fix: impl Fn(&Path) -> String) -> Outcome {
        let Some(value) = self.look.host.env_path(variable) else {
            self.looked.push(format!("{variable} (not set)"));
            return Ok(None);
        };
        let path = walk::absolute(self.look.project, &value);
        match walk::walk(self.look.host, &path) {
            Ok(_) => Ok(Some(Found { by_caller: true, ..environment(path, variable.to_owned()) })),
            Err(source) => {
                let source = Box::new(source);
                Err(PythonError::EnvironmentMissing { variable, fix: fix(&path), path, source })
            }
        }
    }

    /// `.venv` and `venv`, in the working directory first. A folder of that name may be anything: only with `pyvenv.cfg`.
    fn local_folders(&mut self) -> Outcome {
        let mut folders = vec![self.look.cwd];
        if self.look.project != self.look.cwd {
            folders.push(self.look.project);
        }
        for name in [".venv", "venv"] {
            for folder in &folders {
                let path = folder.join(name);
                let place = format!("`{}`", path.display());
                if self.is_environment(&path) {
                    return Ok(Some(environment(path, place)));
                }
                let why = if walk::exists(self.look.host, &path) { "no pyvenv.cfg" } else { "not there" };
                self.looked.push(format!("{place} ({why})"));
            }
        }
        Ok(None)
    }

    fn is_environment(&self, path: &Path) -> bool {
        ["pyvenv.cfg", "conda-meta"].iter().any(|name| walk::exists(self.look.host, &path.join(name)))
    }

    /// Environments that poetry and pipenv keep outside the project.
    fn tool_caches(&mut self) -> Outcome {
        for (tool, outcome) in [("poetry", poetry::environment(self.look)), ("pipenv", pipenv::environment(self.look))]
        {
            match outcome {
                Ok(path) => return Ok(Some(environment(path, tool.to_owned()))),
                Err(why) => self.looked.push(format!("{tool} ({why})")),
            }
        }
        Ok(None)
    }

    /// The command, else `python3` and `python`, in PATH.
    fn command_in_path(&mut self) -> Outcome {
        let command = self.look.command.first().map(|name| name.as_os_str());
        let command = command.filter(|name| !name.as_encoded_bytes().contains(&b'/'));
        for name in command.into_iter().chain([OsStr::new("python3"), OsStr::new("python")]) {
            let Some(file) = which(self.look, name) else {
                self.looked.push(format!("PATH (no `{}`)", name.display()));
                continue;
            };
            if let Some(root) = pyenv::root_of_shim(self.look, &file) {
                return self.shim(&root, &file);
            }
            let named = if is_python(&file) { Some(file.clone()) } else { self.interpreter_of(&file) };
            if let Some(named) = named.filter(|named| is_python(named)) {
                return Ok(Some(interpreter(named, format!("`{}` in PATH", file.display()))));
            }
            self.looked.push(format!("`{}` (no Python script)", file.display()));
        }
        Ok(None)
    }

    /// The interpreter that a script would get, `env` resolved in PATH; shims are resolved, too.
    fn interpreter_of(&self, script: &Path) -> Option<PathBuf> {
        match shebang::of_script(self.look.host, script)? {
            Shebang::Program(path) => Some(path),
            Shebang::Searched(name) => {
                let file = which(self.look, &name)?;
                let Some(root) = pyenv::root_of_shim(self.look, &file) else { return Some(file) };
                let version = pyenv::chosen(self.look, &root).ok()??;
                Some(version.join("bin/python"))
            }
        }
    }

    /// What pyenv would start; for its `system` version the next program in PATH.
    fn shim(&mut self, root: &Path, shim: &Path) -> Outcome {
        match pyenv::chosen(self.look, root)? {
            Some(version) => Ok(Some(interpreter(version.join("bin/python"), format!("pyenv (`{}`)", shim.display())))),
            None => {
                let system = PathBuf::from("/usr/bin/python3");
                Ok(walk::is_file(self.look.host, &system).then(|| interpreter(system, "pyenv (system)".to_owned())))
            }
        }
    }
}

fn environment(path: PathBuf, found_by: String) -> Found {
    Found { place: Place::Environment(path), found_by, by_caller: false }
}

fn interpreter(path: PathBuf, found_by: String) -> Found {
    Found { place: Place::Interpreter(path), found_by, by_caller: true }
}
