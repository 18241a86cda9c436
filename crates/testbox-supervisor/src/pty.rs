//! The user's terminal: raw while a pty runs, restored after any ending.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::SupervisorError;
use crate::error::io_error;

/// A terminal and the modes it had. The reaper keeps one, so that even a SIGKILL of testbox leaves the terminal intact.
#[derive(Debug)]
pub struct SavedTerminal {
    tty: OwnedFd,
    modes: Termios,
}

/// A terminal in raw mode; dropping it restores the saved modes.
#[derive(Debug)]
pub struct RawTerminal {
    saved: SavedTerminal,
}

impl SavedTerminal {
    /// Reads the modes of a terminal and keeps a copy of its descriptor.
    ///
    /// # Errors
    /// It is not a terminal, or no descriptor is left.
    pub fn of(tty: BorrowedFd<'_>) -> Result<Self, SupervisorError> {
        let modes = tcgetattr(tty).map_err(|errno| failed("read the modes", errno))?;
        let tty = tty.try_clone_to_owned();
        let tty = tty.map_err(|source| SupervisorError::Terminal { operation: "copy the descriptor", source })?;
        Ok(Self { tty, modes })
    }

    /// Sets the saved modes, also from the background.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn restore(&self) -> Result<(), SupervisorError> {
        self.restore_on(self.tty.as_fd())
    }

    /// As [`SavedTerminal::restore`], through a descriptor of the caller: a fork may have closed the one kept here.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn restore_on(&self, tty: BorrowedFd<'_>) -> Result<(), SupervisorError> {
        set(tty, &self.modes).map_err(|errno| failed("restore the modes", errno))
    }
}

/// A process in the background would be stopped by SIGTTOU for it, unless that is blocked.
fn set(tty: BorrowedFd<'_>, modes: &Termios) -> Result<(), Errno> {
    let before = SigSet::thread_get_mask();
    let _no_reason_to_fail = SigSet::from(Signal::SIGTTOU).thread_block();
    let result = loop {
        match tcsetattr(tty, OptionalActions::Now, modes) {
            Err(Errno::INTR) => {}
            result => break result,
        }
    };
    if let Ok(before) = before {
        let _no_reason_to_fail = before.thread_set_mask();
    }
    result
}

impl RawTerminal {
    /// Sets raw mode.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn enter(saved: SavedTerminal) -> Result<Self, SupervisorError> {
        let raw = Self { saved };
        raw.resume()?;
        Ok(raw)
    }

    /// Raw mode again, after [`RawTerminal::suspend`].
    pub(crate) fn resume(&self) -> Result<(), SupervisorError> {
        let mut modes = self.saved.modes.clone();
        modes.make_raw();
        set(self.saved.tty.as_fd(), &modes).map_err(|errno| failed("set raw mode", errno))
    }

    /// The saved modes for as long as testbox is suspended.
    pub(crate) fn suspend(&self) -> Result<(), SupervisorError> {
        self.saved.restore()
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _terminal_is_gone = self.saved.restore();
    }
}

/// The user's raw terminal and the pty that has its size.
pub(crate) struct Screen {
    terminal: RawTerminal,
    master: OwnedFd,
}

impl Screen {
    pub(crate) fn new(terminal: RawTerminal, master: OwnedFd) -> Self {
        Self { terminal, master }
    }

    /// Gives the pty the size of the terminal.
    pub(crate) fn fit(&self) {
        copy_size(self.terminal.saved.tty.as_fd(), self.master.as_fd());
    }

    pub(crate) fn terminal(&self) -> &RawTerminal {
        &self.terminal
    }
}

/// Gives a pty the size of the user's terminal; a terminal without a size changes nothing.
fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(from)
        && size.ws_col > 0
        && size.ws_row > 0
    {
        let _pty_is_gone = tcsetwinsize(to, size);
    }
}

fn failed(operation: &'static str, errno: Errno) -> SupervisorError {
    SupervisorError::Terminal { operation, source: io_error(errno) }
}

#[cfg(test)]
mod tests {
    use rustix::termios::{LocalModes, Winsize};

    use super::*;

    #[test]
    fn raw_mode_ends_with_the_guard_and_a_copy_restores_as_well() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let echo = || tcgetattr(&pty.slave).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(echo());
        let for_reaper = SavedTerminal::of(pty.slave.as_fd()).unwrap();
        let raw = RawTerminal::enter(SavedTerminal::of(pty.slave.as_fd()).unwrap()).unwrap();
        assert!(!echo());
        for_reaper.restore().unwrap();
        assert!(echo());
        raw.resume().unwrap();
        assert!(!echo());
        drop(raw);
        assert!(echo());
    }

    #[test]
    fn a_size_is_copied_and_no_size_is_not() {
        let (host, boxed) = (nix::pty::openpty(None, None).unwrap(), nix::pty::openpty(None, None).unwrap());
        tcsetwinsize(&host.slave, Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        copy_size(host.slave.as_fd(), boxed.master.as_fd());
        assert_eq!(tcgetwinsize(&boxed.slave).unwrap().ws_col, 99);
        tcsetwinsize(&host.slave, Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        copy_size(host.slave.as_fd(), boxed.master.as_fd());
        assert_eq!(tcgetwinsize(&boxed.slave).unwrap().ws_col, 99);
    }

    #[test]
    fn a_pipe_is_no_terminal() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let error = SavedTerminal::of(reader.as_fd()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the modes of the terminal");
        assert!(error.hint().unwrap().contains("--tty"));
    }
}
