//! The meter of a box in cgroups; what these do not count or guard (`--allow-degraded`), the watchdog does.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::read;
use testbox_cgroup::{BoxGroup, CgroupError, MemoryAlarm, MemoryPressure, Slots};
use testbox_model::{Limits, StopCause, Wall, WallState};

use crate::meter::{Counters, Meter, MeterError, SLOWED, Usage};
use crate::watchdog::{Watchdog, WatchdogLimits};

const INTERVAL: Duration = Duration::from_millis(100);
/// What comes near its limit again and again is slowed down this seldom.
const REST: Duration = Duration::from_secs(5);

/// The numbers of a [`BoxGroup`], with a [`Watchdog`] for what it lacks.
#[derive(Debug)]
pub struct GroupMeter<'a> {
    group: &'a BoxGroup,
    oom: Option<OwnedFd>,
    alarms: &'a [MemoryAlarm],
    slowed: Slowed,
    pressure: Option<MemoryPressure>,
    watchdog: Option<Watchdog>,
    slots: Option<Slots>,
    /// A process of testbox's own in the groups.
    own: Option<i32>,
    memory_limit: u64,
    pids_limit: u64,
    refused_forks: u64,
}

/// Whether an alarm slows the box down: see [`MemoryAlarm`].
#[derive(Debug, Clone, Copy)]
enum Slowed {
    /// No alarm has sounded.
    Not,
    /// An alarm sounded, and the stacks are being dumped.
    Since(Instant),
    /// It does so no more since then, and will not before the memory in use has become less.
    Relieved(Instant),
}

impl<'a> GroupMeter<'a> {
    /// `init` is the host pid of the in-box init, `tmpfs` a descriptor in each tmpfs of the box: both for the watchdog.
    ///
    /// # Errors
    /// The notification of OOM kills cannot be set up.
    pub fn new(group: &'a BoxGroup, limits: &Limits, init: i32, tmpfs: Vec<OwnedFd>) -> Result<Self, CgroupError> {
        let usage = group.usage();
        let blind = usage.memory_bytes.is_none() || usage.pids.is_none() || usage.cpu_ms.is_none();
        let guarded = WatchdogLimits {
            memory_bytes: is_degraded(group, Wall::Memory).then_some(limits.memory_bytes.value.0),
            pids: is_degraded(group, Wall::Pids).then_some(limits.pids.value),
        };
        let needed = blind || guarded != WatchdogLimits::default();
        let watchdog = needed.then(|| Watchdog::new(Path::new("/proc"), init, guarded, tmpfs));
        Ok(Self {
            group,
            oom: group.oom_event_fd()?,
            alarms: &[],
            slowed: Slowed::Not,
            pressure: MemoryPressure::of(group),
            watchdog,
            slots: Slots::below(group, limits.memory_bytes.value.0, limits.swap_bytes.value.0, limits.pids.value),
            own: None,
            memory_limit: limits.memory_bytes.value.0,
            pids_limit: limits.pids.value,
            refused_forks: 0,
        })
    }

    /// Does not list this process, which is in the groups and none of the box's.
    pub fn without(self, own: Option<i32>) -> Self {
        Self { own, ..self }
    }

    /// Listens to these alarms as well.
    pub fn with_alarms(self, alarms: &'a [MemoryAlarm]) -> Self {
        Self { alarms, ..self }
    }

    /// A box is slowed down just long enough for a look; the next alarm can sound when the memory in use has become less.
    fn relieve(&mut self, memory_bytes: u64) {
        match self.slowed {
            Slowed::Since(since) if since.elapsed() >= SLOWED => {
                let relieved = self.alarms.iter().map(|alarm| alarm.relieve(self.group));
                // Where the kernel refuses, the box is slow near its limit, and no worse.
                let slows = relieved.fold(false, |any, each| any | each.unwrap_or(true));
                self.slowed = if slows { Slowed::Relieved(Instant::now()) } else { Slowed::Not };
            }
            Slowed::Relieved(since) if since.elapsed() >= REST && memory_bytes < self.memory_limit / 10 * 8 => {
                self.alarms.iter().for_each(|alarm| drop(alarm.arm(self.group)));
                self.slowed = Slowed::Not;
            }
            Slowed::Not | Slowed::Since(_) | Slowed::Relieved(_) => {}
        }
    }

    /// Counting refused forks takes opening a file, so it is done only where forks can be refused.
    fn refused_forks(&mut self, pids: u64) -> u64 {
        if pids.saturating_mul(10) >= self.pids_limit.saturating_mul(9) {
            self.refused_forks = self.refused_forks.max(self.counted().pids.refused_forks);
        }
        self.refused_forks
    }
}

impl GroupMeter<'_> {
    /// What the box's own limits did, whatever those of its workers did.
    fn counted(&self) -> Counters {
        let mut counted = self.group.counters();
        if let Some(slots) = &self.slots {
            slots.settle(&mut counted.memory, &mut counted.pids);
        }
        counted
    }
}

impl Meter for GroupMeter<'_> {
    fn usage(&mut self) -> Result<Usage, MeterError> {
        let counted = self.group.usage();
        let seen = self.watchdog.as_mut().map_or(Ok(Usage::default()), Watchdog::usage)?;
        let pids = counted.pids.unwrap_or(seen.pids);
        counted.memory_bytes.into_iter().for_each(|bytes| self.relieve(bytes));
        Ok(Usage {
            memory_bytes: counted.memory_bytes.unwrap_or(seen.memory_bytes),
            pids,
            cpu_ms: counted.cpu_ms.unwrap_or(seen.cpu_ms),
            refused_forks: self.refused_forks(pids),
        })
    }

    fn counters(&mut self) -> Result<Counters, MeterError> {
        let mut counters = self.counted();
        check(self.group, Wall::Memory, counters.memory.limit_bytes.is_some())?;
        check(self.group, Wall::Pids, counters.pids.limit.is_some())?;
        let seen = self.watchdog.as_mut().map_or(Ok(Counters::default()), Watchdog::counters)?;
        counters.memory.limit_bytes = counters.memory.limit_bytes.or(seen.memory.limit_bytes);
        counters.memory.peak_bytes = counters.memory.peak_bytes.or(seen.memory.peak_bytes);
        counters.pids.limit = counters.pids.limit.or(seen.pids.limit);
        counters.pids.peak = counters.pids.peak.or(seen.pids.peak);
        counters.cpu.used_ms = counters.cpu.used_ms.max(seen.cpu.used_ms);
        Ok(counters)
    }

    fn stalled_ms(&self) -> Option<u64> {
        self.pressure.as_ref().and_then(MemoryPressure::stalled_ms)
    }

    fn processes(&mut self) -> Result<Vec<i32>, MeterError> {
        match &mut self.watchdog {
            Some(watchdog) if self.group.paths().is_empty() => watchdog.processes(),
            _ => {
                let listed = self.group.processes();
                let mut pids = listed.map_err(|error| MeterError { what: "processes", source: error.into() })?;
                pids.retain(|pid| Some(*pid) != self.own);
                Ok(pids)
            }
        }
    }

    fn oom_fd(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.oom.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN))
    }

    fn take_oom(&mut self) {
        if let Some(fd) = &self.oom {
            let _nothing_there_or_taken = read(fd, &mut [0; 4096]);
        }
    }

    fn alarm_fds(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        self.alarms.iter().map(MemoryAlarm::fd).collect()
    }

    fn take_alarms(&mut self) {
        self.alarms.iter().for_each(MemoryAlarm::take);
        if let Slowed::Not = self.slowed {
            self.slowed = Slowed::Since(Instant::now());
        }
    }

    fn slots(&mut self) -> Option<&mut Slots> {
        self.slots.as_mut()
    }

    fn breach(&self) -> Option<StopCause> {
        self.watchdog.as_ref().and_then(Watchdog::breach)
    }

    fn interval(&self) -> Duration {
        self.watchdog.as_ref().map_or(INTERVAL, Watchdog::interval)
    }
}

fn is_degraded(group: &BoxGroup, wall: Wall) -> bool {
    group.walls().iter().any(|report| report.wall == wall && report.state == WallState::Degraded)
}

/// A wall of the kernel whose counters cannot be read would look as if it had never been reached.
fn check(group: &BoxGroup, wall: Wall, readable: bool) -> Result<(), MeterError> {
    let enforced = group.walls().iter().any(|report| report.wall == wall && report.state == WallState::Enforced);
    if enforced && !readable {
        let source = format!("the cgroup files of the wall `{wall}` are gone").into();
        return Err(MeterError { what: "counters", source });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use testbox_cgroup::{BoxId, Demand, Host};

    use super::*;
    use crate::tests::fake_box::plan;

    /// A host without a single cgroup hierarchy.
    #[test]
    fn without_cgroups_the_watchdog_counts_and_guards() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("proc/self")).unwrap();
        fs_err::write(root.path().join("proc/self/mountinfo"), "").unwrap();
        fs_err::write(root.path().join("proc/self/cgroup"), "").unwrap();
        let host = Host::detect(root.path()).unwrap();
        let demand = Demand {
            memory_bytes: 1 << 20,
            swap_bytes: 0,
            pids: 1,
            cpus: None,
            io: None,
            workers: true,
            allow_degraded: BTreeSet::from(Wall::ALL),
        };
        let id: BoxId = "testbox-97b45cbc-14646-190080".parse().unwrap();
        let group = BoxGroup::create(&host, &id, &demand).unwrap();
        let mut limits = plan().limits;
        limits.memory_bytes.value = testbox_model::Bytes(1 << 20);
        let me = i32::try_from(std::process::id()).unwrap();
        let mut meter = GroupMeter::new(&group, &limits, me, vec![]).unwrap();
        let usage = meter.usage().unwrap();
        assert!(usage.memory_bytes > 1 << 20 && usage.pids >= 1);
        assert_eq!(meter.breach(), Some(StopCause::MemoryWatchdog));
        assert_eq!(meter.interval(), Duration::from_millis(50));
        assert!(meter.oom_fd().is_none());
        assert!(meter.processes().unwrap().contains(&me));
        assert_eq!(meter.counters().unwrap().memory.limit_bytes, Some(testbox_model::Bytes(1 << 20)));
    }
}
