//! The `site-packages` folders of an environment, and the folders of PYTHONPATH.

use std::path::{Path, PathBuf};

use super::{Look, PythonError, editable};
use crate::walk;

/// `lib/python3.X/site-packages` of a virtual environment; `lib64` is usually a link to `lib`.
pub(crate) fn of_virtual_environment(look: &Look<'_>, root: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut seen = Vec::new();
    for lib in ["lib", "lib64"].map(|name| root.join(name)) {
        for name in look.host.names_in(&lib).iter().filter(|name| name.as_encoded_bytes().starts_with(b"py")) {
            let folder = lib.join(name).join("site-packages");
            let Ok(end) = walk::walk(look.host, &folder) else { continue };
            if end.metadata.is_dir() && !seen.contains(&end.path) {
                seen.push(end.path);
                folders.push(folder);
            }
        }
    }
    folders
}

/// The folders of PYTHONPATH that the box may show; an error if it may not.
pub(crate) fn python_path(look: &Look<'_>) -> Result<Vec<PathBuf>, PythonError> {
    editable::permitted(look, Path::new("PYTHONPATH"), python_path_folders(look).collect())
}

/// The folders that PYTHONPATH names.
pub(crate) fn python_path_folders(look: &Look<'_>) -> impl Iterator<Item = PathBuf> {
    let folders = std::env::split_paths(look.python_path.unwrap_or_default());
    let folders = folders.filter(|folder| !folder.as_os_str().is_empty());
    folders.map(|folder| walk::absolute(look.cwd, &folder)).collect::<Vec<_>>().into_iter()
}
