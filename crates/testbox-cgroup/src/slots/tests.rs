//! Slots on recorded kernels.

use std::io;
use std::path::Path;
use std::time::Instant;

use rustix::io::Errno;

use super::*;
use crate::fake::{self, FakeHost, id};
use crate::{BoxGroup, Demand};

const MIB: u64 = 1 << 20;
const NAME: &str = "testbox-97b45cbc-14646-190080";

fn demand() -> Demand {
    Demand { memory_bytes: 512 * MIB, pids: 100, workers: true, ..Demand::default() }
}

fn slots(group: &BoxGroup) -> Slots {
    Slots::below(group, 512 * MIB, 0, 100).unwrap()
}

fn want(memory_bytes: u64, pids: u64) -> SlotDemand {
    SlotDemand { memory_bytes: Some(memory_bytes), pids: Some(pids) }
}

fn v1(file: &str) -> String {
    let hierarchy = match file.split('.').next() {
        Some("memory") => "memory/session/a b",
        Some("pids") => "pids",
        _ => "cpu,cpuacct",
    };
    format!("sys/fs/cgroup/{hierarchy}/{NAME}/w0/{file}")
}

#[test]
fn v1_slots_are_below_the_box_in_each_hierarchy_that_guards_or_counts() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &Demand { cpus: Some(1.0), ..demand() }).unwrap();
    let mut slots = slots(&group);
    let first = slots.take(want(64 * MIB, 10), None).unwrap();
    assert_eq!(fake.get(&v1("memory.limit_in_bytes")), "67108864");
    assert_eq!(fake.get(&v1("memory.memsw.limit_in_bytes")), "67112960");
    assert_eq!((fake.get(&v1("pids.max")), fake.get(&v1("memory.swappiness"))), ("10".to_owned(), "0".to_owned()));
    assert_eq!(slots.slot(first).join_fds().unwrap().len(), 3);
    let gauges: Vec<&str> = slots.slot(first).gauges().into_iter().map(|(name, _)| name).collect();
    assert_eq!(gauges, ["peak", "stat", "usage", "cpu", "pids"]);
    assert_eq!(slots.slot(first).alarms().len(), 2);
    let inside = format!("8:pids:/{NAME}/w0\n4:memory:/session/a b/{NAME}/w0\n1:cpu,cpuacct:/{NAME}/w0\n0::/\n");
    fake.put("proc/77/cgroup", &inside);
    let procs = format!("sys/fs/cgroup/memory/session/a b/{NAME}/w0/cgroup.procs");
    assert_eq!(slots.slot(first).only_process().unwrap(), None);
    fake.put(&procs, "77\n");
    assert_eq!(slots.slot(first).only_process().unwrap(), Some(77));
    fake.put("proc/77/cgroup", &inside.replace(&format!("pids:/{NAME}/w0"), &format!("pids:/{NAME}")));
    let error = slots.slot(first).only_process().unwrap_err();
    assert!(matches!(error, CgroupError::NotMember { pid: 77, .. }), "{error}");
    fake.put(&procs, "77\n78\n");
    assert!(matches!(slots.slot(first).only_process(), Err(CgroupError::NotEmpty { .. })));
}

#[test]
fn a_slot_is_used_again_as_it_is_or_with_other_limits() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    let mut slots = slots(&group);
    let (first, second) =
        (slots.take(want(64 * MIB, 10), None).unwrap(), slots.take(want(64 * MIB, 10), None).unwrap());
    assert_ne!(first, second);
    slots.give_back(first);
    fake.put(&v1("memory.limit_in_bytes"), "untouched\n");
    assert_eq!(slots.take(want(64 * MIB, 10), None).unwrap(), first);
    assert_eq!(fake.get(&v1("memory.limit_in_bytes")), "untouched\n");
    slots.give_back(first);
    assert_eq!(slots.take(want(128 * MIB, 20), None).unwrap(), first);
    assert_eq!(fake.get(&v1("memory.limit_in_bytes")), "134217728");
    assert_eq!(fake.get(&v1("memory.memsw.limit_in_bytes")), "134221824");
    assert_eq!(slots.slot(first).limits(), SlotLimits { memory_bytes: 128 * MIB, pids: 20 });
}

#[test]
fn a_slot_gets_no_more_than_the_box_has() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    let mut slots = slots(&group);
    let most = slots.take(want(u64::MAX, u64::MAX), None).unwrap();
    assert_eq!(slots.slot(most).limits(), SlotLimits { memory_bytes: 512 * MIB, pids: 100 });
    let folder = format!("sys/fs/cgroup/memory/session/a b/{NAME}");
    fake.put(&format!("{folder}/memory.stat"), "cache 900000000\nrss 1\ntotal_rss 104857600\ntotal_shmem 1048576\n");
    fake.put(&format!("{folder}/memory.kmem.usage_in_bytes"), "1048576\n");
    fake.put(&format!("sys/fs/cgroup/pids/{NAME}/pids.current"), "12\n");
    let rest = slots.take(SlotDemand::default(), None).unwrap();
    let left = (512 - 102) * MIB - 512 * MIB / 50;
    let limits = SlotLimits { memory_bytes: left - left / 64, pids: 80 };
    assert_eq!(slots.slot(rest).limits(), limits);
    slots.give_back(rest);
    fake.put(&format!("sys/fs/cgroup/pids/{NAME}/pids.current"), "11\n");
    fake.put(&format!("{folder}/memory.stat"), "total_rss 109051904\ntotal_shmem 1048576\n");
    assert_eq!(slots.take(SlotDemand::default(), None).unwrap(), rest);
    assert_eq!(slots.slot(rest).limits(), limits, "a little less will do, the box has grown by 4 MiB");
    fake.put(&format!("{folder}/memory.stat"), "total_rss 536870912\n");
    let least = slots.take(SlotDemand::default(), None).unwrap();
    assert_eq!(slots.slot(least).limits().memory_bytes, LEAST_BYTES, "the box's own limit decides");
}

#[test]
fn counters_count_from_the_beginning_of_a_use_and_forks_return_after_a_kill() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    let mut slots = slots(&group);
    let slot = slots.take(want(64 * MIB, 10), None).unwrap();
    fake.put(&v1("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    fake.put(&v1("memory.failcnt"), "7\n");
    fake.put(&v1("pids.events"), "max 5\n");
    let counted = slots.slot(slot).counted();
    assert_eq!((counted.oom_kills, counted.limit_hits, counted.refused_forks), (3, 7, 5));
    assert!(slots.slot(slot).kill_once().unwrap());
    assert_eq!(fake.get(&v1("pids.max")), "0");
    fake.put(&v1("pids.events"), "max 500\n");
    assert_eq!(slots.slot(slot).refused_forks(), 5, "a kill refuses forks itself");
    slots.give_back(slot);
    assert_eq!(slots.take(want(64 * MIB, 10), None).unwrap(), slot);
    assert_eq!(fake.get(&v1("pids.max")), "10");
    let counted = slots.slot(slot).counted();
    assert_eq!((counted.oom_kills, counted.limit_hits, counted.refused_forks), (0, 0, 0));
}

/// The box's own numbers after `kills` kills in a slot whose limit was met `hits` times.
fn settled(fake: &FakeHost, base: &str, kills: u64, hits: u64, box_kills: u64) -> (u64, u64) {
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    let mut slots = slots(&group);
    let slot = slots.take(want(64 * MIB, 10), None).unwrap();
    fake.put(&format!("{base}/w0/memory.oom_control"), &format!("oom_kill {kills}\n"));
    fake.put(&format!("{base}/w0/memory.failcnt"), &format!("{hits}\n"));
    fake.put(&format!("{base}/w0/memory.events"), &format!("max {hits}\noom_kill {kills}\n"));
    fake.put(&format!("{base}/w0/memory.events.local"), &format!("max {hits}\noom_kill {kills}\n"));
    let own = |slots: &Slots| {
        let mut memory = MemoryEvidence { oom_kills: box_kills, ..MemoryEvidence::default() };
        slots.settle(&mut memory, &mut PidsEvidence::default());
        memory.oom_kills
    };
    let while_it_runs = own(&slots);
    slots.give_back(slot);
    (while_it_runs, own(&slots))
}

#[test]
fn kills_that_a_slots_limit_explains_are_not_the_boxs() {
    let v1 = format!("sys/fs/cgroup/memory/session/a b/{NAME}");
    let v2 = format!("sys/fs/cgroup/{NAME}");
    // v1 counts a kill where the victim was, v2 in all groups above as well.
    assert_eq!(settled(&FakeHost::v1(), &v1, 2, 9, 0), (0, 0));
    assert_eq!(settled(&FakeHost::v2(), &v2, 2, 9, 2), (0, 0));
    assert_eq!(settled(&FakeHost::v1(), &v1, 2, 0, 0), (2, 2), "the box's limit was met");
    assert_eq!(settled(&FakeHost::v2(), &v2, 2, 0, 2), (2, 2), "the box's limit was met");
    assert_eq!(settled(&FakeHost::v1(), &v1, 1, 9, 1), (1, 1), "one died in a slot, one beside it");
    assert_eq!(settled(&FakeHost::v2(), &v2, 1, 9, 2), (1, 1), "one died in a slot, one beside it");
}

#[test]
fn forks_refused_in_slots_are_the_boxs_only_if_its_limit_was_met() {
    let fake = FakeHost::v1();
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    let mut slots = slots(&group);
    slots.take(want(64 * MIB, 10), None).unwrap();
    fake.put(&v1("pids.events"), "max 5\n");
    for (peak, expected) in [(99, 1), (100, 6)] {
        let mut pids = PidsEvidence { limit: Some(100), peak: Some(peak), refused_forks: 1 };
        slots.settle(&mut MemoryEvidence::default(), &mut pids);
        assert_eq!(pids.refused_forks, expected, "peak {peak}");
    }
}

#[test]
fn v2_divides_the_box_into_a_leaf_for_itself_and_slots() {
    let fake = FakeHost::v2();
    let host = fake.detect();
    let group = BoxGroup::create(&host, &id(), &demand()).unwrap();
    let folder = format!("sys/fs/cgroup/{NAME}");
    assert_eq!(fake.get(&format!("{folder}/cgroup.subtree_control")).trim(), "memory pids");
    assert_eq!(fake.get("sys/fs/cgroup/cgroup.subtree_control"), "cpu memory pids\n", "not ours: not changed");
    assert_eq!(group.membership(), [(String::new(), format!("/{NAME}/main"))]);
    fake.put("proc/77/cgroup", &format!("0::/{NAME}/main\n"));
    group.verify_member(fake.root(), 77).unwrap();
    fake.put("proc/77/cgroup", &format!("0::/{NAME}\n"));
    assert!(group.verify_member(fake.root(), 77).is_err());
    let mut slots = slots(&group);
    let slot = slots.take(want(64 * MIB, 10), None).unwrap();
    for (file, value) in [("memory.max", "67108864"), ("memory.swap.max", "0"), ("pids.max", "10")] {
        assert_eq!(fake.get(&format!("{folder}/w0/{file}")), value);
    }
    assert_eq!((slots.slot(slot).join_fds().unwrap().len(), slots.slot(slot).alarms().len()), (1, 1));
    let gauges: Vec<&str> = slots.slot(slot).gauges().into_iter().map(|(name, _)| name).collect();
    assert_eq!(gauges, ["peak", "stat", "usage", "cpu", "pids"]);
    // Everything that ends a box knows what is below it.
    fake.put(&format!("{folder}/w0/cgroup.procs"), "99\n");
    fake.put(&format!("{folder}/main/cgroup.procs"), "98\n");
    let found = BoxGroup::find(&host, &id()).unwrap();
    assert_eq!((found.paths(), found.processes().unwrap()), (group.paths(), vec![98, 99]));
    fake.put(&format!("{folder}/w0/cgroup.procs"), "");
    fake.put(&format!("{folder}/main/cgroup.procs"), "");
    found.remove(Instant::now()).unwrap();
    assert_eq!(fake.groups(), [""; 0]);
}

#[test]
fn v2_alarms_slow_down_only_while_somebody_looks() {
    let fake = FakeHost::v2();
    let group = BoxGroup::create(&fake.detect(), &id(), &demand()).unwrap();
    let mut slots = slots(&group);
    let slot = slots.take(want(100 * MIB, 10), None).unwrap();
    let file = |name: &str| format!("sys/fs/cgroup/{NAME}/w0/{name}");
    let mark = (90 * MIB).to_string();
    let uses = |bytes: u64| fake.put(&file("memory.current"), &format!("{bytes}\n"));
    uses(91 * MIB);
    slots.slot_mut(slot).arm().unwrap();
    assert_eq!(fake.get(&file("memory.high")).trim(), "max", "more is in use already");
    uses(89 * MIB);
    slots.slot_mut(slot).arm().unwrap();
    assert_eq!(fake.get(&file("memory.high")), mark);
    slots.slot_mut(slot).relieve().unwrap();
    assert_eq!(fake.get(&file("memory.high")), "max");
    slots.slot_mut(slot).arm().unwrap();
    assert_eq!(fake.get(&file("memory.high")), mark);
    slots.give_back(slot);
    slots.take(want(200 * MIB, 10), None).unwrap();
    assert_eq!(fake.get(&file("memory.high")), "max", "the mark of a lower limit");
}

#[test]
fn a_box_that_cannot_be_divided_is_undone() {
    let deaf: fn(&Path, &str) -> io::Result<()> = |path, value| match path.ends_with("cgroup.subtree_control") {
        true => Err(Errno::BUSY.into()),
        false => fake::write(path, value),
    };
    let fake = FakeHost::v2();
    let mut host = fake.detect();
    host.kernel.write = deaf;
    let error = BoxGroup::create(&host, &id(), &demand()).unwrap_err();
    assert!(matches!(error, CgroupError::NotEnabled { wall: Wall::Memory, .. }), "{error}");
    assert_eq!(fake.groups(), [""; 0]);
    let group = BoxGroup::create(&host, &id(), &Demand { workers: false, ..demand() }).unwrap();
    assert!(Slots::below(&group, 512 * MIB, 0, 100).is_none());
}

#[test]
fn a_slot_whose_limits_are_refused_leaves_nothing() {
    let busy: fn(&Path, &str) -> io::Result<()> = |path, value| {
        let refused = path.ends_with("w0/memory.memsw.limit_in_bytes") && value == "67112960";
        if refused { Err(Errno::INVAL.into()) } else { fake::write(path, value) }
    };
    let fake = FakeHost::v1();
    let mut host = fake.detect();
    host.kernel.write = busy;
    let group = BoxGroup::create(&host, &id(), &demand()).unwrap();
    let error = slots(&group).take(want(64 * MIB, 10), None).unwrap_err();
    assert!(matches!(&error, CgroupError::Limit { value, .. } if value == "67112960"), "{error}");
    assert!(!fake.root().join(v1("memory.stat")).exists() && !fake.root().join(v1("pids.max")).exists());
}

#[test]
fn slots_are_bounded_and_a_busy_one_is_retired() {
    let busy: fn(&Path, &str) -> io::Result<()> = |path, value| {
        let refused = path.ends_with("w0/memory.limit_in_bytes") && value == "1048576";
        if refused { Err(Errno::BUSY.into()) } else { fake::write(path, value) }
    };
    let fake = FakeHost::v1();
    let mut host = fake.detect();
    host.kernel.write = busy;
    let group = BoxGroup::create(&host, &id(), &demand()).unwrap();
    let mut slots = slots(&group);
    let first = slots.take(want(64 * MIB, 10), None).unwrap();
    slots.give_back(first);
    let second = slots.take(want(MIB, 10), None).unwrap();
    assert_ne!(first, second);
    slots.give_back(second);
    assert_ne!(slots.take(want(64 * MIB, 10), None).unwrap(), first, "never again");
    for _ in 0..MOST - 2 {
        slots.take(want(64 * MIB, 10), None).unwrap();
    }
    let error = slots.take(want(64 * MIB, 10), None).unwrap_err();
    assert_eq!(error.to_string(), "all 128 groups for workers are in use");
}

#[test]
fn without_a_memory_limit_of_the_kernel_there_are_no_slots() {
    let fake = FakeHost::v1();
    let degraded = Demand { allow_degraded: [Wall::Memory].into(), ..demand() };
    fake.put("proc/self/cgroup", "8:pids:/\n1:cpu,cpuacct:/\n0::/\n");
    let group = BoxGroup::create(&fake.detect(), &id(), &degraded).unwrap();
    assert!(Slots::below(&group, 512 * MIB, 0, 100).is_none());
}
