//! The system calls that no library wraps safely. Every unsafe block of testbox is in this file.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::{ForkResult, Pid};

/// The clone(2) side that a process finds itself on.
pub(crate) enum Fork {
    /// In the parent, with the child's pid.
    Parent(Pid),
    /// In the child.
    Child,
}

/// Forks. The caller must be single-threaded.
pub(crate) fn fork() -> io::Result<Fork> {
    assert_single_threaded()?;
    // SAFETY: the process has one thread (checked above), so the child inherits no lock held by another thread and may
    // allocate and call any function.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent(child)),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// Forks a child of this process's own parent, born in the cgroup of the unified hierarchy whose directory this is. The
/// caller must be single-threaded. An error is the kernel's: it has no such call, or a seccomp filter refuses it.
pub(crate) fn fork_into(directory: BorrowedFd<'_>) -> io::Result<Fork> {
    fork_beside(CLONE_INTO_CGROUP, directory.as_raw_fd() as u64)
}

/// Forks a child of this process's own parent, alone in a pid namespace and with mounts of its own, as [`fork_into`] does.
pub(crate) fn fork_apart() -> io::Result<Fork> {
    fork_beside((libc::CLONE_NEWPID | libc::CLONE_NEWNS) as u64, 0)
}

fn fork_beside(flags: u64, cgroup: u64) -> io::Result<Fork> {
    assert_single_threaded()?;
    // SAFETY: all of `clone_args` are numbers, for which 0 means that nothing is asked for.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = libc::CLONE_PARENT as u64 | flags;
    arguments.cgroup = cgroup;
    // SAFETY: without CLONE_VM the child has a copy of this process's memory and goes on behind the call, as after a fork;
    // the process has one thread (checked above), so no lock is held that nobody would release.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Pid::from_raw(pid as i32))),
    }
}

/// A process that makes namespaces and then does nothing but hold them open; killed and reaped when it is dropped.
///
/// It shares the caller's memory, so that it costs a fraction of a fork, and runs beside the caller: it touches nothing
/// but its own stack and its task, and makes bare system calls, because even libc's errno is the caller's.
#[derive(Debug)]
pub(crate) struct NamespaceHolder {
    pid: Pid,
    pidfd: OwnedFd,
    answer: OwnedFd,
    /// What the child works with lives as long as the child.
    _task: Box<HolderTask>,
    _stack: Vec<u8>,
}

/// What a holder does: plain numbers and data, which it reads and which nobody writes.
struct HolderTask {
    parent: u32,
    namespaces: libc::c_int,
    loopback: Option<libc::ifreq>,
    answer: RawFd,
}

impl std::fmt::Debug for HolderTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HolderTask({:#x})", self.namespaces)
    }
}

/// What a holder was doing when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HolderStep {
    /// Making the namespaces, the user's apart.
    Namespaces,
    /// Bringing up `lo`.
    Loopback,
}

/// linux/sched.h, since Linux 5.7.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Bytes of a holder's stack: it makes a handful of system calls.
const HOLDER_STACK: usize = 16 * 1024;

impl NamespaceHolder {
    /// Starts one in a new user namespace, where it makes `namespaces`, and brings `lo` up if the network is among them.
    /// It dies with the caller, and no signal but SIGKILL reaches it.
    pub(crate) fn start(namespaces: CloneFlags) -> io::Result<Self> {
        let (answer, answering) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let loopback = namespaces.contains(CloneFlags::CLONE_NEWNET).then(loopback_up);
        let task = Box::new(HolderTask {
            parent: std::process::id(),
            namespaces: namespaces.bits(),
            loopback,
            answer: answering.as_raw_fd(),
        });
        let mut stack = vec![0u8; HOLDER_STACK];
        // The x86-64 ABI wants a stack that ends at a multiple of 16.
        let end = stack.as_mut_ptr_range().end.map_addr(|end| end & !15);
        let mut pidfd: libc::c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_NEWUSER | libc::CLONE_PIDFD | libc::SIGCHLD;
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: `hold` gets a stack of its own and a task that it only reads; both outlive it, because `drop` reaps the
        // child before they are freed. `pidfd` is a live place for the descriptor.
        let pid = unsafe { libc::clone(hold, end.cast(), flags, (&raw const *task).cast_mut().cast(), &raw mut pidfd) };
        let error = io::Error::last_os_error();
        before.thread_set_mask()?;
        if pid < 0 {
            return Err(error);
        }
        Ok(Self { pid: Pid::from_raw(pid), pidfd: adopt(pidfd)?, answer, _task: task, _stack: stack })
    }

    /// Its pid, which is its own as long as this value lives.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until the namespaces are made.
    pub(crate) fn wait(&self) -> Result<(), (HolderStep, io::Error)> {
        let lost = |error: io::Error| (HolderStep::Namespaces, error);
        let mut answer = [0u8; size_of::<i32>()];
        let length = loop {
            match rustix::io::read(&self.answer, &mut answer) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.map_err(|errno| lost(errno.into()))?,
            }
        };
        let step = |error| if error > LOOPBACK_FAILED { HolderStep::Loopback } else { HolderStep::Namespaces };
        match (length, i32::from_ne_bytes(answer)) {
            (4, 0) => Ok(()),
            (4, error) => Err((step(error), io::Error::from_raw_os_error(error & (LOOPBACK_FAILED - 1)))),
            _ => Err(lost(io::Error::other("the holder of the namespaces died"))),
        }
    }
}

impl Drop for NamespaceHolder {
    fn drop(&mut self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        while nix::sys::wait::waitpid(self.pid, None) == Err(nix::errno::Errno::EINTR) {}
    }
}

/// Above every error number: tells a failed `lo` from failed namespaces in a holder's answer.
const LOOPBACK_FAILED: i32 = 1 << 16;

/// The life of a [`NamespaceHolder`].
extern "C" fn hold(task: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the starter passed a `HolderTask` that outlives this process and that nobody writes.
    let task = unsafe { &*task.cast::<HolderTask>() };
    let answer = task.answer as usize;
    // SAFETY: the calls take plain numbers, or live data of this stack and of the task, with its size. Closing
    // descriptors closes this process's copies only (no CLONE_FILES).
    unsafe {
        bare_syscall(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0]);
        if bare_syscall(libc::SYS_getppid, [0, 0, 0]) != task.parent as isize {
            // The parent died before this process was tied to it.
            bare_syscall(libc::SYS_exit, [1, 0, 0]);
        }
        bare_syscall(libc::SYS_close_range, [0, answer - 1, 0]);
        bare_syscall(libc::SYS_close_range, [answer + 1, libc::c_uint::MAX as usize, 0]);
        let mut error = -bare_syscall(libc::SYS_unshare, [task.namespaces as usize, 0, 0]) as i32;
        if let (0, Some(request)) = (error, &task.loopback) {
            let kind = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize;
            let socket = bare_syscall(libc::SYS_socket, [libc::AF_INET as usize, kind, 0]);
            let up = bare_syscall(
                libc::SYS_ioctl,
                [socket as usize, libc::SIOCSIFFLAGS as usize, (&raw const *request).addr()],
            );
            let failed = if socket < 0 { -socket } else { -up } as i32;
            error = if failed > 0 { LOOPBACK_FAILED + failed } else { 0 };
            bare_syscall(libc::SYS_close, [socket as usize, 0, 0]);
        }
        bare_syscall(libc::SYS_write, [answer, (&raw const error).addr(), size_of::<i32>()]);
        bare_syscall(libc::SYS_close, [answer, 0, 0]);
        loop {
            bare_syscall(libc::SYS_pause, [0, 0, 0]);
        }
    }
}

/// A system call without libc: its result, or the negative error number.
///
/// # Safety
/// As the call itself; pointers among the arguments must be valid for it.
unsafe fn bare_syscall(number: libc::c_long, arguments: [usize; 3]) -> isize {
    let result: isize;
    // SAFETY: the instruction takes its arguments in these registers and changes `rax`, `rcx` and `r11` alone (x86-64
    // system call convention); the caller answers for the call.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

fn assert_single_threaded() -> io::Result<()> {
    // A folder has a link for each folder in it, here one for each thread, besides the two that each folder has.
    let links = rustix::fs::stat("/proc/self/task")?.st_nlink;
    if links == 3 { Ok(()) } else { Err(io::Error::other("a process with several threads must not fork a box")) }
}

/// Closes every descriptor from `first` on.
///
/// The caller gives up all of them: any owned descriptor with such a number must be forgotten, not dropped.
pub(crate) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: close_range takes plain numbers. Descriptors that some value still owns are closed under it; the callers
    // are freshly forked children which never touch (and never drop) the values of the parent.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks every descriptor from `first` on close-on-exec.
pub(crate) fn cloexec_from(first: RawFd) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed now; only flags of descriptors change.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Attributes for [`mount_setattr`] (mount_setattr(2)).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MountAttributes<'fd> {
    pub(crate) set: u64,
    pub(crate) propagation: u64,
    pub(crate) idmap: Option<BorrowedFd<'fd>>,
}

/// Sets attributes of a detached or attached mount.
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, attributes: MountAttributes<'_>) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: attributes.set | if attributes.idmap.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 },
        attr_clr: 0,
        propagation: attributes.propagation,
        userns_fd: attributes.idmap.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a valid empty C string, `attr` is a live mount_attr and its size is passed along; the kernel
    // only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `struct landlock_ruleset_attr` (landlock_create_ruleset(2)): what a ruleset forbids unless a rule allows it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LandlockRuleset {
    pub(crate) handled_access_fs: u64,
    pub(crate) handled_access_net: u64,
    pub(crate) scoped: u64,
}

/// `struct landlock_path_beneath_attr` (landlock_add_rule(2)).
#[repr(C, packed)]
struct LandlockPathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// The version of Landlock's interface; 0 where the kernel has none or it is switched off (landlock(7)).
pub(crate) fn landlock_version() -> i64 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with the version flag the kernel reads no ruleset: the pointer must be null and the size 0.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) }.max(0)
}

/// A new Landlock ruleset. An older kernel takes a ruleset whose fields that it does not know are 0.
pub(crate) fn landlock_ruleset(ruleset: LandlockRuleset) -> io::Result<OwnedFd> {
    // SAFETY: `ruleset` is live and has the layout and size that are passed along; the kernel only reads it.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const ruleset, size_of::<LandlockRuleset>(), 0)
    };
    if fd < 0 { Err(io::Error::last_os_error()) } else { adopt(fd as RawFd) }
}

/// Allows `access` to what `path` is open at and to all below it.
pub(crate) fn landlock_allow(ruleset: &OwnedFd, path: &OwnedFd, access: u64) -> io::Result<()> {
    const PATH_BENEATH: libc::c_int = 1;
    let rule = LandlockPathBeneath { allowed_access: access, parent_fd: path.as_raw_fd() };
    // SAFETY: `rule` is live and has the layout of its type number; both descriptors are open for the call.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, &raw const rule, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts the calling thread and its children under a ruleset for ever. Needs no_new_privs.
pub(crate) fn landlock_restrict_self(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: landlock_restrict_self takes plain numbers; the descriptor is open for the call.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets every signal to its default action and unblocks all of them, as a freshly executed program expects.
pub(crate) fn reset_signals() {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is a valid disposition for every signal; SIGKILL, SIGSTOP and libc's own signals are refused
        // with EINVAL, which is meant to be ignored.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    // SAFETY: the set is initialised by sigemptyset before it is read, and lives on this stack.
    unsafe {
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Makes the terminal `fd` the controlling terminal of the calling session leader.
pub(crate) fn set_controlling_terminal(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer argument and a descriptor that is open for the duration of the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The request that sets IFF_UP on the interface `lo` (netdevice(7)).
fn loopback_up() -> libc::ifreq {
    // SAFETY: ifreq is plain data for which all zeroes is a valid value.
    let mut request = unsafe { std::mem::zeroed::<libc::ifreq>() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    request
}

/// Ends the process at once, without destructors or exit handlers: for children that share main's memory image.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Sends `signal` to the process group that the caller's own unreaped child `leader` leads.
///
/// Used only inside the box's pid namespace by its init: an unreaped child's pid cannot be reused.
pub(crate) fn signal_child_group(leader: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes plain numbers.
    let result = unsafe { libc::kill(-leader.as_raw(), signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes `number` a duplicate of `fd` (dup2(2)): kept across exec, whatever was open there is closed.
pub(crate) fn dup_to(fd: impl AsFd, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 takes plain numbers. What was open at `number` is closed under its owner; callers are freshly
    // forked children that lay out their descriptors anew.
    let result = unsafe { libc::dup2(fd.as_fd().as_raw_fd(), number) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes ownership of the open descriptor `number`.
pub(crate) fn adopt(number: RawFd) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: F_GETFD reads a flag of a plain number.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (checked above), and no other value owns it: the callers have just put it there with
    // `dup_to` in a freshly forked child, or got it from the kernel.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) })
}

/// Sends `signal` to the caller's own unreaped child, as [`signal_child_group`] does to its group.
pub(crate) fn signal_child(child: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes plain numbers.
    let result = unsafe { libc::kill(child.as_raw(), signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Clears close-on-exec of the descriptor `number`.
pub(crate) fn keep_across_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: F_SETFD sets a flag of a plain number.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
    if result >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use super::*;

    /// A group of the unified hierarchy, removed when it is dropped; `None` where the caller may make none.
    struct Group(std::path::PathBuf);

    impl Group {
        fn new() -> Option<Self> {
            let unified = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
            let root = unified.into_iter().find(|root| root.join("cgroup.procs").exists())?;
            let group = Self(root.join(format!("testbox-test-{}", std::process::id())));
            fs_err::create_dir(&group.0).ok().map(|()| group)
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            fs_err::remove_dir(&self.0).unwrap();
        }
    }

    #[test]
    fn a_process_is_born_in_a_group_as_a_child_of_its_makers_parent() {
        let Some(group) = Group::new() else { return };
        let directory = std::fs::File::from(
            rustix::fs::open(&group.0, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap(),
        );
        let (reader, writer) = std::io::pipe().unwrap();
        // A fork of a test has one thread, whatever the tests beside it have.
        // SAFETY: the child allocates little and takes no lock of this test's own.
        let ForkResult::Parent { child } = unsafe { nix::unistd::fork() }.unwrap() else {
            let told = match fork_into(directory.as_fd()) {
                Ok(Fork::Parent(_)) => exit_now(7),
                Ok(Fork::Child) => fs_err::read_to_string("/proc/self/cgroup").unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            let told = format!("{} {}\n{told}", std::process::id(), nix::unistd::getppid());
            exit_now(i32::from((&writer).write_all(told.as_bytes()).is_err()));
        };
        drop(writer);
        let mut told = String::new();
        (&reader).read_to_string(&mut told).unwrap();
        let (who, groups) = told.split_once('\n').unwrap();
        let (born, parent) = who.split_once(' ').unwrap();
        let ended = |pid| nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::__WALL)).unwrap();
        assert_eq!(ended(child), nix::sys::wait::WaitStatus::Exited(child, 7), "{told}");
        let born = Pid::from_raw(born.parse().unwrap());
        assert_eq!(ended(born), nix::sys::wait::WaitStatus::Exited(born, 0));
        assert_eq!(parent, std::process::id().to_string());
        let name = group.0.file_name().unwrap().to_str().unwrap();
        assert!(groups.lines().any(|line| line.starts_with("0::") && line.ends_with(name)), "{groups}");
    }
}
