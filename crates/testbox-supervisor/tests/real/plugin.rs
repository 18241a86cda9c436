//! A plugin that a test plays: it asks for slots, starts plain children in them, reaps them and says so.

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use testbox_model::RunPlan;
use testbox_supervisor::Outcome;

use crate::ground::supervised_with;

/// The plugin's side of the socket.
pub(crate) struct Plugin {
    socket: UnixStream,
    said: u64,
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

/// A slot that was given.
pub(crate) struct Given {
    pub(crate) order: Value,
    pub(crate) join: Vec<OwnedFd>,
    pub(crate) dumps: OwnedFd,
    pub(crate) gauges: Vec<(String, OwnedFd)>,
}

/// Supervises a box whose plugin does what `play` does, and ends when it has done it.
pub(crate) fn played<T: Send + 'static>(
    plan: &RunPlan,
    play: impl FnOnce(&mut Plugin) -> T + Send + 'static,
) -> (Outcome, Vec<testbox_model::RunEvent>, T) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    // Init waits for the end of the play: it reads a FIFO that the plugin's thread closes.
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, 0o600.into()).unwrap();
    let script = format!("read _ < {}", gate.display());
    let mut thread: Option<JoinHandle<T>> = None;
    let (outcome, events) = supervised_with(&script, plan, |_| {
        thread = Some(std::thread::spawn(move || {
            let held = fs_err::OpenOptions::new().write(true).open(&gate).unwrap();
            let mut plugin = Plugin { socket: theirs, said: 0, bytes: Vec::new(), fds: VecDeque::new() };
            let played = play(&mut plugin);
            drop(held);
            played
        }));
        Some(ours.into())
    });
    (outcome, events, thread.unwrap().join().unwrap())
}

impl Plugin {
    /// The first frame and its answer.
    pub(crate) fn hello(&mut self) -> Value {
        self.say(json!({"t": "hello", "protocol": 2, "python": "3.12.1", "pytest": "8.4.0", "dump_signal": 61}));
        let (welcome, fds) = self.hear();
        assert_eq!((welcome["t"].as_str(), fds.len()), (Some("welcome"), 1), "{welcome}");
        welcome["settings"].clone()
    }

    pub(crate) fn say(&mut self, mut frame: Value) {
        self.said += 1;
        frame["s"] = self.said.into();
        let body = frame.to_string();
        let framed = [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], body.as_bytes()].concat();
        // An error means that nobody listens any more, which the test sees by what it hears.
        let _ = self.socket.write_all(&framed);
    }

    /// The next order; null when the conversation is over.
    pub(crate) fn hear(&mut self) -> (Value, Vec<OwnedFd>) {
        loop {
            if let Some(order) = self.whole() {
                let count = usize::try_from(order["fds"].as_u64().unwrap_or(0)).unwrap();
                return (order, self.fds.drain(..count).collect());
            }
            let mut buffer = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let slices = &mut [IoSliceMut::new(&mut buffer)];
            let Ok(message) = recvmsg(&self.socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC) else {
                return (Value::Null, Vec::new());
            };
            for received in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = received {
                    self.fds.extend(fds);
                }
            }
            if message.bytes == 0 {
                return (Value::Null, Vec::new());
            }
            self.bytes.extend_from_slice(&buffer[..message.bytes]);
        }
    }

    fn whole(&mut self) -> Option<Value> {
        let (head, rest) = self.bytes.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*head) as usize;
        let order = serde_json::from_slice(rest.get(..length)?).unwrap();
        self.bytes.drain(..4 + length);
        Some(order)
    }

    pub(crate) fn want(&mut self, w: u32, memory: Option<u64>, pids: Option<u64>) -> Given {
        self.say(json!({"t": "want", "w": w, "memory": memory, "pids": pids}));
        let (order, fds) = self.hear();
        assert_eq!((order["t"].as_str(), order["w"].as_u64()), (Some("slot"), Some(w.into())), "{order}");
        let mut fds = fds.into_iter();
        let join = fds.by_ref().take(usize::try_from(order["join"].as_u64().unwrap()).unwrap()).collect();
        let dumps = fds.next().unwrap();
        let names = order["gauges"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        let gauges = names.zip(fds).collect();
        Given { order, join, dumps, gauges }
    }

    /// Starts a worker in a slot and waits for its `go`; the script runs when this returns.
    pub(crate) fn start(&mut self, w: u32, given: &Given, script: &str) -> Child {
        let child = given.spawn(script);
        self.say(json!({"t": "joined", "w": w}));
        let (order, _) = self.hear();
        assert_eq!(order, json!({"t": "go", "w": w}));
        // The shell waits for its `go`.
        writeln!(child.stdin.as_ref().unwrap()).unwrap();
        child
    }

    /// Reaps a worker, says so, and gives its diagnosis.
    pub(crate) fn reap(&mut self, w: u32, child: &mut Child, clean: bool) -> Value {
        let status = child.wait().unwrap().into_raw();
        self.say(json!({"t": "ended", "w": w, "status": status, "clean": clean}));
        let (order, _) = self.hear();
        assert_eq!((order["t"].as_str(), order["w"].as_u64()), (Some("diagnosis"), Some(w.into())), "{order}");
        order
    }

    pub(crate) fn test_begins(&mut self, w: u32, id: &str, timeout_ms: Option<u64>, teardown_ms: Option<u64>) {
        self.say(json!({"t": "start", "w": w, "id": id, "timeout_ms": timeout_ms, "teardown_ms": teardown_ms}));
    }

    pub(crate) fn test_ends(&mut self, w: u32, id: &str, outcome: &str) {
        self.say(json!({"t": "done", "w": w, "id": id, "outcome": outcome, "reports": [], "usage": {}}));
    }

    /// The ordinary end of a session.
    pub(crate) fn goodbye(&mut self, exit: i32) {
        self.say(json!({"t": "finish", "exit": exit}));
        self.say(json!({"t": "goodbye"}));
    }
}

impl Given {
    /// What a gauge that shows one number shows now.
    pub(crate) fn gauge(&self, name: &str) -> u64 {
        let (_, fd) = self.gauges.iter().find(|(gauge, _)| gauge == name).unwrap();
        let mut text = [0; 64];
        let length = rustix::io::pread(fd, &mut text, 0).unwrap();
        std::str::from_utf8(&text[..length]).unwrap().trim().parse().unwrap()
    }

    /// A shell that is in the slot when this returns, and runs the script when it reads a line.
    pub(crate) fn spawn(&self, script: &str) -> Child {
        let mut command = crate::ground::command("sh");
        let join = "for fd in $JOIN; do echo 0 > $fd || exit 97; done; echo; read _; eval \"$SCRIPT\"";
        let path = |fd: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        let paths: Vec<String> = self.join.iter().map(path).collect();
        command.args(["-c", join]).env("JOIN", paths.join(" ")).env("DUMPS", path(&self.dumps)).env("SCRIPT", script);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        child
    }
}
