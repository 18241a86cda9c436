//! What can go wrong with cgroups: one variant a step, each with the object, the value and the exact fix.

use std::io;
use std::path::PathBuf;

use testbox_model::Wall;

/// A step that failed; [`CgroupError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// A file of the kernel cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file of the kernel does not have the form that is documented.
    #[error("cannot understand `{}`: `{text}`", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The part that is not understood.
        text: String,
    },
    /// A name that is not that of a box.
    #[error("`{name}` is not the name of a box: expected `testbox-<boot>-<pid>-<start>`")]
    ForeignName {
        /// The name.
        name: String,
    },
    /// No mounted hierarchy has the controller that a wall needs.
    #[error("cannot build the wall `{wall}`: no mounted cgroup hierarchy has the controller `{controller}`")]
    ControllerMissing {
        /// The wall.
        wall: Wall,
        /// The controller, as the kernel names it.
        controller: &'static str,
    },
    /// More than one wall cannot be built.
    #[error("cannot build the walls {}", quoted(walls))]
    Several {
        /// The walls.
        walls: Vec<Wall>,
        /// Why not the first of them.
        #[source]
        first: Box<CgroupError>,
    },
    /// v2: the group in which a box could be made does not pass the controller on, and is not ours to change.
    #[error("cannot build the wall `{wall}`: the controller `{controller}` is not enabled in `{}`", path.display())]
    NotEnabled {
        /// The wall.
        wall: Wall,
        /// The controller, as the kernel names it.
        controller: &'static str,
        /// The `cgroup.subtree_control` that lacks it.
        path: PathBuf,
        /// What is known to help.
        remedy: Option<String>,
    },
    /// The directory of the box exists already.
    #[error("cannot create cgroup `{}`: it exists already", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The caller may not make groups there.
    #[error("cannot build the wall `{wall}`: not allowed to create cgroup `{}`", path.display())]
    NotDelegated {
        /// The wall.
        wall: Wall,
        /// The directory.
        path: PathBuf,
        /// The hierarchy is the unified one.
        unified: bool,
        /// The kernel's answer.
        source: io::Error,
        /// What is known to help.
        remedy: Option<String>,
    },
    /// The hierarchy is mounted read-only.
    #[error("cannot build the wall `{wall}`: cannot create cgroup `{}` on a read-only mount", path.display())]
    ReadOnly {
        /// The wall.
        wall: Wall,
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The group in which the box would be made is frozen; its processes would never run.
    #[error("cannot build the wall `{wall}`: the parent cgroup `{}` is frozen", path.display())]
    Frozen {
        /// The wall.
        wall: Wall,
        /// The parent.
        path: PathBuf,
    },
    /// v2: the new group cannot hold processes with controllers.
    #[error("cannot build the wall `{wall}`: cgroup `{}` is of type `{kind}`, not `domain`", path.display())]
    NotDomain {
        /// The wall.
        wall: Wall,
        /// The directory.
        path: PathBuf,
        /// Its `cgroup.type`.
        kind: String,
    },
    /// A directory cannot be made for another reason.
    #[error("cannot build the wall `{wall}`: cannot create cgroup `{}`", path.display())]
    Create {
        /// The wall.
        wall: Wall,
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit cannot be set because the group is in use.
    #[error("cannot set the limit `{value}` of the wall `{wall}` in `{}`: the cgroup is busy", path.display())]
    Busy {
        /// The wall.
        wall: Wall,
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit cannot be set.
    #[error("cannot set the limit `{value}` of the wall `{wall}` in `{}`", path.display())]
    Limit {
        /// The wall.
        wall: Wall,
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A limit was set but reads back as another one.
    #[error("the limit of the wall `{wall}` in `{}` reads back as `{read}`, not as `{wrote}`", path.display())]
    Readback {
        /// The wall.
        wall: Wall,
        /// The file.
        path: PathBuf,
        /// The value that was written.
        wrote: String,
        /// The value that is in force.
        read: String,
    },
    /// Transfer rates were asked for, but no block device was found that they could apply to.
    #[error("cannot build the wall `io`: the box's files lie on no block device")]
    NoDevice,
    /// The descriptor by which a process joins the box cannot be opened, or joining failed.
    #[error("cannot join cgroup by `{}`", path.display())]
    Join {
        /// The `cgroup.procs`.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A process is not in the box although it must be.
    #[error("process {pid} is in cgroup `{found}`, not in `{expected}`")]
    NotMember {
        /// The process.
        pid: i32,
        /// The line of `/proc/PID/cgroup` that must be there.
        expected: String,
        /// The line that is there; empty if none is.
        found: String,
    },
    /// A notification about memory cannot be set up.
    #[error("cannot watch `{}`", path.display())]
    Watch {
        /// The file to be watched.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A process of the box cannot be killed.
    #[error("cannot kill process {pid} of `{}`", path.display())]
    Kill {
        /// The process.
        pid: i32,
        /// The cgroup.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Processes are still in the box when they must be gone.
    #[error("cgroup `{}` still holds {}", path.display(), left.join(", "))]
    NotEmpty {
        /// The cgroup.
        path: PathBuf,
        /// What is left: `pid (command)`.
        left: Vec<String>,
    },
    /// More workers at once than a box has groups for.
    #[error("all {most} groups for workers are in use")]
    NoSlot {
        /// Groups at most.
        most: usize,
    },
    /// An empty cgroup cannot be removed.
    #[error("cannot remove cgroup `{}`", path.display())]
    Remove {
        /// The cgroup.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// The pattern of errors about one wall that cannot be built.
macro_rules! about_a_wall {
    ($wall:ident) => {
        Self::ControllerMissing { $wall, .. }
            | Self::NotEnabled { $wall, .. }
            | Self::NotDelegated { $wall, .. }
            | Self::ReadOnly { $wall, .. }
            | Self::Frozen { $wall, .. }
            | Self::NotDomain { $wall, .. }
            | Self::Create { $wall, .. }
            | Self::Limit { $wall, .. }
            | Self::Readback { $wall, .. }
    };
}

impl CgroupError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Several { walls, first } => first.hint_for(walls),
            _ => self.hint_for(self.wall().as_slice()),
        }
    }

    /// The hint where these walls are missing.
    fn hint_for(&self, walls: &[Wall]) -> Option<String> {
        match self {
            Self::ControllerMissing { controller, .. } => Some(format!(
                "boot with `cgroup_enable={controller}` or mount its hierarchy, or {}",
                allow_degraded(walls)
            )),
            Self::NotEnabled { remedy, .. } | Self::NotDelegated { unified: true, remedy, .. } => {
                Some(format!("{}, or {}", remedy.as_deref().unwrap_or(DELEGATE), allow_degraded(walls)))
            }
            Self::NotDelegated { unified: false, .. } => Some(format!(
                "run testbox as root (with `sudo`), or on a host with cgroup v2 and a delegated group, or {}",
                allow_degraded(walls)
            )),
            Self::ReadOnly { .. } => Some(format!(
                "in a container, pass a writable /sys/fs/cgroup (podman: `--security-opt unmask=ALL`, docker: `--security-opt \
                 writable-cgroups=true`, an older one: `--privileged`){}, or {}",
                if rustix::process::geteuid().is_root() { "" } else { " and start testbox as its root" },
                allow_degraded(walls)
            )),
            Self::Frozen { path, .. } => Some(format!("thaw `{}`, or run testbox in another cgroup", path.display())),
            Self::NotDomain { .. } => Some(format!("{DELEGATE}, or {}", allow_degraded(walls))),
            Self::Create { .. } | Self::Limit { .. } | Self::Readback { .. } => Some(allow_degraded(walls)),
            Self::NoDevice => Some("leave out `--io-read` and `--io-write`, or pass `--allow-degraded io`".to_owned()),
            Self::Exists { .. } | Self::Busy { .. } | Self::NotEmpty { .. } | Self::Remove { .. } => {
                Some("run `testbox gc`, which removes what dead runs left".to_owned())
            }
            _ => None,
        }
    }
}

impl CgroupError {
    /// The error with its cause, in one line.
    pub(crate) fn with_cause(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    /// Whether it knows more than what always helps.
    pub(crate) fn has_remedy(&self) -> bool {
        matches!(self, Self::NotEnabled { remedy: Some(_), .. } | Self::NotDelegated { remedy: Some(_), .. })
    }

    /// The error with what helps, where it is about a place and nothing better is known.
    pub(crate) fn advise(mut self, advice: Option<&str>) -> Self {
        if let Self::NotEnabled { remedy, .. } | Self::NotDelegated { unified: true, remedy, .. } = &mut self {
            *remedy = remedy.take().or_else(|| advice.map(str::to_owned));
        }
        self
    }

    /// Names another wall as the one that cannot be built, where several need the same directory.
    pub(crate) fn blame(&mut self, other: Wall) {
        if let about_a_wall!(wall) = self {
            *wall = other;
        }
    }

    /// The wall that cannot be built, if it is about one.
    pub(crate) fn wall(&self) -> Option<Wall> {
        if let about_a_wall!(wall) = self { Some(*wall) } else { None }
    }
}

const DELEGATE: &str = "start testbox as the only process of a delegated group: \
    `systemd-run --user --scope -p Delegate=yes testbox run ...` (as root without `--user`; \
    in a service: `Delegate=yes` and `DelegateSubgroup=main`)";

fn allow_degraded(walls: &[Wall]) -> String {
    let names: Vec<String> = walls.iter().map(ToString::to_string).collect();
    format!("accept a weaker guard with `--allow-degraded {}`", names.join(","))
}

fn quoted(walls: &[Wall]) -> String {
    let names: Vec<String> = walls.iter().map(|wall| format!("`{wall}`")).collect();
    names.join(", ")
}
