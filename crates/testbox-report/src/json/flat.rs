//! Limits and peaks as flat numbers, side by side for a script: `.peaks.memory_bytes / .limits.memory_bytes`.

use serde::Serialize;
use testbox_model::{Bytes, Duration, Evidence, Rate, RunPlan};

/// The limits of the plan; `null` = no limit.
#[derive(Serialize)]
pub(super) struct FlatLimits {
    memory_bytes: Bytes,
    swap_bytes: Bytes,
    pids: u64,
    cpus: Option<f64>,
    nofile: u64,
    io_read_bytes_per_second: Option<Rate>,
    io_write_bytes_per_second: Option<Rate>,
    scratch_bytes: Bytes,
    scratch_inodes: u64,
    output_bytes: Bytes,
    fsize_bytes: Option<Bytes>,
    timeout_ms: Duration,
    idle_timeout_ms: Option<Duration>,
    grace_ms: Duration,
}

/// The highest uses; `null` = not known on this host.
#[derive(Serialize)]
pub(super) struct Peaks {
    memory_bytes: Option<Bytes>,
    pids: Option<u64>,
    cpu_ms: u64,
    output_bytes: u64,
    disk_written_bytes: Option<u64>,
    scratch_bytes: Option<Bytes>,
}

impl FlatLimits {
    pub(super) fn of(plan: &RunPlan) -> Self {
        let (limits, times) = (&plan.limits, &plan.times);
        Self {
            memory_bytes: limits.memory_bytes.value,
            swap_bytes: limits.swap_bytes.value,
            pids: limits.pids.value,
            cpus: limits.cpus.value,
            nofile: limits.nofile.value,
            io_read_bytes_per_second: limits.io_read.value,
            io_write_bytes_per_second: limits.io_write.value,
            scratch_bytes: limits.tmp_bytes.value,
            scratch_inodes: limits.tmp_inodes.value,
            output_bytes: limits.output_bytes.value,
            fsize_bytes: limits.fsize_bytes.value,
            timeout_ms: times.timeout.value,
            idle_timeout_ms: times.idle_timeout.value,
            grace_ms: times.grace.value,
        }
    }
}

impl Peaks {
    pub(super) fn of(evidence: &Evidence) -> Self {
        Self {
            memory_bytes: evidence.memory.peak_bytes,
            pids: evidence.pids.peak,
            cpu_ms: evidence.cpu.used_ms,
            output_bytes: evidence.output.bytes,
            disk_written_bytes: evidence.io.written_bytes,
            scratch_bytes: evidence.disk.iter().find(|disk| disk.name == "scratch").map(|disk| disk.peak_bytes),
        }
    }
}
