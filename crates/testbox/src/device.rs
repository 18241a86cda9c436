//! Which disks the project's file system lies on: what `--io-read` and `--io-write` limit.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::stat::{major, minor};

/// The whole disk of a path, as (major, minor), found below `root`.
///
/// # Errors
/// The path has no block device of its own (tmpfs, overlay, network file systems, btrfs).
pub(crate) fn disk_of(root: &Path, path: &Path) -> io::Result<(u32, u32)> {
    let device = fs_err::metadata(path)?.dev();
    whole_disk(root, major(device) as u32, minor(device) as u32)
}

/// The kernel limits whole disks only: a partition leads to the disk that it is part of (sysfs: `partition`).
fn whole_disk(root: &Path, major: u32, minor: u32) -> io::Result<(u32, u32)> {
    let folder = root.join(format!("sys/dev/block/{major}:{minor}"));
    if !folder.exists() {
        return Err(io::Error::other(format!("device {major}:{minor} is no disk")));
    }
    if !folder.join("partition").exists() {
        return Ok((major, minor));
    }
    let parent = fs_err::canonicalize(&folder)?.join("../dev");
    let text = fs_err::read_to_string(parent)?;
    let numbers =
        text.trim().split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    numbers.ok_or_else(|| io::Error::other(format!("`{}` is no device number", text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysfs() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let disk = root.path().join("sys/devices/vda");
        let (partition, links) = (disk.join("vda1"), root.path().join("sys/dev/block"));
        fs_err::create_dir_all(&partition).unwrap();
        fs_err::create_dir_all(&links).unwrap();
        fs_err::write(disk.join("dev"), "254:0\n").unwrap();
        fs_err::write(partition.join("dev"), "254:1\n").unwrap();
        fs_err::write(partition.join("partition"), "1\n").unwrap();
        std::os::unix::fs::symlink("../../devices/vda", links.join("254:0")).unwrap();
        std::os::unix::fs::symlink("../../devices/vda/vda1", links.join("254:1")).unwrap();
        root
    }

    #[test]
    fn a_partition_leads_to_its_disk_and_a_disk_to_itself() {
        let root = sysfs();
        assert_eq!(whole_disk(root.path(), 254, 1).unwrap(), (254, 0));
        assert_eq!(whole_disk(root.path(), 254, 0).unwrap(), (254, 0));
    }

    #[test]
    fn a_file_system_without_a_disk_is_named() {
        let error = whole_disk(sysfs().path(), 0, 42).unwrap_err();
        assert!(error.to_string().contains("0:42"), "{error}");
    }
}
