//! What the processes of a run say to each other over the status socket: one JSON object a datagram (SOCK_SEQPACKET).
//!
//! Only testbox's own processes hold this socket (it is close-on-exec); the payload never sees it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Moment, ProjectCopy, Readback};

/// A step of the set-up of a box; an error names the one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetupStep {
    /// Join the cgroups.
    JoinCgroup,
    /// Create the namespaces of the launcher.
    Namespaces,
    /// Drop to the unprivileged host user.
    Identity,
    /// Prepare the mounts.
    Mounts,
    /// Mount the overlay view of the project.
    Overlay,
    /// Copy the project, because its overlay was refused.
    Copy,
    /// Make the scratch folder of a box without namespaces.
    Scratch,
    /// libcontainer builds the container.
    Container,
    /// Bring up loopback.
    Loopback,
    /// Cap the per-user kernel quotas.
    UserQuotas,
    /// Fork the payload.
    Fork,
    /// Map the payload's user.
    UserMap,
    /// Make the pseudo terminal.
    Pty,
    /// Set resource limits.
    Rlimits,
    /// Drop capabilities and set `no_new_privs`.
    Privileges,
    /// Load the seccomp filters.
    Seccomp,
    /// Scope the payload by Landlock.
    Landlock,
    /// Read the set-up back and compare.
    Readback,
    /// Enter the working directory.
    Cwd,
    /// Execute the command.
    Exec,
}

/// From launcher and init to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum InitMessage {
    /// The launcher goes on as this process, another child of main, born in the box's cgroup.
    Moved {
        /// Its pid as the host sees it.
        pid: i32,
    },
    /// The launcher built the container; `pid` (in the host's pid namespace) is its init.
    Created {
        /// Pid of the in-box init as the host sees it.
        pid: i32,
    },
    /// The kernel refused the overlay of the project; this other child of main, fuse-overlayfs, may make it instead.
    Daemon {
        /// Its pid as the host sees it.
        pid: i32,
    },
    /// fuse-overlayfs makes the view of the project.
    ByFuse {
        /// Why the kernel does not.
        because: String,
    },
    /// The overlay of the project was refused; the copy that the box gets instead takes its time.
    Copying,
    /// The copy of the project stands.
    Copied {
        /// What it took, and why it was made.
        copy: ProjectCopy,
        /// What is not in it, each a whole sentence.
        left_out: Vec<String>,
        /// When it stood: what is changed later, by the clock of its own file system, the box has changed.
        finished: Moment,
    },
    /// Descriptors travel with this datagram (SCM_RIGHTS), in the order of their names.
    Descriptors {
        /// `scratch`, `upper` (folders), `/dev/shm` (folder), `pty` (master side).
        names: Vec<String>,
    },
    /// The payload's set-up was read back and found as planned; exec follows.
    Ready {
        /// What was read back.
        readback: Readback,
    },
    /// A step failed; nothing of the payload ran.
    Failed {
        /// The step.
        step: SetupStep,
        /// The kernel's error number, 0 if there is none.
        errno: i32,
        /// What exactly: operation and object.
        detail: String,
    },
    /// The payload ended; `status` is the raw wait status.
    Exited {
        /// As `waitpid` gave it.
        status: i32,
    },
}

/// From the supervisor to the in-box init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SupervisorMessage {
    /// Start the command, once the box stands. Comes first.
    Start,
    /// Send this signal to the payload's process group.
    Signal {
        /// Signal number.
        signal: i32,
    },
    /// Send this signal to the payload's first process only.
    SignalLeader {
        /// Signal number.
        signal: i32,
    },
}

/// How a box is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxEnd {
    /// SIGKILL to its init: the kernel ends everything in the init's pid namespace.
    ByKernel,
    /// SIGTERM to its init, which ends everything below it and then itself.
    ByInit,
}

impl fmt::Display for SetupStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JoinCgroup => "join the cgroups",
            Self::Namespaces => "create the namespaces",
            Self::Identity => "drop to the unprivileged user",
            Self::Mounts => "prepare the mounts",
            Self::Overlay => "mount the overlay view of the project",
            Self::Copy => "copy the project",
            Self::Scratch => "make the scratch folder",
            Self::Container => "build the container",
            Self::Loopback => "bring up loopback",
            Self::UserQuotas => "cap the per-user kernel quotas",
            Self::Fork => "fork the command",
            Self::UserMap => "map the command's user",
            Self::Pty => "make the pseudo terminal",
            Self::Rlimits => "set the resource limits",
            Self::Privileges => "drop all privileges",
            Self::Seccomp => "load the seccomp filters",
            Self::Landlock => "scope the command by Landlock",
            Self::Readback => "verify the set-up",
            Self::Cwd => "enter the working directory",
            Self::Exec => "execute the command",
        })
    }
}
