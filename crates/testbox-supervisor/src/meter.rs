//! `Meter`: where the numbers of a box come from: a cgroup, or the sampling watchdog where there is none.

use std::error::Error;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::PollFlags;
pub use testbox_cgroup::Counters;
use testbox_cgroup::Slots;
use testbox_model::StopCause;

/// Whom an alarm near a memory limit slows down (cgroup v2) has so long to dump its stacks.
pub(crate) const SLOWED: Duration = Duration::from_millis(90);

/// What the box uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// CPU time used since the start, in milliseconds; never falls.
    pub cpu_ms: u64,
    /// Forks refused by the limit since the start; never falls.
    pub refused_forks: u64,
}

/// A number of the box that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the {what} of the box")]
pub struct MeterError {
    /// Which: `usage`, `counters`, `processes`.
    pub what: &'static str,
    /// Cause.
    pub source: Box<dyn Error + Send + Sync>,
}

/// Where the numbers of a box come from. No method may block.
pub trait Meter {
    /// What the box uses now.
    ///
    /// # Errors
    /// The source cannot be read; the supervisor warns once and goes on with the last numbers.
    fn usage(&mut self) -> Result<Usage, MeterError>;

    /// The counters since the start. Also called when the box is dead, so the source must outlive it.
    ///
    /// # Errors
    /// The source cannot be read; at the end of a run that is an error of the run.
    fn counters(&mut self) -> Result<Counters, MeterError>;

    /// For how long nothing of the box could run for want of memory, in milliseconds since its start; `None` if nobody
    /// counts it.
    fn stalled_ms(&self) -> Option<u64> {
        None
    }

    /// Host pids of the box's processes, init included, in no order.
    ///
    /// # Errors
    /// The source cannot be read.
    fn processes(&mut self) -> Result<Vec<i32>, MeterError>;

    /// A descriptor that becomes ready in one of these ways when the kernel may have killed for memory.
    fn oom_fd(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        None
    }

    /// Takes the event off the descriptor of [`Meter::oom_fd`], so that it is ready again only after the next one.
    fn take_oom(&mut self) {}

    /// Descriptors that become ready in one of these ways when the memory in use crosses a mark below the limit.
    fn alarm_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        Vec::new()
    }

    /// Takes the events off the descriptors of [`Meter::alarm_fds`].
    fn take_alarms(&mut self) {}

    /// Groups for workers below the box's. `None`: workers share its limits.
    fn slots(&mut self) -> Option<&mut Slots> {
        None
    }

    /// A limit that this meter itself guards and that the last usage exceeds; the box is killed at once for it.
    fn breach(&self) -> Option<StopCause> {
        None
    }

    /// Time between two looks.
    fn interval(&self) -> Duration {
        Duration::from_millis(100)
    }
}
