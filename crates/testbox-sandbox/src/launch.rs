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
use testbox_bundle::{Bundle, BundleError, Identity, Outline};
use testbox_cgroup::{BoxGroup, CgroupError};
use testbox_model::{BoxEnd, InitMessage, Moment, Net, ProjectCopy, SupervisorMessage};

use crate::daemon::Daemon;
use crate::fence::Fence;
use crate::launcher::{self, Go, Ground, Orders, Planned, Stdio};
use crate::namespaces::Namespaces;
use crate::sys::{self, Fork};
use crate::{Channel, SandboxError, scratch};

/// Longest time from fork until the box stands.
const SETUP_SECONDS: u64 = 30;
/// Longest time in which a fenced box that was given up ends itself.
const ASKED_SECONDS: i64 = 5;
/// The same where the project is copied, from when that begins.
const COPY_SECONDS: u64 = 600;

/// How the command is connected.
#[derive(Debug, Clone, Copy)]
pub struct Wiring {
    /// Whether it has a network of its own.
    pub net: Net,
    /// It gets a pseudo terminal instead of pipes.
    pub tty: bool,
    /// stdout and stderr share one pipe, so that their order holds.
    pub merge_output: bool,
    /// The command reads its stdin from a pipe; otherwise from /dev/null.
    pub stdin: bool,
    /// Where no namespaces can be made, the box may be fenced instead (`--allow-degraded namespaces`).
    pub may_fence: bool,
}

/// A launcher at work: it makes the bundle, and then the box. Killed when it is dropped.
#[derive(Debug)]
#[must_use = "the launcher is killed when this is dropped"]
pub struct Launcher {
    // Dropped first: a launcher that waits for a word learns that there will be none.
    channel: Channel,
    child: Child,
    streams: OuterStreams,
    plugin: OwnedFd,
    may_fence: bool,
    found: Found,
}

/// What this host gives a box to stand on.
#[derive(Debug)]
enum Found {
    /// Namespaces in the making.
    Namespaces(Namespaces),
    /// It refuses them.
    Fence(Fence),
}

/// What a launcher has to know to make a box of its bundle.
#[derive(Debug)]
pub struct Launch<'a> {
    /// As whom the box runs.
    pub identity: Identity,
    /// The box's cgroups; the launcher joins them before it makes anything.
    pub group: &'a BoxGroup,
    /// The box's name.
    pub box_id: &'a str,
    /// Processes of the payload's user in the box (RLIMIT_NPROC), where no cgroup limits them.
    pub nproc_limit: Option<u64>,
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
    /// What the box writes into its project: the upper layer of the overlay view, or the copy.
    pub upper: Option<OwnedFd>,
    /// Who makes the view, where the kernel refused the overlay.
    pub fuse: Option<FuseMade>,
    /// Its pid and a pidfd of it: it is in the box's groups, and not of the box.
    pub helper: Option<(i32, OwnedFd)>,
    /// The copy, where there can be no overlay.
    pub copy: Option<CopyMade>,
    /// How the box is ended.
    pub end: BoxEnd,
    /// The launcher, which may still be going away: with it go its mounts, which takes the kernel a while.
    pub launcher: Leaving,
}

/// A view of the project that fuse-overlayfs makes.
#[derive(Debug)]
pub struct FuseMade {
    /// Why the kernel does not.
    pub because: String,
    /// Who does.
    pub daemon: Daemon,
}

impl FuseMade {
    /// What became of it during the run, if it did not last: a whole sentence.
    pub fn failed(&mut self) -> Option<String> {
        let how = self.daemon.ended()?;
        Some(format!(
            "fuse-overlayfs, which showed the project to the box, ended before the box did ({how}): from then on what the \
             command did in the project failed (ENOTCONN)"
        ))
    }
}

/// A copy of the project that a box got.
#[derive(Debug)]
pub struct CopyMade {
    /// What it took, and why it was made.
    pub copy: ProjectCopy,
    /// What is not in it, each a whole sentence.
    pub left_out: Vec<String>,
    /// When it stood, by the clock of its file system.
    pub finished: Moment,
}

/// A launcher whose work is done; it is gone when this is dropped.
#[derive(Debug)]
#[must_use = "the launcher is gone only when this is dropped"]
pub struct Leaving {
    /// Where it has become the init, it is that one's to wait for.
    _child: Option<Child>,
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

impl Launcher {
    /// Forks a launcher, which calls `bundle` while the caller goes on; starts to make the box's namespaces beside it.
    ///
    /// The caller must be single-threaded.
    ///
    /// # Errors
    /// [`SandboxError::Prepare`], or there cannot be a user namespace.
    pub fn start(wiring: Wiring, bundle: impl FnOnce() -> Result<Bundle, BundleError>) -> Result<Self, SandboxError> {
        let (ours, theirs) = Channel::pair().map_err(|source| prepare("make the status socket", source))?;
        let (outer, mut inner) = pipes(wiring)?;
        let (plugin, theirs_of_plugin) = plugin_sockets()?;
        inner.plugin = Some(theirs_of_plugin);
        let main = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
            .map_err(|errno| prepare("open a pidfd of testbox", errno.into()))?;
        match sys::fork().map_err(|source| prepare("fork the launcher", source))? {
            Fork::Child => {
                // Main's ends: with a copy here, main's death would close none of them.
                drop((ours, outer, plugin));
                launcher::run(Orders { main, channel: theirs, stdio: inner }, bundle)
            }
            Fork::Parent(pid) => {
                let mut child = Child { pid: Some(pid), pidfd: open_pidfd(pid.as_raw())?, end: BoxEnd::ByKernel };
                let found = match Namespaces::start(wiring.net) {
                    Ok(namespaces) => Found::Namespaces(namespaces),
                    Err(refused) => {
                        let fence = Fence::in_place_of_namespaces(refused, wiring.may_fence)?;
                        child.end = BoxEnd::ByInit;
                        Found::Fence(fence)
                    }
                };
                Ok(Self { child, channel: ours, streams: outer, plugin, may_fence: wiring.may_fence, found })
            }
        }
    }

    /// Waits for the bundle.
    ///
    /// # Errors
    /// The bundle's own ([`SandboxError::Bundle`]), or the launcher's.
    pub fn outline(&self, cancel: BorrowedFd<'_>) -> Result<Outline, SandboxError> {
        wait_readable(self.channel.as_fd(), cancel, None)?;
        match self.channel.receive().map_err(|source| SandboxError::Message { source })? {
            Some((Planned::Bundle(outline), _)) => Ok(outline),
            Some((Planned::Refused(told), _)) => Err(SandboxError::Bundle(told)),
            None => Err(SandboxError::LauncherDied { status: 0 }),
        }
    }

    /// Lets it make the box as soon as it has its bundle, up to the start of the command. Does not wait for it. Where
    /// namespaces are refused, it says what stands in their place.
    ///
    /// When a box is given up from here on, processes of a half-built one may still be ending; kill and remove the
    /// group, then call [`reap_children`].
    ///
    /// # Errors
    /// There cannot be such namespaces, or the groups cannot be opened.
    pub fn make_box(&mut self, launch: &Launch<'_>) -> Result<Option<Fence>, SandboxError> {
        let open = |error: CgroupError| prepare("open the cgroups", io::Error::other(error));
        let mut attach = launch.group.attach_fds().map_err(open)?;
        let birthplace = launch.group.birthplace().map_err(open)?;
        let go = Go {
            birthplace: birthplace.is_some(),
            box_id: launch.box_id.to_owned(),
            nproc_limit: launch.nproc_limit,
            membership: launch.group.membership(),
            ground: self.ground(launch)?,
        };
        attach.extend(birthplace);
        let attach: Vec<_> = attach.iter().map(AsFd::as_fd).collect();
        self.channel.send(&go, &attach).map_err(|source| SandboxError::Message { source })?;
        Ok(match &self.found {
            Found::Namespaces(_) => None,
            Found::Fence(fence) => Some(fence.clone()),
        })
    }

    fn ground(&mut self, launch: &Launch<'_>) -> Result<Ground, SandboxError> {
        if let Found::Namespaces(namespaces) = &self.found {
            match namespaces.map(launch.identity) {
                Ok(entrance) => return Ok(Ground::Namespaces(entrance)),
                Err(refused) => {
                    self.found = Found::Fence(Fence::in_place_of_namespaces(refused.into(), self.may_fence)?);
                    self.child.end = BoxEnd::ByInit;
                }
            }
        }
        let place = scratch::place(launch.box_id).map_err(|source| prepare("find the temporary folder", source))?;
        Ok(Ground::Fenced(place))
    }

    /// Lets the command start, and waits until the box stands.
    ///
    /// # Errors
    /// The step that failed, with its cause ([`SandboxError`]).
    pub fn start_command(self, outline: &Outline, cancel: BorrowedFd<'_>) -> Result<Running, SandboxError> {
        // If nobody is left to hear it, what was said before tells why.
        drop(self.channel.send(&SupervisorMessage::Start, &[]));
        let mut standing = Standing::default();
        let stood = standing.wait(&self.channel, cancel, SETUP_SECONDS);
        let Self { child, channel, streams, plugin, found, .. } = self;
        let running = finish(stood, standing, child, channel, streams)?;
        drop(found);
        Ok(Running { plugin: outline.plugin.then_some(plugin), ..running })
    }
}

/// The launcher's process.
#[derive(Debug)]
struct Child {
    pid: Option<Pid>,
    /// [`reap_children`] may take the pid away.
    pidfd: OwnedFd,
    /// How the box that it makes is ended.
    end: BoxEnd,
}

impl Child {
    /// Waits for its end; the raw wait status.
    fn wait(mut self) -> i32 {
        self.pid.take().map_or(0, |pid| raw_status(waitpid(pid, Some(WaitPidFlag::__WALL))))
    }

    fn kill(&self) {
        let _gone_already = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Where no kernel ends the box with its init, which it may have become: lets it do so.
    fn ask(&self) {
        if self.end == BoxEnd::ByKernel {
            return;
        }
        let _gone_already = pidfd_send_signal(&self.pidfd, Signal::TERM);
        let patience = Timespec { tv_sec: ASKED_SECONDS, tv_nsec: 0 };
        // Interrupted or too late: it is killed.
        let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&patience));
    }

    /// It has gone on as another process, and ended itself.
    fn moved_to(mut self, pid: i32, pidfd: OwnedFd) -> Self {
        if let Some(before) = self.pid.replace(Pid::from_raw(pid)) {
            let _ = waitpid(before, Some(WaitPidFlag::__WALL));
        }
        self.pidfd = pidfd;
        self
    }

    /// Somebody else waits for it.
    fn give_away(mut self) {
        self.pid = None;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            self.ask();
            self.kill();
            let _ = waitpid(pid, Some(WaitPidFlag::__WALL));
        }
    }
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
fn pipes(wiring: Wiring) -> Result<(OuterStreams, Stdio), SandboxError> {
    if wiring.tty {
        return Ok((OuterStreams::default(), Stdio::default()));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| prepare("make a pipe", errno.into()));
    let (mut outer, mut inner) = (OuterStreams::default(), Stdio::default());
    if wiring.stdin {
        let (reader, writer) = pipe()?;
        (inner.stdin, outer.stdin) = (Some(reader), Some(writer));
    }
    let (reader, writer) = pipe()?;
    (outer.stdout, inner.stdout) = (Some(reader), Some(writer));
    if !wiring.merge_output {
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
    /// The launcher, where it has gone on as another process.
    launcher: Option<(i32, OwnedFd)>,
    init: Option<(i32, OwnedFd)>,
    bounded: Vec<(String, OwnedFd)>,
    upper: Option<OwnedFd>,
    daemon: Option<Daemon>,
    /// Why the daemon makes the view, if it does.
    by_fuse: Option<String>,
    copy: Option<CopyMade>,
    pty: Option<OwnedFd>,
}

impl Standing {
    /// Until the init has sent its descriptors, which is the last it does before the payload.
    fn wait(&mut self, channel: &Channel, cancel: BorrowedFd<'_>, mut seconds: u64) -> Result<(), SandboxError> {
        let mut since = Instant::now();
        loop {
            wait_readable(channel.as_fd(), cancel, Some((since, seconds)))?;
            let received = channel.receive().map_err(|source| SandboxError::Message { source })?;
            match received {
                None => return Err(SandboxError::LauncherDied { status: 0 }),
                Some((InitMessage::Moved { pid }, _)) => self.launcher = Some((pid, open_pidfd(pid)?)),
                Some((InitMessage::Created { pid }, _)) => self.init = Some((pid, open_pidfd(pid)?)),
                Some((InitMessage::Daemon { pid }, _)) => {
                    let daemon = Daemon::of(pid).map_err(|source| prepare("open a pidfd of fuse-overlayfs", source))?;
                    self.daemon = Some(daemon);
                }
                Some((InitMessage::ByFuse { because }, _)) => self.by_fuse = Some(because),
                Some((InitMessage::Copying, _)) => (since, seconds) = (Instant::now(), COPY_SECONDS),
                Some((InitMessage::Copied { copy, left_out, finished }, _)) => {
                    (since, seconds) = (Instant::now(), SETUP_SECONDS);
                    self.copy = Some(CopyMade { copy, left_out, finished });
                }
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
    mut standing: Standing,
    mut launcher: Child,
    channel: Channel,
    outer: OuterStreams,
) -> Result<Running, SandboxError> {
    let end = launcher.end;
    if let Some((pid, pidfd)) = standing.launcher.take() {
        launcher = launcher.moved_to(pid, pidfd);
    }
    if let Err(error) = stood {
        drop(channel);
        // Who waits for its answer goes on with its death.
        drop(standing.daemon.take());
        launcher.ask();
        if let Some((_, init)) = &standing.init {
            let _ = pidfd_send_signal(init, Signal::KILL);
        }
        launcher.kill();
        let status = launcher.wait();
        return Err(match error {
            SandboxError::LauncherDied { .. } => SandboxError::LauncherDied { status },
            other => other,
        });
    }
    let (init_pid, init) = standing.init.ok_or(SandboxError::LauncherDied { status: 0 })?;
    let streams = match (standing.pty, outer.stdout) {
        (Some(master), _) => Streams::Pty { master },
        (None, Some(stdout)) => Streams::Pipes { stdin: outer.stdin, stdout, stderr: outer.stderr },
        (None, None) => return Err(SandboxError::Message { source: io::Error::other("the box sent no terminal") }),
    };
    let Standing { bounded, upper, copy, daemon, by_fuse, .. } = standing;
    let fuse = daemon.zip(by_fuse).map(|(daemon, because)| FuseMade { because, daemon });
    let helper = fuse.as_ref().map(|fuse| fuse.daemon.known_as()).transpose();
    let helper = helper.map_err(|source| prepare("keep a pidfd of fuse-overlayfs", source))?;
    let launcher = Leaving {
        _child: match end {
            BoxEnd::ByKernel => Some(launcher),
            BoxEnd::ByInit => {
                launcher.give_away();
                None
            }
        },
    };
    Ok(Running { init_pid, init, channel, plugin: None, streams, bounded, upper, fuse, helper, copy, end, launcher })
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
    pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| prepare("open a pidfd of a child", errno.into()))
}

fn wait_readable(
    channel: BorrowedFd<'_>,
    cancel: BorrowedFd<'_>,
    limit: Option<(Instant, u64)>,
) -> Result<(), SandboxError> {
    loop {
        let left = limit.map(|(since, seconds)| Duration::from_secs(seconds).saturating_sub(since.elapsed()));
        let timespec =
            |left: Duration| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let timeout = left.map(timespec);
        let mut fds = [PollFd::new(&channel, PollFlags::IN), PollFd::new(&cancel, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(prepare("wait for the launcher", errno.into())),
            Ok(0) => return Err(SandboxError::TooSlow { seconds: limit.map_or(0, |(_, seconds)| seconds) }),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
            Ok(_) => return Err(SandboxError::Interrupted),
        }
    }
}

fn prepare(operation: &'static str, source: io::Error) -> SandboxError {
    SandboxError::Prepare { operation, source }
}
