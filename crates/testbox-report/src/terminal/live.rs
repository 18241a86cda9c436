//! Lines while the run goes on: only what explains a pause or an end.

use testbox_model::{Duration, PayloadEnd, Readback, RunEvent, StopCause, by_fuse, signal_name, telling_call};

use super::Style;
use super::paint::{Ink, paint};
use super::row::{CALL_WIDTH, MESSAGE_WIDTH, NAME_WIDTH};
use crate::harmless::{one_line, short_line};

pub(super) fn text(event: &RunEvent, style: Style) -> String {
    let line = match event {
        RunEvent::Started { readback } if style.verbose() => format!("started: {}", identity(readback)),
        RunEvent::Ended { payload, at_ms } if style.verbose() => {
            format!("the command ended after {}: {}", time(*at_ms), end(payload))
        }
        RunEvent::Started { .. } | RunEvent::Ended { .. } | RunEvent::Test { .. } => return String::new(),
        RunEvent::ProjectByFuse { because } => format!("the project is {}", one_line(&by_fuse(because))),
        RunEvent::ProjectCopied { copy } => format!("the project is {}", one_line(&copy.told())),
        RunEvent::TestKilled { nodeid, phase, verdict, summary, stack, .. } => {
            let place = telling_call(stack).map(|call| format!("; at {}", short_line(call, CALL_WIDTH)));
            let place = place.unwrap_or_default();
            let verdict = paint(verdict.word(), Ink::Bad, style);
            let summary = short_line(summary, MESSAGE_WIDTH);
            format!("{} ({phase}): {verdict}: {summary}{place}", short_line(nodeid, NAME_WIDTH))
        }
        RunEvent::Stopping { cause, at_ms } => format!("{}; asking the command to end", reason(cause, *at_ms)),
        RunEvent::Killing { at_ms } => format!("it did not end in time; killing the whole box after {}", time(*at_ms)),
        RunEvent::OomKill { at_ms } => {
            format!("the kernel killed a process of the box for want of memory after {}", time(*at_ms))
        }
        RunEvent::Stalled { at_ms } => {
            format!("for want of memory the box stands still most of the time, since {}", time(*at_ms))
        }
        RunEvent::Warning { text } => format!("{}: {}", paint("warning", Ink::Caution, style), one_line(text)),
    };
    format!("testbox: {line}\n")
}

/// What was read back of the command's set-up.
pub(super) fn identity(readback: &Readback) -> String {
    let Readback { uid, gid, capabilities, no_new_privs, seccomp_mode, seccomp_filters } = readback;
    let capabilities =
        if *capabilities == 0 { "no capabilities".to_owned() } else { format!("capabilities {capabilities:#x}") };
    let privileges = if *no_new_privs { "no new privileges" } else { "new privileges possible" };
    let seccomp = match seccomp_mode {
        2 => format!("{seccomp_filters} seccomp filter{}", if *seccomp_filters == 1 { "" } else { "s" }),
        mode => format!("seccomp mode {mode}"),
    };
    format!("uid {uid}, gid {gid}, {capabilities}, {privileges}, {seccomp}")
}

fn reason(cause: &StopCause, at_ms: u64) -> String {
    let after = time(at_ms);
    match cause {
        StopCause::Timeout => format!("timeout after {after}"),
        StopCause::CollectTimeout => format!("the collection took too long, stopped after {after}"),
        StopCause::IdleTimeout => format!("idle timeout after {after}: no output and no CPU use"),
        StopCause::OutputLimit => format!("output limit reached after {after}"),
        StopCause::ForkStorm => format!("forks go on at the limit of processes after {after}"),
        StopCause::MemoryWatchdog => format!("the watchdog saw more memory than allowed after {after}"),
        StopCause::Interrupted { signal } => format!("received {} after {after}", signal_name(*signal)),
        StopCause::Fault { detail } => format!("testbox failed after {after}: {}", one_line(detail)),
    }
}

fn end(payload: &PayloadEnd) -> String {
    match payload {
        PayloadEnd::SetupFailed { step, detail, .. } => format!("cannot {step}: {}", one_line(detail)),
        PayloadEnd::Exited { code } => format!("exit code {code}"),
        PayloadEnd::Signaled { signal } => signal_name(*signal),
        PayloadEnd::Lost => "no exit status".to_owned(),
    }
}

fn time(ms: u64) -> Duration {
    Duration::from_ms(ms)
}
