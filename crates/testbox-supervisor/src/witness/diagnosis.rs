//! Why a worker ended: by the kernel's counters, testbox's own kills and the wait status. Pure.

use std::time::Duration;

use testbox_cgroup::Counted;
use testbox_model::{Bytes, PayloadEnd, ProcessUse, TestVerdict, signal_name};

const SIGKILL: u8 = 9;

/// Why testbox killed a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kill {
    /// A test took longer than it may.
    Timeout {
        /// How long it may take.
        span: Duration,
        /// In its teardown, else in setup and call.
        teardown: bool,
        /// The limit is that of the plan for all tests.
        planned: bool,
    },
    /// It met its limit of processes and went on forking.
    Storm,
    /// It held more than its tests may, or more than all others when the memory of the whole box was used up, as the
    /// watchdog saw it. In bytes.
    Memory {
        /// What it held.
        held: u64,
        /// The limit.
        limit: u64,
        /// Of its tests, else of the box.
        own: bool,
    },
}

/// Everything that is known of a worker that ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    /// How it ended.
    pub(super) end: PayloadEnd,
    /// It said that its batch was over.
    pub(super) clean: bool,
    /// A test was running in it.
    pub(super) in_test: bool,
    pub(super) kill: Option<Kill>,
    /// Its limits, if it had a group: memory in bytes; processes and threads.
    pub(super) limits: Option<(u64, u64)>,
    pub(super) counted: Counted,
    /// Its processes when its memory was last seen near the limit, largest first, and how many there were.
    pub(super) largest: Option<(ProcessUse, usize)>,
}

/// `None`: it ended as it should.
pub(super) fn diagnose(case: &Case) -> Option<(TestVerdict, String)> {
    let killed = case.end == (PayloadEnd::Signaled { signal: SIGKILL });
    if let Some(kill) = case.kill.filter(|_| killed || !case.clean) {
        return Some(match kill {
            Kill::Timeout { .. } => (TestVerdict::Timeout, timeout(kill)),
            Kill::Storm => (TestVerdict::Pids, format!("{} and went on forking", pids(case))),
            Kill::Memory { held, limit, own } => (TestVerdict::Memory, share(case, held, limit, own)),
        });
    }
    if killed && case.counted.oom_kills > 0 {
        return Some((TestVerdict::Memory, memory(case)));
    }
    if case.counted.refused_forks > 0 && !(case.clean && case.end == PayloadEnd::Exited { code: 0 }) {
        return Some((TestVerdict::Pids, format!("{} and {}", pids(case), how(case))));
    }
    match case.end {
        PayloadEnd::Signaled { .. } => Some((TestVerdict::Crashed, how(case))),
        _ if !case.clean => Some((TestVerdict::Silent, how(case))),
        _ => None,
    }
}

/// A process of a test was killed for memory, but its worker goes on.
pub(super) fn wounded(case: &Case) -> String {
    format!("the kernel killed a process of it, not its worker; it {}", memory(case))
}

/// The watchdog's words: it has seen a moment, not counted all of them.
fn share(case: &Case, held: u64, limit: u64, own: bool) -> String {
    let processes = processes(case).map_or(String::new(), |processes| format!(" ({processes})"));
    let when = if own { "where it may use" } else { "when the box had used all of its" };
    format!("held {} {when} {}{processes}", Bytes(held), Bytes(limit))
}

/// Who held it. A single process is the worker itself.
fn processes(case: &Case) -> Option<String> {
    let (largest, number) = case.largest.as_ref().filter(|(_, number)| *number > 1)?;
    Some(format!("{number} processes; largest: {} {}", largest.command, largest.resident_bytes))
}

fn memory(case: &Case) -> String {
    let limit = Bytes(case.limits.map_or(0, |(memory, _)| memory));
    let mut detail: Vec<String> =
        case.counted.peak_bytes.map(|peak| format!("peak {}", Bytes(peak))).into_iter().collect();
    detail.extend(processes(case));
    let detail = if detail.is_empty() { String::new() } else { format!(" ({})", detail.join(", ")) };
    match case.counted.limit_hits {
        0 => format!("was killed for the memory of the whole box, not for its own limit of {limit}{detail}"),
        _ => format!("used all of its {limit}{detail}"),
    }
}

fn timeout(kill: Kill) -> String {
    let Kill::Timeout { span, teardown, planned } = kill else { return String::new() };
    let (phases, flag) =
        if teardown { ("teardown", "--teardown-timeout") } else { ("setup and call", "--test-timeout") };
    let span = testbox_model::Duration::from_ms(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let flag = if planned { format!(" ({flag})") } else { String::new() };
    format!("{phases} took longer than {span}{flag}")
}

fn pids(case: &Case) -> String {
    let limit = case.limits.map_or(0, |(_, pids)| pids);
    let forks = match case.counted.refused_forks {
        0 => String::new(),
        1 => " (1 fork refused by the kernel)".to_owned(),
        n => format!(" ({n} forks refused by the kernel)"),
    };
    format!("reached its {limit} processes and threads{forks}")
}

fn how(case: &Case) -> String {
    let place = match (case.in_test, case.clean) {
        (true, _) => " in the middle of the test",
        (false, false) => " before its tests were over",
        (false, true) => " after its tests",
    };
    match case.end {
        PayloadEnd::Signaled { signal: SIGKILL } => {
            format!("died by {}{place}, which testbox did not send", signal_name(SIGKILL))
        }
        PayloadEnd::Signaled { signal } => format!("died by {}{place}", signal_name(signal)),
        PayloadEnd::Exited { code } => format!("exited with status {code}{place}"),
        PayloadEnd::Lost | PayloadEnd::SetupFailed { .. } => format!("ended{place}, nobody knows how"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(end: PayloadEnd) -> Case {
        Case { end, in_test: true, limits: Some((512 << 20, 64)), ..Case::default() }
    }

    const EXIT_0: PayloadEnd = PayloadEnd::Exited { code: 0 };
    const KILLED: PayloadEnd = PayloadEnd::Signaled { signal: 9 };

    fn told(case: &Case) -> (TestVerdict, String) {
        diagnose(case).unwrap()
    }

    #[test]
    fn a_worker_that_ended_as_it_should_has_no_diagnosis() {
        assert_eq!(diagnose(&Case { clean: true, in_test: false, ..case(EXIT_0) }), None);
        let refused = Counted { refused_forks: 3, ..Counted::default() };
        assert_eq!(diagnose(&Case { clean: true, counted: refused, ..case(EXIT_0) }), None, "its tests coped with it");
    }

    #[test]
    fn memory_takes_a_counter_and_a_kill() {
        let counted = Counted { oom_kills: 1, limit_hits: 9, peak_bytes: Some(512 << 20), ..Counted::default() };
        let largest = ProcessUse { command: "python -m pytest".to_owned(), resident_bytes: Bytes(400 << 20) };
        let hit = Case { counted, largest: Some((largest, 3)), ..case(KILLED) };
        let expected = "used all of its 512.0 MiB (peak 512.0 MiB, 3 processes; largest: python -m pytest 400.0 MiB)";
        assert_eq!(told(&hit), (TestVerdict::Memory, expected.to_owned()));
        let around = Counted { limit_hits: 0, peak_bytes: Some(5 << 20), ..counted };
        assert_eq!(
            told(&Case { counted: around, ..case(KILLED) }).1,
            "was killed for the memory of the whole box, not for its own limit of 512.0 MiB (peak 5.0 MiB)"
        );
        assert_eq!(told(&Case { counted, ..case(EXIT_0) }).0, TestVerdict::Silent, "a child of it was killed");
        assert_eq!(told(&case(KILLED)).0, TestVerdict::Crashed, "no counter, no verdict");
    }

    #[test]
    fn an_own_kill_says_why() {
        let kill = |teardown, planned| Some(Kill::Timeout { span: Duration::from_secs(5), teardown, planned });
        let timeout = |teardown, planned| told(&Case { kill: kill(teardown, planned), ..case(KILLED) });
        assert_eq!(
            timeout(false, true),
            (TestVerdict::Timeout, "setup and call took longer than 5 s (--test-timeout)".to_owned())
        );
        assert_eq!(timeout(true, false).1, "teardown took longer than 5 s");
        let too_late = Case { kill: kill(false, true), clean: true, ..case(EXIT_0) };
        assert_eq!(diagnose(&too_late), None, "it was over before the kill");
        let counted = Counted { refused_forks: 1234, ..Counted::default() };
        let storm = Case { kill: Some(Kill::Storm), counted, ..case(KILLED) };
        assert_eq!(
            told(&storm),
            (
                TestVerdict::Pids,
                "reached its 64 processes and threads (1234 forks refused by the kernel) and went on forking"
                    .to_owned()
            )
        );
    }

    #[test]
    fn the_watchdog_says_what_it_has_seen() {
        let kill = Some(Kill::Memory { held: 230 << 20, limit: 256 << 20, own: false });
        let seen = Case { kill, limits: None, ..case(KILLED) };
        assert_eq!(
            told(&seen),
            (TestVerdict::Memory, "held 230.0 MiB when the box had used all of its 256.0 MiB".to_owned())
        );
        let largest = ProcessUse { command: "python -m pytest".to_owned(), resident_bytes: Bytes(200 << 20) };
        let several = Case { largest: Some((largest, 2)), ..seen };
        assert!(told(&several).1.ends_with(" (2 processes; largest: python -m pytest 200.0 MiB)"));
        let kill = Some(Kill::Memory { held: 130 << 20, limit: 128 << 20, own: true });
        assert_eq!(told(&Case { kill, ..case(KILLED) }).1, "held 130.0 MiB where it may use 128.0 MiB");
    }

    #[test]
    fn deaths_and_silence_are_told_as_they_are() {
        assert_eq!(
            told(&case(PayloadEnd::Signaled { signal: 11 })),
            (TestVerdict::Crashed, "died by SIGSEGV (11) in the middle of the test".to_owned())
        );
        assert_eq!(
            told(&case(EXIT_0)),
            (TestVerdict::Silent, "exited with status 0 in the middle of the test".to_owned())
        );
        let between = Case { in_test: false, ..case(PayloadEnd::Exited { code: 3 }) };
        assert_eq!(told(&between).1, "exited with status 3 before its tests were over");
        let counted = Counted { refused_forks: 1, ..Counted::default() };
        let refused = Case { counted, ..case(PayloadEnd::Exited { code: 1 }) };
        assert_eq!(
            told(&refused).1,
            "reached its 64 processes and threads (1 fork refused by the kernel) and exited with status 1 in the middle of the test"
        );
        assert!(told(&case(KILLED)).1.contains("which testbox did not send"));
    }
}
