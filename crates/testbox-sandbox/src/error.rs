//! What can go wrong before the command runs.

use std::error::Error;
use std::{fmt, io};

use serde::{Deserialize, Serialize};
use testbox_model::SetupStep;

/// A box could not be built.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// testbox could not execute itself from a sealed copy.
    #[error("cannot seal testbox's own binary: {operation}")]
    Seal {
        /// What was attempted.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// main could not prepare the launch.
    #[error("cannot launch the box: {operation}")]
    Prepare {
        /// What was attempted.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The launcher could not make the bundle.
    #[error(transparent)]
    Bundle(Told),
    /// A step in launcher, init or payload failed.
    #[error("cannot {step}: {detail}{}", errno_suffix(*.errno))]
    Setup {
        /// The step.
        step: SetupStep,
        /// The kernel's error number, 0 if there is none.
        errno: i32,
        /// Operation and object.
        detail: String,
    },
    /// No namespaces can be made, and what could stand in their place was not allowed.
    #[error("{refused}")]
    NoNamespaces {
        /// What was refused.
        refused: Box<Self>,
    },
    /// No namespaces can be made, and nothing can stand in their place either.
    #[error(
        "no weaker box in place of namespaces: it needs Landlock with ABI 3 (Linux 6.2), and this kernel has {found}"
    )]
    NoFence {
        /// The Landlock that there is.
        found: String,
        /// What was refused.
        #[source]
        refused: Box<Self>,
    },
    /// The launcher ended without a word.
    #[error("the launcher of the box ended before the box stood (wait status {status:#x})")]
    LauncherDied {
        /// Its raw wait status.
        status: i32,
    },
    /// The set-up took too long.
    #[error("the box did not stand within {seconds} s")]
    TooSlow {
        /// The limit.
        seconds: u64,
    },
    /// A signal arrived while the box was being built.
    #[error("interrupted while the box was being built")]
    Interrupted,
    /// libcontainer's processes sent what main does not know.
    #[error("cannot read the launcher's message")]
    Message {
        /// Why.
        source: io::Error,
    },
}

impl SandboxError {
    /// The exact fix, where there is one.
    pub fn hint(&self) -> Option<String> {
        if let Self::Bundle(told) = self {
            return told.hint.clone();
        }
        if let Self::NoNamespaces { refused } = self {
            let weaker = "or accept a weaker box with `--allow-degraded namespaces` (`testbox help limits`)";
            return Some(refused.hint().map_or_else(|| weaker.to_owned(), |hint| format!("{hint}; {weaker}")));
        }
        if let Self::NoFence { refused, .. } = self {
            return refused.hint();
        }
        let Self::Setup { step, errno, detail } = self else { return None };
        match (step, *errno) {
            (SetupStep::Namespaces, libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EUSERS) => Some(
                "unprivileged user namespaces are switched off here: as root, set `kernel.unprivileged_userns_clone=1`, \
                 `kernel.apparmor_restrict_unprivileged_userns=0` or raise `user.max_user_namespaces`; or run testbox \
                 as root; `testbox doctor` says which"
                    .to_owned(),
            ),
            (SetupStep::Mounts | SetupStep::UserQuotas, libc::EPERM | libc::EROFS) => Some(
                "this may be a container that forbids it: `testbox doctor` says what is in the way, and what helps"
                    .to_owned(),
            ),
            (SetupStep::JoinCgroup, libc::EINVAL) => Some(
                "a v1 group with a limit of CPU time takes no process of real-time priority (SCHED_FIFO, SCHED_RR): \
                 start testbox at ordinary priority (`chrt --other 0 testbox run ...`), or leave out `--cpus`"
                    .to_owned(),
            ),
            (SetupStep::JoinCgroup, libc::ENOENT) => Some(
                "a process that an engine put into a container but not into its group (`/proc/self/cgroup` begins with `/..`, \
                 as after `exec` by rootless runc) may not enter a group there: start testbox by the container's own command"
                    .to_owned(),
            ),
            (SetupStep::Landlock, 0) if detail.starts_with("cannot hide the folder") => Some(
                "the names in it could be listed: hide its files one by one, or show less of what lies around it".to_owned(),
            ),
            (SetupStep::Scratch, _) => {
                Some("name a folder in which the box's user may make one in the variable TMPDIR".to_owned())
            }
            (SetupStep::Cwd, libc::EACCES) => Some(
                "the box's user may not enter it: without namespaces root cannot show its own folders to others; start testbox \
                 as the project's owner"
                    .to_owned(),
            ),
            (SetupStep::Mounts, libc::EACCES) => {
                Some("a folder above it must be searchable by you; or move the project".to_owned())
            }
            (SetupStep::Copy, libc::ENOSPC) => Some(
                "give the scratch space the room for it and for what the command writes with `--tmp-size SIZE`, and the box \
                 the memory, of which it is a part, with `--memory SIZE`; or show the project itself with `--write`"
                    .to_owned(),
            ),
            (SetupStep::Mounts, libc::EINVAL) if detail.starts_with("shift the owner of ") => Some(
                "what belongs to root there can be shown to the box's user only where the file system supports id-mapped \
                 mounts, which overlayfs does not: give it to an ordinary user (`chown -R`); without `--write` the box gets \
                 a copy of such a project"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

fn errno_suffix(errno: i32) -> String {
    match errno {
        0 => String::new(),
        number => format!(": {}", io::Error::from_raw_os_error(number)),
    }
}

/// An error of another process: its message, its causes and its hint, as they travel.
#[derive(Debug, Serialize, Deserialize)]
pub struct Told {
    message: String,
    cause: Option<Box<Self>>,
    hint: Option<String>,
}

impl Told {
    pub(crate) fn of(error: &dyn Error, hint: Option<String>) -> Self {
        let cause = error.source().map(|source| Box::new(Self::of(source, None)));
        Self { message: error.to_string(), cause, hint }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// A failed step, as it travels from launcher, init or payload to main.
#[derive(Debug)]
pub(crate) struct StepFailure {
    pub(crate) step: SetupStep,
    pub(crate) errno: i32,
    pub(crate) detail: String,
}

impl From<StepFailure> for SandboxError {
    fn from(StepFailure { step, errno, detail }: StepFailure) -> Self {
        Self::Setup { step, errno, detail }
    }
}

/// Names the step and the object of an operation that failed.
pub(crate) trait AtStep<T> {
    fn at(self, step: SetupStep, detail: impl FnOnce() -> String) -> Result<T, StepFailure>;
}

impl<T, E: Into<io::Error>> AtStep<T> for Result<T, E> {
    fn at(self, step: SetupStep, detail: impl FnOnce() -> String) -> Result<T, StepFailure> {
        self.map_err(|error| {
            let error = error.into();
            let errno = error.raw_os_error();
            let detail = if errno.is_none() { format!("{}: {error}", detail()) } else { detail() };
            let errno = errno.or_else(|| inner_errno(&error)).unwrap_or(0);
            StepFailure { step, errno, detail }
        })
    }
}

/// fs_err wraps the kernel's error to name the path; the number is one level down.
fn inner_errno(error: &io::Error) -> Option<i32> {
    error.get_ref()?.source()?.downcast_ref::<io::Error>()?.raw_os_error()
}
