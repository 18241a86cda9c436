//! The whole of `BoxGroup::create` on recorded kernels, with every trouble that a kernel can make.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use testbox_model::{Wall, WallState};

use crate::fake::{self, FakeHost, id};
use crate::{BoxGroup, CgroupError, Demand, Host, IoDemand};

const V1_MEMORY: &str = "sys/fs/cgroup/memory/session/a b/testbox-97b45cbc-14646-190080";
const V2: &str = "sys/fs/cgroup/testbox-97b45cbc-14646-190080";

fn demand() -> Demand {
    Demand { memory_bytes: 64 << 20, pids: 100, ..Demand::default() }
}

fn everything() -> Demand {
    let io = IoDemand { devices: vec![(8, 0), (8, 16)], read_bps: Some(1 << 20), write_bps: Some(2 << 20) };
    Demand { cpus: Some(1.5), io: Some(io), swap_bytes: 1 << 20, ..demand() }
}

fn allowing(walls: &[Wall]) -> Demand {
    Demand { allow_degraded: BTreeSet::from_iter(walls.iter().copied()), ..demand() }
}

fn states(group: &BoxGroup) -> Vec<(Wall, WallState)> {
    group.walls().iter().map(|report| (report.wall, report.state)).collect()
}

fn by(group: &BoxGroup, wall: Wall) -> (&str, Option<&str>) {
    let report = group.walls().iter().find(|report| report.wall == wall).unwrap();
    (&report.by, report.note.as_deref())
}

fn refuse_with(errno: Errno) -> fn(&Path) -> io::Result<()> {
    match errno {
        Errno::ACCESS => |_| Err(Errno::ACCESS.into()),
        Errno::ROFS => |_| Err(Errno::ROFS.into()),
        _ => |_| Err(Errno::AGAIN.into()),
    }
}

/// A host on which no group can be made.
fn refusing(fake: &FakeHost, errno: Errno) -> Host {
    let mut host = fake.detect();
    host.kernel.mkdir = refuse_with(errno);
    host
}

/// Why the first wall of a box with memory and pids cannot be built, where neither can.
#[track_caller]
fn refused(host: &Host) -> CgroupError {
    match BoxGroup::create(host, &id(), &demand()).unwrap_err() {
        CgroupError::Several { walls, first } if walls == [Wall::Memory, Wall::Pids] => *first,
        error => panic!("{error:?}"),
    }
}

#[test]
fn v1_makes_one_directory_for_each_needed_hierarchy() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    assert_eq!(
        fake.groups(),
        [
            "cpu,cpuacct/testbox-97b45cbc-14646-190080",
            "memory/session/a b/testbox-97b45cbc-14646-190080",
            "pids/testbox-97b45cbc-14646-190080",
        ]
    );
    assert_eq!(fake.get(&format!("{V1_MEMORY}/memory.limit_in_bytes")), "67108864");
    assert_eq!(fake.get(&format!("{V1_MEMORY}/memory.memsw.limit_in_bytes")), "67112960", "one page more");
    assert_eq!(fake.get(&format!("{V1_MEMORY}/memory.swappiness")), "0");
    assert_eq!(by(&group, Wall::Memory), ("cgroup v1 memory.limit_in_bytes", None));
    assert_eq!(by(&group, Wall::Pids), ("cgroup v1 pids.max", None));
    assert_eq!(by(&group, Wall::Cpu), ("no limit asked for", None));
    assert_eq!(
        group.membership(),
        [
            ("memory".to_owned(), "/session/a b/testbox-97b45cbc-14646-190080".to_owned()),
            ("pids".to_owned(), "/testbox-97b45cbc-14646-190080".to_owned()),
            ("cpu,cpuacct".to_owned(), "/testbox-97b45cbc-14646-190080".to_owned()),
        ]
    );
    assert_eq!(joined_through(&group), ["tasks"; 3]);
    assert!(group.birthplace().unwrap().is_none(), "nobody is born in several hierarchies");
}

/// Names of the files through which a process joins.
fn joined_through(group: &BoxGroup) -> Vec<String> {
    use std::os::fd::AsRawFd;
    let path = |fd: std::os::fd::OwnedFd| fs_err::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    let name = |fd| path(fd).file_name().unwrap().to_str().unwrap().to_owned();
    group.attach_fds().unwrap().into_iter().map(name).collect()
}

#[test]
fn v1_sets_every_limit() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &everything()).unwrap();
    let cpu = "sys/fs/cgroup/cpu,cpuacct/testbox-97b45cbc-14646-190080";
    let blkio = "sys/fs/cgroup/blkio/testbox-97b45cbc-14646-190080";
    assert_eq!(fake.get(&format!("{V1_MEMORY}/memory.memsw.limit_in_bytes")), "68157440");
    assert_eq!(fake.get(&format!("{V1_MEMORY}/memory.swappiness")), "60\n", "swap is allowed: the kernel's default");
    assert_eq!(fake.get(&format!("{cpu}/cpu.cfs_quota_us")), "150000");
    assert_eq!(fake.get(&format!("{blkio}/blkio.throttle.read_bps_device")).trim(), "8:0 1048576\n8:16 1048576");
    assert_eq!(by(&group, Wall::Cpu).0, "cgroup v1 cpu.cfs_quota_us");
    let (io, note) = by(&group, Wall::Io);
    assert_eq!(io, "cgroup v1 blkio.throttle");
    assert!(note.unwrap().contains("buffered writes"));
}

#[test]
fn v2_makes_one_directory_below_the_root_if_the_own_group_passes_nothing_on() {
    let fake = FakeHost::v2();
    let group = BoxGroup::create(&fake.detect(), &id(), &Demand { cpus: Some(0.5), ..demand() }).unwrap();
    assert_eq!(fake.groups(), ["testbox-97b45cbc-14646-190080"]);
    for (file, value) in [("memory.max", "67108864"), ("memory.swap.max", "0"), ("pids.max", "100")] {
        assert_eq!(fake.get(&format!("{V2}/{file}")), value);
    }
    assert_eq!(fake.get(&format!("{V2}/cpu.max")), "50000 100000");
    assert_eq!(fake.get(&format!("{V2}/memory.oom.group")), "0\n");
    assert_eq!(by(&group, Wall::Memory).0, "cgroup v2 memory.max");
    assert_eq!(group.membership(), [(String::new(), "/testbox-97b45cbc-14646-190080".to_owned())]);
    let birthplace = group.birthplace().unwrap().unwrap();
    let birthplace = std::os::fd::AsRawFd::as_raw_fd(&birthplace);
    assert_eq!(fs_err::read_link(format!("/proc/self/fd/{birthplace}")).unwrap(), fake.root().join(V2));
    assert_eq!(fake.get("sys/fs/cgroup/cgroup.subtree_control"), "cpu memory pids\n", "not ours: not changed");
}

#[test]
fn v2_enables_controllers_only_in_a_delegated_group() {
    let fake = FakeHost::v2();
    fake.delegate("sys/fs/cgroup/user.slice/run.scope");
    fake.put("sys/fs/cgroup/user.slice/run.scope/cgroup.procs", "14646\n");
    let mut host = fake.detect();
    host.settle(&id()).unwrap().unwrap();
    let group = BoxGroup::create(&host, &id(), &everything()).unwrap();
    assert_eq!(
        fake.groups(),
        [
            "user.slice/run.scope/testbox-97b45cbc-14646-190080",
            "user.slice/run.scope/testbox-supervisor-97b45cbc-14646-190080",
        ]
    );
    let scope = "sys/fs/cgroup/user.slice/run.scope";
    assert_eq!(fake.get(&format!("{scope}/cgroup.subtree_control")).trim(), "memory pids cpu io");
    assert_eq!(
        fake.get(&format!("{scope}/testbox-97b45cbc-14646-190080/io.max")),
        "8:16 rbps=1048576 wbps=2097152 riops=max wiops=max"
    );
    assert!(group.walls().iter().all(|report| report.state == WallState::Enforced));
    assert_eq!(BoxGroup::find(&host, &id()).unwrap().paths(), group.paths());
}

#[test]
fn v2_a_controller_that_is_not_passed_on_is_named() {
    let fake = FakeHost::v2();
    let error = BoxGroup::create(&fake.detect(), &id(), &everything()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot build the wall `io`: the controller `io` is not enabled in `{}`",
            fake.root().join("sys/fs/cgroup/cgroup.subtree_control").display()
        )
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("systemd-run --user --scope -p Delegate=yes") && hint.contains("--allow-degraded io"));
    assert_eq!(fake.groups(), [""; 0]);

    let demand = Demand { allow_degraded: BTreeSet::from([Wall::Io]), ..everything() };
    let group = BoxGroup::create(&fake.detect(), &id(), &demand).unwrap();
    assert_eq!(states(&group)[3], (Wall::Io, WallState::Degraded));
    assert_eq!(states(&group)[0], (Wall::Memory, WallState::Enforced));
}

#[test]
fn a_missing_controller_is_an_error_or_a_degraded_wall() {
    let fake = FakeHost::v2();
    fake.put("sys/fs/cgroup/cgroup.controllers", "cpu pids\n");
    let error = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap_err();
    assert!(matches!(error, CgroupError::ControllerMissing { wall: Wall::Memory, controller: "memory" }));
    assert!(error.hint().unwrap().contains("cgroup_enable=memory"));

    let group = BoxGroup::create(&fake.detect(), &id(), &allowing(&[Wall::Memory])).unwrap();
    assert_eq!(states(&group)[0], (Wall::Memory, WallState::Degraded));
    assert_eq!(by(&group, Wall::Memory).0, "sampling watchdog over the process tree");
    assert_eq!(states(&group)[1], (Wall::Pids, WallState::Enforced));
}

#[test]
fn without_permission_it_is_an_error_unless_all_walls_may_be_degraded() {
    for (fake, hint) in [(FakeHost::v1(), "run testbox as root"), (FakeHost::v2(), "Delegate=yes")] {
        let host = refusing(&fake, Errno::ACCESS);
        for allowed in [vec![], vec![Wall::Memory], vec![Wall::Pids]] {
            let error = BoxGroup::create(&host, &id(), &allowing(&allowed)).unwrap_err();
            assert!(error.hint().unwrap().contains(hint), "{error}");
            let missed = if allowed == [Wall::Memory] { "`pids`" } else { "`memory`" };
            assert!(error.to_string().contains(missed), "{error}");
        }
        let group = BoxGroup::create(&host, &id(), &allowing(&[Wall::Memory, Wall::Pids])).unwrap();
        assert!(group.paths().is_empty() && group.membership().is_empty() && group.is_empty().unwrap());
        assert_eq!(states(&group)[..2], [(Wall::Memory, WallState::Degraded), (Wall::Pids, WallState::Degraded)]);
        let (pids, note) = by(&group, Wall::Pids);
        assert_eq!(pids, "RLIMIT_NPROC in the box's own user namespace");
        assert!(note.unwrap().starts_with("cannot build the wall `pids`: "), "{note:?}");
        assert_eq!(group.usage(), crate::Usage::default());
        group.kill().unwrap();
        group.remove(std::time::Instant::now()).unwrap();
    }
}

#[test]
fn v1_says_when_cpu_time_is_not_counted() {
    let fake = FakeHost::v1();
    let host = refusing(&fake, Errno::ACCESS);
    let group = BoxGroup::create(&host, &id(), &allowing(&[Wall::Memory, Wall::Pids])).unwrap();
    assert_eq!(states(&group)[2], (Wall::Cpu, WallState::Off));
    assert!(by(&group, Wall::Cpu).1.unwrap().starts_with("CPU time is not counted: not allowed to "));
}

#[test]
fn a_read_only_hierarchy_is_named() {
    let fake = FakeHost::v1();
    let error = refused(&refusing(&fake, Errno::ROFS));
    assert!(matches!(error, CgroupError::ReadOnly { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--privileged"));
    let fake = FakeHost::v2();
    fake.put("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate\n");
    let error = refused(&fake.detect());
    assert!(matches!(error, CgroupError::ReadOnly { .. }), "known from the mount itself: {error}");
}

#[test]
fn every_missing_wall_is_named_at_once() {
    let host = refusing(&FakeHost::v1(), Errno::ACCESS);
    let error = BoxGroup::create(&host, &id(), &everything()).unwrap_err();
    assert_eq!(error.to_string(), "cannot build the walls `memory`, `pids`, `cpu`, `io`");
    assert!(error.hint().unwrap().ends_with("`--allow-degraded memory,pids,cpu,io`"));
    let error = BoxGroup::create(&host, &id(), &allowing(&[Wall::Memory])).unwrap_err();
    assert!(matches!(error, CgroupError::NotDelegated { wall: Wall::Pids, .. }), "{error}");
}

#[test]
fn another_refusal_keeps_the_kernels_answer() {
    let fake = FakeHost::v2();
    let error = refused(&refusing(&fake, Errno::AGAIN));
    let CgroupError::Create { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.raw_os_error(), Some(Errno::AGAIN.raw_os_error()));
}

#[test]
fn an_existing_directory_is_never_taken_over() {
    let fake = FakeHost::v1();
    fake.dir("sys/fs/cgroup/memory/session/a b/testbox-97b45cbc-14646-190080");
    let error = BoxGroup::create(&fake.detect(), &id(), &allowing(&[Wall::Pids])).unwrap_err();
    assert!(matches!(error, CgroupError::Exists { .. }), "{error}");
    assert!(error.hint().unwrap().contains("testbox gc"));
    assert_eq!(fake.groups(), ["memory/session/a b/testbox-97b45cbc-14646-190080"], "the others are undone");
    let error = BoxGroup::create(&fake.detect(), &id(), &allowing(&[Wall::Memory, Wall::Pids])).unwrap_err();
    assert!(matches!(error, CgroupError::Exists { .. }), "also where the wall may be weaker: {error}");
}

#[test]
fn a_frozen_parent_is_refused() {
    let fake = FakeHost::v2();
    fake.put("sys/fs/cgroup/cgroup.events", "populated 1\nfrozen 1\n");
    fake.put("sys/fs/cgroup/user.slice/run.scope/cgroup.events", "populated 1\nfrozen 1\n");
    let error = refused(&fake.detect());
    assert!(matches!(error, CgroupError::Frozen { .. }), "{error}");
    assert_eq!(fake.groups(), [""; 0]);
}

#[test]
fn a_threaded_parent_is_refused() {
    let fake = FakeHost::v2();
    let template = fake.get("sys/fs/cgroup/.template").replace("cgroup.type: domain", "cgroup.type: domain invalid");
    fake.put("sys/fs/cgroup/.template", &template);
    fake.put("sys/fs/cgroup/user.slice/run.scope/cgroup.subtree_control", "memory pids\n");
    let error = refused(&fake.detect());
    assert!(matches!(&error, CgroupError::NotDomain { kind, .. } if kind == "domain invalid"), "{error}");
    assert_eq!(fake.groups(), [""; 0]);
}

#[test]
fn a_limit_that_cannot_be_set_undoes_everything() {
    let busy: fn(&Path, &str) -> io::Result<()> = |path, value| match path.ends_with("memory.memsw.limit_in_bytes") {
        true => Err(Errno::BUSY.into()),
        false => fake::write(path, value),
    };
    let fake = FakeHost::v1();
    let mut host = fake.detect();
    host.kernel.write = busy;
    let error = BoxGroup::create(&host, &id(), &demand()).unwrap_err();
    assert!(matches!(&error, CgroupError::Busy { value, .. } if value == "67112960"), "{error}");
    assert_eq!(fake.groups(), [""; 0]);

    let group = BoxGroup::create(&host, &id(), &allowing(&[Wall::Memory])).unwrap();
    assert_eq!(states(&group)[..2], [(Wall::Memory, WallState::Degraded), (Wall::Pids, WallState::Enforced)]);
    assert!(by(&group, Wall::Memory).1.unwrap().contains("Device or resource busy"));
}

#[test]
fn a_limit_that_reads_back_otherwise_is_refused() {
    let forgetful: fn(&Path, &str) -> io::Result<()> = |path, value| match path.ends_with("pids.max") {
        true => Ok(()),
        false => fake::write(path, value),
    };
    for fake in [FakeHost::v1(), FakeHost::v2()] {
        let mut host = fake.detect();
        host.kernel.write = forgetful;
        let error = BoxGroup::create(&host, &id(), &demand()).unwrap_err();
        assert!(
            matches!(&error, CgroupError::Readback { wall: Wall::Pids, wrote, read, .. } if wrote == "100" && read == "max"),
            "{error}"
        );
        assert_eq!(fake.groups(), [""; 0]);
    }
}

#[test]
fn missing_swap_accounting_is_told() {
    for (fake, template) in
        [(FakeHost::v1(), "sys/fs/cgroup/memory/.template"), (FakeHost::v2(), "sys/fs/cgroup/.template")]
    {
        let without: Vec<String> =
            fake.get(template).lines().filter(|line| !line.contains("sw")).map(str::to_owned).collect();
        fake.put(template, &without.join("\n"));
        let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
        assert_eq!(states(&group)[0], (Wall::Memory, WallState::Enforced));
        assert!(by(&group, Wall::Memory).1.unwrap().contains("does not account swap"));
    }
}

#[test]
fn transfer_rates_without_a_device_are_refused() {
    let fake = FakeHost::v1();
    let demand = Demand { io: Some(IoDemand::default()), ..demand() };
    let error = BoxGroup::create(&fake.detect(), &id(), &demand).unwrap_err();
    assert!(matches!(error, CgroupError::NoDevice));
    assert!(error.hint().unwrap().contains("--allow-degraded io"));
    assert_eq!(fake.groups(), [""; 0]);
}

#[test]
fn counters_come_from_the_kernels_files() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &everything()).unwrap();
    let put = |controller: &str, file: &str, text: &str| {
        fake.put(&format!("sys/fs/cgroup/{controller}/testbox-97b45cbc-14646-190080/{file}"), text);
    };
    put("memory/session/a b", "memory.max_usage_in_bytes", "67108864\n");
    put("memory/session/a b", "memory.failcnt", "2\n");
    put("memory/session/a b", "memory.memsw.failcnt", "40\n");
    put("memory/session/a b", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    put("pids", "pids.events", "max 7\n");
    put("pids", "pids.peak", "100\n");
    put("cpu,cpuacct", "cpuacct.usage", "1234567890\n");
    put("cpu,cpuacct", "cpu.stat", "nr_periods 9\nnr_throttled 5\nthrottled_time 250000000\n");
    put("blkio", "blkio.throttle.io_service_bytes_recursive", "8:0 Read 10\n8:0 Write 20\nTotal 30\n");
    let counters = group.counters();
    assert_eq!((counters.memory.oom_kills, counters.memory.limit_hits), (3, 42));
    assert_eq!(counters.memory.limit_bytes.unwrap().0, 64 << 20);
    assert_eq!(counters.memory.peak_bytes.unwrap().0, 64 << 20);
    assert_eq!((counters.pids.limit, counters.pids.peak, counters.pids.refused_forks), (Some(100), Some(100), 7));
    assert_eq!((counters.cpu.used_ms, counters.cpu.throttled_ms), (1234, 250));
    assert_eq!((counters.io.read_bytes, counters.io.written_bytes), (Some(10), Some(20)));
}

#[test]
fn v2_counters_come_from_events_and_stat() {
    let fake = FakeHost::v2();
    let group = BoxGroup::create(&fake.detect(), &id(), &Demand { cpus: Some(1.0), ..demand() }).unwrap();
    let put = |file: &str, text: &str| fake.put(&format!("{V2}/{file}"), text);
    put("memory.events", "low 0\nhigh 0\nmax 50\noom 4\noom_kill 3\noom_group_kill 0\n");
    put("memory.events.local", "low 0\nhigh 0\nmax 42\noom 4\noom_kill 0\noom_group_kill 0\n");
    put("memory.current", "4096\n");
    put("pids.current", "2\n");
    put(
        "cpu.stat",
        "usage_usec 1234567\nuser_usec 0\nsystem_usec 0\nnr_periods 1\nnr_throttled 1\nthrottled_usec 250000\n",
    );
    fake.delete(&format!("{V2}/memory.peak"));
    let counters = group.counters();
    assert_eq!((counters.memory.oom_kills, counters.memory.limit_hits), (3, 42));
    assert_eq!(counters.memory.peak_bytes, None, "before Linux 5.19");
    assert_eq!((counters.cpu.used_ms, counters.cpu.throttled_ms), (1234, 250));
    assert_eq!(counters.io.read_bytes, None);
    let usage = group.usage();
    assert_eq!((usage.memory_bytes, usage.pids, usage.cpu_ms), (Some(4096), Some(2), Some(1234)));
}

#[test]
fn a_process_outside_is_not_a_member() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    let inside = "8:pids:/testbox-97b45cbc-14646-190080\n4:memory:/session/a b/testbox-97b45cbc-14646-190080\n\
                  1:cpu,cpuacct:/testbox-97b45cbc-14646-190080\n0::/\n";
    fake.put("proc/77/cgroup", inside);
    group.verify_member(fake.root(), 77).unwrap();
    for (from, to) in [
        ("pids:/testbox-97b45cbc-14646-190080", "pids:/"),
        ("8:pids:", "8:other:"),
        ("a b/testbox-97b45cbc-14646-190080", "a b/testbox-97b45cbc-14646-1900800"),
    ] {
        fake.put("proc/77/cgroup", &inside.replace(from, to));
        let error = group.verify_member(fake.root(), 77).unwrap_err();
        assert!(matches!(error, CgroupError::NotMember { pid: 77, .. }), "{error}");
    }
    fake.put("proc/77/cgroup", "nonsense");
    assert!(group.verify_member(fake.root(), 77).is_err());
    assert!(group.verify_member(fake.root(), 78).is_err(), "gone");
}

#[test]
fn v2_a_controller_that_systemd_keeps_from_its_users_has_a_remedy() {
    let fake = FakeHost::v2();
    let scope =
        "sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/testbox-97b45cbc-14646-190080.scope";
    fake.dir(scope);
    fake.put("proc/self/cgroup", &format!("0::{}\n", scope.strip_prefix("sys/fs/cgroup").unwrap()));
    for (file, content) in [
        ("cgroup.controllers", "cpu memory pids\n"),
        ("cgroup.subtree_control", "cpu memory pids\n"),
        ("cgroup.procs", "14646\n"),
    ] {
        fake.put(&format!("{scope}/{file}"), content);
    }
    let mut host = fake.detect();
    host.find_place(&id(), &everything(), "pytest").unwrap();
    let error = BoxGroup::create(&host, &id(), &everything()).unwrap_err();
    let hint = error.hint().unwrap();
    assert!(
        matches!(&error, CgroupError::NotEnabled { controller: "io", path, .. } if path.starts_with(fake.root().join(scope))),
        "{error}"
    );
    assert!(
        hint.contains("/etc/systemd/system/user@.service.d/delegate.conf") && hint.contains("restart user@1000"),
        "{hint}"
    );
    assert!(hint.contains("--allow-degraded io"), "{hint}");
}
