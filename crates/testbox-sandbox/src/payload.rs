//! The payload: from a fork of the init to the user's command, one irreversible step after the other.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use caps::CapSet;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource as NixResource, setrlimit};
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use seccompiler::sock_filter;
use testbox_bundle::{Access, Bundle, CHANNEL_VARIABLE, Identity, Opening, Process, Resource, Rlimit};
use testbox_model::{InitMessage, Net, SetupStep};

use crate::channel::Channel;
use crate::error::{AtStep, StepFailure};
use crate::launcher::PLUGIN_FD;
use crate::readback::{self, Expected};
use crate::{call_filter, identity, landlock, sys};

/// Bytes of one BPF instruction (`struct sock_filter`, linux/filter.h).
const INSTRUCTION_BYTES: usize = 8;
/// The payload is the first to go when the host itself runs out of memory (oom_score_adj, proc(5)).
const OOM_SCORE_ADJ: &str = "1000";

/// Everything that the payload needs.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    process: Process,
    identity: Identity,
    rlimits: Vec<Rlimit>,
    nproc_limit: Option<u64>,
    net: Net,
    filters: Vec<Vec<sock_filter>>,
    channel: i32,
    plugin: Option<i32>,
    tty: bool,
    walls: Walls,
}

/// What stands around the payload when it is forked.
#[derive(Debug, Clone)]
enum Walls {
    /// Namespaces; it makes one more, of its own user.
    Namespaces,
    /// Nothing: it puts up its fence itself.
    Fence {
        openings: Vec<Opening>,
        /// The bounding set of capabilities is empty, which takes privileges.
        bounded: bool,
    },
}

impl Payload {
    pub(crate) fn new(bundle: &Bundle, nproc_limit: Option<u64>, channel: i32) -> Self {
        Self {
            process: bundle.process.clone(),
            identity: bundle.identity,
            rlimits: bundle.rlimits.clone(),
            nproc_limit,
            net: bundle.net,
            filters: bundle.filters.iter().map(|bytes| decode(bytes)).collect(),
            channel,
            plugin: bundle.process.plugin.then_some(PLUGIN_FD),
            tty: bundle.process.tty,
            walls: Walls::Namespaces,
        }
    }

    /// The same where there are no namespaces: the host's files are closed to it but for `openings`.
    pub(crate) fn fenced(self, openings: Vec<Opening>, bounded: bool) -> Self {
        let Identity { host_uid, host_gid, .. } = self.identity;
        let identity = Identity { box_uid: host_uid, box_gid: host_gid, ..self.identity };
        let filters = self.filters.into_iter().chain([call_filter::of(self.net)]).collect();
        Self { identity, filters, walls: Walls::Fence { openings, bounded }, ..self }
    }

    /// Empties the sets of capabilities of the calling process.
    pub(crate) fn drop_capabilities(&self) -> io::Result<()> {
        // The bounding set needs a capability to be emptied.
        let first = usize::from(matches!(self.walls, Walls::Fence { .. }));
        let sets = [CapSet::Bounding, CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted];
        sets[first..].iter().try_for_each(|set| caps::clear(None, *set).map_err(io::Error::other))
    }

    /// How many processes its user may have: where users are not its own, those that there are count as well.
    fn nproc(&self) -> Option<u64> {
        let others = match self.walls {
            Walls::Namespaces => 0,
            Walls::Fence { .. } => threads_of(self.identity.host_uid),
        };
        self.nproc_limit.map(|limit| limit.saturating_add(others))
    }

    /// Landlock, as far as it is needed. Needs no_new_privs.
    fn put_up_landlock(&self, terminal: Option<PathBuf>) -> Result<(), StepFailure> {
        match &self.walls {
            Walls::Namespaces if self.net == Net::None => Ok(()),
            Walls::Namespaces => landlock::scope_if_possible()
                .at(SetupStep::Privileges, || "scope abstract unix sockets by Landlock".to_owned()),
            Walls::Fence { openings, .. } => {
                let terminal = terminal.map(|path| Opening { path, access: Access::Device });
                let openings: Vec<Opening> = openings.iter().cloned().chain(terminal).collect();
                landlock::fence(&openings, self.net == Net::Host)
            }
        }
    }

    fn expected(&self) -> Expected {
        let bounding = !matches!(self.walls, Walls::Fence { bounded: false, .. });
        let Identity { box_uid, box_gid, .. } = self.identity;
        Expected { uid: box_uid, gid: box_gid, filters: self.filters.len() as u32, bounding }
    }

    /// Its terminal, if it gets one: master and slave.
    pub(crate) fn terminal(&self) -> Result<Option<(OwnedFd, OwnedFd)>, StepFailure> {
        self.tty.then(|| open_terminal(self.process.terminal_size)).transpose()
    }

    /// Closes all descriptors but the streams, the channel, the plugin's socket and `start`, which exec closes.
    fn keep_needed(&self, start: OwnedFd) -> io::Result<OwnedFd> {
        let number = self.plugin.unwrap_or(self.channel) + 1;
        sys::dup_to(&start, number)?;
        std::mem::forget(start);
        sys::close_from(number + 1)?;
        sys::cloexec_from(number)?;
        sys::adopt(number)
    }
}

fn wait_for(start: &OwnedFd) -> Result<(), StepFailure> {
    let mut byte = [0u8; 1];
    loop {
        match rustix::io::read(start, &mut byte) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(1) => return Ok(()),
            other => {
                let gone = other.map_or_else(io::Error::from, |_| io::Error::other("the init is gone"));
                return Err(gone).at(SetupStep::Exec, || "wait for the start".to_owned());
            }
        }
    }
}

/// A pseudo terminal of the box's own devpts, of this size in rows and columns: master and slave.
fn open_terminal(size: Option<(u16, u16)>) -> Result<(OwnedFd, OwnedFd), StepFailure> {
    let describe = || "open /dev/ptmx in the box".to_owned();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags).at(SetupStep::Pty, describe)?;
    rustix::pty::grantpt(&master).at(SetupStep::Pty, describe)?;
    rustix::pty::unlockpt(&master).at(SetupStep::Pty, describe)?;
    let name = rustix::pty::ptsname(&master, Vec::new()).at(SetupStep::Pty, describe)?;
    let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
        .at(SetupStep::Pty, || format!("open {}", name.to_string_lossy()))?;
    if let Some((ws_row, ws_col)) = size {
        let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size)
            .at(SetupStep::Pty, || format!("set {ws_row} rows, {ws_col} columns"))?;
    }
    Ok((master, slave))
}

/// The payload's life before exec; what fails is reported over the channel. It executes the command when a byte comes
/// from `start`.
pub(crate) fn run(payload: &Payload, channel: &Channel, terminal: Option<OwnedFd>, start: OwnedFd) -> ! {
    let failure = match confine(payload, channel, terminal, start) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    channel.report(failure);
    sys::exit_now(127)
}

enum Never {}

fn confine(
    payload: &Payload,
    channel: &Channel,
    terminal: Option<OwnedFd>,
    start: OwnedFd,
) -> Result<Never, StepFailure> {
    let own_terminal = terminal.as_ref().and_then(|slave| rustix::termios::ttyname(slave, Vec::new()).ok());
    let own_terminal = own_terminal.map(|name| PathBuf::from(OsString::from_vec(name.into_bytes())));
    new_session(terminal)?;
    let start = payload.keep_needed(start).at(SetupStep::Exec, || "close descriptors".to_owned())?;
    // The box holds nobody yet who could look into this process, and it must write its own /proc files.
    nix::sys::prctl::set_dumpable(true).at(SetupStep::Privileges, || "own the /proc files".to_owned())?;
    fs_err::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ)
        .at(SetupStep::Privileges, || format!("write {OOM_SCORE_ADJ} to /proc/self/oom_score_adj"))?;
    if let Walls::Namespaces = payload.walls {
        own_user(payload)?;
    }
    set_rlimits(payload)?;
    enter_cwd(&payload.process.cwd)?;
    payload.drop_capabilities().at(SetupStep::Privileges, || "drop the capabilities".to_owned())?;
    nix::sys::prctl::set_no_new_privs().at(SetupStep::Privileges, || "set no_new_privs".to_owned())?;
    payload.put_up_landlock(own_terminal)?;
    if let Some(plugin) = payload.plugin {
        sys::keep_across_exec(plugin).at(SetupStep::Exec, || "pass the plugin's socket".to_owned())?;
    }
    sys::reset_signals();
    let command = Command::new(&payload.process, payload.plugin)?;
    load_filters(&payload.filters)?;
    let readback = readback::verify(payload.expected())?;
    wait_for(&start)?;
    channel.send(&InitMessage::Ready { readback }, &[]).at(SetupStep::Readback, || "report the set-up".to_owned())?;
    Err(command.execute())
}

fn new_session(terminal: Option<OwnedFd>) -> Result<(), StepFailure> {
    rustix::process::setsid().at(SetupStep::Fork, || "start a session".to_owned())?;
    let Some(terminal) = terminal else { return Ok(()) };
    let describe = || "take the terminal".to_owned();
    sys::set_controlling_terminal(&terminal).at(SetupStep::Pty, describe)?;
    for stdio in 0..3 {
        sys::dup_to(terminal.as_fd(), stdio).at(SetupStep::Pty, describe)?;
    }
    Ok(())
}

/// A user namespace in which the payload has its own uid instead of 0.
fn own_user(payload: &Payload) -> Result<(), StepFailure> {
    let identity = payload.identity;
    nix::sched::unshare(CloneFlags::CLONE_NEWUSER)
        .at(SetupStep::UserMap, || "create the command's user namespace".to_owned())?;
    identity::map("self", (identity.box_uid, 0), (identity.box_gid, 0))
        .at(SetupStep::UserMap, || format!("map user {} and group {}", identity.box_uid, identity.box_gid))
}

fn set_rlimits(payload: &Payload) -> Result<(), StepFailure> {
    let nproc = payload.nproc().map(|limit| (NixResource::RLIMIT_NPROC, limit));
    let limits = payload.rlimits.iter().map(|limit| (nix_resource(limit.resource), limit.value)).chain(nproc);
    for (resource, value) in limits {
        setrlimit(resource, value, value).at(SetupStep::Rlimits, || format!("set {resource:?} to {value}"))?;
    }
    Ok(())
}

fn nix_resource(resource: Resource) -> NixResource {
    match resource {
        Resource::Nofile => NixResource::RLIMIT_NOFILE,
        Resource::Core => NixResource::RLIMIT_CORE,
        Resource::Fsize => NixResource::RLIMIT_FSIZE,
    }
}

/// Enters the working directory and checks that it lies in the box (CVE-2024-21626).
fn enter_cwd(cwd: &Path) -> Result<(), StepFailure> {
    rustix::process::chdir(cwd).at(SetupStep::Cwd, || format!("chdir to {}", cwd.display()))?;
    let found = rustix::process::getcwd(Vec::new()).at(SetupStep::Cwd, || "read the working directory".to_owned())?;
    if found.to_bytes() == cwd.as_os_str().as_bytes() {
        return Ok(());
    }
    let detail = format!("chdir to {} led to {}", cwd.display(), found.to_string_lossy());
    Err(StepFailure { step: SetupStep::Cwd, errno: 0, detail })
}

/// Threads of this user on the host: what RLIMIT_NPROC counts where there are no namespaces.
fn threads_of(uid: u32) -> u64 {
    let status = |entry: fs_err::DirEntry| fs_err::read_to_string(entry.path().join("status")).ok();
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let all = fs_err::read_dir("/proc").into_iter().flatten().flatten().filter_map(status);
    let own = all.filter(|status| field(status, "Uid:") == Some(u64::from(uid)));
    own.filter_map(|status| field(&status, "Threads:")).sum()
}

fn load_filters(filters: &[Vec<sock_filter>]) -> Result<(), StepFailure> {
    for (index, filter) in filters.iter().enumerate() {
        seccompiler::apply_filter(filter)
            .map_err(io::Error::other)
            .at(SetupStep::Seccomp, || format!("load filter {index}"))?;
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Vec<sock_filter> {
    let (instructions, _) = bytes.as_chunks::<INSTRUCTION_BYTES>();
    instructions
        .iter()
        .map(|i| sock_filter {
            code: u16::from_ne_bytes([i[0], i[1]]),
            jt: i[2],
            jf: i[3],
            k: u32::from_ne_bytes([i[4], i[5], i[6], i[7]]),
        })
        .collect()
}

/// A command that is ready to be executed: nothing needs to be allocated or opened after the filters are loaded.
struct Command {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    name: String,
}

impl Command {
    fn new(process: &Process, plugin: Option<i32>) -> Result<Self, StepFailure> {
        let empty = OsString::new();
        let name = process.argv.first().unwrap_or(&empty);
        let path = process.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
        let c_string = |text: &OsStr| {
            CString::new(text.as_bytes())
                .at(SetupStep::Exec, || format!("pass `{}` with a NUL byte", text.to_string_lossy()))
        };
        let candidates =
            candidates(name, path).iter().map(|path| c_string(path.as_os_str())).collect::<Result<_, _>>()?;
        let argv = process.argv.iter().map(|argument| c_string(argument)).collect::<Result<_, _>>()?;
        let plugin = plugin.map(|number| (OsString::from(CHANNEL_VARIABLE), OsString::from(number.to_string())));
        let pairs =
            process.env.iter().chain(&plugin).map(|(key, value)| [key.as_bytes(), b"=", value.as_bytes()].concat());
        let env = pairs.map(|pair| c_string(&OsString::from_vec(pair))).collect::<Result<_, _>>()?;
        Ok(Self { candidates, argv, env, name: name.to_string_lossy().into_owned() })
    }

    /// Executes the first candidate that exists, as execvp(3) does; returns only on failure.
    fn execute(&self) -> StepFailure {
        let mut last = (Errno::ENOENT, self.missing());
        for candidate in &self.candidates {
            let Err(errno) = nix::unistd::execve(candidate, &self.argv, &self.env);
            let path = Path::new(OsStr::from_bytes(candidate.to_bytes()));
            match errno {
                Errno::ENOENT | Errno::ENOTDIR if !path.exists() => {}
                Errno::ENOENT => {
                    last = (Errno::ENOEXEC, format!("its interpreter{} does not exist in the box", interpreter(path)));
                    break;
                }
                errno => {
                    let folder = if path.is_dir() { " of a folder" } else { "" };
                    last = (errno, format!("execve{folder}: {}", errno.desc()));
                    if errno != Errno::EACCES {
                        break;
                    }
                }
            }
        }
        StepFailure { step: SetupStep::Exec, errno: last.0 as i32, detail: last.1 }
    }

    fn missing(&self) -> String {
        if self.name.contains('/') {
            return "there is no such file".to_owned();
        }
        "it is in no folder of the box's PATH".to_owned()
    }
}

/// What the first line of a script names, with a leading space and in backticks; nothing if it cannot be read.
fn interpreter(script: &Path) -> String {
    let mut line = Vec::new();
    let read = fs_err::File::open(script).and_then(|file| file.take(256).read_to_end(&mut line));
    let end = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
    let named = line[..end].strip_prefix(b"#!").map(|named| String::from_utf8_lossy(named).trim().to_owned());
    named.filter(|_| read.is_ok()).map(|named| format!(" `{named}`")).unwrap_or_default()
}

/// Where the command may lie: itself if it holds a slash, else in each folder of PATH.
fn candidates(name: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(name)];
    }
    path.map(|path| std::env::split_paths(path).map(|dir| dir.join(name)).collect()).unwrap_or_default()
}
