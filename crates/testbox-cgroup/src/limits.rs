//! Writes the limits of a box and reads each of them back.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use testbox_model::{Wall, WallReport};

use crate::group::{BoxGroup, Part};
use crate::kernel::{self, Kernel};
use crate::{CgroupError, Demand, IoDemand};

const PERIOD_US: u64 = 100_000;
/// The largest page of a supported machine; the kernel rounds memory limits down to pages.
const MAX_PAGE_BYTES: u64 = 64 << 10;
const NO_SWAP_ACCOUNTING: &str = "this kernel does not account swap: memory that is swapped out is not limited";
const BUFFERED_WRITES: &str = "buffered writes go through the page cache and are not throttled by cgroup v1";

/// Sets what `demand` says about `wall` in its group, which exists.
///
/// # Errors
/// A limit cannot be set or reads back as another one.
pub(crate) fn apply(group: &BoxGroup, wall: Wall, demand: &Demand) -> Result<WallReport, CgroupError> {
    let parts = &group.parts;
    let (part, set): (_, Set) = match wall {
        Wall::Memory => (&parts.memory, memory),
        Wall::Pids => (&parts.pids, pids),
        Wall::Cpu => (&parts.cpu, cpu),
        _ => (&parts.io, io),
    };
    match part {
        Some(part) => set(&Setter { kernel: group.kernel, wall, part }, demand),
        None => Err(CgroupError::ControllerMissing { wall, controller: wall.name() }),
    }
}

type Set = fn(&Setter<'_>, &Demand) -> Result<WallReport, CgroupError>;

struct Setter<'a> {
    kernel: Kernel,
    wall: Wall,
    part: &'a Part,
}

fn memory(setter: &Setter<'_>, demand: &Demand) -> Result<WallReport, CgroupError> {
    let (limit, swap) = (demand.memory_bytes, demand.swap_bytes);
    let (by, swap_is_counted) = if setter.part.unified {
        setter.set("memory.max", &limit.to_string(), &same_pages)?;
        ("cgroup v2 memory.max", setter.set_if_there("memory.swap.max", &swap.to_string(), &same_pages)?)
    } else {
        setter.set("memory.limit_in_bytes", &limit.to_string(), &same_pages)?;
        // Memory alone must be met first, because only its failures are counted (Linux 6.18): one page more for both.
        let both = limit.saturating_add(swap.max(rustix::param::page_size() as u64)).to_string();
        let swap_is_counted = setter.set_if_there("memory.memsw.limit_in_bytes", &both, &same_pages)?;
        if swap == 0 {
            setter.set_if_there("memory.swappiness", "0", &same)?;
        }
        ("cgroup v1 memory.limit_in_bytes", swap_is_counted)
    };
    let report = WallReport::enforced(Wall::Memory, by);
    Ok(if swap_is_counted { report } else { report.with_note(NO_SWAP_ACCOUNTING) })
}

fn pids(setter: &Setter<'_>, demand: &Demand) -> Result<WallReport, CgroupError> {
    setter.set("pids.max", &demand.pids.to_string(), &same)?;
    Ok(WallReport::enforced(Wall::Pids, format!("cgroup {} pids.max", setter.part.version())))
}

fn cpu(setter: &Setter<'_>, demand: &Demand) -> Result<WallReport, CgroupError> {
    let quota_us = (demand.cpus.unwrap_or(f64::MAX) * PERIOD_US as f64).round() as u64;
    if setter.part.unified {
        setter.set("cpu.max", &format!("{quota_us} {PERIOD_US}"), &same)?;
        return Ok(WallReport::enforced(Wall::Cpu, "cgroup v2 cpu.max"));
    }
    setter.set("cpu.cfs_period_us", &PERIOD_US.to_string(), &same)?;
    setter.set("cpu.cfs_quota_us", &quota_us.to_string(), &same)?;
    Ok(WallReport::enforced(Wall::Cpu, "cgroup v1 cpu.cfs_quota_us"))
}

fn io(setter: &Setter<'_>, demand: &Demand) -> Result<WallReport, CgroupError> {
    let demand = demand.io.as_ref().filter(|io| !io.devices.is_empty()).ok_or(CgroupError::NoDevice)?;
    for (major, minor) in &demand.devices {
        let device = format!("{major}:{minor}");
        if setter.part.unified { io_v2(setter, &device, demand)? } else { io_v1(setter, &device, demand)? }
    }
    Ok(match setter.part.unified {
        true => WallReport::enforced(Wall::Io, "cgroup v2 io.max"),
        false => WallReport::enforced(Wall::Io, "cgroup v1 blkio.throttle").with_note(BUFFERED_WRITES),
    })
}

fn io_v1(setter: &Setter<'_>, device: &str, demand: &IoDemand) -> Result<(), CgroupError> {
    for (direction, rate) in [("read", demand.read_bps), ("write", demand.write_bps)] {
        if let Some(rate) = rate {
            let file = format!("blkio.throttle.{direction}_bps_device");
            setter.set(&file, &format!("{device} {rate}"), &|wrote, read| read.lines().any(|line| line == wrote))?;
        }
    }
    Ok(())
}

fn io_v2(setter: &Setter<'_>, device: &str, demand: &IoDemand) -> Result<(), CgroupError> {
    let rate = |name, bps: Option<u64>| bps.map(|bps| format!(" {name}={bps}")).unwrap_or_default();
    let value = format!("{device}{}{}", rate("rbps", demand.read_bps), rate("wbps", demand.write_bps));
    setter.set("io.max", &value, &holds_io_max)
}

impl Setter<'_> {
    /// Writes a limit and reads it back; `agrees(wrote, read)` knows what the kernel may round.
    fn set(&self, file: &str, value: &str, agrees: &dyn Fn(&str, &str) -> bool) -> Result<(), CgroupError> {
        let path = self.part.path.join(file);
        (self.kernel.write)(&path, value).map_err(|source| self.refused(&path, value, source))?;
        let text = kernel::read(&path).map_err(|source| CgroupError::Read { path: path.clone(), source })?;
        match text.trim_ascii() {
            read if agrees(value, read) => Ok(()),
            read => {
                Err(CgroupError::Readback { wall: self.wall, path, wrote: value.to_owned(), read: read.to_owned() })
            }
        }
    }

    /// Like `set`; `false` if this kernel has no such file.
    fn set_if_there(&self, file: &str, value: &str, agrees: &dyn Fn(&str, &str) -> bool) -> Result<bool, CgroupError> {
        match self.set(file, value, agrees) {
            Ok(()) => Ok(true),
            Err(CgroupError::Limit { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn refused(&self, path: &Path, value: &str, source: io::Error) -> CgroupError {
        let (wall, path, value) = (self.wall, path.to_owned(), value.to_owned());
        match Errno::from_io_error(&source) {
            Some(Errno::BUSY) => CgroupError::Busy { wall, path, value, source },
            Some(Errno::ACCESS | Errno::PERM) => {
                CgroupError::NotDelegated { wall, path, unified: self.part.unified, source, remedy: None }
            }
            Some(Errno::ROFS) => CgroupError::ReadOnly { wall, path, source },
            _ => CgroupError::Limit { wall, path, value, source },
        }
    }
}

fn same(wrote: &str, read: &str) -> bool {
    wrote == read
}

fn same_pages(wrote: &str, read: &str) -> bool {
    match (wrote.parse::<u64>(), read.parse::<u64>()) {
        (Ok(wrote), Ok(read)) => read <= wrote && wrote - read < MAX_PAGE_BYTES,
        _ => false,
    }
}

/// `8:0 rbps=1 wbps=max riops=max wiops=max` holds what `8:0 rbps=1` asks for.
fn holds_io_max(wrote: &str, read: &str) -> bool {
    let mut wanted = wrote.split(' ');
    let device = wanted.next();
    let Some(line) = read.lines().find(|line| line.split(' ').next() == device) else { return false };
    wanted.all(|limit| line.split(' ').any(|field| field == limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_may_round_down_to_pages_only() {
        assert!(same_pages("1000000", "999424"));
        assert!(same_pages("67108864", "67108864"));
        assert!(!same_pages("67108864", "67112960"), "more than asked for");
        assert!(!same_pages("67108864", "33554432"));
        assert!(!same_pages("67108864", "max"));
    }

    #[test]
    fn io_max_is_compared_field_by_field() {
        let read = "8:16 rbps=5 wbps=5 riops=max wiops=max\n8:0 rbps=2097152 wbps=max riops=max wiops=120";
        assert!(holds_io_max("8:0 rbps=2097152", read));
        assert!(!holds_io_max("8:0 rbps=2097152 wbps=5", read));
        assert!(!holds_io_max("8:1 rbps=5", read));
        assert!(!holds_io_max("8:0 rbps=2097152", ""));
    }
}
