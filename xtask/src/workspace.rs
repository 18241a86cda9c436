//! The workspace as cargo sees it: where it lies, and which packages it has.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::program::{Program, cargo};

/// Where everything lies.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The checkout.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// cargo's target folder.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

/// `cargo metadata` with all dependencies.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

/// One package, of this workspace or from elsewhere.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a manifest asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Workspace {
    /// The workspace that this program was built in.
    pub(crate) fn find() -> Result<Self, Error> {
        read(cargo().args(["metadata", "--format-version", "1", "--no-deps"]).dir(env!("CARGO_MANIFEST_DIR")))
    }

    /// All packages of the lock file, with what each asks for.
    pub(crate) fn metadata(&self) -> Result<Metadata, Error> {
        read(cargo().args(["metadata", "--format-version", "1", "--locked"]).dir(&self.root))
    }

    /// The sample project, as committed.
    pub(crate) fn sample(&self) -> PathBuf {
        self.root.join("tests/fixtures/sample")
    }

    /// The release binary of testbox; it may not be built yet.
    pub(crate) fn release_binary(&self) -> PathBuf {
        self.target.join("release/testbox")
    }

    /// A path as it reads best: relative to the checkout if it lies there.
    pub(crate) fn short<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

impl Metadata {
    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

fn read<T: for<'a> Deserialize<'a>>(program: Program) -> Result<T, Error> {
    let shown = program.shown();
    serde_json::from_str(&program.stdout()?).map_err(|source| Error::Json { what: shown, source })
}
