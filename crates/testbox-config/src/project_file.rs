//! The project file: `testbox.toml`, or `[tool.testbox]` of `pyproject.toml`; the nearest one counts, alone.

use std::path::Path;

use fs_err as fs;

use crate::anchor::{Base, Tilde};
use crate::project::Project;
use crate::toml_source::{Kind, Source};
use crate::{ConfigError, Layer};

/// The settings of the nearest project file, from the working directory up to the project's root.
pub(crate) fn read(project: &Project, home: Option<&Path>) -> Result<Layer, ConfigError> {
    for folder in project.cwd.ancestors().take_while(|folder| folder.starts_with(&project.root)) {
        if let Some(layer) = read_folder(folder)? {
            return layer.anchored(Base { folder, tilde: Tilde::Home(home) });
        }
    }
    Ok(Layer::default())
}

fn read_folder(folder: &Path) -> Result<Option<Layer>, ConfigError> {
    let (testbox, pyproject) = (folder.join("testbox.toml"), folder.join("pyproject.toml"));
    let own = read_file(&testbox, &[])?;
    let shared = read_file(&pyproject, &["tool", "testbox"])?;
    match (own, shared) {
        (Some(_), Some(_)) => Err(ConfigError::TwoProjectFiles { testbox, pyproject }),
        (own, shared) => Ok(own.or(shared)),
    }
}

fn read_file(path: &Path, section: &[&str]) -> Result<Option<Layer>, ConfigError> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let text = read_regular(path)?;
    // A pyproject.toml that never says `testbox` has no settings of it, and may be broken for all we care.
    if section.iter().any(|name| !text.contains(name)) {
        return Ok(None);
    }
    Source { kind: Kind::Project(path), text: &text }.read(section)
}

/// The text of a regular file; a pipe or device would block or never end.
pub(crate) fn read_regular(path: &Path) -> Result<String, ConfigError> {
    if !fs::metadata(path).map_err(ConfigError::Read)?.is_file() {
        return Err(ConfigError::NotAFile { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(ConfigError::Read)
}
