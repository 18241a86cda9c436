//! `cargo xtask setup`: programs, Python environments and twin sources. Idempotent; nothing is removed, nothing hidden.

mod lint;
mod python;
pub(crate) mod tools;
mod twin;
mod unpack;
pub(crate) mod venv;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::error::Error;
use crate::guest::Guest;
use crate::workspace::Workspace;

pub(crate) use lint::tools_venv;
pub(crate) use tools::find as find_program;

/// Options of `setup`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Set up only this; may be given more than once
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<What>,
    /// Never install programs: name what is missing
    #[arg(long)]
    no_install: bool,
    /// Set up the guest as well (`cargo xtask guest`): its tools, and its image if there is none yet
    #[arg(long)]
    guest: bool,
}

/// What can be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Programs from the distribution's packages
    Tools,
    /// The environment of the sample project
    Sample,
    /// Environment and sources of the twin projects
    Twin,
}

/// Where everything was put; written to `target/xtask/setup.json` for the tests.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Places {
    /// Environment of the sample project.
    pub(crate) sample_venv: Option<PathBuf>,
    /// Environment of all twin projects.
    pub(crate) twin_venv: Option<PathBuf>,
    /// Unpacked sources of each twin project, by name.
    pub(crate) twins: BTreeMap<String, PathBuf>,
    /// Every user can run the environments' Python (not so if it lies in root's home).
    pub(crate) for_every_user: bool,
}

/// Sets everything up, or what was asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    let wanted = |what| options.only.is_empty() || options.only.contains(&what);
    let install = !options.no_install;
    if wanted(What::Tools) {
        tools::check(&tools::ALWAYS, install)?;
    }
    if wanted(What::Sample) {
        sample(workspace, install)?;
    }
    if wanted(What::Twin) {
        twins(workspace, install)?;
    }
    if options.guest {
        Guest::find(workspace, install)?;
        say("guest", "image: found");
    }
    Ok(())
}

/// The environment of the sample project.
pub(crate) fn sample(workspace: &Workspace, install: bool) -> Result<PathBuf, Error> {
    let python = python::find((3, 10), install)?;
    let requirements = fs_err::read_to_string(workspace.sample().join("requirements.txt"))?;
    let lines: Vec<&str> = requirements.lines().filter(|line| !line.starts_with('#')).collect();
    let venv = venv::ensure(&Cache::open(workspace)?, "sample", &python, &lines)?;
    let mut places = Places::read(workspace)?.unwrap_or_default();
    places.sample_venv = Some(venv.clone());
    places.for_every_user = python.for_every_user;
    places.write(workspace)?;
    Ok(venv)
}

/// A Python of at least this version that can make environments.
pub(crate) fn python(wanted: (u32, u32)) -> Result<PathBuf, Error> {
    python::find(wanted, false).map(|python| python.program)
}

/// The list of twin projects.
pub(crate) fn twin_list(workspace: &Workspace) -> Result<twin::List, Error> {
    twin::List::read(&workspace.root.join("tests/twin/projects.toml"))
}

/// The unpacked sources of each twin project, by name.
pub(crate) fn twin_sources(workspace: &Workspace, install: bool) -> Result<BTreeMap<String, PathBuf>, Error> {
    let venv = sample(workspace, install)?;
    twin_list(workspace)?.fetch(&Cache::open(workspace)?, &venv)
}

fn twins(workspace: &Workspace, install: bool) -> Result<(), Error> {
    let list = twin_list(workspace)?;
    let python = python::find(list.python_version(), install)?;
    let cache = Cache::open(workspace)?;
    let requirements: Vec<&str> = list.requirements().collect();
    let venv = venv::ensure(&cache, "twin", &python, &requirements)?;
    let sources = list.fetch(&cache, &venv)?;
    let mut places = Places::read(workspace)?.unwrap_or_default();
    places.twin_venv = Some(venv);
    places.twins = sources;
    places.for_every_user = python.for_every_user;
    places.write(workspace)
}

impl Places {
    /// The file, as tests are told of it.
    pub(crate) fn file(workspace: &Workspace) -> PathBuf {
        workspace.target.join("xtask/setup.json")
    }

    /// What an earlier setup wrote, if there was one.
    pub(crate) fn read(workspace: &Workspace) -> Result<Option<Self>, Error> {
        let file = Self::file(workspace);
        if !file.exists() {
            return Ok(None);
        }
        let text = fs_err::read_to_string(&file)?;
        serde_json::from_str(&text).map(Some).map_err(|source| Error::Json { what: file.display().to_string(), source })
    }

    fn write(&self, workspace: &Workspace) -> Result<(), Error> {
        let file = Self::file(workspace);
        fs_err::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| Error::Json { what: file.display().to_string(), source })?;
        Ok(fs_err::write(file, text)?)
    }
}

/// An interpreter of at least this version.
pub(crate) fn python_since(version: (u32, u32)) -> Result<python::Python, Error> {
    python::find(version, false)
}

/// An interpreter of exactly this version, if there is one.
pub(crate) fn python_of(version: &str) -> Option<python::Python> {
    python::exactly(version)
}

/// The environment of that name with these packages, made if it is not there.
pub(crate) fn venv(
    cache: &Cache,
    name: &str,
    python: &python::Python,
    requirements: &[&str],
) -> Result<PathBuf, Error> {
    venv::ensure(cache, name, python, requirements)
}

/// One line of progress; stdout belongs to what was asked for.
pub(crate) fn say(what: &str, text: &str) {
    eprintln!("setup {what:<8} {text}");
}
