//! A bundle for a host that makes no namespaces: what Landlock opens of the host's own files instead of mounts, and the
//! command with the folders that it gets in place of those.
//!
//! Nothing can be laid over anything here. What the box must not see below an opened folder, or not change below a
//! writable one, is kept out by opening everything beside it; the folder itself is only listed then.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::bundle::{Bundle, Entry, Process, Resource, Rlimit, Source};
use crate::error::BundleError;
use crate::host::Host;
use crate::{plugin, skeleton, walk};

/// Device nodes that do nothing beyond themselves.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// POSIX semaphores and shared memory; of the host here, and of all its users.
const SHARED_MEMORY: &str = "/dev/shm";
/// What a box sees of sysfs: numbers of processors and nodes.
const SYSTEM_DEVICES: &str = "/sys/devices/system";

/// What a box without namespaces is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// What is opened; nothing else is.
    pub openings: Vec<Opening>,
    /// Folders of the scratch folder, and the files that are generated there.
    pub files: Vec<Entry>,
}

/// One path that is opened, with all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The path.
    pub path: PathBuf,
    /// For what.
    pub access: Access,
}

/// For what a path is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Names in folders.
    List,
    /// Reading and executing.
    Read,
    /// Reading, executing and changing.
    Write,
    /// A device: reading and writing.
    Device,
}

impl Bundle {
    /// Turns it into one without namespaces, whose scratch space is the host's folder `scratch`.
    ///
    /// # Errors
    /// A folder would have to be hidden below a shown one ([`BundleError::CannotHide`]).
    pub fn fence(&mut self, host: &Host, scratch: &Path) -> Result<Fence, BundleError> {
        host.look_anew();
        let plan = Plan { bundle: self, host };
        plan.refuse_folders_to_hide()?;
        let mut openings = plan.openings();
        let (home, tmp, generated) = (scratch.join("home"), scratch.join("tmp"), scratch.join("python"));
        let open = |path: &Path, access| Opening { path: path.to_owned(), access };
        openings.extend([open(&home, Access::Write), open(&tmp, Access::Write), open(&generated, Access::Read)]);
        let mut files: Vec<Entry> =
            [&home, &tmp, &generated].map(|path| Entry::Dir { path: path.clone(), mode: 0o700 }).into();
        files.extend(self.skeleton.iter().filter_map(|entry| moved(entry, &generated)));
        let old_home = self.mounts.iter().find(|mount| matches!(mount.source, Source::Scratch { name: "home", .. }));
        let old_home = old_home.map(|mount| mount.destination.clone()).unwrap_or_default();
        settle(&mut self.process, [("HOME", &old_home, &home), ("TMPDIR", Path::new("/tmp"), &tmp)], &generated);
        self.bound_files();
        Ok(Fence { openings, files })
    }

    /// What one file takes is the only bound that the kernel itself guards here.
    fn bound_files(&mut self) {
        let bytes = self.limits.tmp_bytes.value.0;
        match self.rlimits.iter_mut().find(|rlimit| rlimit.resource == Resource::Fsize) {
            Some(rlimit) => rlimit.value = rlimit.value.min(bytes),
            None => self.rlimits.push(Rlimit { resource: Resource::Fsize, value: bytes }),
        }
    }
}

struct Plan<'a> {
    bundle: &'a Bundle,
    host: &'a Host,
}

impl Plan<'_> {
    fn openings(&self) -> Vec<Opening> {
        let mut openings = Vec::new();
        for mount in &self.bundle.mounts {
            match &mount.source {
                Source::Bind { path, .. } if path.starts_with("/sys") => {
                    self.add(SYSTEM_DEVICES, Access::Read, &mut openings)
                }
                Source::Bind { path, .. } if mount.read_only => self.open(path, Access::Read, &mut openings),
                Source::Bind { path, .. } => self.open(path, Access::Write, &mut openings),
                Source::View { lower, .. } => self.open(lower, Access::Read, &mut openings),
                Source::Proc => self.add("/proc", Access::Read, &mut openings),
                Source::Sysfs => self.add(SYSTEM_DEVICES, Access::Read, &mut openings),
                Source::Tmpfs { .. } if mount.destination == Path::new(SHARED_MEMORY) => {
                    self.add(SHARED_MEMORY, Access::Write, &mut openings);
                }
                // The host's terminals are not the box's: it has none but what it inherits.
                Source::Tmpfs { .. } | Source::Devpts | Source::Mqueue | Source::Scratch { .. } => {}
            }
        }
        DEVICES.iter().for_each(|device| self.add(device, Access::Device, &mut openings));
        self.bundle.skeleton.iter().for_each(|entry| self.of_etc(entry, &mut openings));
        openings
    }

    fn add(&self, path: &str, access: Access, openings: &mut Vec<Opening>) {
        openings.push(Opening { path: path.into(), access });
    }

    /// The files of /etc that a box has copies of are shown themselves.
    fn of_etc(&self, entry: &Entry, openings: &mut Vec<Opening>) {
        let path = skeleton::path_of(entry);
        if !path.starts_with("/etc") || path == Path::new("/etc") {
            return;
        }
        let Ok(end) = walk::walk(self.host, path) else { return };
        let public = !end.path.starts_with("/proc");
        match (entry, end.metadata.is_dir()) {
            (Entry::Dir { .. }, true) => openings.push(Opening { path: end.path, access: Access::List }),
            (_, false) if public => self.open(&end.path, Access::Read, openings),
            _ => {}
        }
    }

    /// Opens a path without what lies below it and must stay closed.
    fn open(&self, path: &Path, access: Access, openings: &mut Vec<Opening>) {
        if self.bundle.masked_paths.iter().any(|hidden| path.starts_with(hidden)) {
            return;
        }
        let is_exception = |other: &Path| other != path && other.starts_with(path);
        let hidden = self.bundle.masked_paths.iter().any(|hidden| is_exception(hidden));
        let guarded = access == Access::Write && self.read_only().any(is_exception);
        if !hidden && !guarded {
            openings.push(Opening { path: path.to_owned(), access });
            return;
        }
        openings.push(Opening { path: path.to_owned(), access: Access::List });
        for name in self.host.names_in(path).iter() {
            let inner = path.join(name);
            let metadata = fs_err::symlink_metadata(self.host.at(&inner));
            let link = metadata.is_ok_and(|metadata| metadata.is_symlink());
            let own = access == Access::Write && self.read_only().any(|guarded| guarded == inner);
            if !link && !own {
                self.open(&inner, access, openings);
            }
        }
    }

    /// Paths that are shown read-only.
    fn read_only(&self) -> impl Iterator<Item = &Path> {
        let read_only = self.bundle.mounts.iter().filter(|mount| mount.read_only);
        read_only.filter_map(|mount| match &mount.source {
            Source::Bind { path, .. } => Some(path.as_path()),
            _ => None,
        })
    }

    /// The names in a folder can be listed where those of a folder above it can.
    fn refuse_folders_to_hide(&self) -> Result<(), BundleError> {
        let shown = |path: &Path| {
            let binds = self.bundle.mounts.iter().filter_map(|mount| crate::mounts::host_path(&mount.source));
            binds.into_iter().any(|shown| path != shown && path.starts_with(shown))
        };
        let own = |path: &&PathBuf| !self.bundle.reports.contains(path) && !path.starts_with("/sys");
        let is_folder = |path: &&PathBuf| fs_err::metadata(self.host.at(path)).is_ok_and(|found| found.is_dir());
        let folders = self.bundle.masked_paths.iter().filter(own).filter(is_folder);
        match folders.into_iter().find(|path| shown(path)) {
            Some(path) => Err(BundleError::CannotHide { path: path.clone() }),
            None => Ok(()),
        }
    }
}

/// A generated file of testbox's own at its place in the scratch folder.
fn moved(entry: &Entry, folder: &Path) -> Option<Entry> {
    let rest = skeleton::path_of(entry).strip_prefix(plugin::FOLDER).ok().filter(|rest| rest.parent().is_some())?;
    let path = folder.join(rest);
    match entry {
        Entry::Dir { mode, .. } => Some(Entry::Dir { path, mode: *mode }),
        Entry::File { content, mode, .. } => Some(Entry::File { path, content: content.clone(), mode: *mode }),
        Entry::Symlink { .. } => None,
    }
}

/// The environment with other folders, unless the user has named some.
fn settle(process: &mut Process, folders: [(&str, &Path, &PathBuf); 2], generated: &Path) {
    for (name, value) in &mut process.env {
        if let Some((_, _, new)) = folders.iter().find(|(known, old, _)| name == known && Path::new(value) == *old) {
            *value = OsString::from(new);
        }
        if let Some(rest) = value.as_bytes().strip_prefix(plugin::FOLDER.as_bytes())
            && name == "PYTHONPATH"
        {
            *value = OsString::from_vec([generated.as_os_str().as_bytes(), rest].concat());
        }
    }
}
