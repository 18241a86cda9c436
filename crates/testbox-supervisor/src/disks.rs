//! The bounded file systems of the box, sampled through descriptors: peaks, and whether they were ever full.

use std::os::fd::OwnedFd;

use rustix::fs::{StatVfs, fstatvfs};
use testbox_model::{Bytes, DiskUse};

pub(crate) struct Disks(Vec<(OwnedFd, DiskUse)>);

impl Disks {
    pub(crate) fn new(disks: Vec<(String, OwnedFd)>) -> Self {
        Self(disks.into_iter().map(|(name, fd)| (fd, unused(name))).collect())
    }

    /// One look at each; an error names the file system.
    pub(crate) fn sample(&mut self) -> Result<(), String> {
        for (fd, disk) in &mut self.0 {
            let stat = fstatvfs(fd).map_err(|errno| format!("cannot sample the use of {}: {errno}", disk.name))?;
            take(disk, &stat);
        }
        Ok(())
    }

    pub(crate) fn into_use(self) -> Vec<DiskUse> {
        self.0.into_iter().map(|(_, disk)| disk).collect()
    }
}

fn unused(name: String) -> DiskUse {
    DiskUse { name, size_bytes: Bytes(0), peak_bytes: Bytes(0), inodes: 0, peak_inodes: 0, full: false }
}

fn take(disk: &mut DiskUse, stat: &StatVfs) {
    let used_bytes = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize);
    let used_inodes = stat.f_files.saturating_sub(stat.f_ffree);
    disk.size_bytes = Bytes(stat.f_blocks.saturating_mul(stat.f_frsize));
    disk.inodes = stat.f_files;
    disk.peak_bytes = disk.peak_bytes.max(Bytes(used_bytes));
    disk.peak_inodes = disk.peak_inodes.max(used_inodes);
    disk.full |= DiskUse::is_spent(stat.f_blocks, stat.f_bfree) || DiskUse::is_spent(stat.f_files, stat.f_ffree);
}

#[cfg(test)]
mod tests {
    use rustix::fs::StatVfsMountFlags;

    use super::*;

    fn stat(free_blocks: u64, free_inodes: u64) -> StatVfs {
        StatVfs {
            f_bsize: 4096,
            f_frsize: 4096,
            f_blocks: 100,
            f_bfree: free_blocks,
            f_bavail: free_blocks,
            f_files: 50,
            f_ffree: free_inodes,
            f_favail: free_inodes,
            f_fsid: 0,
            f_flag: StatVfsMountFlags::empty(),
            f_namemax: 255,
        }
    }

    #[test]
    fn full_is_remembered_and_peaks_are_kept() {
        let mut disk = unused("scratch".to_owned());
        take(&mut disk, &stat(2, 2));
        assert!(!disk.full);
        take(&mut disk, &stat(0, 10));
        take(&mut disk, &stat(90, 40));
        assert!(disk.full);
        assert_eq!((disk.peak_bytes, disk.peak_inodes), (Bytes(409_600), 48));
        let mut inodes = unused("scratch".to_owned());
        take(&mut inodes, &stat(50, 0));
        assert!(inodes.full);
    }

    #[test]
    fn a_real_file_system_is_read_through_a_path_descriptor() {
        use rustix::fs::{Mode, OFlags, open};
        let root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut disks = Disks::new(vec![("root".to_owned(), root)]);
        disks.sample().unwrap();
        assert!(disks.into_use()[0].size_bytes.0 > 0);
    }
}
