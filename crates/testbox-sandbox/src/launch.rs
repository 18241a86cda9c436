//! main's side of a launch: pipes, fork, and waiting until the box stands.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbox_bundle::Bundle;
use testbox_cgroup::BoxGroup;
use testbox_model::InitMessage;

use crate::launcher::{self, Orders, Stdio};
use crate::sys::{self, Fork};
use crate::{Channel, SandboxError};

/// Longest time from fork until the box stands.
const SETUP_SECONDS: u64 = 30;

/// What a launch needs.
#[derive(Debug)]
pub struct Launch<'a> {
    /// What the box looks like.
    pub bundle: &'a Bundle,
    /// The box's cgroups; the launcher joins them before anything else.
    pub group: &'a BoxGroup,
    /// The box's name.
    pub box_id: &'a str,
    /// stdout and stderr share one pipe, so that their order holds.
    pub merge_output: bool,
    /// The command reads its stdin from a pipe; otherwise from /dev/null.
    pub stdin: bool,
    /// Processes of the payload's user in the box (RLIMIT_NPROC), where no cgroup limits them.
    pub nproc_limit: Option<u64>,
    /// Readable when the user asks to stop.
    pub cancel: BorrowedFd<'a>,
}

/// A box that stands; its command is about to run.
#[derive(Debug)]
pub struct Running {
    /// Pid of the in-box init, a child of this process.
    pub init_pid: i32,
    /// The same as a descriptor, for signals and waiting.
    pub init: OwnedFd,
    /// The status socket.
    pub channel: Channel,
    /// The socket of pytest's plugin.
    pub plugin: Option<OwnedFd>,
    /// The command's streams.
    pub streams: Streams,
    /// Folders of the bounded file systems, by name: `scratch`, `/dev/shm`.
    pub bounded: Vec<(String, OwnedFd)>,
    /// The upper layer of the project's overlay view.
    pub upper: Option<OwnedFd>,
}

/// main's ends of the command's streams.
#[derive(Debug)]
pub enum Streams {
    /// Pipes.
    Pipes {
        /// Write end of the command's stdin.
        stdin: Option<OwnedFd>,
        /// Read end of its stdout (and stderr, if merged).
        stdout: OwnedFd,
        /// Read end of its stderr, unless merged.
        stderr: Option<OwnedFd>,
    },
    /// The master of its pseudo terminal.
    Pty {
        /// Both directions.
        master: OwnedFd,
    },
}

/// Builds the box and starts its command.
///
/// The caller must be single-threaded. On an error, processes of a half-built box may still be ending; kill and remove
/// the group, then call [`reap_children`].
///
/// # Errors
/// The step that failed, with its cause ([`SandboxError`]).
pub fn launch(launch: &Launch<'_>) -> Result<Running, SandboxError> {
    let (ours, theirs) = Channel::pair().map_err(|source| prepare("make the status socket", source))?;
    let (outer, mut inner) = pipes(launch)?;
    let plugin = launch.bundle.process.plugin.then(plugin_sockets).transpose()?;
    let plugin = plugin.map(|(ours, theirs)| {
        inner.plugin = Some(theirs);
        ours
    });
    let attach = launch.group.attach_fds().map_err(|error| prepare("open the cgroups", io::Error::other(error)))?;
    let launcher = match sys::fork().map_err(|source| prepare("fork the launcher", source))? {
        Fork::Child => launcher::run(Orders {
            bundle: launch.bundle,
            group: launch.group,
            box_id: launch.box_id,
            nproc_limit: launch.nproc_limit,
            attach,
            channel: theirs,
            stdio: inner,
        }),
        Fork::Parent(pid) => pid,
    };
    drop((theirs, inner, attach));
    let deadline = Instant::now() + Duration::from_secs(SETUP_SECONDS);
    let mut standing = Standing::default();
    let stood = standing.wait(&ours, launch, deadline);
    let running = finish(stood, standing, launcher, ours, outer)?;
    Ok(Running { plugin, ..running })
}

/// Reaps every child of this process that has ended; waits for none.
pub fn reap_children() {
    while let Ok(status) = waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

/// Both ends of the socket of pytest's plugin.
fn plugin_sockets() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|errno| prepare("make the plugin's socket", errno.into()))
}

/// The command's ends of the streams.
fn pipes(launch: &Launch<'_>) -> Result<(OuterStreams, Stdio), SandboxError> {
    if launch.bundle.process.tty {
        return Ok((OuterStreams::default(), Stdio::default()));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| prepare("make a pipe", errno.into()));
    let (mut outer, mut inner) = (OuterStreams::default(), Stdio::default());
    if launch.stdin {
        let (reader, writer) = pipe()?;
        (inner.stdin, outer.stdin) = (Some(reader), Some(writer));
    }
    let (reader, writer) = pipe()?;
    (outer.stdout, inner.stdout) = (Some(reader), Some(writer));
    if !launch.merge_output {
        let (reader, writer) = pipe()?;
        (outer.stderr, inner.stderr) = (Some(reader), Some(writer));
    }
    Ok((outer, inner))
}

#[derive(Debug, Default)]
struct OuterStreams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// What has been heard of the box so far.
#[derive(Debug, Default)]
struct Standing {
    init: Option<(i32, OwnedFd)>,
    bounded: Vec<(String, OwnedFd)>,
    upper: Option<OwnedFd>,
    pty: Option<OwnedFd>,
}

impl Standing {
    /// Until the init has sent its descriptors, which is the last it does before the payload.
    fn wait(&mut self, channel: &Channel, launch: &Launch<'_>, deadline: Instant) -> Result<(), SandboxError> {
        loop {
            wait_readable(channel.as_fd(), launch.cancel, deadline)?;
            let received = channel.receive().map_err(|source| SandboxError::Message { source })?;
            match received {
                None => return Err(SandboxError::LauncherDied { status: 0 }),
                Some((InitMessage::Created { pid }, _)) => self.init = Some((pid, open_pidfd(pid)?)),
                Some((InitMessage::Descriptors { names }, fds)) => {
                    self.take(names, fds);
                    if self.init.is_some() {
                        return Ok(());
                    }
                }
                Some((InitMessage::Failed { step, errno, detail }, _)) => {
                    return Err(SandboxError::Setup { step, errno, detail });
                }
                Some((InitMessage::Ready { .. } | InitMessage::Exited { .. }, _)) => {
                    let source = io::Error::other("the command ran before the box stood");
                    return Err(SandboxError::Message { source });
                }
            }
        }
    }

    fn take(&mut self, names: Vec<String>, fds: Vec<OwnedFd>) {
        for (name, fd) in names.into_iter().zip(fds) {
            match name.as_str() {
                "upper" => self.upper = Some(fd),
                "pty" => self.pty = Some(fd),
                _ => self.bounded.push((name, fd)),
            }
        }
    }
}

fn finish(
    stood: Result<(), SandboxError>,
    standing: Standing,
    launcher: Pid,
    channel: Channel,
    outer: OuterStreams,
) -> Result<Running, SandboxError> {
    if stood.is_err() {
        if let Some((_, init)) = &standing.init {
            let _ = pidfd_send_signal(init, Signal::KILL);
        }
        // The launcher is our own unreaped child, so this pid is still its own.
        if let Ok(pidfd) = open_pidfd(launcher.as_raw()) {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
    let ended = waitpid(launcher, Some(WaitPidFlag::__WALL));
    match stood {
        Err(SandboxError::LauncherDied { .. }) => {
            return Err(SandboxError::LauncherDied { status: raw_status(ended) });
        }
        other => other?,
    }
    let (init_pid, init) = standing.init.ok_or(SandboxError::LauncherDied { status: 0 })?;
    let streams = match (standing.pty, outer.stdout) {
        (Some(master), _) => Streams::Pty { master },
        (None, Some(stdout)) => Streams::Pipes { stdin: outer.stdin, stdout, stderr: outer.stderr },
        (None, None) => return Err(SandboxError::Message { source: io::Error::other("the box sent no terminal") }),
    };
    Ok(Running { init_pid, init, channel, plugin: None, streams, bounded: standing.bounded, upper: standing.upper })
}

fn raw_status(ended: nix::Result<WaitStatus>) -> i32 {
    match ended {
        Ok(WaitStatus::Exited(_, code)) => code << 8,
        Ok(WaitStatus::Signaled(_, signal, _)) => signal as i32,
        _ => 0,
    }
}

fn open_pidfd(pid: i32) -> Result<OwnedFd, SandboxError> {
    let pid = rustix::process::Pid::from_raw(pid)
        .ok_or_else(|| SandboxError::Message { source: io::Error::other("the launcher sent pid 0") })?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| prepare("open a pidfd of the box's init", errno.into()))
}

fn wait_readable(channel: BorrowedFd<'_>, cancel: BorrowedFd<'_>, deadline: Instant) -> Result<(), SandboxError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [PollFd::new(&channel, PollFlags::IN), PollFd::new(&cancel, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(prepare("wait for the launcher", errno.into())),
            Ok(0) => return Err(SandboxError::TooSlow { seconds: SETUP_SECONDS }),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
            Ok(_) => return Err(SandboxError::Interrupted),
        }
    }
}

fn prepare(operation: &'static str, source: io::Error) -> SandboxError {
    SandboxError::Prepare { operation, source }
}
