//! The files on disk that path quotas match, for `--dry-run`: a glob with a typo limits nothing, and nobody would notice.

use std::path::{Path, PathBuf};

use fs_err as fs;
use globset::{GlobBuilder, GlobMatcher};
use testbox_model::{Quota, QuotaOf, RunPlan};

/// Files that pytest takes its settings from, each with the word by which a file of other tools as well becomes one.
const SETTINGS: [(&str, &str); 6] = [
    ("pytest.ini", ""),
    (".pytest.ini", ""),
    ("pytest.toml", ""),
    ("pyproject.toml", "[tool.pytest"),
    ("tox.ini", "[pytest]"),
    ("setup.cfg", "[tool:pytest]"),
];

/// Folders in which nobody keeps tests; pytest does not look into them either.
const SKIPPED: [&str; 5] = ["__pycache__", "node_modules", "build", "dist", "venv"];

/// Most entries of folders that are looked at: a dry run is no search of the disk.
const MAX_ENTRIES: usize = 200_000;

/// Fills in how many files each path quota of the plan matches, below what is most likely pytest's rootdir. Folders that
/// cannot be read count as empty.
pub fn count(plan: &mut RunPlan) {
    let root = rootdir(&plan.project, &plan.cwd);
    let mut globs: Vec<_> = plan.testing.quotas.value.iter_mut().filter_map(matched).collect();
    if !globs.is_empty() {
        walk(&root, |file| {
            // A folder's name means all in it.
            let matches = |glob: &GlobMatcher| file.ancestors().any(|path| glob.is_match(path));
            globs.iter_mut().filter(|(glob, _)| matches(glob)).for_each(|(_, files)| **files += 1);
        });
    }
}

/// The glob of a path quota, and where its files are counted.
fn matched(quota: &mut Quota) -> Option<(GlobMatcher, &mut u64)> {
    let QuotaOf::Path(glob) = &quota.of else { return None };
    let glob = GlobBuilder::new(glob).literal_separator(true).build().ok()?;
    Some((glob.compile_matcher(), quota.files.insert(0)))
}

/// The nearest folder with settings of pytest, from the working directory up to the project; else the project.
fn rootdir(project: &Path, cwd: &Path) -> PathBuf {
    let has_settings = |folder: &&Path| {
        let says =
            |(name, word): &(&str, &str)| fs::read_to_string(folder.join(name)).is_ok_and(|text| text.contains(word));
        SETTINGS.iter().any(says)
    };
    let folders = cwd.ancestors().take_while(|folder| folder.starts_with(project));
    folders.into_iter().find(has_settings).unwrap_or(project).to_owned()
}

/// Shows `see` each regular file below `root`, by its path from there. Links are not followed.
fn walk(root: &Path, mut see: impl FnMut(&Path)) {
    let mut folders = vec![root.to_owned()];
    let mut left = MAX_ENTRIES;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten().take(left) {
            left -= 1;
            let (path, kind) = (entry.path(), entry.file_type());
            match kind {
                Ok(kind) if kind.is_dir() && !is_skipped(&path) => folders.push(path),
                Ok(kind) if kind.is_file() => see(path.strip_prefix(root).unwrap_or(&path)),
                _ => {}
            }
        }
    }
}

fn is_skipped(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || SKIPPED.contains(&name.as_ref()) || folder.join("pyvenv.cfg").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn rootdir_is_the_nearest_folder_with_settings_of_pytest() {
        let tree = tree(&[
            ("pyproject.toml", "[tool.pytest.ini_options]\n"),
            ("a/pyproject.toml", "[project]\n"),
            ("b/pytest.ini", ""),
            ("b/c/test_x.py", ""),
        ]);
        fs::create_dir_all(tree.path().join("a/d")).unwrap();
        let root = tree.path();
        for (cwd, expected) in [("", ""), ("a/d", ""), ("b/c", "b"), ("b", "b")] {
            assert_eq!(rootdir(root, &root.join(cwd)), root.join(expected), "{cwd}");
        }
        assert_eq!(rootdir(&root.join("a"), &root.join("a/d")), root.join("a"));
    }

    #[test]
    fn files_are_seen_without_those_of_environments_and_caches() {
        let tree = tree(&[
            ("tests/test_a.py", ""),
            ("tests/e2e/test_b.py", ""),
            ("tests/__pycache__/test_a.pyc", ""),
            (".git/x", ""),
            ("env/pyvenv.cfg", ""),
            ("env/lib/test_c.py", ""),
        ]);
        std::os::unix::fs::symlink(tree.path(), tree.path().join("tests/loop")).unwrap();
        let mut seen = Vec::new();
        walk(tree.path(), |path| seen.push(path.display().to_string()));
        seen.sort();
        assert_eq!(seen, ["tests/e2e/test_b.py", "tests/test_a.py"]);
    }
}
