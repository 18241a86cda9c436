//! A recorded kernel in a temporary directory, for tests: fresh groups get the files that a real kernel gave them.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::kernel::Kernel;
use crate::{BoxId, Host};

/// A root directory with `proc` and the mounted hierarchies.
pub(crate) struct FakeHost {
    directory: TempDir,
}

/// Which fresh group the directory below it gets.
const TEMPLATE: &str = ".template";

impl FakeHost {
    /// Each controller in a hierarchy of its own, cpu and cpuacct together; the unified one carries only hugetlb.
    pub(crate) fn v1() -> Self {
        let fake = Self::bare();
        let mut mounts = String::new();
        for (name, controllers, content) in [
            ("memory", "memory", include_str!("../recorded/v1-memory.txt")),
            ("pids", "pids", include_str!("../recorded/v1-pids.txt")),
            ("cpu,cpuacct", "cpu,cpuacct", include_str!("../recorded/v1-cpu.txt")),
            ("blkio", "blkio", include_str!("../recorded/v1-blkio.txt")),
        ] {
            fake.put(&format!("sys/fs/cgroup/{name}/{TEMPLATE}"), content);
            mounts += &format!("35 31 0:32 / /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{controllers}\n");
        }
        mounts += "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        fake.put("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
        fake.dir("sys/fs/cgroup/memory/session/a b");
        fake.put("proc/self/mountinfo", &mounts);
        fake.put("proc/self/cgroup", "8:pids:/\n7:blkio:/\n4:memory:/session/a b\n1:cpu,cpuacct:/\n0::/\n");
        fake
    }

    /// One unified hierarchy as systemd leaves it: the caller in a scope, cpu, memory and pids enabled at the root.
    pub(crate) fn v2() -> Self {
        let fake = Self::bare();
        fake.put(&format!("sys/fs/cgroup/{TEMPLATE}"), include_str!("../recorded/v2.txt"));
        fake.put("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
        fake.put("sys/fs/cgroup/cgroup.subtree_control", "cpu memory pids\n");
        fake.put("sys/fs/cgroup/user.slice/run.scope/cgroup.subtree_control", "\n");
        fake.put("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
        fake.put("proc/self/cgroup", "0::/user.slice/run.scope\n");
        fake
    }

    fn bare() -> Self {
        let fake = Self { directory: TempDir::with_prefix("testbox").unwrap() };
        fake.put("proc/sys/kernel/random/boot_id", "97b45cbc-0e70-4578-8e13-d16cf572e83b\n");
        fake.link("proc/self/ns/pid", "pid:[4026531836]");
        fake.link("proc/self/ns/time", "time:[4026531834]");
        fake
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The host as the crate sees it, with this kernel.
    pub(crate) fn detect(&self) -> Host {
        let mut host = Host::detect(self.root()).unwrap();
        host.kernel = Kernel { mkdir, rmdir, write };
        host
    }

    pub(crate) fn dir(&self, path: &str) {
        fs_err::create_dir_all(self.root().join(path)).unwrap();
    }

    pub(crate) fn put(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    pub(crate) fn get(&self, path: &str) -> String {
        fs_err::read_to_string(self.root().join(path)).unwrap()
    }

    pub(crate) fn delete(&self, path: &str) {
        fs_err::remove_file(self.root().join(path)).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.root().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs_err::remove_file(&path);
        symlink(target, path).unwrap();
    }

    /// Marks a group as systemd does for `Delegate=yes`.
    pub(crate) fn delegate(&self, path: &str) {
        rustix::fs::setxattr(self.root().join(path), "user.delegate", b"1", XattrFlags::empty()).unwrap();
    }

    /// Every group of a box or supervisor that exists, relative to the root.
    pub(crate) fn groups(&self) -> Vec<String> {
        let all = crate::processes::groups(&self.root().join("sys/fs/cgroup")).unwrap();
        let mut ours: Vec<String> = all
            .iter()
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("testbox-"))
            .map(|path| path.strip_prefix(self.root().join("sys/fs/cgroup")).unwrap().to_str().unwrap().to_owned())
            .collect();
        ours.sort();
        ours
    }
}

/// The box that the tests make.
pub(crate) fn id() -> BoxId {
    "testbox-97b45cbc-14646-190080".parse().unwrap()
}

/// Makes a group with the files of a fresh one; on v2 only those of the controllers that the parent passes on.
pub(crate) fn mkdir(path: &Path) -> io::Result<()> {
    rustix::fs::mkdir(path, 0o755.into())?;
    let template = path.ancestors().map(|above| above.join(TEMPLATE)).find(|file| file.exists()).unwrap();
    let enabled = fs_err::read_to_string(path.with_file_name("cgroup.subtree_control"));
    for line in fs_err::read_to_string(template)?.lines().filter(|line| !line.starts_with('#')) {
        let (file, content) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        let controller = file.split('.').next().unwrap();
        let passed_on = match &enabled {
            Ok(enabled) => enabled.split_whitespace().any(|name| name == controller),
            Err(_) => true,
        };
        if passed_on || controller == "cgroup" || file == "cpu.stat" {
            fs_err::write(path.join(file), content.replace('|', "\n") + "\n")?;
        }
    }
    match enabled {
        Ok(enabled) => fs_err::write(path.join("cgroup.controllers"), enabled)?,
        Err(_) => fs_err::write(path.join("tasks"), "")?,
    }
    fs_err::write(path.join("cgroup.procs"), "")
}

/// Removes a group that has neither processes nor groups.
pub(crate) fn rmdir(path: &Path) -> io::Result<()> {
    let has_groups = fs_err::read_dir(path).map_err(|_| rustix::io::Errno::NOENT)?.flatten().any(|e| e.path().is_dir());
    if has_groups || !fs_err::read(path.join("cgroup.procs"))?.is_empty() {
        return Err(rustix::io::Errno::BUSY.into());
    }
    fs_err::remove_dir_all(path)
}

/// Takes a value as the kernel does.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    if !path.exists() {
        return Err(rustix::io::Errno::NOENT.into());
    }
    let text = match path.file_name().unwrap().to_str().unwrap() {
        "memory.max" | "memory.swap.max" | "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes" => {
            value.parse::<u64>().map_or(value.to_owned(), |bytes| (bytes / 4096 * 4096).to_string())
        }
        "io.max" => io_max(value),
        "cgroup.subtree_control" if !has_controller(path, value.trim_start_matches('+')) => {
            return Err(rustix::io::Errno::NOENT.into());
        }
        "cgroup.subtree_control" => fs_err::read_to_string(path)?.trim().to_owned() + " " + &value.replace('+', ""),
        "blkio.throttle.read_bps_device" | "blkio.throttle.write_bps_device" => {
            fs_err::read_to_string(path)?.trim().to_owned() + "\n" + value
        }
        "cgroup.kill" => {
            fs_err::write(path.with_file_name("cgroup.procs"), "")?;
            value.to_owned()
        }
        _ => value.to_owned(),
    };
    fs_err::write(path, text)
}

/// A group can pass on only what it has; a tree without this file has everything.
fn has_controller(subtree_control: &Path, name: &str) -> bool {
    let has = fs_err::read_to_string(subtree_control.with_file_name("cgroup.controllers"));
    has.map_or(true, |has| has.split_whitespace().any(|other| other == name))
}

fn io_max(value: &str) -> String {
    let (device, limits) = value.split_once(' ').unwrap();
    let of = |name: &str| limits.split(' ').find_map(|limit| limit.strip_prefix(name)).unwrap_or("max").to_owned();
    format!("{device} rbps={} wbps={} riops=max wiops=max", of("rbps="), of("wbps="))
}
