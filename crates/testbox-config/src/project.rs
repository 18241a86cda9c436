//! The project: the folder that the box gets a view of, found from the working directory upwards.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::place::given;
use crate::{ConfigError, Layer};

/// The project and the working directory in it, both without symlinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    pub(crate) cwd: PathBuf,
}

/// Files that mark a project's root, where no `.git` does.
const MARKERS: [&str; 6] = ["testbox.toml", "pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini"];

impl Project {
    /// The nearest folder with `.git`, else the nearest with a marker, else the working directory itself.
    ///
    /// The home directory, its parents and `/` are never found by marks that lie there.
    pub(crate) fn find(cwd: &Path, home: Option<&Path>) -> Result<Self, ConfigError> {
        let cwd = fs::canonicalize(cwd).map_err(ConfigError::Read)?;
        let home = home.and_then(|home| fs::canonicalize(home).ok());
        let allowed = |dir: &&Path| refusal(dir, home.as_deref()).is_none();
        let candidates: Vec<&Path> = cwd.ancestors().take_while(allowed).collect();
        let marked = |names: &[&str]| {
            candidates.iter().find(|dir| names.iter().any(|name| dir.join(name).symlink_metadata().is_ok()))
        };
        let root = marked(&[".git"]).or_else(|| marked(&MARKERS)).map_or_else(|| cwd.clone(), |dir| dir.to_path_buf());
        check(&root, home.as_deref())?;
        Ok(Self { root, cwd })
    }

    /// The same project with the working directory that its file asks for, if it does.
    pub(crate) fn with_cwd(self, layer: &Layer) -> Result<Self, ConfigError> {
        if layer.cwd.is_none() {
            return Ok(self);
        }
        let given = given("cwd", &layer.cwd)?;
        let cwd = fs::canonicalize(&given.value().0).map_err(ConfigError::Read)?;
        if !cwd.starts_with(&self.root) {
            return Err(ConfigError::CwdOutside { place: given.place(), cwd, project: self.root });
        }
        check_folder(&cwd)?;
        Ok(Self { cwd, ..self })
    }
}

const FIX: &str = "start testbox in the folder of the tests, or name it with `--cwd`";

fn check(root: &Path, home: Option<&Path>) -> Result<(), ConfigError> {
    let refused = |why, fix| Err(ConfigError::Project { path: root.to_owned(), why, fix });
    if let Some(why) = refusal(root, home) {
        return refused(why, FIX);
    }
    if root.to_str().is_none() {
        return refused("its path is not UTF-8, which the OCI runtime specification demands", "rename the folder");
    }
    check_folder(root)
}

fn check_folder(folder: &Path) -> Result<(), ConfigError> {
    fs::read_dir(folder).map(drop).map_err(ConfigError::Read)
}

/// Why this folder is too much to be a project.
fn refusal(dir: &Path, home: Option<&Path>) -> Option<&'static str> {
    if dir == Path::new("/") {
        return Some("it is the whole host");
    }
    match home {
        Some(home) if home == dir => Some("it is the home directory"),
        Some(home) if home.starts_with(dir) => Some("it holds the home directory"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(marks: &[&str], home: &str, cwd: &str) -> Result<String, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        for folder in [home, cwd] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        for mark in marks {
            fs::create_dir_all(base.join(mark).parent().unwrap()).unwrap();
            fs::write(base.join(mark), "").unwrap();
        }
        let project = Project::find(&base.join(cwd), Some(&base.join(home)))?;
        Ok(project.root.strip_prefix(&base).unwrap().display().to_string())
    }

    #[test]
    fn the_table() {
        for (marks, cwd, root) in [
            (vec![], "home/p/sub", "home/p/sub"),
            (vec!["home/p/.git"], "home/p/sub", "home/p"),
            (vec!["home/p/.git", "home/p/sub/pyproject.toml"], "home/p/sub", "home/p"),
            (vec!["home/p/pytest.ini"], "home/p/sub", "home/p"),
            (vec!["home/p/pytest.ini", "home/p/sub/tox.ini"], "home/p/sub/deep", "home/p/sub"),
            (vec!["home/.git", "home/setup.py"], "home/p", "home/p"),
            (vec!["elsewhere/.git"], "elsewhere/a", "elsewhere"),
        ] {
            assert_eq!(found(&marks, "home", cwd).unwrap(), root, "{marks:?} {cwd}");
        }
    }

    #[test]
    fn home_its_parents_and_the_root_are_refused() {
        assert!(matches!(
            found(&[], "home", "home"),
            Err(ConfigError::Project { why: "it is the home directory", .. })
        ));
        assert!(matches!(found(&[], "a/home", "a"), Err(ConfigError::Project { .. })));
        assert!(matches!(Project::find(Path::new("/"), None), Err(ConfigError::Project { .. })));
    }

    #[test]
    fn odd_names_are_no_matter_and_non_utf8_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(200);
        for name in ["with space", "new\nline", &long] {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            assert!(Project::find(&path, None).is_ok(), "{name:?}");
        }
        let path = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
        fs::create_dir(&path).unwrap();
        assert!(matches!(Project::find(&path, None), Err(ConfigError::Project { fix: "rename the folder", .. })));
    }
}
