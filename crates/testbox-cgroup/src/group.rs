//! The cgroups of one box behind one type, whatever the hierarchies are.

use std::path::PathBuf;
use std::sync::OnceLock;

use testbox_model::WallReport;

use crate::counting::Gauges;
use crate::host::Hierarchy;
use crate::kernel::Kernel;
use crate::{BoxId, CgroupError, Counters, Demand, Host, Usage, counting, create, place};

/// The cgroups of one box: one directory in each hierarchy that guards or counts something, none in degraded mode.
///
/// Dropping it leaves the directories: they live as long as the box, see [`BoxGroup::remove`].
#[derive(Debug)]
pub struct BoxGroup {
    pub(crate) root: PathBuf,
    pub(crate) kernel: Kernel,
    pub(crate) directories: Vec<Directory>,
    pub(crate) parts: Parts,
    pub(crate) gauges: Gauges,
    /// There are no groups below its directories.
    pub(crate) flat: bool,
    pub(crate) walls: Vec<WallReport>,
    /// Refused forks at the moment when testbox itself forbade every fork, to kill the box.
    pub(crate) refused_before_kill: OnceLock<u64>,
}

/// One directory of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) unified: bool,
    /// The controllers field of `/proc/PID/cgroup`.
    pub(crate) key: String,
    /// The path field of `/proc/PID/cgroup`.
    pub(crate) group_path: String,
    /// The group below it that the box's own processes are in, where workers get groups beside them.
    pub(crate) leaf: Option<&'static str>,
}

/// Where one controller of a box is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    pub(crate) unified: bool,
}

/// The controllers of a box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) memory: Option<Part>,
    pub(crate) pids: Option<Part>,
    pub(crate) cpu: Option<Part>,
    pub(crate) cpuacct: Option<Part>,
    pub(crate) io: Option<Part>,
}

impl BoxGroup {
    /// Makes the directories of a box, writes the limits, reads them back.
    ///
    /// # Errors
    /// A wall cannot be built and is not in `demand.allow_degraded`; nothing is left then.
    pub fn create(host: &Host, id: &BoxId, demand: &Demand) -> Result<Self, CgroupError> {
        create::create(host, id, demand)
    }

    /// The directories of a box that exist already, to kill and remove them: for the process that survives the owner.
    /// Limits and walls are not known then.
    pub fn find(host: &Host, id: &BoxId) -> Option<Self> {
        let mut group = Self::empty(host);
        let name = id.to_string();
        for hierarchy in host.hierarchies() {
            let paths = place::parents(hierarchy).into_iter().map(|parent| parent.join(&name));
            for path in paths.filter(|path| path.is_dir()) {
                group.adopt(hierarchy, path);
            }
        }
        (!group.directories.is_empty()).then_some(group)
    }

    /// What stands of the walls memory, pids, cpu and io.
    pub fn walls(&self) -> &[WallReport] {
        &self.walls
    }

    /// The directories, one for each hierarchy.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.directories.iter().map(|directory| directory.path.clone()).collect()
    }

    /// A cheap sample: three reads of open files.
    pub fn usage(&self) -> Usage {
        self.gauges.read()
    }

    /// Everything that the kernel counted so far; call it before [`BoxGroup::remove`].
    pub fn counters(&self) -> Counters {
        counting::counters(self)
    }

    /// A box without directories.
    pub(crate) fn empty(host: &Host) -> Self {
        Self::bare(host.root().to_owned(), host.kernel)
    }

    /// A group without directories, of the host at `root`.
    pub(crate) fn bare(root: PathBuf, kernel: Kernel) -> Self {
        Self {
            root,
            kernel,
            directories: Vec::new(),
            parts: Parts::default(),
            gauges: Gauges::default(),
            flat: false,
            walls: Vec::new(),
            refused_before_kill: OnceLock::new(),
        }
    }

    /// Takes a directory that exists already.
    pub(crate) fn adopt(&mut self, hierarchy: &Hierarchy, path: PathBuf) {
        for (controller, file) in [("memory", "memory.stat"), ("pids", "pids.max")] {
            if path.join(file).exists() {
                *self.parts.of(controller) = Some(Part { path: path.clone(), unified: hierarchy.unified });
            }
        }
        self.directories.push(Directory::new(hierarchy, path));
    }
}

impl Directory {
    pub(crate) fn new(hierarchy: &Hierarchy, path: PathBuf) -> Self {
        let group_path = hierarchy.group_path(&path);
        Self { path, unified: hierarchy.unified, key: hierarchy.key.clone(), group_path, leaf: None }
    }

    /// The same hierarchy's directory `name` below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        let (path, group_path) = (self.path.join(name), format!("{}/{name}", self.group_path));
        Self { path, group_path, unified: self.unified, key: self.key.clone(), leaf: None }
    }

    /// The file through which a single-threaded process joins.
    pub(crate) fn members(&self) -> PathBuf {
        self.folder().join(if self.unified { "cgroup.procs" } else { "tasks" })
    }

    /// The group that the box's own processes are in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.leaf.map_or_else(|| self.path.clone(), |leaf| self.path.join(leaf))
    }

    /// What `/proc/PID/cgroup` shows of a process that joined.
    pub(crate) fn members_path(&self) -> String {
        self.leaf.map_or_else(|| self.group_path.clone(), |leaf| format!("{}/{leaf}", self.group_path))
    }
}

impl Part {
    /// How reports name the interface.
    pub(crate) fn version(&self) -> &'static str {
        if self.unified { "v2" } else { "v1" }
    }
}

impl Parts {
    /// The place of a controller, by the kernel's name.
    pub(crate) fn of(&mut self, controller: &str) -> &mut Option<Part> {
        match controller {
            "memory" => &mut self.memory,
            "pids" => &mut self.pids,
            "cpu" => &mut self.cpu,
            "cpuacct" => &mut self.cpuacct,
            _ => &mut self.io,
        }
    }
}
