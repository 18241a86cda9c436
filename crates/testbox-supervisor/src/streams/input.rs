//! The way in: from the user's stdin to the command's, with backpressure and the end of file.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, read, write};

use super::source::set_nonblocking;
use crate::SupervisorError;

/// Bytes read ahead of the command at most.
const AHEAD_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 16 << 10;
/// What ends the input of a terminal's line discipline (Ctrl-D).
const END_OF_TRANSMISSION: u8 = 4;

pub(crate) struct Input<'a> {
    /// `None`: at its end.
    host: Option<BorrowedFd<'a>>,
    /// `None`: closed, or the command closed it.
    command: Option<OwnedFd>,
    is_pty: bool,
    queue: VecDeque<u8>,
}

impl<'a> Input<'a> {
    /// Into a pipe. A terminal is not read: the command's stdin ends at once.
    pub(crate) fn pipe(host: Option<BorrowedFd<'a>>, command: Option<OwnedFd>) -> Result<Self, SupervisorError> {
        let host = host.filter(|host| !host.is_terminal());
        Self::new(host, command, false)
    }

    /// Into the master of a pty.
    pub(crate) fn pty(host: Option<BorrowedFd<'a>>, master: OwnedFd) -> Result<Self, SupervisorError> {
        Self::new(host, Some(master), true)
    }

    fn new(host: Option<BorrowedFd<'a>>, command: Option<OwnedFd>, is_pty: bool) -> Result<Self, SupervisorError> {
        if let Some(command) = &command {
            set_nonblocking(command, "the command's stdin")?;
        }
        let ended = host.is_none();
        let mut input = Self { host, command, is_pty, queue: VecDeque::new() };
        if ended && !is_pty {
            input.close();
        }
        Ok(input)
    }

    /// The user's stdin, while more may be read ahead.
    pub(crate) fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.host.filter(|_| self.command.is_some() && self.queue.len() < AHEAD_BYTES)
    }

    /// The command's stdin, while something waits for it.
    pub(crate) fn writable(&self) -> Option<BorrowedFd<'_>> {
        self.command.as_ref().filter(|_| !self.queue.is_empty()).map(AsFd::as_fd)
    }

    /// Reads once; to be called when the user's stdin is ready.
    pub(crate) fn read(&mut self) {
        let Some(host) = self.host else { return };
        let mut buffer = [0; READ_BYTES];
        match read(host, &mut buffer) {
            Ok(length) if length > 0 => self.queue.extend(&buffer[..length]),
            Err(Errno::INTR | Errno::AGAIN) => return,
            Ok(_) | Err(_) => self.end(),
        }
        self.write();
    }

    /// Writes what the command takes; true if it took something.
    pub(crate) fn write(&mut self) -> bool {
        let mut took = false;
        while let (Some(command), (front, _)) = (&self.command, self.queue.as_slices()) {
            if front.is_empty() {
                break;
            }
            match write(command, front) {
                Ok(length) => {
                    self.queue.drain(..length);
                    took = true;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return took,
                Err(_) => self.close(),
            }
        }
        if self.host.is_none() && !self.is_pty {
            self.close();
        }
        took
    }

    /// The command is over: nothing goes in any more.
    pub(crate) fn close(&mut self) {
        self.host = None;
        self.command = None;
        self.queue = VecDeque::new();
    }

    fn end(&mut self) {
        self.host = None;
        if self.is_pty {
            self.queue.push_back(END_OF_TRANSMISSION);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn bytes_go_through_and_so_does_the_end() {
        let (host, mut user) = std::io::pipe().unwrap();
        let (mut command, stdin) = std::io::pipe().unwrap();
        let mut input = Input::pipe(Some(host.as_fd()), Some(stdin.into())).unwrap();
        user.write_all(b"hello").unwrap();
        drop(user);
        input.read();
        input.read();
        assert!(input.readable().is_none());
        let mut got = String::new();
        command.read_to_string(&mut got).unwrap();
        assert_eq!(got, "hello");
    }

    #[test]
    fn a_command_that_reads_nothing_holds_the_user_back() {
        let zeros = fs_err::File::open("/dev/zero").unwrap();
        let (_command, stdin) = std::io::pipe().unwrap();
        let mut input = Input::pipe(Some(zeros.file().as_fd()), Some(stdin.into())).unwrap();
        let mut reads = 0;
        while input.readable().is_some() {
            input.read();
            reads += 1;
        }
        assert!(reads * READ_BYTES <= AHEAD_BYTES + (64 << 10) + READ_BYTES, "{reads}");
        assert!(input.writable().is_some());
    }

    #[test]
    fn a_command_that_closed_its_stdin_ends_the_pump() {
        let zeros = fs_err::File::open("/dev/zero").unwrap();
        let (command, stdin) = std::io::pipe().unwrap();
        let mut input = Input::pipe(Some(zeros.file().as_fd()), Some(stdin.into())).unwrap();
        drop(command);
        input.read();
        assert!(input.readable().is_none() && input.writable().is_none());
    }

    #[test]
    fn a_terminal_is_not_read_without_a_pty() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (mut command, stdin) = std::io::pipe().unwrap();
        let input = Input::pipe(Some(pty.slave.as_fd()), Some(stdin.into())).unwrap();
        assert!(input.readable().is_none());
        assert_eq!(command.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn the_end_of_input_reaches_a_pty_as_a_key() {
        let (host, user) = std::io::pipe().unwrap();
        let boxed = nix::pty::openpty(None, None).unwrap();
        let mut input = Input::pty(Some(host.as_fd()), boxed.master.try_clone().unwrap()).unwrap();
        drop(user);
        input.read();
        assert_eq!(read(&boxed.slave, &mut [0; 8]).unwrap(), 0);
    }
}
