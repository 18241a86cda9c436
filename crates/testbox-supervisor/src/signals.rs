//! The signals to testbox as a descriptor. Installed before the launch, so that none is lost.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::SupervisorError;

/// What ends a run.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// What ends a run, resizes its terminal or suspends it.
const WANTED: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGWINCH, Signal::SIGTSTP];

/// SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH and SIGTSTP, blocked in this thread and readable as a descriptor.
///
/// A blocked mask survives fork and exec: **every child must call [`Signals::restore_mask`] before it execs** (or
/// before it forks the in-box init), else the command could not be interrupted. Signals that were ignored from the
/// start (`nohup`, a background job of `sh`) stay ignored.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    /// Readable when one of those is pending that end a run.
    ending: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks the signals in this thread, which must be the only one.
    ///
    /// # Errors
    /// The mask cannot be changed or no descriptor is left.
    pub fn install() -> Result<Self, SupervisorError> {
        let ignored = ignored_signals();
        let heeded = |signal: &Signal| ignored & bit(*signal) == 0;
        let mask: SigSet = WANTED.into_iter().filter(heeded).collect();
        let ending: SigSet = ENDING.into_iter().filter(heeded).collect();
        let before = SigSet::thread_get_mask().map_err(|source| failed("read the mask", source))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let open = |mask| SignalFd::with_flags(mask, flags).map_err(|source| failed("create a signalfd", source));
        let (fd, ending) = (open(&mask)?, open(&ending)?);
        mask.thread_block().map_err(|source| failed("block the mask", source))?;
        Ok(Self { fd, ending, before })
    }

    /// Gives this thread the mask it had before [`Signals::install`]: for children of a fork.
    ///
    /// # Errors
    /// The kernel refuses the mask (it has no reason to).
    pub fn restore_mask(&self) -> Result<(), SupervisorError> {
        self.before.thread_set_mask().map_err(|source| failed("restore the mask", source))
    }

    /// The run is over and told, or will not begin: what arrived meanwhile, as a third Ctrl-C, has nothing left to end.
    pub fn dismiss(self) {
        while self.next().is_some() {}
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The next pending signal.
    pub(crate) fn next(&self) -> Option<Signal> {
        let pending = self.fd.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(pending.ssi_signo).ok()?).ok()
    }
}

/// Readable when a signal is pending that ends a run: a launch can be cancelled by it, but not by a terminal's new size.
impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ending.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _no_reason_to_fail = self.before.thread_set_mask();
    }
}

/// The mask of ignored signals: a blocked signal would reach the descriptor even if it is ignored.
fn ignored_signals() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn bit(signal: Signal) -> u64 {
    1 << (signal as i32 - 1)
}

fn failed(operation: &'static str, errno: Errno) -> SupervisorError {
    SupervisorError::Signals { operation, source: errno.into() }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn signals_arrive_as_data_and_the_mask_comes_back() {
        let before = SigSet::thread_get_mask().unwrap();
        let signals = Signals::install().unwrap();
        assert_eq!(signals.next(), None);
        let ready = || {
            let mut fds = [rustix::event::PollFd::new(&signals, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
        };
        raise(Signal::SIGWINCH).unwrap();
        assert!(!ready(), "a new size ends nothing");
        assert_eq!(signals.next(), Some(Signal::SIGWINCH));
        raise(Signal::SIGTERM).unwrap();
        assert!(ready());
        raise(Signal::SIGINT).unwrap();
        let mut got = [signals.next().unwrap(), signals.next().unwrap()];
        got.sort_by_key(|signal| *signal as i32);
        assert_eq!(got, [Signal::SIGINT, Signal::SIGTERM]);
        signals.restore_mask().unwrap();
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
        drop(signals);
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
