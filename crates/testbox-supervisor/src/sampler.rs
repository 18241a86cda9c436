//! Looks at the box at a steady pace: usage into the timeline, disks, the largest processes, and what the numbers
//! prove on the way (a fork storm, a limit that the meter itself guards, a kill of the kernel).

use std::time::{Duration, Instant};

use testbox_cgroup::Slots;
use testbox_model::{DiskUse, ProcessUse, RunPlan, Sample, StopCause, Timeline};

use crate::disks::Disks;
use crate::events::Events;
use crate::meter::{Counters, Meter, MeterError, Usage};
use crate::scan::{Largest, ProcessTable};
use crate::stall::Stall;
use crate::storm::Storm;
use crate::witness::Census;

/// Milliseconds between two samples of the timeline.
const TIMELINE_MS: u64 = 100;

pub(crate) struct Sampler<'a> {
    meter: &'a mut dyn Meter,
    every: Duration,
    next: Instant,
    usage: Usage,
    timeline: Timeline,
    storm: Storm,
    stall: Stall,
    disks: Disks,
    largest: Largest,
    memory_limit: u64,
    oom_kills: u64,
    oom_not_before: Instant,
}

/// What the sampler collected.
pub(crate) struct Collected {
    pub(crate) timeline: Timeline,
    pub(crate) disks: Vec<DiskUse>,
    pub(crate) largest: Vec<ProcessUse>,
}

impl<'a> Sampler<'a> {
    pub(crate) fn new(meter: &'a mut dyn Meter, plan: &RunPlan, disks: Disks, table: ProcessTable) -> Self {
        let (every, now) = (meter.interval(), Instant::now());
        Self {
            meter,
            every,
            next: now + every,
            usage: Usage::default(),
            timeline: Timeline::new(TIMELINE_MS),
            storm: Storm::new(plan.limits.pids.value),
            stall: Stall::new(now),
            disks,
            largest: Largest::new(table, plan.limits.memory_bytes.value.0),
            memory_limit: plan.limits.memory_bytes.value.0,
            oom_kills: 0,
            oom_not_before: now,
        }
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    pub(crate) fn meter(&self) -> &dyn Meter {
        self.meter
    }

    /// Groups for workers.
    pub(crate) fn slots(&mut self) -> Option<&mut Slots> {
        self.meter.slots()
    }

    /// The descriptor of OOM events is worth a look again: a storm of kills must not occupy the loop.
    pub(crate) fn hears_oom(&self, now: Instant) -> bool {
        now >= self.oom_not_before
    }

    /// One look; what it proves is a cause to stop.
    pub(crate) fn sample(&mut self, now: Instant, at_ms: u64, events: &mut Events<'_, '_>) -> Option<StopCause> {
        self.next = now + self.every;
        match self.meter.usage() {
            Ok(usage) => self.usage = usage,
            Err(error) => events.warn(told(&error)),
        }
        self.look_at_disks(events);
        let Usage { memory_bytes, pids, cpu_ms, refused_forks } = self.usage;
        self.timeline.push(Sample { at_ms, memory_bytes, pids, cpu_ms });
        let storm = self.storm.sample(now, pids, refused_forks).then_some(StopCause::ForkStorm);
        // Who forks holds the lock that a look at its command line takes: in a storm the loop would wait for seconds.
        if !self.storm.is_on(now) && self.largest.is_due(now, memory_bytes) {
            self.scan(now, events);
        }
        self.meter.breach().or(storm)
    }

    /// The use of the bounded file systems.
    pub(crate) fn look_at_disks(&mut self, events: &mut Events<'_, '_>) {
        if let Err(warning) = self.disks.sample() {
            events.warn(warning);
        }
    }

    /// The last look found nine tenths of the memory in use.
    pub(crate) fn is_near_the_limit(&self) -> bool {
        self.usage.memory_bytes >= self.memory_limit / 10 * 9
    }

    /// The box has begun to stand still for want of memory.
    pub(crate) fn stalls(&mut self, now: Instant) -> bool {
        self.stall.is_due(now) && self.meter.stalled_ms().is_some_and(|sum_ms| self.stall.sample(now, sum_ms))
    }

    /// The memory in use crossed a mark: who uses it? In a moment the kernel may have killed the largest.
    pub(crate) fn on_alarm(&mut self, now: Instant, init: Option<i32>, events: &mut Events<'_, '_>) {
        self.meter.take_alarms();
        if let Ok(usage) = self.meter.usage() {
            self.usage = usage;
            let pids = self.others(init, events);
            self.largest.scan(now, usage.memory_bytes, pids);
        }
    }

    /// CPU time used so far, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> u64 {
        self.usage.cpu_ms
    }

    /// The kernel may have killed for memory; true if its counter says so.
    pub(crate) fn oom_happened(&mut self, now: Instant, events: &mut Events<'_, '_>) -> bool {
        self.oom_not_before = now + self.every;
        self.meter.take_oom();
        match self.meter.counters() {
            Ok(counters) => self.count_oom(&counters),
            Err(error) => {
                events.warn(told(&error));
                false
            }
        }
    }

    /// The kernel killed since this was asked last.
    pub(crate) fn count_oom(&mut self, counters: &Counters) -> bool {
        let more = counters.memory.oom_kills > self.oom_kills;
        self.oom_kills = self.oom_kills.max(counters.memory.oom_kills);
        if more {
            self.largest.freeze();
        }
        more
    }

    /// The counters of the whole run.
    pub(crate) fn counters(&mut self) -> Result<Counters, MeterError> {
        self.meter.counters()
    }

    /// Who there is to blame for the memory of the box.
    pub(crate) fn census(&mut self, init: i32, events: &mut Events<'_, '_>) -> Census {
        let processes = self.others(Some(init), events);
        Census { processes, init, used_bytes: self.usage.memory_bytes, limit_bytes: self.memory_limit }
    }

    /// The processes of the box besides `init`.
    pub(crate) fn others(&mut self, init: Option<i32>, events: &mut Events<'_, '_>) -> Vec<i32> {
        let mut pids = self.meter.processes().unwrap_or_else(|error| {
            events.warn(told(&error));
            Vec::new()
        });
        pids.retain(|pid| Some(*pid) != init);
        pids
    }

    /// These processes by name and size.
    pub(crate) fn name(&self, pids: Vec<i32>) -> Vec<ProcessUse> {
        self.largest.table().largest(pids)
    }

    pub(crate) fn finish(self) -> Collected {
        Collected { timeline: self.timeline, disks: self.disks.into_use(), largest: self.largest.into_processes() }
    }

    fn scan(&mut self, now: Instant, events: &mut Events<'_, '_>) {
        let pids = self.others(None, events);
        self.largest.scan(now, self.usage.memory_bytes, pids);
    }
}

fn told(error: &MeterError) -> String {
    format!("{error}: {}", error.source)
}
