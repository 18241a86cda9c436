//! What every box mounts: the host's system folders read-only, kernel file systems, devices and the scratch folders.

use std::path::{Path, PathBuf};

use testbox_model::{Limits, Net, RunPlan};

use super::{MountTable, Rank};
use crate::bundle::{BoxMount, Source};
use crate::error::BundleError;
use crate::host::Host;
use crate::image::{EtcLists, Image};
use crate::walk;

/// /dev holds device nodes and links only.
const DEV_BYTES: u64 = 1 << 20;
const DEV_INODES: u64 = 1024;

/// Adds them.
pub(crate) fn add(table: &mut MountTable<'_>, host: &Host, image: &Image, plan: &RunPlan) -> Result<(), BundleError> {
    for folder in image.system.folders.iter().filter(|folder| walk::is_folder(host, folder)) {
        table.show(Rank::System, folder, true)?;
    }
    for folder in etc_patterns(host, &image.etc.bind).filter(|folder| walk::is_folder(host, folder)) {
        table.show(Rank::System, &folder, true)?;
    }
    for path in large_etc_files(host, &image.etc) {
        table.show(Rank::System, &path, true)?;
    }
    kernel(&plan.limits, plan.net.value).into_iter().for_each(|mount| table.add(Rank::System, mount));
    for folder in &image.scratch.folders {
        let source = Source::Scratch { name: folder.name.as_str(), mode: folder.mode };
        table.add(Rank::System, BoxMount { destination: folder.path.clone(), source, read_only: false });
    }
    Ok(())
}

/// The existing paths of /etc that the patterns mean; `*` ends a prefix of the last component.
pub(crate) fn etc_patterns<'a>(host: &'a Host, patterns: &'a [String]) -> impl Iterator<Item = PathBuf> + 'a {
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

fn large_etc_files<'a>(host: &'a Host, etc: &'a EtcLists) -> impl Iterator<Item = PathBuf> + 'a {
    etc_patterns(host, &etc.copy).filter(|path| {
        let end = walk::walk(host, path);
        end.is_ok_and(|end| end.metadata.is_file() && end.metadata.len() > etc.copy_limit_bytes)
    })
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
