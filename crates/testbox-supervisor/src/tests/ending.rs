//! The end: leaked processes, kills of the kernel, final counters, errors.

use std::io::Write;
use std::time::Duration;

use testbox_model::{Bytes, MemoryEvidence, PayloadEnd, StallEvidence};

use super::fake_box::FakeBox;
use super::fake_meter::FakeMeter;
use crate::*;

/// Far less than the thousand seconds that nobody may wait for.
const A_WHILE: Duration = Duration::from_secs(20);

#[test]
fn a_leaked_child_that_holds_the_pipe_is_not_waited_for() {
    let script = "sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done; echo done; exit 0";
    let (fake, texts) = FakeBox::with_files(script);
    let run = fake.run(FakeMeter::of);
    assert!(run.took < A_WHILE, "{:?}", run.took);
    let evidence = run.outcome().evidence;
    assert_eq!(evidence.payload, PayloadEnd::Exited { code: 0 });
    assert_eq!(evidence.left_behind.len(), 1, "{:?}", evidence.left_behind);
    assert_eq!(evidence.left_behind[0].command, "sleep 1000");
    assert_eq!(texts().0, "done\n");
}

#[test]
fn a_leaked_child_that_still_writes_gets_a_moment() {
    let (mut fake, texts) = FakeBox::with_files("(read _ </dev/null; head -c 100000 /dev/zero) & exit 0");
    (fake.pace.linger_quiet, fake.pace.linger) = (Duration::from_secs(20), Duration::from_secs(20));
    let evidence = fake.run(FakeMeter::of).outcome().evidence;
    assert_eq!(evidence.left_behind, vec![]);
    assert_eq!(texts().0.len(), 100_000);
}

#[test]
fn a_leaked_child_that_writes_for_ever_gets_no_more_than_that() {
    let script = "yes & until grep -q yes /proc/$!/comm; do :; done; exit 0";
    let run = FakeBox::new(script).output_limit(1 << 40).run(FakeMeter::of);
    assert!(run.took < A_WHILE, "{:?}", run.took);
    assert_eq!(run.outcome().evidence.left_behind[0].command, "yes");
}

#[test]
fn a_kill_of_the_kernel_is_told_when_it_happens_and_only_once() {
    let (event, mut kernel) = std::io::pipe().unwrap();
    let counters =
        Counters { memory: MemoryEvidence { oom_kills: 1, ..MemoryEvidence::default() }, ..Counters::default() };
    let fake = FakeBox::new("sleep 1000").timeout_ms(400, 2000);
    kernel.write_all(&[1; 8]).unwrap();
    let run = fake.run(|pid| FakeMeter { oom: Some(event.into()), counters, ..FakeMeter::of(pid) });
    assert_eq!(run.words(), ["oom-kill", "stopping", "ended"]);
    assert_eq!(run.outcome().evidence.memory.oom_kills, 1);
}

#[test]
fn a_kill_that_only_the_final_counters_know_is_told_as_well() {
    let counters =
        Counters { memory: MemoryEvidence { oom_kills: 2, ..MemoryEvidence::default() }, ..Counters::default() };
    let run = FakeBox::new("exit 0").run(|pid| FakeMeter { counters, ..FakeMeter::of(pid) });
    assert_eq!(run.words(), ["ended", "oom-kill"]);
}

#[test]
fn a_standstill_is_told_while_it_lasts_and_ends_nothing() {
    let stalled = StallEvidence { memory_ms: Some(1_900), io_ms: None, cpu_ms: Some(7) };
    let counters = Counters { stalled, ..Counters::default() };
    let fake = FakeBox::new("sleep 1000").timeout_ms(2_400, 2000);
    let run = fake.run(|pid| FakeMeter { stalled_ms: Some(1_900), counters, ..FakeMeter::of(pid) });
    assert_eq!(run.words(), ["stalled", "stopping", "ended"]);
    assert_eq!(run.outcome().evidence.stalled, stalled);
}

#[test]
fn the_largest_process_is_named() {
    let usage = Usage { memory_bytes: 2 << 30, ..Usage::default() };
    let fake = FakeBox::new("sleep 1000").timeout_ms(1500, 2000);
    let evidence = fake.run(|pid| FakeMeter { usage, ..FakeMeter::of(pid) }).outcome().evidence;
    assert!(evidence.memory.largest[0].command.contains("sleep 1000"), "{:?}", evidence.memory.largest);
    assert!(evidence.memory.largest[0].resident_bytes > Bytes(0));
}

#[test]
fn without_final_counters_there_is_no_outcome_and_no_box() {
    let run = FakeBox::new("sleep 1000")
        .timeout_ms(100, 100)
        .run(|pid| FakeMeter { counters_fail: true, ..FakeMeter::of(pid) });
    let error = run.result.unwrap_err();
    assert_eq!(error.to_string(), "cannot read the final counters of the box");
    assert!(error.hint().is_some());
}

#[test]
fn numbers_that_cannot_be_read_on_the_way_are_one_warning() {
    let fake = FakeBox::new("sleep 1000").timeout_ms(1500, 2000);
    let outcome = fake.run(|pid| FakeMeter { usage_fails: true, ..FakeMeter::of(pid) }).outcome();
    assert_eq!(outcome.warnings, ["cannot read the usage of the box: gone"]);
}

#[test]
fn disks_are_sampled_at_least_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut fake = FakeBox::new("exit 0");
    fake.disks = vec![("scratch".to_owned(), fs_err::File::open(folder.path()).unwrap().into_file().into())];
    let disk = &fake.run(FakeMeter::of).outcome().evidence.disk[0];
    assert_eq!(disk.name, "scratch");
    assert!(disk.size_bytes > Bytes(0) && !disk.full);
}
