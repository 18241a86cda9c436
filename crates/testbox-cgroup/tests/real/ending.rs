//! The end of a box: everything in it dies, nothing of it stays, and nobody else is touched.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use testbox_cgroup::{BoxGroup, CgroupError, Demand, gc};

use crate::ground::{Owner, TestBox, command, demand, host, make_unified, pause, soon};

/// Each process forks the next one and ends: a single pass over the list of processes hardly ever meets it. The dead count
/// until they are reaped, which takes the machine's init a while if it is busy: a refused fork is tried again.
pub(crate) const FORK_CHAIN: &str = "import os\nfor i in range(4): os.fork()\nwhile True:\n  \
    try:\n    if os.fork(): os._exit(0)\n  except OSError: pass";

pub(crate) fn a_fork_chain_dies_in_each_of_20_kills() {
    for round in 0..20 {
        let test_box = TestBox::new(&Demand { pids: 256, ..demand() });
        let mut child = test_box.python(FORK_CHAIN);
        child.wait().unwrap();
        test_box.wait_for_pids(4);
        let started = Instant::now();
        test_box.group.kill().unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "round {round}: {:?}", started.elapsed());
        assert!(test_box.group.is_empty().unwrap(), "round {round}");
    }
}

pub(crate) fn the_unified_hierarchy_kills_fork_chains() {
    for round in 0..20 {
        let owner = Owner::new();
        let path = make_unified(&owner).unwrap();
        let group = BoxGroup::find(&host(), &owner.id()).unwrap();
        assert!(group.paths().contains(&path));
        let join = "echo 0 > \"$1\" || exit 97; exec python3 -c \"$2\"";
        let procs = path.join("cgroup.procs");
        let started = command("/bin/sh").args(["-c", join, "join"]).arg(&procs).arg(FORK_CHAIN).status().unwrap();
        assert_eq!(started.code(), Some(0));
        let error = group.remove(Instant::now() + Duration::from_millis(5)).unwrap_err();
        assert!(matches!(error, CgroupError::NotEmpty { .. }), "round {round}: {error}");
        group.kill().unwrap();
        group.remove(soon()).unwrap();
        assert!(!path.exists(), "round {round}");
    }
}

pub(crate) fn stopped_and_deaf_processes_die() {
    let test_box = TestBox::new(&demand());
    let deaf = "import os, signal\nsignal.signal(15, signal.SIG_IGN)\n\
                if os.fork() == 0:\n  os.setsid()\n  os.fork()\n  os.kill(os.getpid(), signal.SIGSTOP)\nsignal.pause()";
    let mut child = test_box.python(deaf);
    test_box.wait_for_pids(3);
    test_box.group.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(test_box.group.is_empty().unwrap());
}

pub(crate) fn remove_waits_and_names_what_is_left() {
    let test_box = TestBox::new(&demand());
    let mut child = test_box.command("/bin/sleep").arg("60").spawn().unwrap();
    test_box.wait_for_pids(1);
    let error = test_box.group.remove(Instant::now() + Duration::from_millis(50)).unwrap_err();
    let CgroupError::NotEmpty { left, .. } = &error else { panic!("{error}") };
    assert!(left.len() == 1 && left[0].starts_with(&format!("{} (", child.id())), "{left:?}");
    assert!(test_box.group.paths().iter().all(|path| path.exists()));
    test_box.group.kill().unwrap();
    child.wait().unwrap();
    test_box.group.remove(soon()).unwrap();
    test_box.group.remove(soon()).unwrap();
}

pub(crate) fn removed_groups_do_not_stay_in_the_kernel() {
    let before = memory_groups();
    for _ in 0..50 {
        let test_box = TestBox::new(&demand());
        let file = tempfile::NamedTempFile::with_prefix("testbox").unwrap();
        fs_err::write(file.path(), vec![7u8; 64 << 10]).unwrap();
        let copy = "cat /bin/sh > \"$1\"; cat \"$1\" > \"$1\".2; rm \"$1\".2";
        let status = test_box.command("/bin/sh").args(["-c", copy, "copy"]).arg(file.path()).status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
    wait_for_groups(before + 5);
}

/// Until there are no more than that: the kernel frees groups in the background, and other tests have some.
pub(crate) fn wait_for_groups(most: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while memory_groups() > most {
        assert!(Instant::now() < deadline, "{} groups, not {most}", memory_groups());
        pause();
    }
}

/// The kernel's own count, dead groups included.
pub(crate) fn memory_groups() -> u64 {
    let number = |line: &str, field| line.split_whitespace().nth(field).unwrap().parse::<u64>().unwrap();
    if let Ok(all) = fs_err::read_to_string("/sys/fs/cgroup/cgroup.stat") {
        let counted = |name: &str| number(all.lines().find(|line| line.starts_with(name)).unwrap(), 1);
        return counted("nr_descendants ") + counted("nr_dying_descendants ");
    }
    let table = fs_err::read_to_string("/proc/cgroups").unwrap();
    number(table.lines().find(|line| line.starts_with("memory\t")).unwrap(), 2)
}

pub(crate) fn gc_ends_boxes_of_dead_owners_only() {
    let living = TestBox::new(&demand());
    let mut spared = living.command("/bin/sleep").arg("60").spawn().unwrap();
    let mut orphaned = TestBox::new(&demand());
    let mut victim = orphaned.command("/bin/sleep").arg("60").spawn().unwrap();
    living.wait_for_pids(1);
    orphaned.wait_for_pids(1);
    orphaned.owner.0.kill().unwrap();
    // Dead, but not waited for: a zombie owns nothing either.
    let (mut removed, deadline) = (BTreeSet::new(), soon());
    let report = loop {
        let report = gc(&host()).unwrap();
        removed.extend(report.removed.iter().cloned());
        if orphaned.group.paths().iter().all(|path| removed.contains(path)) {
            break report;
        }
        assert!(Instant::now() < deadline, "{removed:?} {report:?}");
        pause();
    };
    assert_eq!(victim.wait().unwrap().signal(), Some(9));
    for path in living.group.paths() {
        let (_, reason) = report.kept.iter().find(|(kept, _)| *kept == path).unwrap();
        assert_eq!(*reason, format!("its owner, process {}, is running", living.owner.0.id()));
    }
    assert!(spared.try_wait().unwrap().is_none(), "the other box runs on");
    living.group.kill().unwrap();
    spared.wait().unwrap();
}

pub(crate) fn a_box_costs_little() {
    let (owner, host) = (Owner::new(), host());
    let mut times: Vec<Duration> = (0..60)
        .map(|_| {
            let started = Instant::now();
            let group = BoxGroup::create(&host, &owner.id(), &demand()).unwrap();
            let fds = group.attach_fds().unwrap();
            assert!(!fds.is_empty());
            group.remove(soon()).unwrap();
            started.elapsed()
        })
        .collect();
    times.sort();
    command("/bin/true").status().unwrap();
    // Generous: an unoptimised build beside other tests. The benchmark is stricter.
    assert!(times[30] < Duration::from_millis(20), "median {:?}", times[30]);
}
