//! Slots of workers: the kernel ends, counts and forgets them one by one.

use std::time::Instant;

use testbox_cgroup::{Demand, SlotDemand, Slots};

use crate::ending::{FORK_CHAIN, memory_groups, wait_for_groups};
use crate::ground::{TestBox, demand, pause, soon};

const MIB: u64 = 1 << 20;

fn with_workers() -> Demand {
    Demand { workers: true, ..demand() }
}

fn slots(test_box: &TestBox) -> Slots {
    Slots::below(&test_box.group, demand().memory_bytes, 0, demand().pids).unwrap()
}

/// Each use reads and writes a file of its own, whose pages stay charged to the slot.
pub(crate) fn ten_thousand_uses_of_slots_leave_no_group_in_the_kernel() {
    let before = memory_groups();
    {
        let test_box = TestBox::new(&with_workers());
        let mut slots = slots(&test_box);
        // On a disk: the pages of a tmpfs could not be taken back.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        for number in 0..10_000u64 {
            let memory_bytes = Some((16 + number % 3) * MIB);
            let slot = slots.take(SlotDemand { memory_bytes, pids: Some(8) }, None).unwrap();
            // Starting a process is what takes time: one in twenty is enough to fill the kernel's books.
            if number % 20 == 0 {
                let file = folder.path().join(number.to_string());
                let copy = "cat /bin/sh > \"$1\"; cat \"$1\" > \"$1\".2";
                let mut command = test_box.in_slot(slots.slot(slot), "/bin/sh");
                assert_eq!(command.args(["-c", copy, "copy"]).arg(&file).status().unwrap().code(), Some(0));
                assert!(slots.slot(slot).counted().peak_bytes.unwrap() > 64 << 10);
            }
            slots.give_back(slot);
        }
        wait_for_groups(before + 10);
    }
    wait_for_groups(before + 5);
}

pub(crate) fn a_fork_chain_in_a_slot_dies_and_the_slot_is_used_again() {
    let test_box = TestBox::new(&with_workers());
    let mut slots = slots(&test_box);
    let mut spared = test_box.command("/bin/sleep").arg("60").spawn().unwrap();
    for round in 0..10 {
        let slot = slots.take(SlotDemand { memory_bytes: Some(32 * MIB), pids: Some(32) }, None).unwrap();
        let mut chain = test_box.in_slot(slots.slot(slot), "/usr/bin/env");
        chain.args(["python3", "-c", FORK_CHAIN]).spawn().unwrap().wait().unwrap();
        // The dead count until the machine's init has reaped them, which takes it a while if it is busy.
        let deadline = soon();
        while !slots.slot(slot).kill_once().unwrap() {
            assert!(Instant::now() < deadline, "round {round}");
            pause();
        }
        slots.give_back(slot);
    }
    assert!(spared.try_wait().unwrap().is_none(), "the box itself runs on");
    test_box.group.kill().unwrap();
    spared.wait().unwrap();
}

pub(crate) fn a_box_with_busy_slots_is_killed_and_removed() {
    let test_box = TestBox::new(&with_workers());
    let mut slots = slots(&test_box);
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            let slot = slots.take(SlotDemand { memory_bytes: Some(16 * MIB), pids: Some(8) }, None).unwrap();
            test_box.in_slot(slots.slot(slot), "/bin/sleep").arg("60").spawn().unwrap()
        })
        .collect();
    test_box.wait_for_pids(3);
    test_box.group.kill().unwrap();
    assert!(test_box.group.is_empty().unwrap());
    for child in &mut children {
        child.wait().unwrap();
    }
    test_box.group.remove(soon()).unwrap();
    assert!(test_box.group.paths().iter().all(|path| !path.exists()));
}

pub(crate) fn the_peak_of_a_slot_is_that_of_one_use() {
    let test_box = TestBox::new(&with_workers());
    let mut slots = slots(&test_box);
    let mut peak = |program: &str| {
        let slot = slots.take(SlotDemand { memory_bytes: Some(48 * MIB), pids: Some(8) }, None).unwrap();
        let mut python = test_box.in_slot(slots.slot(slot), "/usr/bin/env");
        assert_eq!(python.args(["python3", "-c", program]).status().unwrap().code(), Some(0));
        let peak = slots.slot(slot).counted().peak_bytes.unwrap();
        slots.give_back(slot);
        peak
    };
    let (high, low) = (peak("x = bytearray(30 << 20)"), peak("pass"));
    assert!(high > 30 * MIB && low < 25 * MIB, "{high} {low}");
}
