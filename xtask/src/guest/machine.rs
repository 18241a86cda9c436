//! A running virtual machine: its line of frames, its console, and its end with us, whatever ends us.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::process::{Child, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::guest::Frame;
use crate::program::{Program, tail};

/// Lines of the console that an error repeats.
const CONSOLE_LINES: usize = 40;
/// Frames that may wait; then the guest waits.
const BACKLOG: usize = 64;

/// The virtual machine. It ends when this is dropped, or when this process ends.
pub(crate) struct Machine {
    child: Child,
    console: File,
    frames: Receiver<std::io::Result<Frame>>,
}

impl Machine {
    /// Starts it. The program reads its disk from stdin, writes frames to stdout and its console to stderr.
    pub(crate) fn start(program: Program, disk: File) -> Result<Self, Error> {
        let console = tempfile::tempfile()?;
        let mut child = program.spawn_between(disk, console.try_clone()?)?;
        let (sender, frames) = sync_channel(BACKLOG);
        if let Some(line) = child.stdout.take() {
            std::thread::spawn(move || forward(line, &sender));
        }
        Ok(Self { child, console, frames })
    }

    /// The next frame, which must come before `deadline`.
    pub(crate) fn next(&mut self, deadline: Instant) -> Result<Frame, Error> {
        match self.frames.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(source)) => Err(Error::GuestFailed { what: source.to_string(), console: self.console()? }),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::GuestTooSlow { limit: Duration::ZERO, console: self.console()? })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                let what = format!("the virtual machine ended ({status})");
                Err(Error::GuestFailed { what, console: self.console()? })
            }
        }
    }

    /// The end of what the guest wrote to its console, without control characters.
    fn console(&self) -> Result<String, Error> {
        let mut bytes = vec![];
        let mut console = &self.console;
        console.rewind()?;
        console.read_to_end(&mut bytes)?;
        let text: String = String::from_utf8_lossy(&bytes).replace('\r', "");
        let readable: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        Ok(tail(&readable, CONSOLE_LINES))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until the line ends or nobody listens any more.
fn forward(line: ChildStdout, sender: &SyncSender<std::io::Result<Frame>>) {
    let mut line = BufReader::new(line);
    while let Some(frame) = Frame::read(&mut line).transpose() {
        let is_last = frame.is_err();
        if sender.send(frame).is_err() || is_last {
            return;
        }
    }
}
