//! Walls: the isolation layers of a box, and what is really enforced of each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One isolation layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wall {
    /// The namespaces: user, pid, mount, net, ipc, uts and cgroup.
    Namespaces,
    /// All capabilities dropped, `no_new_privs` set.
    Capabilities,
    /// The seccomp system call filters.
    Seccomp,
    /// The memory limit.
    Memory,
    /// The limit of processes and threads.
    Pids,
    /// The CPU limit.
    Cpu,
    /// The limits of disk transfer rates.
    Io,
    /// The bounded writable layer: scratch space and inodes.
    Disk,
    /// The network: none but loopback.
    Network,
}

/// How much of a wall stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WallState {
    /// Built, read back, and guarded by the kernel.
    Enforced,
    /// Replaced by something weaker, with the user's permission (`--allow-degraded`).
    Degraded,
    /// Not there: not asked for (no CPU limit), or switched off by the user (`--net host`).
    Off,
}

/// What every report says about one wall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallReport {
    /// The wall.
    pub wall: Wall,
    /// How much of it stands.
    pub state: WallState,
    /// By which mechanism, or why not: `cgroup v1 memory.limit_in_bytes`, `sampled every 50 ms`.
    pub by: String,
    /// What the reader must know: a gap of this mechanism on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Wall {
    /// Every wall, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Namespaces,
        Self::Capabilities,
        Self::Seccomp,
        Self::Memory,
        Self::Pids,
        Self::Cpu,
        Self::Io,
        Self::Disk,
        Self::Network,
    ];

    /// The name as typed and reported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Capabilities => "capabilities",
            Self::Seccomp => "seccomp",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Io => "io",
            Self::Disk => "disk",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Wall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|wall| wall.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            let nearest = crate::nearest(text, names);
            let guess = nearest.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            format!("`{text}` is not a wall: accepted are {}{guess}", names.join(", "))
        })
    }
}

impl WallReport {
    /// A wall that the kernel guards by `mechanism`.
    pub fn enforced(wall: Wall, mechanism: impl Into<String>) -> Self {
        Self { wall, state: WallState::Enforced, by: mechanism.into(), note: None }
    }

    /// A wall replaced by a weaker `mechanism`.
    pub fn degraded(wall: Wall, mechanism: impl Into<String>) -> Self {
        Self { wall, state: WallState::Degraded, by: mechanism.into(), note: None }
    }

    /// A wall that is not there, and why.
    pub fn off(wall: Wall, why: impl Into<String>) -> Self {
        Self { wall, state: WallState::Off, by: why.into(), note: None }
    }

    /// The same report with something that the reader must know.
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}
