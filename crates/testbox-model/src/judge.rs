//! `judge`: from record to verdict. Pure; the table of rules is this file, from the strongest evidence to the weakest.

mod pytest;

use crate::{
    Bytes, DiskUse, Duration, ExitCode, MemoryEvidence, PayloadEnd, RunRecord, SetupStep, Stop, StopCause, Verdict,
    VerdictKind, WallState,
};

const SIGXFSZ: u8 = 25;
const ENOENT: i32 = 2;

/// What a run's evidence amounts to.
///
/// A limit is named only with evidence of the kernel (its counters) or of testbox's own stop; an exit code alone is
/// never more than `failed`, and an exit code of 0 is not `passed` if the kernel killed a process of the box.
pub fn judge(record: &RunRecord) -> Verdict {
    let verdict = setup_failure(record)
        .or_else(|| memory(record))
        .or_else(|| stopped(record))
        .or_else(|| refused(record))
        .or_else(|| pytest::lost(record))
        .unwrap_or_else(|| own_end(record));
    pytest::placed(verdict, record)
}

fn verdict(kind: VerdictKind, exit_code: ExitCode, summary: String, hint: Option<String>) -> Verdict {
    Verdict { kind, exit_code, summary, place: None, hint }
}

fn setup_failure(record: &RunRecord) -> Option<Verdict> {
    let PayloadEnd::SetupFailed { step, errno, detail } = &record.evidence.payload else { return None };
    if let Some(Stop { cause: StopCause::Interrupted { signal }, .. }) = &record.evidence.stop {
        return Some(interrupted(*signal, record.duration_ms));
    }
    let command = record.plan.command.first().map(|c| c.to_string_lossy().into_owned()).unwrap_or_default();
    Some(match (step, *errno) {
        (SetupStep::Exec, ENOENT) => verdict(
            VerdictKind::NotFound,
            ExitCode::NotFound,
            format!("`{command}` was not found in the box ({detail})"),
            Some("check the spelling, or show its folder to the box with `--ro PATH`".to_owned()),
        ),
        (SetupStep::Exec, _) => verdict(
            VerdictKind::NotExecutable,
            ExitCode::NotExecutable,
            format!("`{command}` cannot be executed ({detail})"),
            Some("check its execute permission and, for a script, the interpreter in its first line".to_owned()),
        ),
        _ => verdict(VerdictKind::SandboxFault, ExitCode::Fault, format!("cannot {step}: {detail}"), None),
    })
}

fn memory(record: &RunRecord) -> Option<Verdict> {
    let memory = &record.evidence.memory;
    let watchdog = matches!(&record.evidence.stop, Some(stop) if stop.cause == StopCause::MemoryWatchdog);
    if memory.oom_kills == 0 && !watchdog {
        return None;
    }
    let limit = memory.limit_bytes.unwrap_or(Bytes(0));
    let killer = match (watchdog, memory.oom_kills) {
        (true, _) => "stopped by the sampling watchdog".to_owned(),
        (false, 1) => "killed by the kernel".to_owned(),
        (false, n) => format!("{n} processes killed by the kernel"),
    };
    let time = Duration::from_ms(record.duration_ms);
    if !watchdog && spared(memory) {
        return Some(memory_around(record, &killer));
    }
    let summary = format!("the box used all of its {limit} ({}); {killer} after {time}", memory_detail(memory, record));
    let hint = format!(
        "run again with more, for example `--memory {}`, or look at the largest process above",
        suggest(limit.0.saturating_mul(2))
    );
    Some(verdict(VerdictKind::Memory, ExitCode::Memory, summary, Some(hint)))
}

/// The box's own limit was never met: the kernel killed for a group around it, or for the host.
fn spared(memory: &MemoryEvidence) -> bool {
    let below = memory.limit_bytes.zip(memory.peak_bytes).is_some_and(|(limit, peak)| peak < limit);
    memory.limit_hits == 0 && below
}

fn memory_around(record: &RunRecord, killer: &str) -> Verdict {
    let memory = &record.evidence.memory;
    let limit = memory.limit_bytes.unwrap_or(Bytes(0));
    let (detail, time) = (memory_detail(memory, record), Duration::from_ms(record.duration_ms));
    let summary = format!(
        "{killer} after {time} for memory, but not for the box's limit of {limit} ({detail}): what testbox runs in, or \
         the host itself, had none left"
    );
    let hint = "give the job or container around testbox more memory, or the box less than that has: `--memory SIZE`";
    verdict(VerdictKind::Memory, ExitCode::Memory, summary, Some(hint.to_owned()))
}

fn memory_detail(memory: &MemoryEvidence, record: &RunRecord) -> String {
    let mut parts = vec![];
    if let Some(peak) = memory.peak_bytes {
        parts.push(format!("peak {peak}"));
    }
    parts.extend(record.view.copy().map(|copy| format!("{} for the copy of the project", copy.bytes)));
    if let Some(pids) = record.evidence.pids.peak {
        parts.push(format!("{pids} process{}", if pids == 1 { "" } else { "es" }));
    }
    let mut detail = parts.join(", ");
    if let Some(largest) = memory.largest.first() {
        detail.push_str(&format!("; largest: {} {}", largest.command, largest.resident_bytes));
    }
    detail
}

fn stopped(record: &RunRecord) -> Option<Verdict> {
    let stop = record.evidence.stop.as_ref()?;
    let after = Duration::from_ms(stop.at_ms);
    let killed = if stop.killed { "; it did not end within the grace period and was killed" } else { "" };
    Some(match &stop.cause {
        StopCause::Timeout => verdict(
            VerdictKind::Timeout,
            ExitCode::Timeout,
            format!("the run was stopped after {after}, its whole time limit{killed}"),
            Some("raise it with `--timeout DUR`; `--idle-timeout DUR` ends only runs that stand still".to_owned()),
        ),
        StopCause::CollectTimeout => {
            let limit = record.plan.testing.collect_timeout.value.map(|limit| limit.to_string()).unwrap_or_default();
            verdict(
                VerdictKind::Timeout,
                ExitCode::Timeout,
                format!("pytest did not finish its collection within {limit}; stopped after {after}{killed}"),
                Some("look at what the test files import, or raise it with `--collect-timeout DUR`".to_owned()),
            )
        }
        StopCause::IdleTimeout => {
            let limit = record.plan.times.idle_timeout.value.map(|limit| limit.to_string()).unwrap_or_default();
            verdict(
                VerdictKind::IdleTimeout,
                ExitCode::Timeout,
                format!("no output and no CPU use for {limit}; stopped after {after}{killed}"),
                Some("something waits for what never comes: a lock, a socket, or input from the terminal".to_owned()),
            )
        }
        StopCause::OutputLimit => verdict(
            VerdictKind::Output,
            ExitCode::Output,
            format!(
                "the command printed more than its {} of output; stopped after {after}{killed}",
                record.plan.limits.output_bytes.value
            ),
            Some("print less, or raise it with `--output-limit SIZE`".to_owned()),
        ),
        StopCause::ForkStorm => pids_verdict(record, &format!("; it went on forking and was stopped after {after}")),
        StopCause::Interrupted { signal } => interrupted(*signal, stop.at_ms),
        StopCause::Fault { detail } => {
            verdict(VerdictKind::SandboxFault, ExitCode::Fault, format!("{detail} (after {after})"), None)
        }
        StopCause::MemoryWatchdog => return None,
    })
}

fn interrupted(signal: u8, at_ms: u64) -> Verdict {
    let after = Duration::from_ms(at_ms);
    let summary = format!("testbox received {} after {after}", signal_name(signal));
    verdict(VerdictKind::Interrupted, ExitCode::Interrupted, summary, None)
}

/// Limits that do not kill but refuse: they are the verdict only if the command failed as well.
fn refused(record: &RunRecord) -> Option<Verdict> {
    let evidence = &record.evidence;
    if evidence.payload == (PayloadEnd::Exited { code: 0 }) {
        return None;
    }
    if evidence.payload == (PayloadEnd::Signaled { signal: SIGXFSZ }) {
        let limit = record.plan.limits.fsize_bytes.value.unwrap_or(Bytes(0));
        let summary = format!("the command wrote a file larger than its limit of {limit} (SIGXFSZ)");
        return Some(verdict(VerdictKind::Disk, ExitCode::Disk, summary, Some("raise it with `--fsize SIZE`".into())));
    }
    if let Some(full) = evidence.disk.iter().find(|disk| disk.full) {
        let by_inodes = full.has_spent_inodes();
        let what = match by_inodes {
            true => format!("all {} inodes of {} were used", full.inodes, full.place()),
            false => format!("all {} of {} were used", full.size_bytes, full.place()),
        };
        let copied = copied(record, full, by_inodes);
        let summary = format!("{what}{copied}, and the command failed ({})", end_phrase(&evidence.payload));
        let hint = "give it more with `--tmp-size SIZE`, or write less to /tmp, HOME, /dev/shm and the project";
        return Some(verdict(VerdictKind::Disk, ExitCode::Disk, summary, Some(hint.to_owned())));
    }
    (evidence.pids.refused_forks > 0)
        .then(|| pids_verdict(record, &format!("; the command failed ({})", end_phrase(&evidence.payload))))
}

/// The share of the project's copy in what is full: the tests had only the rest.
fn copied(record: &RunRecord, full: &DiskUse, by_inodes: bool) -> String {
    match record.view.copy().filter(|_| full.name == DiskUse::SCRATCH) {
        None => String::new(),
        Some(copy) if by_inodes => format!(" ({} of them by the copy of the project)", copy.inodes),
        Some(copy) => format!(" ({} of it by the copy of the project)", copy.bytes),
    }
}

fn pids_verdict(record: &RunRecord, tail: &str) -> Verdict {
    let pids = &record.evidence.pids;
    let limit = pids.limit.unwrap_or(record.plan.limits.pids.value);
    let forks = match pids.refused_forks {
        0 => "",
        1 => " (1 fork refused by the kernel)",
        n => &format!(" ({n} forks refused by the kernel)"),
    };
    let summary = format!("the box reached its {limit} processes and threads{forks}{tail}");
    let hint = format!("if it needs so many, `--pids {}`", limit.saturating_mul(4));
    verdict(VerdictKind::Pids, ExitCode::Pids, summary, Some(hint))
}

fn own_end(record: &RunRecord) -> Verdict {
    match record.evidence.payload {
        PayloadEnd::Exited { code: 0 } => {
            verdict(VerdictKind::Passed, ExitCode::Payload(0), "the command exited with 0".to_owned(), None)
        }
        PayloadEnd::Exited { code } => killed(record, code).unwrap_or_else(|| failed(record, code)),
        PayloadEnd::Signaled { signal } => verdict(
            VerdictKind::Crashed,
            ExitCode::Signal(signal),
            format!("the command died by {}, which testbox did not send", signal_name(signal)),
            None,
        ),
        PayloadEnd::Lost | PayloadEnd::SetupFailed { .. } => verdict(
            VerdictKind::SandboxFault,
            ExitCode::Fault,
            "the box's init ended without saying how the command ended".to_owned(),
            Some("this is a fault of testbox or of the host, not of the tests; please report it".to_owned()),
        ),
    }
}

/// pytest failed, and tests of it were killed.
fn killed(record: &RunRecord, code: u8) -> Option<Verdict> {
    let seen = record.evidence.pytest.as_ref()?;
    let summary = pytest::killed(seen)?;
    Some(verdict(VerdictKind::Failed, ExitCode::Payload(code), summary, pytest::killed_hint(seen)))
}

/// A shell says 128 + N for a command of its own that died by signal N. Nobody counts what the file size limit refuses.
fn failed(record: &RunRecord, code: u8) -> Verdict {
    let fsize = record.plan.limits.fsize_bytes.value;
    let seen = if record.walls.iter().any(|wall| wall.state == WallState::Degraded) { "was seen to be" } else { "was" };
    let limits = match fsize {
        None => format!("no limit {seen} reached"),
        Some(limit) => format!("no limit but perhaps that of {limit} for one file (`--fsize`) {seen} reached"),
    };
    let by_signal = (129..=159).contains(&code).then(|| signal_name(code - 128));
    let hint = by_signal.map(|name| format!("from a shell {code} means that a command of its own died by {name}"));
    let ended = record.evidence.pytest.as_ref().and_then(|seen| pytest::ended(seen, code));
    let ended = ended.unwrap_or_else(|| format!("the command exited with {code}"));
    verdict(VerdictKind::Failed, ExitCode::Payload(code), format!("{ended}; {limits}"), hint)
}

fn end_phrase(end: &PayloadEnd) -> String {
    match end {
        PayloadEnd::Exited { code } => format!("exit code {code}"),
        PayloadEnd::Signaled { signal } => signal_name(*signal),
        PayloadEnd::Lost => "no exit status".to_owned(),
        PayloadEnd::SetupFailed { step, .. } => format!("cannot {step}"),
    }
}

/// The kernel's name of a signal of x86-64 and aarch64 (signal(7)).
pub fn signal_name(signal: u8) -> String {
    const NAMES: [&str; 32] = [
        "",
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    match NAMES.get(usize::from(signal)) {
        Some(name) if !name.is_empty() => format!("{name} ({signal})"),
        _ => format!("signal {signal}"),
    }
}

/// A limit to try next, rounded up to what people type.
fn suggest(bytes: u64) -> String {
    let (gib, mib) = (1u64 << 30, 1u64 << 20);
    if bytes >= gib { format!("{}G", bytes.div_ceil(gib)) } else { format!("{}M", bytes.div_ceil(mib).max(64)) }
}

#[cfg(test)]
mod tests;
