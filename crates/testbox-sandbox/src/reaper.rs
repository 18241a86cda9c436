//! The reaper: a process that outlives a SIGKILL of testbox and cleans up after it (P2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::SandboxError;
use crate::sys::{self, Fork};

/// The byte with which main says goodbye.
const GOODBYE: u8 = b'.';

/// A running reaper.
#[derive(Debug)]
pub struct Reaper {
    pid: Pid,
    goodbye: OwnedFd,
}

/// The end of main, as the reaper's chores can await it.
#[derive(Debug)]
pub struct MainsEnd<'a>(&'a OwnedFd);

impl MainsEnd<'_> {
    /// Did main end, or say goodbye, within this time?
    pub fn comes_within(&self, time: Duration) -> bool {
        let timeout = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // Every signal is blocked here: nothing interrupts.
        poll(&mut [PollFd::new(self.0, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0)
    }
}

/// A reaper that was told to go; waits until it is gone when dropped.
#[derive(Debug)]
#[must_use = "the reaper is gone only when this is dropped"]
pub struct Dismissed(Option<Pid>);

impl Drop for Dismissed {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = waitpid(pid, None);
        }
    }
}

impl Reaper {
    /// Forks the reaper, which does `chores` beside main, with all of main's descriptors. If main dies without
    /// [`Reaper::dismiss`], `clean_up` runs in the reaper.
    ///
    /// The reaper leads its own session and blocks every signal, so that what kills main's process group or terminal
    /// session does not reach it; it keeps only the descriptors in `keep`, which `clean_up` may use.
    ///
    /// # Errors
    /// [`SandboxError::Prepare`] if pipe or fork fail.
    pub fn start(
        keep: Option<OwnedFd>,
        chores: impl FnOnce(&MainsEnd<'_>),
        clean_up: impl FnOnce(Option<OwnedFd>),
    ) -> Result<Self, SandboxError> {
        let (reader, goodbye) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(|errno| prepare("make the reaper's pipe", errno.into()))?;
        match sys::fork().map_err(|source| prepare("fork the reaper", source))? {
            Fork::Parent(pid) => Ok(Self { pid, goodbye }),
            Fork::Child => {
                let code = if watch(reader, keep, chores, clean_up).is_ok() { 0 } else { 1 };
                sys::exit_now(code)
            }
        }
    }

    /// Says goodbye: nothing is left to clean up. The reaper is gone when the result is dropped.
    pub fn dismiss(self) -> Dismissed {
        let said = rustix::io::write(&self.goodbye, &[GOODBYE]);
        Dismissed(said.is_ok().then_some(self.pid))
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
    clean_up: impl FnOnce(Option<OwnedFd>),
) -> io::Result<()> {
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
    let said = loop {
        match rustix::io::read(&reader, &mut byte) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if said == 0 {
        clean_up(keep);
    }
    Ok(())
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
        let error = Reaper::start(None, |_| {}, |_| {}).unwrap_err();
        assert!(matches!(error, SandboxError::Prepare { operation: "fork the reaper", .. }), "{error:?}");
    }
}
