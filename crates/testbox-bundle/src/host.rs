//! The host as the bundle sees it: a root folder to read below, the caller's identity and environment. Reads only.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use fs_err as fs;

use crate::walk::{self, Known};

/// Files larger than this are not read by discovery: no file that it understands is.
const READ_LIMIT_BYTES: u64 = 1 << 20;

/// The machine and the caller.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where the host's file system begins: `/`, or a folder in tests. All other paths are as seen from there.
    pub root: PathBuf,
    /// Effective user id of the caller.
    pub euid: u32,
    /// Effective group id of the caller.
    pub egid: u32,
    /// The caller's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The caller's home folder.
    pub home: Option<PathBuf>,
    /// Who called sudo, if the caller came through it.
    pub sudo_uid: Option<u32>,
    /// The group of who called sudo.
    pub sudo_gid: Option<u32>,
    /// What folders held when they were first looked into.
    pub(crate) listed: RefCell<BTreeMap<PathBuf, Rc<[OsString]>>>,
    /// Where paths led when they were first followed.
    pub(crate) known: RefCell<BTreeMap<PathBuf, Known>>,
}

impl Host {
    /// This machine and this process.
    pub fn current() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        Self {
            root: PathBuf::from("/"),
            euid: nix::unistd::geteuid().as_raw(),
            egid: nix::unistd::getegid().as_raw(),
            environment: std::env::vars_os().collect(),
            home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            sudo_uid: number("SUDO_UID"),
            sudo_gid: number("SUDO_GID"),
            listed: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// Forgets what was seen: each bundle is made of one look at the host, and of its own.
    pub(crate) fn look_anew(&self) {
        self.listed.borrow_mut().clear();
        self.known.borrow_mut().clear();
    }

    /// Where a path of the host is for this process.
    pub(crate) fn at(&self, path: &Path) -> PathBuf {
        if self.is_real() && path.is_absolute() {
            return path.to_owned();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// As [`Self::at`], with links followed below the root.
    pub(crate) fn real(&self, path: &Path) -> PathBuf {
        if self.is_real() {
            return path.to_owned();
        }
        walk::walk(self, path).map_or_else(|_| self.at(path), |end| self.at(&end.path))
    }

    /// Its paths mean what the kernel takes them for.
    fn is_real(&self) -> bool {
        self.root.as_os_str() == "/"
    }

    /// Is there certainly nothing at a path? `false` where that takes a walk.
    pub(crate) fn lacks(&self, path: &Path) -> bool {
        self.is_real() && rustix::fs::access(path, rustix::fs::Access::EXISTS) == Err(rustix::io::Errno::NOENT)
    }

    /// The value of an environment variable, if it is set and not empty.
    pub(crate) fn env(&self, name: &str) -> Option<&OsStr> {
        let found = self.environment.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// The value of an environment variable as a path.
    pub(crate) fn env_path(&self, name: &str) -> Option<PathBuf> {
        self.env(name).map(PathBuf::from)
    }

    /// The home folders that belong to this run: HOME, and those that the user database gives the caller and who called sudo.
    pub(crate) fn homes(&self) -> Vec<PathBuf> {
        let database = self.read_text(Path::new("/etc/passwd")).unwrap_or_default();
        let mut homes: Vec<PathBuf> = self.home.iter().cloned().collect();
        homes.extend([Some(self.euid), self.sudo_uid].into_iter().flatten().filter_map(|uid| home_of(&database, uid)));
        homes.retain(|home| home.is_absolute() && home.parent().is_some());
        homes.sort();
        homes.dedup();
        homes
    }

    /// The text of a small file; not UTF-8 is replaced. Errors name the path.
    pub(crate) fn read_text(&self, path: &Path) -> io::Result<String> {
        let bytes = self.read_start(path, READ_LIMIT_BYTES)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The first bytes of a regular file, at most `limit`.
    pub(crate) fn read_start(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        use std::io::Read;
        let path = self.real(path);
        let metadata = fs::metadata(&path)?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a file: `{}`", path.display())));
        }
        // One more, so that the end of the file is seen without growing.
        let mut bytes = Vec::with_capacity(metadata.len().min(limit) as usize + 1);
        fs::File::open(&path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The names in a folder, sorted; none if it cannot be read. Each folder is read once.
    pub(crate) fn names_in(&self, folder: &Path) -> Rc<[OsString]> {
        if let Some(names) = self.listed.borrow().get(folder) {
            return Rc::clone(names);
        }
        let entries = fs::read_dir(self.real(folder)).into_iter().flatten();
        let mut names: Vec<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        let names: Rc<[OsString]> = names.into();
        self.listed.borrow_mut().insert(folder.to_owned(), Rc::clone(&names));
        names
    }
}

fn home_of(database: &str, uid: u32) -> Option<PathBuf> {
    let fields = database.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mine = fields.into_iter().find(|fields| fields.get(2).and_then(|text| text.parse().ok()) == Some(uid));
    mine.and_then(|fields| fields.get(5).map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_database_gives_homes() {
        let database = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbroken\n";
        assert_eq!(home_of(database, 1000), Some(PathBuf::from("/home/alice")));
        assert_eq!(home_of(database, 7), None);
    }
}
