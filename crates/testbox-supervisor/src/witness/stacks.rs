//! Stack dumps: the pipe that an interpreter writes them to, and what they said.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use testbox_model::StackDump;
use testbox_pytest::calls;

/// Bytes of a dump that are kept; the innermost calls of the running thread come early.
const MAX_DUMP: usize = 256 << 10;
/// Bytes taken in one go.
const CHUNK: usize = 64 << 10;
/// Begins the dump of an interpreter that crashes: its last one.
const CRASH: &[u8] = b"Fatal Python error";
/// Dumps are not closer than this: each interrupts the tests for some microseconds.
const PAUSE: Duration = Duration::from_millis(150);

/// The stacks of one interpreter.
pub(super) struct Stacks {
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
    at_ms: u64,
    last: Option<Instant>,
    kept: Option<StackDump>,
    /// From where files are named.
    project: PathBuf,
}

impl Stacks {
    /// A pipe for dumps of an interpreter that runs this project; the second value is the end that it gets. An error is
    /// a sentence.
    pub(super) fn new(project: &Path) -> Result<(Self, OwnedFd), String> {
        let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
        let (reader, writer) = pipe.map_err(|error| format!("cannot make a pipe: {error}"))?;
        let project = project.to_owned();
        Ok((Self { pipe: Some(reader), text: Vec::new(), at_ms: 0, last: None, kept: None, project }, writer))
    }

    /// The pipe to wait for.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads a piece of a dump; true if there may be more.
    pub(super) fn read(&mut self) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut chunk = vec![0; CHUNK];
        match rustix::io::read(pipe, chunk.as_mut_slice()) {
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            Err(_) | Ok(0) => {
                self.pipe = None;
                false
            }
            Ok(length) => {
                let room = MAX_DUMP.saturating_sub(self.text.len());
                self.text.extend_from_slice(&chunk[..length.min(room)]);
                self.text.len() < MAX_DUMP
            }
        }
    }

    /// Whether it is time for another dump; the caller sends the signal.
    pub(super) fn ask(&mut self, now: Instant, at_ms: u64) -> bool {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            return false;
        }
        self.keep();
        (self.last, self.at_ms) = (Some(now), at_ms);
        true
    }

    /// Whether it was asked since its test began.
    pub(super) fn were_asked(&self) -> bool {
        self.last.is_some()
    }

    /// Another test begins: what was seen before is not where it was. It may have crashed before its begin was heard.
    pub(super) fn forget(&mut self) {
        while self.read() {}
        let crash = self.text.windows(CRASH.len()).rposition(|bytes| bytes == CRASH);
        self.text.drain(..crash.unwrap_or(self.text.len()));
        (self.kept, self.last) = (None, None);
    }

    /// What the last dump that said something said.
    pub(super) fn take(&mut self) -> Option<StackDump> {
        while self.read() {}
        self.keep();
        self.kept.take()
    }

    /// A dump that says something takes the place of the one before.
    fn keep(&mut self) {
        let calls = calls(&String::from_utf8_lossy(&self.text), &self.project);
        if !calls.is_empty() {
            self.kept = Some(StackDump { at_ms: self.at_ms, calls });
        }
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = " (most recent call first):\n  File \"/p/x.py\", line 3 in f\n";

    fn written(text: &str) -> (Stacks, OwnedFd) {
        let (stacks, writer) = Stacks::new(Path::new("/p")).unwrap();
        rustix::io::write(&writer, text.as_bytes()).unwrap();
        (stacks, writer)
    }

    #[test]
    fn what_was_seen_before_a_test_is_forgotten() {
        let (mut stacks, _writer) = written(&format!("Current thread 0x1{CALL}"));
        stacks.forget();
        assert_eq!(stacks.take(), None);
    }

    #[test]
    fn a_crash_before_the_tests_begin_was_heard_is_kept() {
        let before = "Current thread 0x1 (most recent call first):\n  File \"/p/before.py\", line 1 in g\n";
        let (mut stacks, _writer) =
            written(&format!("{before}Fatal Python error: Aborted\n\nCurrent thread 0x1{CALL}"));
        stacks.forget();
        assert_eq!(stacks.take().map(|dump| dump.calls), Some(vec!["x.py:3 in f".to_owned()]));
    }
}
