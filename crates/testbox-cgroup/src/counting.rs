//! Reads what the kernel counted: from open files while the box runs, from all files at its end.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use testbox_model::{Bytes, CpuEvidence, IoEvidence, MemoryEvidence, PidsEvidence};

use crate::group::{BoxGroup, Part, Parts};
use crate::{Counters, Usage, kernel, pressure};

/// The files of `Usage`, kept open.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    memory: Option<File>,
    pids: Option<File>,
    cpu: Option<File>,
    /// `cpu` is `cpu.stat`, not `cpuacct.usage`.
    cpu_is_stat: bool,
}

impl Gauges {
    pub(crate) fn open(parts: &Parts) -> Self {
        let open = |part: &Option<Part>, v1: &str, v2: &str| {
            part.as_ref().and_then(|part| kernel::open_file(&part.path.join(part.pick(v1, v2))).ok())
        };
        Self {
            memory: open(&parts.memory, "memory.usage_in_bytes", "memory.current"),
            pids: open(&parts.pids, "pids.current", "pids.current"),
            cpu: open(&parts.cpuacct, "cpuacct.usage", "cpu.stat"),
            cpu_is_stat: parts.cpuacct.as_ref().is_some_and(|part| part.unified),
        }
    }

    pub(crate) fn read(&self) -> Usage {
        let cpu = self.cpu.as_ref().and_then(read_again);
        Usage {
            memory_bytes: self.memory.as_ref().and_then(read_again).and_then(|text| number(&text)),
            pids: self.pids.as_ref().and_then(read_again).and_then(|text| number(&text)),
            cpu_ms: cpu.and_then(|text| cpu_ms(&text, self.cpu_is_stat)),
        }
    }
}

/// See `BoxGroup::counters`.
pub(crate) fn counters(group: &BoxGroup) -> Counters {
    let parts = &group.parts;
    let mut pids = parts.pids.as_ref().map(pids).unwrap_or_default();
    if let Some(refused) = group.refused_before_kill.get() {
        pids.refused_forks = *refused;
    }
    Counters {
        memory: parts.memory.as_ref().map(memory).unwrap_or_default(),
        pids,
        cpu: cpu(parts),
        io: parts.io.as_ref().map(io).unwrap_or_default(),
        stalled: pressure::stalled(group),
    }
}

/// How often a fork met the limit of this group.
///
/// v2 counts hierarchically since Linux 6.12, and then has a file for the group alone.
pub(crate) fn refused_forks(part: &Part) -> u64 {
    let own = keyed(&part.path.join("pids.events.local"), "max");
    own.or_else(|| keyed(&part.path.join("pids.events"), "max")).unwrap_or(0)
}

pub(crate) fn memory(part: &Part) -> MemoryEvidence {
    let value = |file: &str| kernel::read(&part.path.join(file)).ok().and_then(|text| number(&text));
    let events = part.path.join(part.pick("memory.oom_control", "memory.events"));
    let limit_hits = match part.unified {
        true => keyed(&part.path.join("memory.events.local"), "max").or(keyed(&events, "max")).unwrap_or(0),
        false => value("memory.failcnt").unwrap_or(0) + value("memory.memsw.failcnt").unwrap_or(0),
    };
    MemoryEvidence {
        limit_bytes: value(part.pick("memory.limit_in_bytes", "memory.max")).map(Bytes),
        peak_bytes: value(part.pick("memory.max_usage_in_bytes", "memory.peak")).map(Bytes),
        oom_kills: keyed(&events, "oom_kill").unwrap_or(0),
        limit_hits,
        largest: Vec::new(),
    }
}

fn pids(part: &Part) -> PidsEvidence {
    let value = |file: &str| kernel::read(&part.path.join(file)).ok().and_then(|text| number(&text));
    PidsEvidence { limit: value("pids.max"), peak: value("pids.peak"), refused_forks: refused_forks(part) }
}

fn cpu(parts: &Parts) -> CpuEvidence {
    let used = |part: &Part| {
        let text = kernel::read(&part.path.join(part.pick("cpuacct.usage", "cpu.stat"))).ok()?;
        cpu_ms(&text, part.unified)
    };
    let throttled = |part: &Part| {
        let (key, per_ms) = if part.unified { ("throttled_usec", 1_000) } else { ("throttled_time", 1_000_000) };
        Some(keyed(&part.path.join("cpu.stat"), key)? / per_ms)
    };
    CpuEvidence {
        used_ms: parts.cpuacct.as_ref().and_then(used).unwrap_or(0),
        throttled_ms: parts.cpu.as_ref().and_then(throttled).unwrap_or(0),
    }
}

fn io(part: &Part) -> IoEvidence {
    let file = part.pick("blkio.throttle.io_service_bytes_recursive", "io.stat");
    let Ok(text) = kernel::read(&part.path.join(file)) else { return IoEvidence::default() };
    let sum = if part.unified { io_stat_sum } else { service_bytes_sum };
    IoEvidence {
        read_bytes: Some(sum(&text, part.pick("Read", "rbytes"))),
        written_bytes: Some(sum(&text, part.pick("Write", "wbytes"))),
    }
}

/// v1: lines like `254:0 Read 4096`.
fn service_bytes_sum(text: &str, operation: &str) -> u64 {
    let of_line = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        [device, name, bytes] if device.contains(':') && name == operation => bytes.parse().unwrap_or(0),
        _ => 0,
    };
    text.lines().map(of_line).sum()
}

/// v2: lines like `254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn io_stat_sum(text: &str, key: &str) -> u64 {
    let fields = text.split_ascii_whitespace().filter_map(|field| field.split_once('='));
    fields.filter(|(name, _)| *name == key).filter_map(|(_, bytes)| bytes.parse::<u64>().ok()).sum()
}

fn cpu_ms(text: &str, is_stat: bool) -> Option<u64> {
    if is_stat { Some(find_key(text, "usage_usec")? / 1_000) } else { Some(number(text)? / 1_000_000) }
}

pub(crate) fn keyed(path: &Path, key: &str) -> Option<u64> {
    find_key(&kernel::read(path).ok()?, key)
}

/// The value of a line like `oom_kill 3`.
fn find_key(text: &str, key: &str) -> Option<u64> {
    text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == key)?.1.trim_ascii().parse().ok()
}

pub(crate) fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}

pub(crate) fn read_again(file: &File) -> Option<String> {
    let mut buffer = [0u8; 512];
    let length = file.read_at(&mut buffer, 0).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

impl Part {
    pub(crate) fn pick<'a>(&self, v1: &'a str, v2: &'a str) -> &'a str {
        if self.unified { v2 } else { v1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_service_bytes_are_summed_over_devices() {
        let text = "254:0 Read 4096\n254:0 Write 8192\n254:0 Total 12288\n8:0 Read 1\nTotal 12289\n";
        assert_eq!((service_bytes_sum(text, "Read"), service_bytes_sum(text, "Write")), (4097, 8192));
        assert_eq!(service_bytes_sum("Total 0\n", "Read"), 0);
    }

    #[test]
    fn v2_io_stat_is_summed_over_devices() {
        let text = "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=2\n7:0\n";
        assert_eq!((io_stat_sum(text, "rbytes"), io_stat_sum(text, "wbytes")), (4097, 2));
    }

    #[test]
    fn keys_are_whole_words() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!((find_key(text, "oom_kill"), find_key(text, "oom")), (Some(3), None));
    }
}
