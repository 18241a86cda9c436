//! The twin projects: real projects, fetched with their hashes checked, whose tests must come out the same in a box.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cache::Cache;
use crate::error::Error;
use crate::setup::python::version_of;
use crate::setup::say;
use crate::setup::unpack::unpack;
use crate::setup::venv::pip;

/// `tests/twin/projects.toml`, as far as setup reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct List {
    venv: Venv,
    project: Vec<Project>,
    /// Whose sources tests read, and whose tests are not run.
    reference: Vec<Project>,
}

#[derive(Debug, Deserialize)]
struct Venv {
    python: String,
    requirements: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Project {
    name: String,
    version: String,
    sha256: String,
}

impl List {
    /// Reads the list.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = fs_err::read_to_string(path)?;
        toml::from_str(&text).map_err(|source| Error::Toml { path: path.to_owned(), source })
    }

    /// The oldest Python that the requirements support.
    pub(crate) fn python_version(&self) -> (u32, u32) {
        version_of(&self.venv.python)
    }

    /// The pinned requirements of all projects together.
    pub(crate) fn requirements(&self) -> impl Iterator<Item = &str> {
        self.venv.requirements.iter().map(String::as_str)
    }

    /// The unpacked sources of each project and reference, fetched by pip where they are not there yet.
    pub(crate) fn fetch(&self, cache: &Cache, venv: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
        let mut sources = BTreeMap::new();
        for project in self.project.iter().chain(&self.reference) {
            sources.insert(project.name.clone(), project.ensure(cache, venv)?);
        }
        Ok(sources)
    }
}

impl Project {
    fn ensure(&self, cache: &Cache, venv: &Path) -> Result<PathBuf, Error> {
        let title = format!("{} {}", self.name, self.version);
        let short = self.sha256.get(..12).unwrap_or(&self.sha256);
        let (dir, was_there) = cache.ensure(&format!("twin-{}-{}-{short}", self.name, self.version), |dir| {
            say("twin", &format!("{title}: fetching"));
            self.download_and_unpack(cache, venv, dir)
        })?;
        if was_there {
            say("twin", &format!("{title}: found"));
        }
        Ok(dir)
    }

    fn download_and_unpack(&self, cache: &Cache, venv: &Path, into: &Path) -> Result<(), Error> {
        let dir = cache.fresh("download")?;
        let list = dir.join("list.txt");
        fs_err::write(&list, format!("{}=={} --hash=sha256:{}\n", self.name, self.version, self.sha256))?;
        pip(venv)
            .args(["download", "--quiet", "--no-deps", "--require-hashes", "--no-binary", &self.name])
            .arg("--requirement")
            .arg(&list)
            .arg("--dest")
            .arg(&dir)
            .stdout()?;
        unpack(&archive_in(&dir)?, into)?;
        Ok(fs_err::remove_dir_all(dir)?)
    }
}

fn archive_in(dir: &Path) -> Result<PathBuf, Error> {
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".tar.gz") {
            return Ok(path);
        }
    }
    Err(std::io::Error::other(format!("pip put no source archive into {}", dir.display())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_list_is_pinned_throughout() {
        let list = List::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/twin/projects.toml")).unwrap();
        assert!(list.project.len() >= 6);
        for project in list.project.iter().chain(&list.reference) {
            let pin = format!("{}=={}", project.name, project.version);
            assert!(project.sha256.len() == 64 && project.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{pin}");
            assert!(list.requirements().any(|line| line == pin), "{pin} is not what the environment has");
        }
        assert!(list.requirements().all(|line| line.contains("==")));
    }
}
