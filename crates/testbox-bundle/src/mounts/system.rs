//! What every box mounts: the host's system folders read-only, kernel file systems, devices and the scratch folders.

use std::path::{Path, PathBuf};

use testbox_model::{Limits, Net, RunPlan};

use super::{MountTable, Rank};
use crate::bundle::{BoxMount, Source};
use crate::host::Host;
use crate::image::{EtcLists, Image};
use crate::walk::{self, Walked};

/// /dev holds device nodes and links only.
const DEV_BYTES: u64 = 1 << 20;
const DEV_INODES: u64 = 1024;

/// Adds them.
pub(crate) fn add(
    table: &mut MountTable<'_>,
    host: &Host,
    image: &Image,
    plan: &RunPlan,
    etc_files: &[(PathBuf, Walked)],
) {
    let folders = image.system.folders.iter().cloned().chain(etc_patterns(host, &image.etc.bind));
    let folders = folders.filter_map(|folder| walk::walk(host, &folder).ok()).filter(|end| end.metadata.is_dir());
    folders.for_each(|end| drop(table.show_end(Rank::System, end, true)));
    let large = etc_files.iter().filter(|(_, end)| is_large(&image.etc, end));
    large.for_each(|(_, end)| drop(table.show_end(Rank::System, end.clone(), true)));
    kernel(&plan.limits, plan.net.value).into_iter().for_each(|mount| table.add(Rank::System, mount));
    for folder in &image.scratch.folders {
        let source = Source::Scratch { name: folder.name.as_str(), mode: folder.mode };
        table.add(Rank::System, BoxMount { destination: folder.path.clone(), source, read_only: false });
    }
}

/// What there is of the files and folders of /etc that the box gets copies of, and where each path leads.
pub(crate) fn etc_files(host: &Host, etc: &EtcLists) -> Vec<(PathBuf, Walked)> {
    etc_patterns(host, &etc.copy).filter_map(|path| walk::walk(host, &path).ok().map(|end| (path, end))).collect()
}

/// The existing paths of /etc that the patterns mean; `*` ends a prefix of the last component.
fn etc_patterns<'a>(host: &'a Host, patterns: &'a [String]) -> impl Iterator<Item = PathBuf> + 'a {
    patterns.iter().flat_map(move |pattern| {
        let path = Path::new("/etc").join(pattern);
        let Some(prefix) = pattern.strip_suffix('*') else { return vec![path] };
        let folder = path.parent().unwrap_or(Path::new("/etc")).to_owned();
        let prefix = prefix.rsplit('/').next().unwrap_or(prefix);
        let names = host.names_in(&folder);
        let meant = names.iter().filter(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()));
        meant.map(|name| folder.join(name)).collect()
    })
}

/// A file that is bound and not copied.
fn is_large(etc: &EtcLists, end: &Walked) -> bool {
    end.metadata.is_file() && end.metadata.len() > etc.copy_limit_bytes
}

fn kernel(limits: &Limits, net: Net) -> [BoxMount; 6] {
    let (shm_bytes, shm_inodes) = (limits.tmp_bytes.value.0, limits.tmp_inodes.value);
    [
        mount("/proc", Source::Proc, false),
        mount("/sys", sysfs(net), true),
        mount("/dev", Source::Tmpfs { size_bytes: DEV_BYTES, inodes: DEV_INODES, mode: 0o755 }, false),
        mount("/dev/pts", Source::Devpts, false),
        mount("/dev/mqueue", Source::Mqueue, false),
        mount("/dev/shm", Source::Tmpfs { size_bytes: shm_bytes, inodes: shm_inodes, mode: 0o1777 }, false),
    ]
}

/// Only the owner of a network namespace may mount its sysfs: with the host's network the host's is shown.
fn sysfs(net: Net) -> Source {
    match net {
        Net::None => Source::Sysfs,
        Net::Host => Source::Bind { path: PathBuf::from("/sys"), is_dir: true, shift_root: false },
    }
}

fn mount(destination: &str, source: Source, read_only: bool) -> BoxMount {
    BoxMount { destination: PathBuf::from(destination), source, read_only }
}
