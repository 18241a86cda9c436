//! What can fail in the supervisor itself; the box is killed and reaped before any of these is returned.

use std::io;

use crate::MeterError;

/// A step of the supervision that failed.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The signals of testbox cannot be turned into a descriptor.
    #[error("cannot {operation} for signals of testbox")]
    Signals {
        /// `block the mask`, `create a signalfd`.
        operation: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// A descriptor of the run cannot be prepared.
    #[error("cannot {operation} on the descriptor of {object}")]
    Prepare {
        /// `set O_NONBLOCK`, `read the file type`.
        operation: &'static str,
        /// Whose descriptor: `stdout of the command`.
        object: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// The modes of the user's terminal cannot be read or set.
    #[error("cannot {operation} of the terminal")]
    Terminal {
        /// `read the modes`, `set raw mode`.
        operation: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// The loop cannot wait for its descriptors.
    #[error("cannot poll the {count} descriptors of the run")]
    Poll {
        /// How many.
        count: usize,
        /// Cause.
        source: io::Error,
    },
    /// The in-box init cannot be waited for.
    #[error("cannot wait for the init of the box by its pidfd")]
    Reap {
        /// Cause.
        source: io::Error,
    },
    /// The final counters cannot be read, so no verdict would stand on evidence.
    #[error("cannot read the final counters of the box")]
    Counters {
        /// Cause.
        source: MeterError,
    },
}

impl SupervisorError {
    /// The exact fix, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Terminal { .. } => Some("run without `--tty`, or from a terminal".to_owned()),
            Self::Counters { .. } => {
                Some("something removed or froze the box's cgroup while it ran; `testbox doctor` names who manages cgroups here".to_owned())
            }
            _ => None,
        }
    }
}

/// The error of a system call of rustix as the standard one.
pub(crate) fn io_error(errno: rustix::io::Errno) -> io::Error {
    errno.into()
}
