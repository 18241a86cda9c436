//! The one table of exit codes; help, README and reports are generated from it.

use std::fmt;

use serde::{Serialize, Serializer};

/// What `testbox run` returns to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// The command ended by itself; its own code (0 to 119 by convention, but any value is passed on).
    Payload(u8),
    /// 120: the memory limit.
    Memory,
    /// 121: the limit of processes and threads.
    Pids,
    /// 122: disk space, inodes or the file size limit.
    Disk,
    /// 123: the output limit.
    Output,
    /// 124: a timeout (as GNU timeout).
    Timeout,
    /// 125: testbox itself could not do its job (as docker run).
    Fault,
    /// 126: the command is not executable.
    NotExecutable,
    /// 127: the command was not found.
    NotFound,
    /// 128 + N: the command died by signal N, which testbox did not send.
    Signal(u8),
    /// 130: the run was interrupted.
    Interrupted,
}

impl ExitCode {
    /// The rows of the published table: code and meaning, in ascending order.
    pub const TABLE: [(&'static str, &'static str); 14] = [
        ("0", "the command (all tests) passed"),
        ("1", "tests failed, killed tests included"),
        ("2-5", "as pytest means them: interrupted, internal error, usage error, no tests collected"),
        ("other", "the command's own exit code"),
        ("120", "memory: the box reached its memory limit and the kernel killed in it"),
        ("121", "pids: the box reached its limit of processes and threads"),
        ("122", "disk: scratch space, inodes or the file size limit ran out"),
        ("123", "output: the command printed more than the output limit"),
        ("124", "timeout: the run or idle timeout passed (as GNU timeout)"),
        ("125", "testbox itself could not do its job (as docker run); nothing is said about the tests"),
        ("126", "the command was found but is not executable"),
        ("127", "the command was not found"),
        ("128+N", "the command died by signal N, which testbox did not send"),
        ("130", "interrupted by SIGINT or SIGTERM to testbox"),
    ];

    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        match self {
            Self::Payload(code) => code,
            Self::Memory => 120,
            Self::Pids => 121,
            Self::Disk => 122,
            Self::Output => 123,
            Self::Timeout => 124,
            Self::Fault => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(signal) => 128u8.saturating_add(signal),
            Self::Interrupted => 130,
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}
