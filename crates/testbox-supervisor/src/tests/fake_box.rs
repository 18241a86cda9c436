//! A box without walls: a child as init, another as the command, and a thread that says what an in-box init would say.

use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitid,
};
use testbox_model::*;

use crate::supervise::supervise_at;
use crate::timers::Pace;
use crate::*;

/// Everything about a run that a test may set.
pub(super) struct FakeBox {
    pub(super) plan: RunPlan,
    pub(super) host_stdin: Option<OwnedFd>,
    pub(super) host_stdout: OwnedFd,
    pub(super) host_stderr: OwnedFd,
    /// stdout and stderr of the command are one pipe.
    pub(super) shared: bool,
    /// The command gets a pty.
    pub(super) pty: bool,
    /// Datagrams that init says first.
    pub(super) says: Vec<Vec<u8>>,
    /// Init is dead before anything is supervised.
    pub(super) init_dies: bool,
    pub(super) disks: Vec<(String, OwnedFd)>,
    pub(super) notices: bool,
    /// Supervision begins only when the command wrote a line to `$GATE`.
    pub(super) gated: bool,
    pub(super) pace: Pace,
    /// The user's terminal, for a command on a pty.
    pub(super) terminal: Option<RawTerminal>,
    script: String,
}

/// What a supervised run gave.
pub(super) struct Run {
    pub(super) result: Result<Outcome, SupervisorError>,
    pub(super) events: Vec<RunEvent>,
    pub(super) took: Duration,
}

impl FakeBox {
    /// A box whose command is this shell script; its output goes nowhere.
    pub(super) fn new(script: &str) -> Self {
        Self {
            plan: plan(),
            host_stdin: None,
            host_stdout: null(),
            host_stderr: null(),
            shared: false,
            pty: false,
            says: Vec::new(),
            init_dies: false,
            disks: Vec::new(),
            notices: false,
            gated: false,
            pace: pace(),
            terminal: None,
            script: script.to_owned(),
        }
    }

    /// Both outputs into files; the second value reads them when the run is over.
    pub(super) fn with_files(script: &str) -> (Self, impl FnOnce() -> (String, String)) {
        let (stdout, stderr) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let mut fake = Self::new(script);
        fake.host_stdout = stdout.reopen().unwrap().into();
        fake.host_stderr = stderr.reopen().unwrap().into();
        let text =
            |file: tempfile::NamedTempFile| String::from_utf8_lossy(&fs_err::read(file.path()).unwrap()).into_owned();
        (fake, move || (text(stdout), text(stderr)))
    }

    pub(super) fn gated(mut self) -> Self {
        self.gated = true;
        self
    }

    pub(super) fn timeout_ms(mut self, timeout: u64, grace: u64) -> Self {
        self.plan.times.timeout = set(testbox_model::Duration::from_ms(timeout));
        self.plan.times.grace = set(testbox_model::Duration::from_ms(grace));
        self
    }

    pub(super) fn idle_ms(mut self, idle: u64) -> Self {
        self.plan.times.idle_timeout = set(Some(testbox_model::Duration::from_ms(idle)));
        self
    }

    pub(super) fn output_limit(mut self, bytes: u64) -> Self {
        self.plan.limits.output_bytes = set(Bytes(bytes));
        self
    }

    /// Supervises it with a meter that is made from the command's pid.
    pub(super) fn run<M: Meter>(self, meter: impl FnOnce(i32) -> M) -> Run {
        self.run_with(meter, |_| {})
    }

    /// As [`FakeBox::run`]; `on_event` runs on the loop's own thread.
    pub(super) fn run_with<M: Meter>(
        mut self,
        meter: impl FnOnce(i32) -> M,
        mut on_event: impl FnMut(&RunEvent),
    ) -> Run {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let (gate, gate_writer) = std::io::pipe().unwrap();
        let (command, streams) = self.start_command(&gate_writer);
        if self.gated {
            (&gate).read_exact(&mut [0; 1]).unwrap();
        }
        let init = shell("read _").stdin(Stdio::piped()).spawn().unwrap();
        let (init_fd, pid) = (pidfd(&init), i32::try_from(command.id()).unwrap());
        for datagram in &self.says {
            send(&theirs, datagram, SendFlags::NOSIGNAL).unwrap();
        }
        if self.init_dies {
            pidfd_send_signal(&init_fd, Signal::KILL).unwrap();
        }
        let thread = kernel(init_fd.try_clone().unwrap(), init, command, theirs);
        let signals = Signals::install().unwrap();
        let mut meter = meter(pid);
        let mut events = Vec::new();
        let started = Instant::now();
        let inputs = Inputs {
            init: init_fd,
            end: testbox_model::BoxEnd::ByKernel,
            helper: None,
            status: ours,
            plugin: None,
            streams,
            host: HostStreams {
                stdin: self.host_stdin.as_ref().map(AsFd::as_fd),
                stdout: self.host_stdout.as_fd(),
                stderr: self.host_stderr.as_fd(),
            },
            filter: Box::new(Unfiltered),
            notice: self
                .notices
                .then(|| Box::new(|event: &RunEvent| Some(format!("<{}>\n", word(event)))) as Notice<'_>),
            meter: &mut meter,
            disks: self.disks,
            started,
            signals: &signals,
        };
        let result = supervise_at(self.pace, inputs, &self.plan, &mut |event| {
            events.push(event.clone());
            on_event(event);
        });
        let took = started.elapsed();
        thread.join().unwrap();
        Run { result, events, took }
    }

    fn start_command(&mut self, gate: &PipeWriter) -> (Child, Streams) {
        let mut command = shell(&self.script);
        command.process_group(0).env("GATE", format!("/proc/{}/fd/{}", std::process::id(), gate.as_raw_fd()));
        if self.pty {
            return start_on_pty(command, self.terminal.take());
        }
        let (stdin, our_stdin) = std::io::pipe().unwrap();
        let (our_stdout, stdout) = std::io::pipe().unwrap();
        let (our_stderr, stderr) = std::io::pipe().unwrap();
        command.stdin(stdin).stdout(stdout.try_clone().unwrap());
        match self.shared {
            true => command.stderr(stdout),
            false => command.stderr(stderr),
        };
        let stderr = (!self.shared).then(|| our_stderr.into());
        let streams = Streams::Pipes { stdin: Some(our_stdin.into()), stdout: our_stdout.into(), stderr };
        (command.spawn().unwrap(), streams)
    }
}

impl Run {
    pub(super) fn outcome(self) -> Outcome {
        self.result.unwrap()
    }

    pub(super) fn words(&self) -> Vec<&'static str> {
        self.events.iter().map(word).collect()
    }
}

fn start_on_pty(mut command: Command, terminal: Option<RawTerminal>) -> (Child, Streams) {
    let pty = nix::pty::openpty(None, None).unwrap();
    command.stdin(pty.slave.try_clone().unwrap()).stdout(pty.slave.try_clone().unwrap()).stderr(pty.slave);
    (command.spawn().unwrap(), Streams::Pty { master: pty.master, terminal })
}

/// What the kernel and an in-box init do: pass signals on, tell the command's end, end everything with init.
fn kernel(init_fd: OwnedFd, init: Child, mut command: Child, status: OwnedFd) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let (command_fd, group) = (pidfd(&command), Pid::from_child(&command));
        let (mut ended, mut hung_up) = (false, false);
        loop {
            let mut fds = vec![PollFd::new(&init_fd, PollFlags::IN)];
            fds.push(PollFd::new(&command_fd, if ended { PollFlags::empty() } else { PollFlags::IN }));
            if !hung_up {
                fds.push(PollFd::new(&status, PollFlags::IN));
            }
            poll(&mut fds, None).unwrap();
            let ready: Vec<bool> = fds.iter().map(|fd| fd.revents().contains(PollFlags::IN)).collect();
            hung_up |= fds.get(2).is_some_and(|fd| fd.revents().contains(PollFlags::HUP));
            if ready[0] {
                break;
            }
            if ready[1] && !ended {
                ended = true;
                let message = serde_json::to_vec(&InitMessage::Exited { status: raw_status(&command_fd) }).unwrap();
                let _supervisor_may_be_gone = send(&status, &message, SendFlags::NOSIGNAL);
            }
            if ready.get(2) == Some(&true) {
                pass_signal_on(&status, group);
            }
        }
        // The command is a zombie until here, so the number of its group is still its own.
        let _nobody_left = kill_process_group(group, Signal::KILL);
        command.wait().unwrap();
        drop(init);
    })
}

fn pass_signal_on(status: &OwnedFd, group: Pid) {
    let mut buffer = [0; 256];
    let (_, length) = recv(status, &mut buffer[..], RecvFlags::empty()).unwrap();
    if let Ok(SupervisorMessage::Signal { signal }) = serde_json::from_slice(&buffer[..length]) {
        let _nobody_left = kill_process_group(group, Signal::from_named_raw(signal).unwrap());
    }
}

fn raw_status(command_fd: &OwnedFd) -> i32 {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::PidFd(command_fd.as_fd()), options).unwrap().unwrap();
    status.exit_status().map(|code| code << 8).or(status.terminating_signal()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the tests supervise plain children")]
pub(crate) fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn pidfd(child: &Child) -> OwnedFd {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap()
}

fn null() -> OwnedFd {
    fs_err::OpenOptions::new().write(true).open("/dev/null").unwrap().into_file().into()
}

/// Reads to the end on a thread of its own.
pub(super) fn read_all(mut reader: PipeReader) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

pub(super) fn word(event: &RunEvent) -> &'static str {
    match event {
        RunEvent::ProjectByFuse { .. } => "project-by-fuse",
        RunEvent::ProjectCopied { .. } => "project-copied",
        RunEvent::Started { .. } => "started",
        RunEvent::Stopping { .. } => "stopping",
        RunEvent::Killing { .. } => "killing",
        RunEvent::OomKill { .. } => "oom-kill",
        RunEvent::Stalled { .. } => "stalled",
        RunEvent::Ended { .. } => "ended",
        RunEvent::Test { .. } => "test",
        RunEvent::TestKilled { .. } => "test-killed",
        RunEvent::Warning { .. } => "warning",
    }
}

fn pace() -> Pace {
    Pace { flush_patience: Duration::from_millis(300), ..Pace::default() }
}

pub(super) use testbox_model::sample::set;

pub(crate) fn plan() -> RunPlan {
    let mut plan = testbox_model::sample::plan();
    plan.times.timeout = set(testbox_model::Duration::from_secs(60));
    plan
}
