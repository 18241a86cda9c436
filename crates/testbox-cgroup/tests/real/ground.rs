//! What the tests stand on: a box with a living owner that is removed again, and children that join it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use testbox_cgroup::{BoxGroup, BoxId, Demand, Host, IoDemand, MemoryPressure, Slot};

/// The plain demand of most tests.
pub(crate) fn demand() -> Demand {
    Demand { memory_bytes: 64 << 20, pids: 64, ..Demand::default() }
}

/// Why no box can be made, found out by making one.
pub(crate) fn lack_of_groups() -> Option<String> {
    let owner = Owner::new();
    let probe = BoxGroup::create(&host(), &owner.id(), &demand());
    probe.and_then(|group| group.remove(soon())).err().map(|error| error.to_string())
}

/// Why no box can be made on v1.
pub(crate) fn lack_of_v1_memory() -> Option<String> {
    let is_v2 = host().hierarchy_of("memory").is_some_and(|memory| memory.unified);
    if is_v2 { Some("the memory controller is on cgroup v2".to_owned()) } else { lack_of_groups() }
}

/// Why no box can be made on v2.
pub(crate) fn lack_of_v2_memory() -> Option<String> {
    let is_v1 = host().hierarchy_of("memory").is_none_or(|memory| !memory.unified);
    if is_v1 { Some("the memory controller is not on cgroup v2".to_owned()) } else { lack_of_groups() }
}

/// Why no group can be made in the unified hierarchy, found out by making one.
pub(crate) fn lack_of_unified() -> Option<String> {
    let owner = Owner::new();
    match make_unified(&owner) {
        Err(error) => Some(error),
        Ok(group) => fs_err::remove_dir(group).err().map(|error| error.to_string()),
    }
}

/// Why nobody counts stalls, found out by looking at a group of the unified hierarchy.
pub(crate) fn lack_of_pressure() -> Option<String> {
    if let Some(lack) = lack_of_unified().or_else(lack_of_groups) {
        return Some(lack);
    }
    let owner = Owner::new();
    let path = make_unified(&owner).unwrap();
    let counted = BoxGroup::find(&host(), &owner.id()).is_some_and(|group| MemoryPressure::of(&group).is_some());
    fs_err::remove_dir(path).unwrap();
    (!counted).then(|| "the kernel has no pressure stall information".to_owned())
}

/// Why no transfer rate can be limited, found out by limiting one.
pub(crate) fn lack_of_disk() -> Option<String> {
    let Some(disk) = any_disk() else { return Some("there is no block device".to_owned()) };
    let io = IoDemand { devices: vec![disk], read_bps: Some(1 << 20), write_bps: None };
    let owner = Owner::new();
    let probe = BoxGroup::create(&host(), &owner.id(), &Demand { io: Some(io), ..demand() });
    probe.and_then(|group| group.remove(soon())).err().map(|error| error.to_string())
}

/// `v1` or `v2`, whichever has the controller.
pub(crate) fn by(v1: &'static str, v2: &'static str) -> &'static str {
    if host().hierarchy_of("memory").is_some_and(|memory| memory.unified) { v2 } else { v1 }
}

/// (major, minor) of some whole disk.
pub(crate) fn any_disk() -> Option<(u32, u32)> {
    let mut disks = fs_err::read_dir("/sys/block").ok()?.flatten();
    let disk = disks.find_map(|disk| fs_err::read_to_string(disk.path().join("dev")).ok())?;
    let (major, minor) = disk.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A bare group below the root of the unified hierarchy, named as a box of `owner`.
pub(crate) fn make_unified(owner: &Owner) -> Result<PathBuf, String> {
    let host = host();
    let unified = host.hierarchies().iter().find(|hierarchy| hierarchy.unified).ok_or("it is not mounted")?;
    let group = unified.mount_point.join(owner.id().to_string());
    fs_err::create_dir(&group).map_err(|error| error.to_string())?;
    Ok(group)
}

pub(crate) fn host() -> Host {
    Host::detect(Path::new("/")).unwrap()
}

/// The deadline of everything that should be fast, also on a busy machine.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A process that owns a box, so that every test has boxes of its own.
pub(crate) struct Owner(pub(crate) Child);

impl Owner {
    pub(crate) fn new() -> Self {
        Self(command("/bin/sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> BoxId {
        let pid = self.0.id() as i32;
        let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
        BoxId { boot: BoxId::of_current(Path::new("/")).unwrap().boot, pid, start_ticks: start }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// A box that is killed, removed and proved gone when the test ends.
pub(crate) struct TestBox {
    pub(crate) group: BoxGroup,
    paths: Vec<PathBuf>,
    pub(crate) owner: Owner,
}

impl TestBox {
    pub(crate) fn new(demand: &Demand) -> Self {
        let owner = Owner::new();
        let group = BoxGroup::create(&host(), &owner.id(), demand).unwrap();
        Self { paths: group.paths(), group, owner }
    }

    /// A command that joins the box before it does anything else; exit code 97 if it could not.
    pub(crate) fn command(&self, program: &str) -> Command {
        joining(self.group.attach_fds().unwrap(), program)
    }

    /// A command that joins a slot of the box before it does anything else; exit code 97 if it could not.
    pub(crate) fn in_slot(&self, slot: &Slot, program: &str) -> Command {
        joining(slot.join_fds().unwrap(), program)
    }

    pub(crate) fn python(&self, program: &str) -> Child {
        let mut python = self.command("/usr/bin/env");
        python.args(["python3", "-c", program]).spawn().unwrap()
    }

    pub(crate) fn wait_for_pids(&self, at_least: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.group.processes().unwrap().len() < at_least {
            assert!(Instant::now() < deadline, "{at_least} processes did not appear");
            pause();
        }
    }
}

fn joining(fds: Vec<OwnedFd>, program: &str) -> Command {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().map_or_else(Stdio::null, Stdio::from);
    let mut joined = command("/bin/sh");
    joined.stdin(next()).stdout(next()).stderr(next()).process_group(0);
    assert_eq!(fds.len(), 0, "three descriptors are passed as the standard ones");
    joined.args(["-c", JOIN, "join", program]);
    joined
}

const JOIN: &str = "{ echo 0 >&0 && echo 0 >&1 && echo 0 >&2; } || exit 97; exec \"$@\" </dev/null >/dev/null 2>&1";

impl Drop for TestBox {
    fn drop(&mut self) {
        let result = self.group.kill().and_then(|()| self.group.remove(soon()));
        let left: Vec<_> = self.paths.iter().filter(|path| path.exists()).collect();
        if !std::thread::panicking() {
            result.unwrap();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests start the processes that boxes hold")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

pub(crate) fn is_readable(fd: BorrowedFd<'_>, within: Duration) -> bool {
    is_ready((fd, PollFlags::IN), within)
}

pub(crate) fn is_ready((fd, flags): (BorrowedFd<'_>, PollFlags), within: Duration) -> bool {
    let timeout = Timespec { tv_sec: within.as_secs() as i64, tv_nsec: i64::from(within.subsec_nanos()) };
    poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout)).unwrap() == 1
}

/// A short wait between two looks at something that has no descriptor.
pub(crate) fn pause() {
    let never = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    is_readable(never.as_fd(), Duration::from_millis(2));
}
