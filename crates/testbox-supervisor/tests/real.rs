//! The supervisor on a real memory and pids cgroup: what the kernel did is what the evidence says.
//!
//! Needs cgroup v1 hierarchies in which groups can be made. Elsewhere each test is counted as ignored, with the reason,
//! unless `TESTBOX_TEST_MUST` names `cgroup1-memory`.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use testbox_cgroup::{BoxGroup, BoxId, Demand, Host};
use testbox_model::*;
use testbox_supervisor::*;

const REQUIREMENT: &str = "cgroup1-memory";
const MIB: u64 = 1 << 20;
/// All tests of this process have the same box identifier: one at a time.
static ONE: Mutex<()> = Mutex::new(());

fn main() -> std::process::ExitCode {
    let lack = lack();
    let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
    let must = must.split(',').any(|name| name == REQUIREMENT);
    let tests: [(&str, fn()); 3] = [
        ("an_oom_kill_is_told_and_the_largest_named", an_oom_kill_is_told_and_the_largest_named),
        ("enough_memory_is_no_oom", enough_memory_is_no_oom),
        ("a_fork_bomb_is_a_storm", a_fork_bomb_is_a_storm),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let lack = lack.clone();
        Trial::ignorable_test(name, move || match lack {
            None => {
                test();
                Ok(Completion::Completed)
            }
            Some(lack) if must => Err(Failed::from(format!("`{REQUIREMENT}` is required: {lack}"))),
            Some(lack) => Ok(Completion::ignored_with(format!("needs {REQUIREMENT}: {lack}"))),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn an_oom_kill_is_told_and_the_largest_named() {
    let (outcome, events) = supervised(HOG, 40 * MIB, 64);
    assert!(outcome.evidence.memory.oom_kills >= 1, "{:?}", outcome.evidence.memory);
    assert!(events.iter().any(|event| matches!(event, RunEvent::OomKill { .. })), "{events:?}");
    assert_eq!(outcome.evidence.memory.limit_bytes, Some(Bytes(40 * MIB)));
    let largest = &outcome.evidence.memory.largest[0];
    assert!(largest.command.contains("bytearray"), "{largest:?}");
    assert!(largest.resident_bytes.0 > 10 * MIB, "{largest:?}");
}

fn enough_memory_is_no_oom() {
    let (outcome, events) = supervised(HOG, 1024 * MIB, 64);
    assert_eq!(outcome.evidence.memory.oom_kills, 0);
    assert!(!events.iter().any(|event| matches!(event, RunEvent::OomKill { .. })), "{events:?}");
    assert!(outcome.evidence.memory.peak_bytes.unwrap().0 > 60 * MIB);
    assert!(outcome.evidence.cpu.used_ms > 0);
    assert!(outcome.timeline.samples.iter().any(|sample| sample.memory_bytes > 10 * MIB));
}

fn a_fork_bomb_is_a_storm() {
    let (outcome, _) = supervised(BOMB, 512 * MIB, 32);
    let stop = outcome.evidence.stop.unwrap();
    assert_eq!((stop.cause, stop.killed), (StopCause::ForkStorm, true));
    assert!((2000..6000).contains(&stop.at_ms), "{}", stop.at_ms);
    assert!(outcome.evidence.pids.refused_forks > 10, "{:?}", outcome.evidence.pids);
    assert_eq!(outcome.evidence.pids.limit, Some(32));
}

/// Grows by 3 MiB each time it is woken, 20 times a second, to 80 MiB.
const HOG: &str = "python3 -c 'import select; l=[]\nfor i in range(27): l.append(bytearray(3<<20)); select.select([],[],[],0.05)'; true";

/// Forks for ever, however often the kernel refuses.
const BOMB: &str = "exec python3 -c 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass'";

/// Runs a script in a box that is only a cgroup: the shell is its init, and as it says nothing its end is `Lost`.
#[expect(clippy::zombie_processes, reason = "the supervisor reaps it through the pidfd")]
fn supervised(script: &str, memory_bytes: u64, pids: u64) -> (Outcome, Vec<RunEvent>) {
    let test_box = TestBox::new(memory_bytes, pids);
    let init = test_box.start(script);
    let signals = Signals::install().unwrap();
    let (status, _init_end) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let (stdout, _) = std::io::pipe().unwrap();
    let null: OwnedFd = fs_err::OpenOptions::new().write(true).open("/dev/null").unwrap().into_file().into();
    let plan = plan(memory_bytes, pids);
    let pid = i32::try_from(init.id()).unwrap();
    let mut meter = GroupMeter::new(&test_box.group, &plan.limits, pid, vec![]).unwrap();
    let inputs = Inputs {
        init: pidfd_open(Pid::from_child(&init), PidfdFlags::empty()).unwrap(),
        status,
        plugin: None,
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
    let outcome = supervise(inputs, &plan, &mut |event| events.push(event.clone())).unwrap();
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
    #[expect(clippy::disallowed_methods, reason = "the tests supervise plain children")]
    fn start(&self, script: &str) -> Child {
        let join = "for group; do echo 0 > \"$group/cgroup.procs\"; done; set --; eval \"$SCRIPT\"";
        let mut command = Command::new("sh");
        command.args(["-c", join, "init"]).args(self.group.paths()).env("SCRIPT", script);
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

fn demand(memory_bytes: u64, pids: u64) -> Demand {
    Demand { memory_bytes, swap_bytes: 0, pids, cpus: None, io: None, allow_degraded: BTreeSet::new() }
}

fn lack() -> Option<String> {
    let host = Host::detect(Path::new("/")).map_err(|error| error.to_string());
    let id = BoxId::of_current(Path::new("/")).map_err(|error| error.to_string());
    let made =
        host.and_then(|host| BoxGroup::create(&host, &id?, &demand(64 * MIB, 64)).map_err(|error| error.to_string()));
    made.and_then(|group| group.remove(Instant::now() + Duration::from_secs(5)).map_err(|error| error.to_string()))
        .err()
}

use testbox_model::sample::set;

fn plan(memory_bytes: u64, pids: u64) -> RunPlan {
    let mut plan = testbox_model::sample::plan();
    plan.limits.memory_bytes = set(Bytes(memory_bytes));
    plan.limits.pids = set(pids);
    plan.times.timeout = set(testbox_model::Duration::from_secs(30));
    plan
}
