//! pyenv's choice of version for a shim: PYENV_VERSION, `.python-version`, then the global version. Reads files only.

use std::path::{Path, PathBuf};

use super::{Look, PythonError};
use crate::walk;

/// pyenv's root if `program` is one of its shims.
pub(crate) fn root_of_shim(look: &Look<'_>, program: &Path) -> Option<PathBuf> {
    let shims = program.parent().filter(|folder| folder.ends_with("shims"))?;
    let root = shims.parent()?;
    walk::is_folder(look.host, &root.join("versions")).then(|| root.to_owned())
}

/// The folder of the version that the shim would use; `None` for `system`.
pub(crate) fn chosen(look: &Look<'_>, root: &Path) -> Result<Option<PathBuf>, PythonError> {
    let (wanted, named_by) = wanted(look, root);
    let Some(version) = wanted.into_iter().next().filter(|version| version != "system") else { return Ok(None) };
    let versions = root.join("versions");
    let exact = versions.join(&version);
    if walk::is_folder(look.host, &exact) {
        return Ok(Some(exact));
    }
    let installed: Vec<String> =
        look.host.names_in(&versions).iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if let Some(latest) = latest(&installed, &version) {
        return Ok(Some(versions.join(latest)));
    }
    Err(PythonError::PyenvVersion { version, named_by, versions, installed })
}

/// The versions asked for, and what asks.
fn wanted(look: &Look<'_>, root: &Path) -> (Vec<String>, String) {
    if let Some(value) = look.host.env("PYENV_VERSION") {
        let versions = value.to_string_lossy().split(':').map(str::to_owned).collect();
        return (versions, "PYENV_VERSION".to_owned());
    }
    let local = look.cwd.ancestors().map(|folder| folder.join(".python-version"));
    for file in local.chain([root.join("version")]) {
        if let Ok(text) = look.host.read_text(&file) {
            let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
            return (words.map(str::to_owned).collect(), format!("`{}`", file.display()));
        }
    }
    (Vec::new(), "nothing".to_owned())
}

/// The newest installed version that a prefix like `3.11` means.
fn latest<'a>(installed: &'a [String], prefix: &str) -> Option<&'a String> {
    let numbers = |name: &str| name.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().ok();
    let wanted = numbers(prefix)?;
    let matching = installed.iter().filter_map(|name| Some((numbers(name)?, name)));
    matching.filter(|(version, _)| version.starts_with(&wanted)).max().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_its_newest_version() {
        let installed = ["3.11.7", "3.11.10", "3.12.1", "miniconda3", "3.11-dev"].map(String::from);
        assert_eq!(latest(&installed, "3.11"), Some(&installed[1]));
        assert_eq!(latest(&installed, "3.9"), None);
        assert_eq!(latest(&installed, "mini"), None);
    }
}
