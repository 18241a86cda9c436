//! What a run used: peaks beside their limits, and what happened at a limit without deciding the verdict.

use testbox_model::{Duration, RunRecord, StallEvidence, TestVerdict, Timeline, VerdictKind};

use super::paint::count;
use crate::harmless::one_line;

/// `peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU`; only what is known.
pub(super) fn peaks(record: &RunRecord) -> String {
    let evidence = &record.evidence;
    let memory = evidence.memory.peak_bytes.map(|peak| match evidence.memory.limit_bytes {
        Some(limit) => format!("peak memory {peak} of {limit}"),
        None => format!("peak memory {peak}"),
    });
    let pids = evidence.pids.peak.map(|peak| format!("{peak} pid{}", if peak == 1 { "" } else { "s" }));
    let cpu = (evidence.cpu.used_ms > 0).then(|| format!("{} CPU", Duration::from_ms(evidence.cpu.used_ms)));
    [memory, pids, cpu].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Limits that were met although the verdict is another one; each explains an odd result.
pub(super) fn met_limits(record: &RunRecord, verdict: VerdictKind) -> Vec<String> {
    let evidence = &record.evidence;
    let mut met = vec![];
    if evidence.pids.refused_forks > 0 && verdict != VerdictKind::Pids {
        let forks = count(evidence.pids.refused_forks as usize, "fork was", "forks were");
        met.push(format!("{forks} refused at the limit of {} processes and threads", record.plan.limits.pids.value));
    } else if evidence.pids.peak >= Some(record.plan.limits.pids.value) && verdict != VerdictKind::Pids {
        met.push(format!("all of the {} processes and threads were in use", record.plan.limits.pids.value));
    }
    if verdict != VerdictKind::Disk {
        let full = evidence.disk.iter().filter(|disk| disk.full);
        met.extend(full.map(|disk| format!("{} was full ({})", one_line(&disk.place()), disk.size_bytes)));
    }
    let output_limit = record.plan.limits.output_bytes.value;
    if evidence.output.bytes > output_limit.0 && verdict != VerdictKind::Output {
        met.push(format!("the output was cut at {output_limit}"));
    }
    if evidence.cpu.throttled_ms.saturating_mul(10) > record.duration_ms {
        met.push(format!("the CPU limit held the box back for {}", Duration::from_ms(evidence.cpu.throttled_ms)));
    }
    met.extend(stalls(record, verdict));
    met
}

/// Standstills of a tenth of the time or more: for want of memory always, as nothing else tells of it; for want of the rest
/// where something took too long.
fn stalls(record: &RunRecord, verdict: VerdictKind) -> Vec<String> {
    let told = |stalled_ms: Option<u64>, what: &str| {
        let stalled_ms = stalled_ms.filter(|ms| ms.saturating_mul(10) > record.duration_ms)?;
        Some(format!("for {} {what}", Duration::from_ms(stalled_ms)))
    };
    let mut tests = record.evidence.pytest.iter().flat_map(|pytest| &pytest.tests);
    let was_late = verdict == VerdictKind::Timeout || tests.any(|test| test.verdict == TestVerdict::Timeout);
    let StallEvidence { memory_ms, io_ms, cpu_ms } = record.evidence.stalled;
    let late = |stalled_ms: Option<u64>| stalled_ms.filter(|_| was_late);
    let stalls = [
        told(memory_ms, "nothing of the box could run for want of memory: what it uses again and again does not fit"),
        told(late(io_ms), "nothing of the box could run before something was read or written"),
        told(late(cpu_ms), "some of the box waited for a CPU"),
    ];
    stalls.into_iter().flatten().collect()
}

/// The timeline in one sentence.
pub(super) fn timeline(timeline: &Timeline) -> Option<String> {
    let highest = timeline.samples.iter().max_by_key(|sample| sample.memory_bytes)?;
    Some(format!(
        "{}, one every {}; highest memory {} with {} after {}",
        count(timeline.samples.len(), "sample", "samples"),
        Duration::from_ms(timeline.interval_ms),
        testbox_model::Bytes(highest.memory_bytes),
        count(highest.pids as usize, "pid", "pids"),
        Duration::from_ms(highest.at_ms),
    ))
}
