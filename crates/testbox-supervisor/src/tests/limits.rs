//! Time limits, grace, interrupts, and what a meter proves.

use nix::sys::signal::{Signal, raise};
use testbox_model::{PayloadEnd, RunEvent, StopCause};

use super::fake_box::{FakeBox, Run};
use super::fake_meter::FakeMeter;
use super::messages::ready;
use crate::*;

#[test]
fn a_command_that_ignores_sigterm_is_killed_when_the_grace_is_over() {
    let fake = FakeBox::new("trap '' TERM; echo > $GATE; sleep 1000").gated().timeout_ms(200, 300);
    let run = fake.run(FakeMeter::of);
    assert_eq!(run.words(), ["stopping", "killing", "ended"]);
    assert!((500..20_000).contains(&run.took.as_millis()), "{:?}", run.took);
    let evidence = run.outcome().evidence;
    let stop = evidence.stop.unwrap();
    assert_eq!((stop.cause, stop.killed), (StopCause::Timeout, true));
    assert_eq!(evidence.payload, PayloadEnd::Lost);
}

#[test]
fn a_command_that_obeys_sigterm_keeps_its_own_end() {
    let script = "trap 'echo bye; exit 9' TERM; echo > $GATE; sleep 1000 & wait";
    let (fake, texts) = FakeBox::with_files(script);
    let outcome = fake.gated().timeout_ms(200, 5000).run(FakeMeter::of).outcome();
    assert_eq!(outcome.evidence.payload, PayloadEnd::Exited { code: 9 });
    assert!(!outcome.evidence.stop.unwrap().killed);
    assert_eq!(texts().0, "bye\n");
}

#[test]
fn a_stopped_command_is_continued_to_die() {
    let run = FakeBox::new("kill -STOP $$").timeout_ms(200, 60_000).run(FakeMeter::of);
    assert!(run.took.as_millis() < 20_000, "{:?}", run.took);
    let evidence = run.outcome().evidence;
    assert_eq!(evidence.payload, PayloadEnd::Signaled { signal: 15 });
    assert!(!evidence.stop.unwrap().killed);
}

#[test]
fn a_sleeper_is_idle_and_a_busy_loop_is_not() {
    let watchdog = |pid| Watchdog::new("/proc".as_ref(), pid, WatchdogLimits::default(), vec![]);
    let idle = FakeBox::new("sleep 1000").timeout_ms(60_000, 2000).idle_ms(400).run(watchdog).outcome();
    assert_eq!(idle.evidence.stop.unwrap().cause, StopCause::IdleTimeout);
    let busy = FakeBox::new("while :; do :; done").timeout_ms(2500, 2000).idle_ms(1000).run(watchdog).outcome();
    assert_eq!(busy.evidence.stop.unwrap().cause, StopCause::Timeout);
    // A hundredth of the time is activity; a busy machine may give it no more than a few.
    assert!(busy.evidence.cpu.used_ms >= 25, "{:?}", busy.evidence.cpu);
    assert!(busy.timeline.samples.len() >= 5);
}

#[test]
fn an_interrupt_is_passed_on_as_it_is() {
    let script = "trap 'exit 5' INT; echo > $GATE; sleep 1000 & wait";
    let run = interrupted(FakeBox::new(script), 1);
    assert_eq!(run.words(), ["started", "stopping", "ended"]);
    let evidence = run.outcome().evidence;
    assert_eq!(evidence.payload, PayloadEnd::Exited { code: 5 });
    assert_eq!(evidence.stop.unwrap().cause, StopCause::Interrupted { signal: 2 });
}

#[test]
fn a_second_interrupt_kills_at_once() {
    let fake = FakeBox::new("trap '' INT; echo > $GATE; sleep 1000").timeout_ms(60_000, 60_000);
    let run = interrupted(fake, 2);
    assert!(run.took.as_millis() < 20_000, "{:?}", run.took);
    assert_eq!(run.words(), ["started", "stopping", "killing", "ended"]);
    let stop = run.outcome().evidence.stop.unwrap();
    assert_eq!((stop.cause, stop.killed), (StopCause::Interrupted { signal: 2 }, true));
}

/// Interrupts when the run began, and again when the stop began.
fn interrupted(mut fake: FakeBox, times: usize) -> Run {
    fake.says = vec![ready()];
    let mut left = times;
    fake.gated().run_with(FakeMeter::of, move |event| {
        let due = matches!(event, RunEvent::Started { .. } | RunEvent::Stopping { .. });
        if due && left > 0 {
            left -= 1;
            raise(Signal::SIGINT).unwrap();
        }
    })
}

#[test]
fn what_the_meter_guards_is_killed_without_grace() {
    for cause in [StopCause::MemoryWatchdog, StopCause::ForkStorm] {
        let fake = FakeBox::new("trap '' TERM; sleep 1000").timeout_ms(60_000, 60_000);
        let run = fake.run(|pid| FakeMeter { breach: Some(cause.clone()), ..FakeMeter::of(pid) });
        assert_eq!(run.words(), ["stopping", "killing", "ended"]);
        assert!(run.took.as_millis() < 20_000, "{:?}", run.took);
        let stop = run.outcome().evidence.stop.unwrap();
        assert_eq!((stop.cause, stop.killed), (cause, true));
    }
}

#[test]
fn a_fork_storm_ends_the_run() {
    let usage = Usage { pids: 512, ..Usage::default() };
    let run = FakeBox::new("sleep 1000").run(|pid| FakeMeter { usage, refused_each: 10, ..FakeMeter::of(pid) });
    assert!((2000..20_000).contains(&run.took.as_millis()), "{:?}", run.took);
    assert_eq!(run.outcome().evidence.stop.unwrap().cause, StopCause::ForkStorm);
}

#[test]
fn the_watchdog_stops_a_process_tree_that_is_too_large() {
    let limits = WatchdogLimits { memory_bytes: Some(64 << 20), pids: None };
    let script = "sh -c 'x=$(head -c 200000000 /dev/zero | tr \"\\0\" x); sleep 1000'";
    let watch = |pid| Watchdog::new("/proc".as_ref(), pid, limits, vec![]);
    let evidence = FakeBox::new(script).run(watch).outcome().evidence;
    assert_eq!(evidence.stop.unwrap().cause, StopCause::MemoryWatchdog);
    assert!(evidence.memory.peak_bytes.unwrap().0 > 64 << 20);
    assert!(!evidence.memory.largest.is_empty());
    let limits = WatchdogLimits { memory_bytes: Some(4 << 30), pids: Some(500) };
    let watch = |pid| Watchdog::new("/proc".as_ref(), pid, limits, vec![]);
    let script = "x=$(head -c 20000000 /dev/zero | tr \"\\0\" x); exit 0";
    let evidence = FakeBox::new(script).run(watch).outcome().evidence;
    assert_eq!((evidence.stop, evidence.payload), (None, PayloadEnd::Exited { code: 0 }), "the negative twin");
}
