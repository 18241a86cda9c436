//! The way in which the box sees the project: an overlay, by fuse-overlayfs where the kernel refuses that, a copy where
//! neither can be, as `--write` says, or read-only where there are no namespaces.

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// How the box sees the project. What it writes is bounded and thrown away, but for declared outputs and with `--write`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "way", rename_all = "kebab-case")]
pub enum ProjectView {
    /// A layer for writes above the project's own files.
    Overlay,
    /// The same, made by fuse-overlayfs, because the kernel refuses it.
    FuseOverlayfs {
        /// Why it is no overlay of the kernel's.
        because: String,
    },
    /// A copy in the scratch space, because there can be no overlay.
    Copy(ProjectCopy),
    /// The project itself, read-write (`--write`).
    Write,
    /// The project itself, read-only: a box without namespaces has no place for a layer above it.
    ReadOnly,
}

/// A copy of the project in the box's scratch space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCopy {
    /// Why it is no overlay, neither the kernel's nor by fuse-overlayfs.
    pub because: String,
    /// The scratch space that it took when the command started, which is memory of the box.
    pub bytes: Bytes,
    /// The inodes of the scratch space that it took: files, folders and links.
    pub inodes: u64,
}

/// A moment as file systems note it: seconds and nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

impl ProjectView {
    /// The way in one word, as in `testbox.json`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::FuseOverlayfs { .. } => "fuse-overlayfs",
            Self::Copy(_) => "copy",
            Self::Write => "write",
            Self::ReadOnly => "read-only",
        }
    }

    /// The copy, where it is one.
    pub fn copy(&self) -> Option<&ProjectCopy> {
        match self {
            Self::Copy(copy) => Some(copy),
            Self::Overlay | Self::FuseOverlayfs { .. } | Self::Write | Self::ReadOnly => None,
        }
    }

    /// What every reader must know of a way that nobody asked for, as what the project is.
    pub fn told(&self) -> Option<String> {
        match self {
            Self::FuseOverlayfs { because } => Some(by_fuse(because)),
            Self::Copy(copy) => Some(copy.told()),
            Self::Overlay | Self::Write | Self::ReadOnly => None,
        }
    }
}

/// What every reader must know of fuse-overlayfs, as what the project is.
pub fn by_fuse(because: &str) -> String {
    format!("shown by fuse-overlayfs, because {because}")
}

impl ProjectCopy {
    /// What every reader must know of it, as what the project is: `a copy (12.0 MiB of the scratch space), because ...`.
    pub fn told(&self) -> String {
        let plural = if self.inodes == 1 { "" } else { "s" };
        let took = format!("{} and {} inode{plural} of the scratch space", self.bytes, self.inodes);
        format!("a copy ({took}), because {}", self.because)
    }
}
