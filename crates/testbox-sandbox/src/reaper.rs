//! The reaper: a process that outlives a SIGKILL of testbox and cleans up after it (P2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::SandboxError;
use crate::sys::{self, Fork};

/// A running reaper.
#[derive(Debug)]
#[must_use = "the reaper cleans up as soon as this is dropped"]
pub struct Reaper {
    pid: Pid,
    /// The only copy of the pipe's end that outlives the box: closed, by death too, it tells the reaper to begin.
    mains_end: OwnedFd,
}

/// The end of main, as the reaper's chores can await it.
#[derive(Debug)]
pub struct MainsEnd<'a>(&'a OwnedFd);

impl MainsEnd<'_> {
    /// Did main end, or let the reaper clean up, within this time?
    pub fn comes_within(&self, time: Duration) -> bool {
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // Every signal is blocked here: nothing interrupts.
        poll(&mut [PollFd::new(self.0, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
    }
}

/// A reaper at work; it is gone when this is dropped.
#[derive(Debug)]
#[must_use = "the reaper is gone only when this is dropped"]
pub struct CleaningUp(Option<Pid>);

impl CleaningUp {
    /// Waits until the reaper is gone: did it clean everything up?
    pub fn went_well(mut self) -> bool {
        self.wait()
    }

    fn wait(&mut self) -> bool {
        let ended = self.0.take().map(|pid| waitpid(pid, None));
        matches!(ended, Some(Ok(WaitStatus::Exited(_, 0))))
    }
}

impl Drop for CleaningUp {
    fn drop(&mut self) {
        self.wait();
    }
}

impl Reaper {
    /// Forks the reaper, which does `chores` beside main, with all of main's descriptors, and then waits for main's end.
    /// When main dies or calls [`Reaper::clean_up`], `clean_up` runs in the reaper; it says whether all went well.
    ///
    /// The reaper leads its own session and blocks every signal, so that what kills main's process group or terminal
    /// session does not reach it; it keeps only the descriptors in `keep`, which `clean_up` may use.
    ///
    /// # Errors
    /// [`SandboxError::Prepare`] if pipe or fork fail.
    pub fn start(
        keep: Option<OwnedFd>,
        chores: impl FnOnce(&MainsEnd<'_>),
        clean_up: impl FnOnce(Option<OwnedFd>) -> bool,
    ) -> Result<Self, SandboxError> {
        let (reader, mains_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| prepare("make the reaper's pipe", errno.into()))?;
        match sys::fork().map_err(|source| prepare("fork the reaper", source))? {
            Fork::Parent(pid) => Ok(Self { pid, mains_end }),
            Fork::Child => {
                drop(mains_end);
                let code = if watch(reader, keep, chores, clean_up).is_ok_and(|well| well) { 0 } else { 1 };
                sys::exit_now(code)
            }
        }
    }

    /// Lets the reaper clean up beside main, as it would after main's death.
    pub fn clean_up(self) -> CleaningUp {
        drop(self.mains_end);
        CleaningUp(Some(self.pid))
    }

    /// The reaper's pid.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }
}

fn watch(
    reader: OwnedFd,
    keep: Option<OwnedFd>,
    chores: impl FnOnce(&MainsEnd<'_>),
    clean_up: impl FnOnce(Option<OwnedFd>) -> bool,
) -> io::Result<bool> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    rustix::process::setsid()?;
    let _ = nix::sys::prctl::set_name(c"testbox-reaper");
    chores(&MainsEnd(&reader));
    // Descriptors that other processes wait on must not live on here: keep the two needed ones, low, and nothing else.
    let high = rustix::io::fcntl_dupfd_cloexec(reader.as_fd(), 5)?;
    let high_keep = keep.as_ref().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 5)).transpose()?;
    let null = fs_err::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for stdio in 0..3 {
        dup_to(null.file(), stdio)?;
    }
    dup_to(&high, 3)?;
    if let Some(fd) = &high_keep {
        dup_to(fd, 4)?;
    }
    std::mem::forget((reader, keep, null));
    let (reader, keep) = lowered(high, high_keep)?;
    let mut byte = [0u8; 1];
    // Nobody ever writes: what comes is the end.
    while rustix::io::read(&reader, &mut byte) == Err(rustix::io::Errno::INTR) {}
    Ok(clean_up(keep))
}

/// Moves the two descriptors to 3 and 4 and closes everything above.
fn lowered(reader: OwnedFd, keep: Option<OwnedFd>) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let first_free = if keep.is_some() { 5 } else { 4 };
    std::mem::forget((reader, keep));
    sys::close_from(first_free)?;
    Ok((sys::adopt(3)?, (first_free == 5).then(|| sys::adopt(4)).transpose()?))
}

fn dup_to(fd: impl AsFd, number: i32) -> io::Result<()> {
    if fd.as_fd().as_raw_fd() == number {
        return Ok(());
    }
    sys::dup_to(fd, number)
}

fn prepare(operation: &'static str, source: io::Error) -> SandboxError {
    SandboxError::Prepare { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test harness has several threads, from which testbox does not fork: a fresh process plays main.
    #[test]
    fn the_reaper_refuses_to_be_forked_beside_other_threads() {
        let error = Reaper::start(None, |_| {}, |_| true).unwrap_err();
        assert!(matches!(error, SandboxError::Prepare { operation: "fork the reaper", .. }), "{error:?}");
    }
}
