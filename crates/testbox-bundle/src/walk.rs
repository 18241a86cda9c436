//! Path resolution below the host's root, symbolic link by symbolic link, so that the box can repeat each of them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use rustix::fs::{Access, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::host::Host;

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// A symbolic link on the way to something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    /// Where the link is; its parents hold no links.
    pub(crate) at: PathBuf,
    /// What it says.
    pub(crate) target: PathBuf,
}

/// The end of a path.
#[derive(Debug, Clone)]
pub(crate) struct Walked {
    /// The path without links.
    pub(crate) path: PathBuf,
    /// The links that led there, in order.
    pub(crate) links: Vec<Link>,
    /// What is there.
    pub(crate) metadata: Metadata,
}

/// Where a path led: to its end, or to the component that does not exist and the links before it, as they are told.
pub(crate) type Known = Result<Walked, (PathBuf, Vec<String>)>;

/// Why a path leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A component does not exist.
    #[error("{}`{}` does not exist", chain(.links), .missing.display())]
    Missing {
        /// The component.
        missing: PathBuf,
        /// The links followed before, as `from -> to`.
        links: Vec<String>,
    },
    /// Links lead in a circle.
    #[error("`{}` leads through more than {MAX_LINKS} symbolic links", .path.display())]
    Circle {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot look up `{}`", .path.display())]
    Refused {
        /// The component.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl WalkError {
    /// The component that does not exist, if that is the reason.
    pub(crate) fn missing(&self) -> Option<&Path> {
        match self {
            Self::Missing { missing, .. } => Some(missing),
            Self::Circle { .. } | Self::Refused { .. } => None,
        }
    }
}

/// Follows `path` (absolute, or taken from the root) to its end. Each path is followed once: discovery asks for many of
/// them again and again, and all parts of a bundle shall see the same.
pub(crate) fn walk(host: &Host, path: &Path) -> Result<Walked, WalkError> {
    if let Some(known) = host.known.borrow().get(path) {
        let missing = |(missing, links)| WalkError::Missing { missing, links };
        return known.clone().map_err(missing);
    }
    let walked = straight(host, path).unwrap_or_else(|| step_by_step(host, path));
    let known = match &walked {
        Ok(end) => Ok(end.clone()),
        Err(WalkError::Missing { missing, links }) => Err((missing.clone(), links.clone())),
        Err(WalkError::Circle { .. } | WalkError::Refused { .. }) => return walked,
    };
    host.known.borrow_mut().insert(path.to_owned(), known);
    walked
}

/// The answer of one or two system calls, if the kernel meets no link on the way; most paths have none, and discovery
/// asks for hundreds.
fn straight(host: &Host, path: &Path) -> Option<Result<Walked, WalkError>> {
    let clean = if is_clean(path) { path.to_owned() } else { normal(path)? };
    match look_up(host, &clean) {
        Ok(metadata) => Some(Ok(Walked { path: clean, links: Vec::new(), metadata })),
        Err(Errno::NOENT) => {
            // No link was met before the first missing component; most often that is the last one.
            let parent = rustix::fs::access(host.at(clean.parent()?), Access::EXISTS);
            parent.is_ok().then(|| Err(WalkError::Missing { missing: clean, links: Vec::new() }))
        }
        Err(_) => None,
    }
}

/// Nothing in it has to be resolved by text: most paths that discovery asks for are of this kind.
fn is_clean(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    let Some(below) = bytes.strip_prefix(b"/") else { return false };
    below.is_empty() || below.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

/// The same path without `.` and doubled slashes; `None` if it goes up somewhere, which only links can tell.
fn normal(path: &Path) -> Option<PathBuf> {
    let clean = Path::new("/").join(path.components().collect::<PathBuf>());
    (!clean.components().any(|component| component == Component::ParentDir)).then_some(clean)
}

/// What is at a path that holds no links.
fn look_up(host: &Host, path: &Path) -> Result<Metadata, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(CWD, host.at(path), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    std::fs::File::from(found).metadata().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn step_by_step(host: &Host, path: &Path) -> Result<Walked, WalkError> {
    let mut here = PathBuf::from("/");
    let mut links = Vec::new();
    let mut pending = parts(path);
    while let Some(part) = pending.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        match link_at(host, &next, &links)? {
            None => here = next,
            Some(target) => {
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                parts(&target).into_iter().rev().for_each(|part| pending.push_front(part));
                links.push(Link { at: next, target });
            }
        }
        if links.len() > MAX_LINKS {
            return Err(WalkError::Circle { path: path.to_owned() });
        }
    }
    let metadata = fs::symlink_metadata(host.at(&here)).map_err(|source| refused(&here, &links, source))?;
    Ok(Walked { path: here, links, metadata })
}

/// Does the path lead to something?
pub(crate) fn exists(host: &Host, path: &Path) -> bool {
    walk(host, path).is_ok()
}

/// Does the path lead to a folder?
pub(crate) fn is_folder(host: &Host, path: &Path) -> bool {
    walk(host, path).is_ok_and(|walked| walked.metadata.is_dir())
}

/// Does the path lead to a regular file?
pub(crate) fn is_file(host: &Host, path: &Path) -> bool {
    walk(host, path).is_ok_and(|walked| walked.metadata.is_file())
}

/// An absolute path without `.` and `..`, links untouched; relative ones are taken from `base`.
pub(crate) fn absolute(base: &Path, path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in base.join(path).components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let wanted = |component: &Component<'_>| matches!(component, Component::Normal(_) | Component::ParentDir);
    path.components().filter(wanted).map(|component| component.as_os_str().to_owned()).collect()
}

fn link_at(host: &Host, path: &Path, links: &[Link]) -> Result<Option<PathBuf>, WalkError> {
    let real = host.at(path);
    let metadata = fs::symlink_metadata(&real).map_err(|source| refused(path, links, source))?;
    if !metadata.is_symlink() {
        return Ok(None);
    }
    fs::read_link(&real).map(Some).map_err(|source| refused(path, links, source))
}

fn refused(path: &Path, links: &[Link], source: io::Error) -> WalkError {
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    if absent.contains(&source.kind()) {
        let links = links.iter().map(|link| format!("`{}` -> `{}`", link.at.display(), link.target.display()));
        return WalkError::Missing { missing: path.to_owned(), links: links.collect() };
    }
    WalkError::Refused { path: path.to_owned(), source }
}

fn chain(links: &[String]) -> String {
    if links.is_empty() { String::new() } else { format!("{}: ", links.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_finds_what_the_long_way_finds() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/f"), "").unwrap();
        fs::os::unix::fs::symlink("a/b", dir.path().join("l")).unwrap();
        let host = Host { root: dir.path().canonicalize().unwrap(), ..Host::current() };
        for path in [
            "/",
            "//a/./b/",
            "a/b",
            "/a/b",
            "/a/b/f",
            "/a/b/none",
            "/a/none/x",
            "/l/f",
            "/l",
            "/a/../a/b",
            "/a/b/f/x",
            "/none",
        ] {
            let seen = |walked: Result<Walked, WalkError>| match walked {
                Ok(end) => format!("{:?} {:?} {:?}", end.path, end.links, end.metadata.file_type()),
                Err(error) => error.to_string(),
            };
            let path = Path::new(path);
            assert_eq!(seen(walk(&host, path)), seen(step_by_step(&host, path)), "{}", path.display());
        }
    }
}
