//! The middle rung of the project's view: where the kernel refuses the overlay, fuse-overlayfs of the host makes it.
//!
//! The launcher mounts it, with the options that are said here, and hands the open /dev/fuse over (libfuse takes
//! `/dev/fd/N` in place of a mount point). The daemon is a child of main, beside the init: in the box's cgroups, and out
//! of reach of the box, whose pid namespace it is not in; it dies with main (PDEATHSIG), with the groups, and by main's
//! hand with the box (`daemon.rs`). It answers hostile code, so it is confined itself (`confine`): alone in a pid
//! namespace, below a root that holds the host's programs and the project, read-only, and the scratch space, with a few
//! capabilities over the host user's own files, a seccomp filter, an empty environment and no descriptor but
//! those that it needs.
//!
//! Whatever is in the way is a reason, told with the copy that follows. What it does less well than the kernel: it shows
//! files with the inode numbers of their layers, which may coincide; `step_over_numbers` makes that rare.

use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, open_tree, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbox_model::InitMessage;

use crate::call_filter;
use crate::launcher::die_with;
use crate::staging::{Site, attach, clone_flags, clone_tree, create_symlink, make_dir, new_mount, tmpfs};
use crate::sys::{self, Fork, MountAttributes};
use crate::view::{UPPER, WORK};

const DEVICE: &str = "/dev/fuse";
/// Where administrators and distributions put the program.
const PROGRAMS: [&str; 2] = ["/usr/bin/fuse-overlayfs", "/usr/local/bin/fuse-overlayfs"];
/// Longest time until it answers its first request.
const ANSWER_SECONDS: i64 = 5;
/// Number of /dev/fuse in the daemon.
const DEVICE_FD: i32 = 3;
/// Each file that the box has open is open in it too. To close more of them takes long at its end.
const OPEN_FILES: u64 = 65_536;
/// Inode numbers up to this one are low.
const LOW_NUMBERS: u64 = 8192;
/// What is read of its last words.
const LAST_WORDS: u64 = 4096;
/// What the program and its libraries need of the host.
const PROGRAM_FOLDERS: [&str; 4] = ["usr", "lib", "lib32", "lib64"];
/// It acts for the box's user, who is root of the namespace: over that one's files, and no others, it must be able to do
/// what the kernel's overlay does by itself.
const POWERS: [Capability; 4] =
    [Capability::CAP_CHOWN, Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER, Capability::CAP_FSETID];

/// What a view by fuse-overlayfs takes of the host.
#[derive(Debug)]
pub(crate) struct Means {
    /// The program, or why there is none. Looked for before the box's user namespace is entered, where root is nobody.
    program: Result<PathBuf, String>,
    /// /dev/fuse, if true root opened it.
    device: Option<OwnedFd>,
}

impl Means {
    pub(crate) fn find() -> Self {
        Self { program: program(), device: None }
    }

    /// As true root in the box's user namespace: a mount takes a /dev/fuse that was opened anywhere else from nobody, and
    /// on some hosts it is root's alone. Where it cannot be opened, `mount` says why.
    pub(crate) fn open_as_root(&mut self) {
        self.device = self.program.as_ref().ok().and_then(|_| device().ok());
    }

    /// Mounts the view of the folder `lower`, with its upper layer on `scratch`; else says why not.
    pub(crate) fn mount(self, site: &Site<'_>, stage: &Path, lower: &Path, scratch: &Path) -> Result<OwnedFd, String> {
        let program = self.program?;
        let device = self.device.map_or_else(device, Ok)?;
        let mounted = mount_device(&device).map_err(|error| format!("the kernel does not mount it: {error}"))?;
        let stepped = step_over_numbers(lower, &scratch.join(UPPER));
        stepped.map_err(|error| format!("its layer cannot be prepared: {error}"))?;
        let root = stage.join("fuse");
        make_dir(&root, 0o755).map_err(|failure| failure.detail)?;
        let started = start(Daemon { site, program: &program, root: &root, lower, scratch }, device);
        let (daemon, words) = started.map_err(|error| format!("it does not start: {error}"))?;
        answer(&mounted, &daemon).map(|()| mounted).map_err(|why| {
            let _gone_already = pidfd_send_signal(&daemon, Signal::KILL);
            let last = last_words(words);
            if last.is_empty() { why } else { format!("{why} (`{last}`)") }
        })
    }
}

/// The program, if nobody but root can have changed it.
fn program() -> Result<PathBuf, String> {
    let found = PROGRAMS.iter().map(Path::new).find(|path| path.exists());
    let found = found.ok_or_else(|| format!("there is no {}", PROGRAMS.join(" or ")))?;
    let program = fs_err::canonicalize(found).map_err(|error| error.to_string())?;
    if !program.starts_with("/usr") {
        return Err(format!("{} does not lie below /usr", program.display()));
    }
    for part in program.ancestors() {
        let stat = fs_err::symlink_metadata(part).map_err(|error| error.to_string())?;
        if stat.uid() != 0 || stat.mode() & 0o022 != 0 {
            return Err(format!("others than root may write {}", part.display()));
        }
    }
    Ok(program)
}

fn device() -> Result<OwnedFd, String> {
    rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| format!("{DEVICE} cannot be opened: {}", io::Error::from(errno)))
}

/// The kernel's side: it checks permissions itself, for everybody of the box's user namespace and nobody else.
fn mount_device(device: &OwnedFd) -> io::Result<OwnedFd> {
    let fs = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let number = device.as_raw_fd().to_string();
    for (key, value) in [("fd", number.as_str()), ("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")] {
        fsconfig_set_string(&fs, key, value)?;
    }
    fsconfig_set_string(&fs, "source", "fuse-overlayfs")?;
    fsconfig_set_flag(&fs, "default_permissions")?;
    fsconfig_set_flag(&fs, "allow_other")?;
    fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Programs take two files with the same inode number for one, and a folder with that of the root for a loop. The scratch
/// space counts its inodes from 1: where the project's file system did so as well, the box's begin above.
fn step_over_numbers(lower: &Path, upper: &Path) -> io::Result<()> {
    if rustix::fs::stat(lower)?.st_ino >= LOW_NUMBERS {
        return Ok(());
    }
    let mode = Mode::from_raw_mode(rustix::fs::stat(upper)?.st_mode);
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    for _ in 0..LOW_NUMBERS {
        drop(rustix::fs::open(upper, flags, Mode::empty())?);
    }
    rustix::fs::rmdir(upper)?;
    Ok(rustix::fs::mkdir(upper, mode)?)
}

/// What the daemon is made of.
#[derive(Debug, Clone, Copy)]
struct Daemon<'a> {
    site: &'a Site<'a>,
    program: &'a Path,
    /// An empty folder, its root to be.
    root: &'a Path,
    lower: &'a Path,
    scratch: &'a Path,
}

/// Starts it, and tells main; its pidfd, and what it prints. From then on it alone has the device: the kernel's side ends
/// with it.
fn start(daemon: Daemon<'_>, device: OwnedFd) -> io::Result<(OwnedFd, OwnedFd)> {
    let (words, its_words) = pipe_with(PipeFlags::CLOEXEC)?;
    match sys::fork_apart()? {
        Fork::Child => {
            let error = match daemon.serve(&device, &its_words) {
                Ok(never) => match never {},
                Err(error) => error,
            };
            // That is the pipe by now.
            let _nobody_else_hears_it = std::io::stderr().write_all(error.to_string().as_bytes());
            sys::exit_now(127)
        }
        Fork::Parent(pid) => {
            // main reaps it only when it was told of it.
            let raw = rustix::process::Pid::from_raw(pid.as_raw()).ok_or_else(|| io::Error::other("it has no pid"))?;
            let pidfd = pidfd_open(raw, PidfdFlags::empty())?;
            daemon.site.channel.send(&InitMessage::Daemon { pid: pid.as_raw() }, &[])?;
            Ok((pidfd, words))
        }
    }
}

/// Waits for the first answer: a process that may have to wait for ever asks.
fn answer(mounted: &OwnedFd, daemon: &OwnedFd) -> Result<(), String> {
    let told = |error: io::Error| format!("it cannot be asked: {error}");
    let asker = match sys::fork().map_err(told)? {
        Fork::Child => sys::exit_now(i32::from(rustix::fs::fstatvfs(mounted).is_err())),
        Fork::Parent(asker) => asker,
    };
    let pid = rustix::process::Pid::from_raw(asker.as_raw());
    let pidfd = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())).transpose().map_err(|errno| told(errno.into()))?;
    let patience = Timespec { tv_sec: ANSWER_SECONDS, tv_nsec: 0 };
    let mut asked: Vec<_> = pidfd.iter().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)).collect();
    let in_time = poll(&mut asked, Some(&patience)).is_ok_and(|ended| ended > 0);
    if !in_time {
        // With its death the kernel answers.
        let _gone_already = pidfd_send_signal(daemon, Signal::KILL);
    }
    let ended = nix::sys::wait::waitpid(asker, None);
    match (in_time, ended) {
        (true, Ok(nix::sys::wait::WaitStatus::Exited(_, 0))) => Ok(()),
        (true, _) => Err("it ended at once".to_owned()),
        (false, _) => Err(format!("it did not answer within {ANSWER_SECONDS} s")),
    }
}

/// The last line that a dead daemon printed.
fn last_words(words: OwnedFd) -> String {
    let mut text = Vec::new();
    let _what_there_is = std::fs::File::from(words).take(LAST_WORDS).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

impl Daemon<'_> {
    /// Becomes it.
    fn serve(self, device: &OwnedFd, words: &OwnedFd) -> io::Result<Infallible> {
        die_with(self.site.main)?;
        lay_out_descriptors([words, words, words, device])?;
        rustix::process::setsid()?;
        self.enter_root()?;
        confine()?;
        let layers = format!("lowerdir=/lower,upperdir=/scratch/{UPPER},workdir=/scratch/{WORK}");
        // What is written is in the upper layer at once, and there it is in memory.
        let options = format!("{layers},writeback=0,fsync=0,plugins=");
        let device = format!("/dev/fd/{DEVICE_FD}");
        let words = ["fuse-overlayfs", "-f", "-o", &options, &device];
        let words = words.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let program = CString::new(self.program.as_os_str().as_bytes())?;
        Ok(nix::unistd::execve::<_, CString>(&program, &words, &[])?)
    }

    /// Makes its root and goes there; nothing else of the host's files stays within reach.
    fn enter_root(&self) -> io::Result<()> {
        let made = |failure: crate::error::StepFailure| match failure.errno {
            0 => io::Error::other(failure.detail),
            errno => io::Error::other(format!("{}: {}", failure.detail, io::Error::from_raw_os_error(errno))),
        };
        attach(&tmpfs(1 << 20, 64, 0o755)?, self.root)?;
        let bind = |source: &Path, name: &str| -> io::Result<()> {
            let place = self.root.join(name);
            make_dir(&place, 0o755).map_err(made)?;
            attach(&clone_tree(source, true, true).map_err(made)?, &place)
        };
        for name in PROGRAM_FOLDERS {
            let source = Path::new("/").join(name);
            match fs_err::read_link(&source) {
                Ok(target) => create_symlink(&target, &self.root.join(name))?,
                Err(_) if source.is_dir() => bind(&source, name)?,
                Err(_) => {}
            }
        }
        bind(self.lower, "lower")?;
        let scratch = self.root.join("scratch");
        make_dir(&scratch, 0o755).map_err(made)?;
        attach(&open_tree(CWD, self.scratch, clone_flags(false))?, &scratch)?;
        // It reaches extended attributes through /proc/self/fd.
        let processes = self.root.join("proc");
        make_dir(&processes, 0o555).map_err(made)?;
        let no_devices = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let attributes = no_devices | MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_RDONLY;
        attach(&new_mount("proc", &[], attributes)?, &processes)?;
        rustix::process::chdir(self.root)?;
        rustix::process::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")?;
        let own = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        sys::mount_setattr(&own, false, MountAttributes { set: libc::MOUNT_ATTR_RDONLY, ..MountAttributes::default() })
    }
}

/// These from 0 on, and no others.
fn lay_out_descriptors(sources: [&OwnedFd; 4]) -> io::Result<()> {
    let free = sources.len() as i32;
    let high = sources.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, free));
    for (number, fd) in (0..).zip(high) {
        let fd = fd?;
        sys::dup_to(fd.as_fd(), number)?;
        std::mem::forget(fd);
    }
    sys::close_from(free)
}

fn confine() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(OPEN_FILES), most.min(OPEN_FILES))?;
    let powers = |error: caps::errors::CapsError| io::Error::other(format!("drop capabilities: {error}"));
    for power in caps::read(None, CapSet::Bounding).map_err(powers)? {
        if !POWERS.contains(&power) {
            caps::drop(None, CapSet::Bounding, power).map_err(powers)?;
        }
    }
    caps::clear(None, CapSet::Ambient).map_err(powers)?;
    caps::clear(None, CapSet::Inheritable).map_err(powers)?;
    nix::sys::prctl::set_no_new_privs()?;
    sys::reset_signals();
    seccompiler::apply_filter(&call_filter::of_daemon()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_line_with_something_in_it() {
        let (words, its_words) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&its_words, b"warning\n cannot mount: EPERM \n\n").unwrap();
        drop(its_words);
        assert_eq!(last_words(words), "cannot mount: EPERM");
    }
}
