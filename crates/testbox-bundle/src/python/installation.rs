//! A Python installation: the prefix that holds the interpreter and its standard library.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Look, PythonError};
use crate::walk;

/// A Python installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    /// Its prefix, resolved: `/usr`, `~/.pyenv/versions/3.12.1`.
    pub(crate) prefix: PathBuf,
    /// The folder of its standard library: `<prefix>/lib/python3.12`.
    pub(crate) library: PathBuf,
    /// `3.12.1`, or `3.12` if no file says more.
    pub(crate) version: Option<String>,
}

impl Installation {
    /// The installation of a resolved interpreter: the folder above its `bin`.
    pub(crate) fn of_program(look: &Look<'_>, program: &Path, named_by: &str) -> Result<Self, PythonError> {
        let folder = program.parent().unwrap_or(Path::new("/"));
        Self::of_bin_folder(look, folder, program, named_by)
    }

    /// The installation whose programs lie in `bin`, a resolved folder.
    pub(crate) fn of_bin_folder(
        look: &Look<'_>,
        bin: &Path,
        program: &Path,
        named_by: &str,
    ) -> Result<Self, PythonError> {
        let name = program.file_name().unwrap_or_default();
        let above = bin.parent().filter(|above| above.parent().is_some());
        let system = program.starts_with("/usr").then_some(Path::new("/usr"));
        let found = above.into_iter().chain(system).find_map(|prefix| Some((prefix, library(look, prefix, name)?)));
        let Some((prefix, library)) = found else {
            let (program, named_by) = (program.to_owned(), named_by.to_owned());
            let prefix = above.unwrap_or(bin).to_owned();
            return Err(PythonError::NotAnInstallation { program, named_by, prefix });
        };
        let version = version(look, prefix, &library);
        let found = Self { prefix: prefix.to_owned(), library, version };
        found.trusted(look, named_by)
    }

    /// The folders that make it up; empty if every box shows it anyway.
    pub(crate) fn folders(&self, look: &Look<'_>) -> Vec<PathBuf> {
        if look.image.system.folders.iter().any(|folder| self.prefix.starts_with(folder)) {
            return Vec::new();
        }
        if self.shares_prefix(look) {
            let parts = ["bin", "include", "lib", "lib64"].map(|name| self.prefix.join(name));
            return parts.into_iter().filter(|part| walk::is_folder(look.host, part)).collect();
        }
        vec![self.prefix.clone()]
    }

    /// `site-packages` and Debian's `dist-packages` of this installation.
    pub(crate) fn site_folders(&self, look: &Look<'_>) -> Vec<PathBuf> {
        let name = self.library.file_name().unwrap_or_default();
        let mut folders = vec![self.library.join("site-packages")];
        if self.prefix == Path::new("/usr") {
            let local = Path::new("/usr/local/lib").join(name);
            folders.extend(["site-packages", "dist-packages"].map(|folder| local.join(folder)));
            folders.push(PathBuf::from("/usr/lib/python3/dist-packages"));
        }
        folders.extend(["lib", "lib64"].map(|lib| self.prefix.join(lib).join(name).join("site-packages")));
        folders.dedup();
        let mut kept: Vec<PathBuf> = Vec::new();
        for folder in folders.into_iter().filter(|folder| walk::is_folder(look.host, folder)) {
            if !kept.contains(&folder) {
                kept.push(folder);
            }
        }
        kept
    }

    /// A Python installed right into `~` or `~/.local`: only its own folders there are shown.
    fn shares_prefix(&self, look: &Look<'_>) -> bool {
        look.trust.homes().iter().any(|home| self.prefix == *home || self.prefix == home.join(".local"))
    }

    fn trusted(self, look: &Look<'_>, named_by: &str) -> Result<Self, PythonError> {
        if self.shares_prefix(look) || look.allowed.iter().any(|allowed| self.prefix.starts_with(allowed)) {
            return Ok(self);
        }
        match look.trust.objection(&self.prefix) {
            Some(why) => Err(PythonError::TooBroad { path: self.prefix, named_by: named_by.to_owned(), why }),
            None => Ok(self),
        }
    }
}

/// The standard library below a prefix: the one of the interpreter's own version, else the newest.
fn library(look: &Look<'_>, prefix: &Path, program: &OsStr) -> Option<PathBuf> {
    let mut found = Vec::new();
    for lib in ["lib", "lib64"].map(|name| prefix.join(name)) {
        for name in look.host.names_in(&lib).iter() {
            let folder = lib.join(name);
            let is_library =
                name.as_encoded_bytes().starts_with(b"py") && walk::is_file(look.host, &folder.join("os.py"));
            if is_library && name == program {
                return Some(folder);
            }
            found.extend(is_library.then_some((numbers(name), folder)));
        }
    }
    found.into_iter().max().map(|(_, folder)| folder)
}

/// The numbers of `python3.12`, so that 3.9 sorts before 3.12.
fn numbers(name: &OsStr) -> Vec<u32> {
    let name = name.to_string_lossy();
    name.trim_start_matches(char::is_alphabetic).split('.').map_while(|part| part.parse().ok()).collect()
}

/// The version in the installation's own header, else in the name of the library's folder.
fn version(look: &Look<'_>, prefix: &Path, library: &Path) -> Option<String> {
    let name = library.file_name()?.to_string_lossy().into_owned();
    let header = prefix.join("include").join(&name).join("patchlevel.h");
    let text = look.host.read_text(&header).unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("#define PY_VERSION"));
    let full = line.map(|rest| rest.trim().trim_matches('"').to_owned()).filter(|version| !version.is_empty());
    full.or_else(|| Some(name.trim_start_matches(char::is_alphabetic).to_owned()).filter(|version| !version.is_empty()))
}
