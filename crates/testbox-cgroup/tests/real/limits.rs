//! Limits bite, counters tell, and the twin with room to spare is untouched.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use testbox_cgroup::{BoxGroup, CgroupError, Demand, IoDemand, MemoryAlarm, MemoryPressure};
use testbox_model::{Wall, WallState};

use crate::ground::{
    TestBox, any_disk, by, command, demand, host, is_readable, is_ready, lack_of_v2_memory, make_unified, pause,
};

const ROOT: &str = "/";
/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Touches 128 MiB, page by page.
const GREEDY: &str = "b = bytearray(128 << 20); [b.__setitem__(i, 1) for i in range(0, len(b), 4096)]";

pub(crate) fn limits_are_in_force_for_who_joined() {
    let test_box = TestBox::new(&demand());
    let walls: Vec<_> = test_box.group.walls().iter().map(|report| (report.wall, report.state)).collect();
    assert_eq!(walls[..2], [(Wall::Memory, WallState::Enforced), (Wall::Pids, WallState::Enforced)]);
    assert!(test_box.group.is_empty().unwrap());
    assert!(matches!(
        test_box.group.verify_member(Path::new(ROOT), std::process::id() as i32),
        Err(CgroupError::NotMember { .. })
    ));

    let mut child = test_box.command("/bin/sleep").arg("60").spawn().unwrap();
    let pid = child.id() as i32;
    let deadline = Instant::now() + PATIENCE;
    while test_box.group.verify_member(Path::new(ROOT), pid).is_err() {
        assert!(Instant::now() < deadline);
        pause();
    }
    assert_eq!(test_box.group.processes().unwrap(), [pid]);
    // What it took before it joined is not its group's.
    while test_box.group.usage().memory_bytes == Some(0) {
        assert!(Instant::now() < deadline);
        pause();
    }
    let usage = test_box.group.usage();
    assert!(usage.memory_bytes.unwrap() > 0 && usage.pids == Some(1) && usage.cpu_ms.is_some(), "{usage:?}");
    let counters = test_box.group.counters();
    assert_eq!(counters.memory.limit_bytes.unwrap().0, 64 << 20);
    assert_eq!(counters.pids.limit, Some(64));
    test_box.group.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(test_box.group.is_empty().unwrap());
}

pub(crate) fn an_oom_is_counted_and_told() {
    let test_box = TestBox::new(&demand());
    let event = test_box.group.oom_event_fd().unwrap().unwrap();
    assert!(!is_readable(event.as_fd(), Duration::ZERO), "nothing happened yet");
    let status = test_box.python(GREEDY).wait().unwrap();
    assert_eq!(status.signal(), Some(9), "the kernel killed it");
    assert!(is_readable(event.as_fd(), PATIENCE));
    let memory = test_box.group.counters().memory;
    assert_eq!(memory.oom_kills, 1, "{memory:?}");
    assert!(memory.limit_hits > 0, "{memory:?}");
    assert!(memory.peak_bytes.unwrap().0 > 60 << 20, "{memory:?}");
    let mut buffer = [0u8; 4096];
    rustix::io::read(&event, &mut buffer).unwrap();
    assert!(!is_readable(event.as_fd(), Duration::ZERO), "reading clears it");
}

pub(crate) fn enough_memory_is_no_oom() {
    let test_box = TestBox::new(&Demand { memory_bytes: 512 << 20, ..demand() });
    let event = test_box.group.oom_event_fd().unwrap().unwrap();
    let status = test_box.python(GREEDY).wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!is_readable(event.as_fd(), Duration::ZERO));
    let memory = test_box.group.counters().memory;
    assert_eq!((memory.oom_kills, memory.limit_hits), (0, 0), "{memory:?}");
    assert!(memory.peak_bytes.unwrap().0 > 128 << 20, "{memory:?}");
}

pub(crate) fn a_threshold_tells_before_the_limit() {
    let test_box = TestBox::new(&Demand { memory_bytes: 512 << 20, ..demand() });
    let reached = armed(&test_box, 125 << 20);
    let not_reached = armed(&test_box, 500 << 20);
    let status = test_box.python(GREEDY).wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(is_ready(reached.fd(), PATIENCE));
    assert!(!is_ready(not_reached.fd(), Duration::ZERO));
}

pub(crate) fn memory_high_tells_before_the_limit() {
    let test_box = TestBox::new(&Demand { memory_bytes: 512 << 20, ..demand() });
    let alarm = MemoryAlarm::high(&test_box.group, 125 << 20).unwrap().unwrap();
    assert!(alarm.arm(&test_box.group).unwrap());
    assert!(!is_ready(alarm.fd(), Duration::ZERO), "nothing happened yet");
    let mut child = test_box.python(GREEDY);
    assert!(is_ready(alarm.fd(), PATIENCE));
    assert!(test_box.group.usage().memory_bytes.unwrap() < 125 << 20, "it is slowed down");
    assert!(alarm.relieve(&test_box.group).unwrap());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    alarm.take();
    assert!(!is_ready(alarm.fd(), Duration::ZERO));
}

/// The first alarm near this limit, at 80 %.
fn armed(test_box: &TestBox, limit: u64) -> MemoryAlarm {
    let alarm = MemoryAlarm::near(limit).unwrap().swap_remove(0);
    alarm.arm(&test_box.group).unwrap();
    alarm
}

pub(crate) fn refused_forks_are_counted_and_kills_do_not_add() {
    let test_box = TestBox::new(&Demand { pids: 8, ..demand() });
    let many = "import os, time\nfor i in range(30):\n  try:\n    os.fork() or time.sleep(60)\n  except OSError: pass\ntime.sleep(60)";
    let mut child = test_box.python(many);
    test_box.wait_for_pids(8);
    let deadline = Instant::now() + PATIENCE;
    while test_box.group.counters().pids.refused_forks < 23 {
        assert!(Instant::now() < deadline, "{:?}", test_box.group.counters().pids);
        pause();
    }
    let before = test_box.group.counters().pids;
    assert_eq!((before.limit, before.peak), (Some(8), Some(8)));
    test_box.group.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(test_box.group.counters().pids.refused_forks, before.refused_forks);
}

pub(crate) fn a_cpu_limit_throttles() {
    let test_box = TestBox::new(&Demand { cpus: Some(0.2), ..demand() });
    // Four hierarchies are more than `TestBox::command` can pass descriptors of.
    let busy = "for g in \"$@\"; do echo 0 > \"$g/cgroup.procs\" || exit 97; done; \
                i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let status = command("/bin/sh").args(["-c", busy, "busy"]).args(test_box.group.paths()).status().unwrap();
    let (cpu, report) = (test_box.group.counters().cpu, &test_box.group.walls()[2]);
    assert_eq!(status.code(), Some(0));
    assert_eq!(report.by, by("cgroup v1 cpu.cfs_quota_us", "cgroup v2 cpu.max"));
    assert!(cpu.used_ms > 0 && cpu.throttled_ms > 0, "{cpu:?}");
}

/// Reads twice as much as fits, again and again for two seconds.
const THRASHING: &str = "import os, sys, time\nfile = os.open(sys.argv[1], os.O_RDWR)\n\
                         for i in range(64): os.write(file, bytes(1 << 20))\nos.fsync(file)\nend = time.time() + 2\n\
                         while time.time() < end:\n  for i in range(64): os.pread(file, 1 << 20, i << 20)";

pub(crate) fn stalls_for_want_of_memory_are_counted() {
    let test_box = TestBox::new(&Demand { memory_bytes: 32 << 20, ..demand() });
    // A hybrid host counts them in another group than the one with the limit.
    let beside = lack_of_v2_memory().map(|_| make_unified(&test_box.owner).unwrap());
    let group = BoxGroup::find(&host(), &test_box.owner.id()).unwrap();
    let pressure = MemoryPressure::of(&group).unwrap();
    assert_eq!(pressure.stalled_ms(), Some(0), "nobody has joined");
    let file = tempfile::NamedTempFile::with_prefix_in("testbox", "/var/tmp").unwrap();
    let join = "[ -z \"$1\" ] || echo 0 > \"$1/cgroup.procs\" || exit 97; exec python3 -c \"$2\" \"$3\"";
    let mut thrashing = test_box.command("/bin/sh");
    thrashing.args(["-c", join, "join"]).arg(beside.as_deref().unwrap_or(Path::new("")));
    let status = thrashing.arg(THRASHING).arg(file.path()).status().unwrap();
    let stalled = group.counters().stalled;
    beside.into_iter().for_each(|path| fs_err::remove_dir(path).unwrap());
    assert_eq!(status.code(), Some(0), "the kernel finds pages to drop");
    assert!(stalled.memory_ms > Some(0) && stalled.io_ms.is_some() && stalled.cpu_ms.is_some(), "{stalled:?}");
}

pub(crate) fn transfer_rates_are_set() {
    let io = IoDemand { devices: vec![any_disk().unwrap()], read_bps: Some(64 << 20), write_bps: Some(32 << 20) };
    let test_box = TestBox::new(&Demand { io: Some(io), ..demand() });
    let report = &test_box.group.walls()[3];
    assert_eq!(report.state, WallState::Enforced);
    assert_eq!(report.by, by("cgroup v1 blkio.throttle", "cgroup v2 io.max"));
    let io = test_box.group.counters().io;
    assert_eq!((io.read_bytes, io.written_bytes), (Some(0), Some(0)));
}

pub(crate) fn a_second_box_of_the_same_name_is_refused() {
    let test_box = TestBox::new(&demand());
    let error = BoxGroup::create(&host(), &test_box.owner.id(), &demand()).unwrap_err();
    assert!(matches!(error, CgroupError::Exists { .. }), "{error}");
    assert!(test_box.group.paths().iter().all(|path| path.exists()), "the first is untouched");
    let sorted = |group: &BoxGroup| BTreeSet::from_iter(group.paths());
    let found = BoxGroup::find(&host(), &test_box.owner.id()).unwrap();
    assert_eq!(sorted(&found), sorted(&test_box.group));
}
