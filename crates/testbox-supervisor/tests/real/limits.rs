//! What the limits of the box itself do.

use testbox_model::{Bytes, RunEvent, StopCause};

use crate::ground::{MIB, supervised};

pub(crate) fn an_oom_kill_is_told_and_the_largest_named() {
    let (outcome, events) = supervised(HOG, 40 * MIB, 64);
    assert!(outcome.evidence.memory.oom_kills >= 1, "{:?}", outcome.evidence.memory);
    assert!(events.iter().any(|event| matches!(event, RunEvent::OomKill { .. })), "{events:?}");
    assert_eq!(outcome.evidence.memory.limit_bytes, Some(Bytes(40 * MIB)));
    let largest = &outcome.evidence.memory.largest[0];
    assert!(largest.command.contains("bytearray"), "{largest:?}");
    assert!(largest.resident_bytes.0 > 10 * MIB, "{largest:?}");
}

pub(crate) fn enough_memory_is_no_oom() {
    let (outcome, events) = supervised(HOG, 1024 * MIB, 64);
    assert_eq!(outcome.evidence.memory.oom_kills, 0);
    assert!(!events.iter().any(|event| matches!(event, RunEvent::OomKill { .. })), "{events:?}");
    assert!(outcome.evidence.memory.peak_bytes.unwrap().0 > 60 * MIB);
    assert!(outcome.evidence.cpu.used_ms > 0);
    assert!(outcome.timeline.samples.iter().any(|sample| sample.memory_bytes > 10 * MIB));
}

pub(crate) fn a_fork_bomb_is_a_storm() {
    let (outcome, _) = supervised(BOMB, 512 * MIB, 32);
    let stop = outcome.evidence.stop.unwrap();
    assert_eq!((stop.cause, stop.killed), (StopCause::ForkStorm, true));
    assert!(stop.at_ms >= 2000, "a storm lasts two seconds: {}", stop.at_ms);
    assert!(outcome.evidence.pids.refused_forks > 10, "{:?}", outcome.evidence.pids);
    assert_eq!(outcome.evidence.pids.limit, Some(32));
}

/// Grows by 3 MiB each time it is woken, 20 times a second, to 80 MiB.
const HOG: &str = "python3 -c 'import select; l=[]\nfor i in range(27): l.append(bytearray(3<<20)); select.select([],[],[],0.05)'; true";

/// Forks for ever, however often the kernel refuses.
const BOMB: &str = "exec python3 -c 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass'";
