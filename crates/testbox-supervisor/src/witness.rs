//! What pytest says through the plugin's socket, and the stacks that it dumps on request. Hostile input: bounded, never
//! waited for, and no longer listened to after the first frame that the plugin would not send.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};
use testbox_model::{PytestEvidence, StackDump};
use testbox_pytest::{Decoder, Frame, Session, calls};

/// Bytes taken in one go, so that other descriptors get their turn.
const CHUNK: usize = 64 << 10;
/// Bytes of a dump that are kept; the innermost calls of the running thread come early.
const MAX_DUMP: usize = 256 << 10;
/// Dumps are not closer than this: each interrupts the tests for some microseconds.
const DUMP_PAUSE: Duration = Duration::from_millis(150);
/// Signals that the plugin may name: the real-time ones (signal(7)).
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The plugin's side of a run; of a run without pytest it knows nothing.
#[derive(Default)]
pub(crate) struct Witness {
    socket: Option<OwnedFd>,
    decoder: Decoder,
    session: Option<Session>,
    stack: Option<OwnedFd>,
    dump_signal: Option<i32>,
    dump: Vec<u8>,
    dump_at_ms: u64,
    last_dump: Option<Instant>,
    kept: Option<StackDump>,
}

impl Witness {
    /// Listens to this socket.
    pub(crate) fn new(socket: Option<OwnedFd>) -> Self {
        Self { socket, ..Self::default() }
    }

    /// The socket to wait for.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// The pipe of the dumps to wait for.
    pub(crate) fn stack_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stack.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there; a warning if the plugin is no longer listened to.
    pub(crate) fn hear(&mut self, at_ms: u64) -> Option<String> {
        let socket = self.socket.as_ref()?;
        let mut chunk = vec![0; CHUNK];
        match recv(socket, chunk.as_mut_slice(), RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) | Ok((0, _)) => self.socket = None,
            Ok((length, _)) => self.decoder.feed(&chunk[..length]),
        }
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => self.on(frame, at_ms),
                Ok(None) => return None,
                Err(error) => {
                    self.socket = None;
                    return Some(format!("pytest's plugin is no longer listened to: {error}"));
                }
            }
        }
    }

    /// Reads a piece of a dump.
    pub(crate) fn read_stack(&mut self) {
        let Some(stack) = &self.stack else { return };
        let mut chunk = [0; 4096];
        match rustix::io::read(stack, &mut chunk) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) | Ok(0) => self.stack = None,
            Ok(length) => {
                let room = MAX_DUMP.saturating_sub(self.dump.len());
                self.dump.extend_from_slice(&chunk[..length.min(room)]);
            }
        }
    }

    /// The signal that makes the tests dump their stacks, if it is time for one; the caller sends it.
    pub(crate) fn ask_for_dump(&mut self, now: Instant, at_ms: u64) -> Option<i32> {
        let signal = self.dump_signal?;
        if self.last_dump.is_some_and(|last| now < last + DUMP_PAUSE) {
            return None;
        }
        self.keep_dump();
        (self.last_dump, self.dump_at_ms) = (Some(now), at_ms);
        Some(signal)
    }

    /// Everything that was said.
    pub(crate) fn into_evidence(mut self) -> Option<PytestEvidence> {
        while self.stack.is_some() {
            let before = self.dump.len();
            self.read_stack();
            if self.dump.len() == before {
                break;
            }
        }
        self.keep_dump();
        let mut evidence = self.session?.evidence();
        evidence.stack = self.kept;
        Some(evidence)
    }

    fn on(&mut self, frame: Frame, at_ms: u64) {
        if let Frame::Hello { dump_signal, .. } = &frame {
            self.answer(*dump_signal);
        }
        self.session.get_or_insert_default().on(frame, at_ms);
    }

    /// The first frame is answered with the pipe that dumps go to.
    fn answer(&mut self, dump_signal: i32) {
        let Some(socket) = &self.socket else { return };
        let Ok((reader, writer)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else { return };
        let fds = [writer.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let pushed = control.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = sendmsg(socket, &[IoSlice::new(b"+")], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        if pushed && sent.is_ok() && REAL_TIME.contains(&dump_signal) {
            self.stack = Some(reader);
            self.dump_signal = Some(dump_signal);
        }
    }

    /// A dump that says something takes the place of the one before.
    fn keep_dump(&mut self) {
        let calls = calls(&String::from_utf8_lossy(&self.dump));
        if !calls.is_empty() {
            self.kept = Some(StackDump { at_ms: self.dump_at_ms, calls });
        }
        self.dump.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, recvmsg};
    use std::io::{IoSliceMut, Write};

    use super::*;

    fn framed(json: &str) -> Vec<u8> {
        [&(json.len() as u32).to_le_bytes()[..], json.as_bytes()].concat()
    }

    fn hello() -> Vec<u8> {
        framed(r#"{"t":"hello","s":1,"protocol":1,"python":"3.12.1","pytest":"8.4.0","dump_signal":61}"#)
    }

    fn pair() -> (Witness, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Witness::new(Some(ours.into())), theirs)
    }

    fn received(socket: &UnixStream) -> OwnedFd {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(socket, &mut [IoSliceMut::new(&mut [0; 8])], &mut control, RecvFlags::empty()).unwrap();
        let RecvAncillaryMessage::ScmRights(mut fds) = control.drain().next().unwrap() else { panic!("no descriptor") };
        fds.next().unwrap()
    }

    #[test]
    fn a_dump_comes_through_the_pipe_of_the_answer() {
        let (mut witness, mut plugin) = pair();
        let now = Instant::now();
        assert_eq!(witness.ask_for_dump(now, 1), None, "nobody is there yet");
        plugin.write_all(&hello()).unwrap();
        assert_eq!(witness.hear(1), None);
        let pipe = received(&plugin);
        assert_eq!(witness.ask_for_dump(now, 7), Some(61));
        assert_eq!(witness.ask_for_dump(now, 8), None, "not so soon again");
        let dump = b"Current thread 0x1 (most recent call first):\n  File \"/p/a.py\", line 3 in spin\n";
        rustix::io::write(&pipe, dump).unwrap();
        let evidence = witness.into_evidence().unwrap();
        assert_eq!(evidence.version, "8.4.0");
        assert_eq!(evidence.stack, Some(StackDump { at_ms: 7, calls: vec!["/p/a.py:3 in spin".to_owned()] }));
    }

    #[test]
    fn forged_and_endless_frames_end_the_conversation_with_a_warning() {
        for forged in [vec![0xff; 64], framed("{\"t\":\"x\"}"), [hello(), hello()].concat()] {
            let (mut witness, mut plugin) = pair();
            plugin.write_all(&forged).unwrap();
            let warning = witness.hear(1).unwrap();
            assert!(warning.contains("no longer listened to"), "{warning}");
            assert!(witness.fd().is_none());
        }
    }

    #[test]
    fn a_run_without_pytest_has_no_witness() {
        assert_eq!(Witness::new(None).into_evidence(), None);
        let (mut witness, plugin) = pair();
        drop(plugin);
        assert_eq!(witness.hear(1), None);
        assert_eq!(witness.into_evidence(), None);
    }
}
