//! The root file system beside the mounts: folders, links, files, and a place for every mount.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::bundle::{BoxMount, Entry, Source};
use crate::image::SkeletonLists;
use crate::mounts::Mounts;

/// The entries, parents first; nothing that a mount would cover, except the places of the mounts themselves.
pub(crate) fn entries(lists: &SkeletonLists, generated: Vec<Entry>, mounts: &Mounts) -> Vec<Entry> {
    let mut entries: BTreeMap<PathBuf, Entry> = BTreeMap::new();
    let folders = lists.folders.iter().map(|path| folder(path));
    let own_links = lists.links.iter().map(|link| symlink(&link.path, &link.target));
    let host_links = mounts.links.iter().map(|link| symlink(&link.at, &link.target));
    for entry in folders.chain(own_links).chain(host_links).chain(generated) {
        entries.insert(path_of(&entry).to_owned(), entry);
    }
    let places: BTreeSet<&Path> = mounts.mounts.iter().map(|mount| mount.destination.as_path()).collect();
    entries.retain(|path, _| !is_covered(path, &places));
    for path in entries.keys().cloned().collect::<Vec<_>>() {
        add_parents(&mut entries, &path);
    }
    for mount in mounts.mounts.iter().filter(|mount| !is_covered(&mount.destination, &places)) {
        entries.insert(mount.destination.clone(), place(mount));
        add_parents(&mut entries, &mount.destination);
    }
    entries.into_values().collect()
}

/// Makes every parent a folder, also where a link was meant: mounts have resolved places.
fn add_parents(entries: &mut BTreeMap<PathBuf, Entry>, path: &Path) {
    for parent in path.ancestors().skip(1).filter(|parent| parent.parent().is_some()) {
        if !matches!(entries.get(parent), Some(Entry::Dir { .. })) {
            entries.insert(parent.to_owned(), folder(parent));
        }
    }
}

/// Does it lie below one of these places?
fn is_covered(path: &Path, places: &BTreeSet<&Path>) -> bool {
    path.ancestors().skip(1).any(|above| places.contains(above))
}

fn place(mount: &BoxMount) -> Entry {
    match mount.source {
        Source::Bind { is_dir: false, .. } => {
            Entry::File { path: mount.destination.clone(), content: Vec::new(), mode: 0o444 }
        }
        _ => folder(&mount.destination),
    }
}

fn folder(path: &Path) -> Entry {
    Entry::Dir { path: path.to_owned(), mode: 0o755 }
}

fn symlink(path: &Path, target: &Path) -> Entry {
    Entry::Symlink { path: path.to_owned(), target: target.to_owned() }
}

/// Where an entry lies.
pub(crate) fn path_of(entry: &Entry) -> &Path {
    match entry {
        Entry::Dir { path, .. } | Entry::Symlink { path, .. } | Entry::File { path, .. } => path,
    }
}
