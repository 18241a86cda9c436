//! What goes into a supervision and what comes out of it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

use testbox_model::{BoxEnd, Evidence, RunEvent, Timeline};

use crate::{Meter, RawTerminal, Signals};

/// Everything that a supervision needs, as descriptors. They are close-on-exec and the caller keeps no copy of the
/// other ends, else the end of the output is not seen before the box is dead.
pub struct Inputs<'a> {
    /// Pidfd of the in-box init, a child of this process that nobody else waits for.
    pub init: OwnedFd,
    /// How the box is ended through it.
    pub end: BoxEnd,
    /// Pidfd of a process that answers the box's and is not of it: killed with the init, which would wait for its answers.
    pub helper: Option<OwnedFd>,
    /// The status socket (SOCK_SEQPACKET): `InitMessage`s come in, `SupervisorMessage`s go out.
    pub status: OwnedFd,
    /// The socket of pytest's plugin, testbox's side; `None`: the command is not pytest.
    pub plugin: Option<OwnedFd>,
    /// The command's streams, testbox's side.
    pub streams: Streams,
    /// The user's side of the streams.
    pub host: HostStreams<'a>,
    /// What every byte of output passes on its way to the user (not with a pty, which is copied raw).
    pub filter: Box<dyn OutputFilter + 'a>,
    /// Text for the user about an event; it is queued between the command's output on stderr, so a slow reader delays
    /// nothing. (The sink of events itself must never block.)
    pub notice: Option<Notice<'a>>,
    /// The numbers of the box. They are read once more after its death.
    pub meter: &'a mut dyn Meter,
    /// The bounded file systems of the box: name and any descriptor in each.
    pub disks: Vec<(String, OwnedFd)>,
    /// The start of the run: timeouts and times count from here.
    pub started: Instant,
    /// The signals to testbox, installed before the launch.
    pub signals: &'a Signals,
}

/// The text, if any, that the user shall read about an event; lines end with a newline.
pub type Notice<'a> = Box<dyn FnMut(&RunEvent) -> Option<String> + 'a>;

/// The command's streams, testbox's side.
#[derive(Debug)]
pub enum Streams {
    /// Pipes.
    Pipes {
        /// Write end of the command's stdin; `None`: it has none, or one that needs no pump.
        stdin: Option<OwnedFd>,
        /// Read end of its stdout.
        stdout: OwnedFd,
        /// Read end of its stderr; `None`: stdout and stderr share one pipe.
        stderr: Option<OwnedFd>,
    },
    /// A pseudo terminal of the box.
    Pty {
        /// Its master.
        master: OwnedFd,
        /// The user's terminal in raw mode; it is restored when the supervision ends. `None`: there is none.
        terminal: Option<RawTerminal>,
    },
}

/// The user's side of the streams; they are never changed (no O_NONBLOCK) and never closed.
#[derive(Debug, Clone, Copy)]
pub struct HostStreams<'a> {
    /// What is passed into the command's stdin. A terminal is passed on only with a pty.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Where the command's stdout goes.
    pub stdout: BorrowedFd<'a>,
    /// Where its stderr and testbox's own lines go.
    pub stderr: BorrowedFd<'a>,
}

/// One of the command's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output; with a shared pipe or a pty also everything else.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What every byte of output passes on its way to the user.
pub trait OutputFilter {
    /// Appends to `out` what shall be seen of `bytes`; may hold back an unfinished sequence of bounded length.
    fn feed(&mut self, stream: Stream, bytes: &[u8], out: &mut Vec<u8>);

    /// The stream ended: appends what was held back.
    fn finish(&mut self, stream: Stream, out: &mut Vec<u8>);
}

/// The filter that changes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unfiltered;

/// What a supervision found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What kernel and processes said; `evidence.payload` is how the command ended.
    pub evidence: Evidence,
    /// Memory, pids and CPU over time.
    pub timeline: Timeline,
    /// What the user must know besides; at most 64.
    pub warnings: Vec<String>,
    /// Wall time from the start to the end of the last process and the last byte, in milliseconds.
    pub duration_ms: u64,
    /// The helper lived until it was killed with the box.
    pub helper_lasted: bool,
}

impl OutputFilter for Unfiltered {
    fn feed(&mut self, _: Stream, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
    }

    fn finish(&mut self, _: Stream, _: &mut Vec<u8>) {}
}

impl Stream {
    /// Both, stdout first.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// The name that messages use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}
