//! What the tests stand on: a box that is only a cgroup, and the supervision of a shell in it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use testbox_cgroup::{BoxGroup, BoxId, Demand, Host};
use testbox_model::sample::set;
use testbox_model::*;
use testbox_supervisor::*;

pub(crate) const MIB: u64 = 1 << 20;
/// All tests of this process have the same box identifier: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// Runs a script in a box that is only a cgroup: the shell is its init, and as it says nothing its end is `Lost`.
pub(crate) fn supervised(script: &str, memory_bytes: u64, pids: u64) -> (Outcome, Vec<RunEvent>) {
    supervised_with(script, &plan(memory_bytes, pids), |_| None)
}

/// As [`supervised`], with a plugin on the other end of the socket that `plugin` gives back.
#[expect(clippy::zombie_processes, reason = "the supervisor reaps it through the pidfd")]
pub(crate) fn supervised_with(
    script: &str,
    plan: &RunPlan,
    plugin: impl FnOnce(&BoxGroup) -> Option<OwnedFd>,
) -> (Outcome, Vec<RunEvent>) {
    let test_box = TestBox::new(plan.limits.memory_bytes.value.0, plan.limits.pids.value);
    let init = test_box.start(script);
    let signals = Signals::install().unwrap();
    let (status, _init_end) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let (stdout, _) = std::io::pipe().unwrap();
    let null: OwnedFd = fs_err::OpenOptions::new().write(true).open("/dev/null").unwrap().into_file().into();
    let pid = i32::try_from(init.id()).unwrap();
    let mut meter = GroupMeter::new(&test_box.group, &plan.limits, pid, vec![]).unwrap();
    let inputs = Inputs {
        init: pidfd_open(Pid::from_child(&init), PidfdFlags::empty()).unwrap(),
        end: testbox_model::BoxEnd::ByKernel,
        helper: None,
        status,
        plugin: plugin(&test_box.group),
        streams: Streams::Pipes { stdin: None, stdout: stdout.into(), stderr: None },
        host: HostStreams { stdin: None, stdout: null.as_fd(), stderr: null.as_fd() },
        filter: Box::new(Unfiltered),
        notice: None,
        meter: &mut meter,
        disks: vec![],
        started: Instant::now(),
        signals: &signals,
    };
    let mut events = vec![];
    let outcome = supervise(inputs, plan, &mut |event| events.push(event.clone())).unwrap();
    (outcome, events)
}

/// A cgroup that is killed, removed and found gone when the test ends.
struct TestBox {
    group: BoxGroup,
    _one: MutexGuard<'static, ()>,
}

impl TestBox {
    fn new(memory_bytes: u64, pids: u64) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (host, id) = (Host::detect(Path::new("/")).unwrap(), BoxId::of_current(Path::new("/")).unwrap());
        let demand = demand(memory_bytes, pids);
        Self { group: BoxGroup::create(&host, &id, &demand).unwrap(), _one: one }
    }

    /// A shell that joins the groups before it runs the script.
    fn start(&self, script: &str) -> Child {
        let join = "for members; do echo 0 > \"$members\" || exit 97; done; set --; eval \"$SCRIPT\"";
        let members = self.group.attach_fds().unwrap();
        let path = |fd: &OwnedFd| fs_err::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        let mut command = command("sh");
        command.args(["-c", join, "init"]).args(members.iter().map(path)).env("SCRIPT", script);
        command.spawn().unwrap()
    }
}

impl Drop for TestBox {
    fn drop(&mut self) {
        self.group.kill().unwrap();
        self.group.remove(Instant::now() + Duration::from_secs(10)).unwrap();
        assert!(self.group.paths().iter().all(|path| !path.exists()));
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests supervise plain children")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

/// Why no box can be made here.
pub(crate) fn lack() -> Option<String> {
    let host = Host::detect(Path::new("/")).map_err(|error| error.to_string());
    let id = BoxId::of_current(Path::new("/")).map_err(|error| error.to_string());
    let made =
        host.and_then(|host| BoxGroup::create(&host, &id?, &demand(64 * MIB, 64)).map_err(|error| error.to_string()));
    made.and_then(|group| group.remove(Instant::now() + Duration::from_secs(5)).map_err(|error| error.to_string()))
        .err()
}

pub(crate) fn plan(memory_bytes: u64, pids: u64) -> RunPlan {
    let mut plan = testbox_model::sample::plan();
    plan.limits.memory_bytes = set(Bytes(memory_bytes));
    plan.limits.pids = set(pids);
    plan.times.timeout = set(testbox_model::Duration::from_secs(30));
    plan
}

fn demand(memory_bytes: u64, pids: u64) -> Demand {
    let allow_degraded = BTreeSet::new();
    Demand { memory_bytes, swap_bytes: 0, pids, cpus: None, io: None, workers: true, allow_degraded }
}

/// A short wait between two looks at something that has no descriptor.
pub(crate) fn pause() {
    let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    rustix::event::poll(&mut [], Some(&wait)).unwrap();
}
