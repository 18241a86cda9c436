//! Which cgroup hierarchies this machine has, and where the caller sits in them.

use std::path::{Path, PathBuf};

use crate::kernel::{self, Kernel};
use crate::mountinfo::{self, CgroupMount};
use crate::proc_cgroup::{self, Membership};
use crate::{BoxId, CgroupError, Demand, create, delegation, scope};

/// How the controllers are spread over the two cgroup interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Only v1 hierarchies.
    V1,
    /// Only the unified hierarchy.
    V2,
    /// Both are mounted.
    Hybrid,
    /// No cgroup file system is mounted.
    None,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// The unified hierarchy (v2).
    pub unified: bool,
    /// The controllers that this hierarchy has, as the kernel names them.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The caller's own group, if it is visible below the mount point.
    pub own: Option<PathBuf>,
    /// The mount is read-only.
    pub read_only: bool,
    /// The controllers field of `/proc/PID/cgroup`; empty for the unified hierarchy.
    pub(crate) key: String,
    /// The group that is mounted, as `/proc/PID/cgroup` would name it.
    pub(crate) mount_root: String,
}

/// The cgroup hierarchies of a machine as the caller sees them.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
    hierarchies: Vec<Hierarchy>,
    pub(crate) kernel: Kernel,
    /// systemd was asked for a scope.
    asked: bool,
    /// Why it made none, and what helps.
    refusal: Option<String>,
}

impl Host {
    /// Reads `proc/self/mountinfo` and `proc/self/cgroup` below `root` (`/` on a real machine).
    ///
    /// # Errors
    /// One of these files cannot be read or does not have the kernel's form.
    pub fn detect(root: &Path) -> Result<Self, CgroupError> {
        let mounts = read(&root.join("proc/self/mountinfo"), mountinfo::parse)?;
        let memberships = read(&root.join("proc/self/cgroup"), proc_cgroup::parse)?;
        let hierarchies = memberships.iter().filter_map(|line| hierarchy(root, line, &mounts)).collect();
        Ok(Self { root: root.to_owned(), hierarchies, kernel: Kernel::REAL, asked: false, refusal: None })
    }

    /// The directory that all paths start at.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which interfaces are mounted.
    pub fn version(&self) -> Version {
        let has = |unified| self.hierarchies.iter().any(|hierarchy| hierarchy.unified == unified);
        match (has(false), has(true)) {
            (true, true) => Version::Hybrid,
            (true, false) => Version::V1,
            (false, true) => Version::V2,
            (false, false) => Version::None,
        }
    }

    /// The mounted hierarchies.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// The hierarchy that has `controller` (`memory`, `pids`, `cpu`, `cpuacct`, `io` or `blkio`).
    pub fn hierarchy_of(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller))
    }

    /// Finds the place where the groups of such a box can be made, before anything else of the run exists: where the
    /// caller sits, else a scope that systemd makes for it and moves it to. The caller must have one thread and no
    /// children, which would stay behind. `command` is what systemd calls the scope.
    ///
    /// Where there is no such place, [`BoxGroup::create`](crate::BoxGroup::create) says so, and why systemd made none.
    ///
    /// # Errors
    /// As [`Host::settle`].
    pub fn find_place(&mut self, id: &BoxId, demand: &Demand, command: &str) -> Result<(), CgroupError> {
        self.settle(id)?;
        match create::look(self, demand) {
            Err(error) if self.may_ask(&error) => self.ask(id, command),
            _ => Ok(()),
        }
    }

    /// Why systemd made no scope, and what helps.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    fn may_ask(&self, error: &CgroupError) -> bool {
        let unified = self.hierarchies.iter().find(|hierarchy| hierarchy.unified);
        !self.asked && unified.is_some_and(|unified| scope::could_help(unified, error))
    }

    fn ask(&mut self, id: &BoxId, command: &str) -> Result<(), CgroupError> {
        self.asked = true;
        match scope::enter(&self.root, id, command) {
            Ok(false) => {}
            Ok(true) => {
                self.hierarchies = Self::detect(&self.root)?.hierarchies;
                self.settle(id)?;
            }
            Err(refusal) => self.refusal = Some(refusal),
        }
        Ok(())
    }

    /// v2 only: makes the group that was delegated to the caller (`Delegate=yes`) usable for boxes, by moving the calling
    /// process, and nothing else, into a leaf of it. Does nothing (`None`) where no group was delegated, where boxes can
    /// be made without it, or where other processes share the group. Call it once, before `BoxGroup::create`.
    ///
    /// # Errors
    /// The leaf cannot be made or entered.
    pub fn settle(&mut self, id: &BoxId) -> Result<Option<PathBuf>, CgroupError> {
        let kernel = self.kernel;
        let Some(unified) = self.hierarchies.iter_mut().find(|hierarchy| hierarchy.unified) else { return Ok(None) };
        let leaf = delegation::settle(kernel, unified, id)?;
        if let Some(leaf) = &leaf {
            unified.own = Some(leaf.clone());
        }
        Ok(leaf)
    }
}

impl Hierarchy {
    /// Whether this hierarchy has `controller`.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// How `/proc/PID/cgroup` names a directory below the mount point.
    pub(crate) fn group_path(&self, directory: &Path) -> String {
        let below = directory.strip_prefix(&self.mount_point).unwrap_or(directory).to_string_lossy();
        format!("{}/{below}", self.mount_root.trim_end_matches('/'))
    }
}

/// The hierarchy of one line of `/proc/self/cgroup`, by the best of its mounts: the own group visible, then writable.
fn hierarchy(root: &Path, line: &Membership, mounts: &[CgroupMount]) -> Option<Hierarchy> {
    let mut found: Vec<Hierarchy> =
        mounts.iter().filter(|mount| carries(mount, line)).map(|mount| mounted(root, line, mount)).collect();
    found.sort_by_key(|hierarchy| (hierarchy.own.is_none(), hierarchy.read_only));
    found.into_iter().next()
}

fn carries(mount: &CgroupMount, line: &Membership) -> bool {
    match line.controllers.as_str() {
        "" => mount.unified,
        controllers => !mount.unified && controllers.split(',').all(|name| mount.options.iter().any(|o| o == name)),
    }
}

fn mounted(root: &Path, line: &Membership, mount: &CgroupMount) -> Hierarchy {
    let mount_point = below(root, &mount.mount_point);
    let own = relative(&line.path, &mount.root).map(|path| mount_point.join(path)).filter(|path| path.is_dir());
    let controllers = match mount.unified {
        true => kernel::read(&mount_point.join("cgroup.controllers")).unwrap_or_default(),
        false => line.controllers.replace(',', " "),
    };
    Hierarchy {
        unified: mount.unified,
        controllers: controllers.split_ascii_whitespace().map(str::to_owned).collect(),
        mount_point,
        own,
        read_only: mount.read_only,
        key: line.controllers.clone(),
        mount_root: mount.root.clone(),
    }
}

/// `path` as seen from the group that is mounted; `None` if it lies outside.
fn relative<'a>(path: &'a str, mount_root: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(mount_root.trim_end_matches('/'))?;
    match rest.strip_prefix('/') {
        Some(rest) => Some(rest.trim_end_matches('/')),
        None => rest.is_empty().then_some(""),
    }
}

fn below(root: &Path, absolute: &Path) -> PathBuf {
    root.join(absolute.strip_prefix("/").unwrap_or(absolute))
}

fn read<T>(path: &Path, parse: fn(&str) -> Result<T, String>) -> Result<T, CgroupError> {
    let text = kernel::read(path).map_err(|source| CgroupError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|text| CgroupError::Malformed { path: path.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    #[test]
    fn a_hybrid_host_has_each_controller_where_it_is() {
        let fake = FakeHost::v1();
        let host = fake.detect();
        assert_eq!(host.version(), Version::Hybrid);
        let memory = host.hierarchy_of("memory").unwrap();
        assert_eq!(memory.mount_point, fake.root().join("sys/fs/cgroup/memory"));
        assert_eq!(memory.own, Some(fake.root().join("sys/fs/cgroup/memory/session/a b")));
        assert!(!memory.unified && !memory.read_only);
        assert_eq!(host.hierarchy_of("cpu"), host.hierarchy_of("cpuacct"), "co-mounted");
        assert_eq!(host.hierarchy_of("hugetlb").map(|hierarchy| hierarchy.unified), Some(true));
        assert_eq!(host.hierarchy_of("io"), None);
    }

    #[test]
    fn a_unified_host_has_one_hierarchy() {
        let fake = FakeHost::v2();
        let host = fake.detect();
        assert_eq!(host.version(), Version::V2);
        assert_eq!(host.hierarchies().len(), 1);
        let unified = host.hierarchy_of("memory").unwrap();
        assert_eq!(unified.own, Some(fake.root().join("sys/fs/cgroup/user.slice/run.scope")));
        assert_eq!(unified.group_path(&unified.mount_point.join("testbox-x")), "/testbox-x");
    }

    #[test]
    fn in_a_container_paths_are_relative_to_the_mounted_group() {
        let fake = FakeHost::v1();
        fake.dir("sys/fs/cgroup/memory/inner");
        fake.put("proc/self/mountinfo", "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
        fake.put("proc/self/cgroup", "4:memory:/docker/ab/inner\n");
        let host = fake.detect();
        let memory = &host.hierarchies()[0];
        assert_eq!(memory.own, Some(memory.mount_point.join("inner")));
        assert_eq!(memory.group_path(&memory.mount_point.join("inner/x")), "/docker/ab/inner/x");
        assert!(memory.read_only);
    }

    #[test]
    fn an_own_group_outside_the_mount_is_not_guessed() {
        let fake = FakeHost::v1();
        for (root, own) in [("/docker/ab", "/docker/abc"), ("/..", "/"), ("/", "/gone")] {
            fake.put(
                "proc/self/mountinfo",
                &format!("35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup c rw,memory\n"),
            );
            fake.put("proc/self/cgroup", &format!("4:memory:{own}\n"));
            assert_eq!(fake.detect().hierarchies()[0].own, None, "{root} {own}");
        }
    }

    #[test]
    fn a_machine_without_cgroups_is_no_error() {
        let fake = FakeHost::v1();
        fake.put("proc/self/mountinfo", "23 27 0:22 / /sys rw - sysfs sysfs rw\n");
        assert_eq!(fake.detect().version(), Version::None);
        fake.put("proc/self/mountinfo", "nonsense\n");
        assert!(matches!(Host::detect(fake.root()), Err(CgroupError::Malformed { .. })));
        fake.delete("proc/self/mountinfo");
        assert!(matches!(Host::detect(fake.root()), Err(CgroupError::Read { .. })));
    }
}
