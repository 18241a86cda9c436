//! What setup keeps between runs: Python environments and unpacked sources, each with a stamp once it is complete.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::workspace::Workspace;

/// A folder under which everything can be made anew.
pub(crate) struct Cache {
    /// The folder; as root every user can reach it.
    pub(crate) dir: PathBuf,
}

impl Cache {
    /// `target/xtask`; as root, if only root can reach that, a folder of root's in /var/tmp named after the checkout.
    pub(crate) fn open(workspace: &Workspace) -> Result<Self, Error> {
        let usual = workspace.target.join("xtask");
        fs_err::create_dir_all(&usual)?;
        if !is_root() || reachable_by_all(&usual) {
            return Ok(Self { dir: usual });
        }
        let dir = PathBuf::from(format!("/var/tmp/testbox-xtask-{}", key(&[&usual.to_string_lossy()])));
        fs_err::create_dir_all(&dir)?;
        let metadata = fs_err::symlink_metadata(&dir)?;
        match metadata.is_dir() && metadata.uid() == 0 {
            true => Ok(Self { dir }),
            false => Err(std::io::Error::other(format!("{} belongs to somebody else", dir.display())).into()),
        }
    }

    /// The folder `name`, filled by `fill` unless it is complete already; `true` says that it was there.
    pub(crate) fn ensure(
        &self,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(PathBuf, bool), Error> {
        let dir = self.dir.join(name);
        let stamp = self.dir.join(format!("{name}.complete"));
        if stamp.exists() && dir.is_dir() {
            return Ok((dir, true));
        }
        if dir.exists() {
            fs_err::remove_dir_all(&dir)?;
        }
        fs_err::create_dir_all(&dir)?;
        fill(&dir)?;
        make_readable(&dir)?;
        fs_err::write(stamp, "")?;
        Ok((dir, false))
    }

    /// An empty folder `name`.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf, Error> {
        let dir = self.dir.join(name);
        if dir.exists() {
            fs_err::remove_dir_all(&dir)?;
        }
        fs_err::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// The effective user is root.
pub(crate) fn is_root() -> bool {
    fs_err::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Every user may pass through all folders of this path.
pub(crate) fn reachable_by_all(path: &Path) -> bool {
    path.ancestors().all(|dir| fs_err::metadata(dir).is_ok_and(|metadata| metadata.mode() & 0o001 != 0))
}

/// A short name for these texts together.
pub(crate) fn key(texts: &[&str]) -> String {
    let mut hasher = DefaultHasher::new();
    texts.hash(&mut hasher);
    format!("{:012x}", hasher.finish() & 0xffff_ffff_ffff)
}

/// Gives every user what the owner may read and enter, whatever the umask was.
pub(crate) fn make_readable(path: &Path) -> Result<(), Error> {
    let metadata = fs_err::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = metadata.mode() & 0o7777;
    let wanted = mode | 0o444 | if mode & 0o100 != 0 { 0o111 } else { 0 };
    if wanted != mode {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(wanted))?;
    }
    if metadata.is_dir() {
        for entry in fs_err::read_dir(path)? {
            make_readable(&entry?.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_filled_once_and_again_only_if_it_was_left_half_done() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { dir: dir.path().to_owned() };
        let half = cache.ensure("x", |path| {
            fs_err::write(path.join("half"), "")?;
            Err(std::io::Error::other("stop").into())
        });
        assert!(half.is_err());
        let (path, was_there) = cache.ensure("x", |path| Ok(fs_err::write(path.join("file"), "")?)).unwrap();
        assert!(!was_there && path.join("file").exists() && !path.join("half").exists());
        assert!(cache.ensure("x", |_| unreachable!()).unwrap().1);
    }

    #[test]
    fn a_closed_umask_does_not_hide_files_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        fs_err::write(&file, "").unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("/nowhere", dir.path().join("link")).unwrap();
        make_readable(dir.path()).unwrap();
        assert_eq!(fs_err::metadata(&file).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs_err::metadata(dir.path()).unwrap().mode() & 0o777, 0o755);
    }
}
