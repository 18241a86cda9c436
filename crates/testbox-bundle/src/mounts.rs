//! The mount table of a box: what is shown where, without duplicates, parents before children.
//!
//! Every host path is shown at its own place, so that links, scripts and records mean the same inside and outside.

mod project;
mod system;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) use project::{add as add_project, hidden, must_stay_absent, nothing_to_hide, reports, unguarded_links};
pub(crate) use system::{add as add_system, etc_files};

use crate::bundle::{BoxMount, Source};
use crate::error::BundleError;
use crate::host::Host;
use crate::walk::{self, Link, Walked};

/// Who wins when two ask for the same place; later is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Needed by the environment.
    Needed,
    /// Part of every box.
    System,
    /// Kept from being written in a read-write project.
    Guard,
    /// Asked for by a flag.
    Flag,
    /// The project itself.
    Project,
}

/// The table while it grows.
#[derive(Debug)]
pub(crate) struct MountTable<'a> {
    host: &'a Host,
    mounts: BTreeMap<PathBuf, (Rank, BoxMount)>,
    links: Vec<Link>,
}

/// The finished table.
#[derive(Debug)]
pub(crate) struct Mounts {
    /// Parents before children.
    pub(crate) mounts: Vec<BoxMount>,
    /// Links that the root file system must hold.
    pub(crate) links: Vec<Link>,
}

impl<'a> MountTable<'a> {
    /// An empty table for this host.
    pub(crate) fn new(host: &'a Host) -> Self {
        Self { host, mounts: BTreeMap::new(), links: Vec::new() }
    }

    /// Adds a mount; of two for one place the stronger stays.
    pub(crate) fn add(&mut self, rank: Rank, mount: BoxMount) {
        let weaker = self.mounts.get(&mount.destination).is_some_and(|(present, _)| *present > rank);
        if !weaker {
            self.mounts.insert(mount.destination.clone(), (rank, mount));
        }
    }

    /// Shows what `path` leads to at its own place, with every link on the way; returns the resolved path.
    pub(crate) fn show(&mut self, rank: Rank, path: &Path, read_only: bool) -> Result<PathBuf, BundleError> {
        let end = walk::walk(self.host, path)
            .map_err(|source| BundleError::Unresolvable { path: path.to_owned(), source })?;
        Ok(self.show_end(rank, end, read_only))
    }

    /// As [`Self::show`], for a path that was followed already.
    pub(crate) fn show_end(&mut self, rank: Rank, end: Walked, read_only: bool) -> PathBuf {
        self.links.extend(end.links);
        let source = Source::Bind {
            path: end.path.clone(),
            is_dir: end.metadata.is_dir(),
            shift_root: needs_shift(self.host, &end.metadata, read_only),
        };
        self.add(rank, BoxMount { destination: end.path.clone(), source, read_only });
        end.path
    }

    /// Records the links on the way to `path`, which something else shows.
    pub(crate) fn keep_links(&mut self, path: &Path) {
        if let Ok(end) = walk::walk(self.host, path) {
            self.links.extend(end.links);
        }
    }

    /// Is `path`, something below it or a link on it taken? Then it cannot become HOME.
    pub(crate) fn collides(&self, path: &Path) -> bool {
        let below = self.mounts.keys().any(|place| place.starts_with(path));
        let within = nearest(&self.mounts, path).is_some();
        below || within || self.links.iter().any(|link| path.starts_with(&link.at) || link.at.starts_with(path))
    }

    /// Drops what is visible already, turns links that the root file system cannot hold into binds, and checks that
    /// all paths can be written into a config.json.
    pub(crate) fn finish(mut self) -> Result<Mounts, BundleError> {
        self.drop_redundant();
        let links = self.place_links();
        let mounts: Vec<BoxMount> = self.mounts.into_values().map(|(_, mount)| mount).collect();
        let sources = mounts.iter().filter_map(|mount| host_path(&mount.source));
        let paths = mounts.iter().map(|mount| mount.destination.as_path()).chain(sources);
        if let Some(path) = paths.into_iter().find(|path| path.to_str().is_none()) {
            return Err(BundleError::NotUtf8 { what: "a path that the box must show", path: path.to_owned() });
        }
        Ok(Mounts { mounts, links })
    }

    fn drop_redundant(&mut self) {
        let mut kept: BTreeMap<PathBuf, (Rank, BoxMount)> = BTreeMap::new();
        for (place, (rank, mount)) in std::mem::take(&mut self.mounts) {
            let around = place.parent().and_then(|parent| nearest(&kept, parent));
            if !around.is_some_and(|around| shows_already(around, rank, &mount)) {
                kept.insert(place, (rank, mount));
            }
        }
        self.mounts = kept;
    }

    /// A link below a mount of the host's own files is there already; below a scratch folder its target is bound.
    fn place_links(&mut self) -> Vec<Link> {
        let mut links = std::mem::take(&mut self.links);
        links.sort();
        links.dedup_by(|a, b| a.at == b.at);
        let mut in_root = Vec::new();
        for link in links {
            if self.mounts.keys().any(|place| place.starts_with(&link.at)) {
                continue;
            }
            match nearest(&self.mounts, &link.at).map(|around| &around.source) {
                None => in_root.push(link),
                Some(Source::Scratch { .. } | Source::Tmpfs { .. }) => self.bind_target(&link.at),
                Some(_) => {}
            }
        }
        in_root
    }

    fn bind_target(&mut self, at: &Path) {
        let Ok(end) = walk::walk(self.host, at) else { return };
        let shift_root = needs_shift(self.host, &end.metadata, true);
        let source = Source::Bind { path: end.path, is_dir: end.metadata.is_dir(), shift_root };
        self.add(Rank::Needed, BoxMount { destination: at.to_owned(), source, read_only: true });
    }
}

/// The host path that a mount shows.
pub(crate) fn host_path(source: &Source) -> Option<&Path> {
    match source {
        Source::Bind { path, .. } | Source::View { lower: path, .. } => Some(path),
        _ => None,
    }
}

/// The innermost mount at or above `path`.
fn nearest<'m>(mounts: &'m BTreeMap<PathBuf, (Rank, BoxMount)>, path: &Path) -> Option<&'m BoxMount> {
    path.ancestors().find_map(|place| mounts.get(place)).map(|(_, mount)| mount)
}

/// Does the mount around show the same host path at the same place, no weaker than asked?
fn shows_already(around: &BoxMount, rank: Rank, mount: &BoxMount) -> bool {
    let same_place = |mount: &BoxMount| host_path(&mount.source).is_some_and(|path| path == mount.destination);
    if !same_place(around) || !same_place(mount) {
        return false;
    }
    match &around.source {
        Source::View { .. } => mount.read_only && rank < Rank::Guard,
        _ => mount.read_only == around.read_only && shift(&mount.source) == shift(&around.source),
    }
}

fn shift(source: &Source) -> bool {
    matches!(source, Source::Bind { shift_root: true, .. } | Source::View { shift_root: true, .. })
}

/// As root the box runs as an ordinary user: what belongs to root is shifted if that user could not read it, or
/// must be able to write it.
fn needs_shift(host: &Host, metadata: &std::fs::Metadata, read_only: bool) -> bool {
    let readable = if metadata.is_dir() { 0o005 } else { 0o004 };
    let closed = metadata.mode() & readable != readable;
    host.euid == 0 && metadata.uid() == 0 && (closed || !read_only)
}
