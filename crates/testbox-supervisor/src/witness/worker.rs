//! One worker: its slot, its stacks, the clock of its test, and how far its end has come.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbox_cgroup::{CgroupError, Counted, MemoryAlarm, Slot, SlotDemand, SlotId, SlotLimits, Slots};
use testbox_model::ProcessUse;

use super::clock::Clock;
use super::diagnosis::Kill;
use super::stacks::Stacks;
use crate::meter::SLOWED;
use crate::storm::Storm;

/// A worker that says that it joined and is nowhere may have died: its end must be told within this time.
const MISSING: Duration = Duration::from_secs(5);
/// The kernel may take so long to end processes that were killed.
const DYING: Duration = Duration::from_secs(5);
/// Between two passes of a kill.
const PASS: Duration = Duration::from_millis(2);

/// A worker from the wish for a slot to its diagnosis.
pub(super) struct Worker {
    /// `None`: workers have no groups on this host.
    pub(super) slot: Option<SlotId>,
    pub(super) state: State,
    /// What it shall be able to use.
    pub(super) demand: SlotDemand,
    /// The worker that must have ended before it begins.
    pub(super) after: Option<u32>,
    /// Its first process, once it was seen in its slot.
    pub(super) process: Option<OwnedFd>,
    /// Its first process, as the box counts them and the plugin says: of who has no slot.
    pub(super) said_pid: Option<i32>,
    pub(super) stacks: Stacks,
    pub(super) clock: Clock,
    pub(super) kill: Option<Kill>,
    /// Processes killed for memory that a test was blamed for.
    pub(super) told_oom_kills: u64,
    /// Its processes when its memory was last seen near the limit: the largest, and how many.
    pub(super) largest: Option<(ProcessUse, usize)>,
    alarms: Vec<MemoryAlarm>,
    /// Since when an alarm that sounded has not been heeded.
    pub(super) alarmed: Option<Instant>,
    limits: Option<SlotLimits>,
    storm: Storm,
    next_pass: Option<Instant>,
}

/// How far a worker has come.
pub(super) enum State {
    /// It has a slot and is not in it yet.
    Wanted,
    /// It says that it joined, and nobody is in the slot.
    Missing { until: Instant },
    /// It was seen in its slot, and waits for its turn.
    Ready,
    /// It runs its batch.
    Running,
    /// It was reaped; what it left behind is dying.
    Ended(Box<End>),
}

/// What was seen at the end of a worker.
pub(super) struct End {
    pub(super) status: i32,
    pub(super) clean: bool,
    pub(super) counted: Counted,
    pub(super) left: Vec<String>,
    until: Instant,
}

impl Worker {
    /// A worker that gets this slot.
    pub(super) fn new(
        slot: Option<(SlotId, &Slot)>,
        demand: SlotDemand,
        after: Option<u32>,
        stacks: Stacks,
    ) -> std::io::Result<Self> {
        let alarms = slot.iter().flat_map(|(_, slot)| slot.alarms()).map(MemoryAlarm::try_clone);
        let limits = slot.map(|(_, slot)| slot.limits());
        Ok(Self {
            slot: slot.map(|(id, _)| id),
            state: State::Wanted,
            demand,
            after,
            process: None,
            said_pid: None,
            stacks,
            clock: Clock::default(),
            kill: None,
            told_oom_kills: 0,
            largest: None,
            alarms: alarms.collect::<std::io::Result<_>>()?,
            alarmed: None,
            limits,
            storm: Storm::new(limits.map_or(u64::MAX, |limits| limits.pids)),
            next_pass: None,
        })
    }

    /// The memory in bytes that its tests may use, where no group limits it and it runs.
    pub(super) fn watched_limit(&self) -> Option<u64> {
        self.demand.memory_bytes.filter(|_| self.slot.is_none() && self.is_running() && self.kill.is_none())
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running)
    }

    /// Memory in bytes, processes and threads that it may use, if the kernel limits it.
    pub(super) fn limits(&self) -> Option<(u64, u64)> {
        self.limits.map(|limits| (limits.memory_bytes, limits.pids))
    }

    /// Descriptors that become ready when its memory crosses a mark.
    pub(super) fn alarm_fds(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.alarms.iter().filter(|_| self.is_running()).map(MemoryAlarm::fd)
    }

    /// Takes the alarms off their descriptors.
    pub(super) fn take_alarms(&self) {
        self.alarms.iter().for_each(MemoryAlarm::take);
    }

    /// An alarm sounded some time ago, and nobody has dumped anything.
    pub(super) fn is_slowed_in_vain(&self, now: Instant) -> bool {
        self.alarmed.is_some_and(|since| now >= since + SLOWED)
    }

    /// Its slot has other limits than when it was taken.
    pub(super) fn limited_anew(&mut self, slot: &Slot) -> std::io::Result<()> {
        let alarms = slot.alarms().iter().map(MemoryAlarm::try_clone);
        self.alarms = alarms.collect::<std::io::Result<_>>()?;
        self.limits = Some(slot.limits());
        self.storm = Storm::new(slot.limits().pids);
        Ok(())
    }

    /// It says that it joined: it is ready if its only process was found, missing if nobody is there.
    pub(super) fn find(&mut self, slot: &Slot, now: Instant) -> Result<(), CgroupError> {
        self.process = process_in(slot)?;
        self.state = match self.process {
            Some(_) => State::Ready,
            None => State::Missing { until: now + MISSING },
        };
        Ok(())
    }

    /// Its end was told.
    pub(super) fn end(&mut self, now: Instant, status: i32, clean: bool, counted: Counted, left: Vec<String>) {
        self.clock.stop();
        self.state = State::Ended(Box::new(End { status, clean, counted, left, until: now + DYING }));
    }

    /// When something is due: a clock, the next pass of a kill, the end of a wait.
    pub(super) fn next(&self) -> Option<Instant> {
        match &self.state {
            State::Wanted | State::Ready => None,
            State::Missing { until } => Some(*until),
            State::Running if self.kill.is_some() => self.next_pass,
            State::Running => self.clock.next(),
            State::Ended(_) => self.next_pass,
        }
    }

    /// The wait for something that should have happened is over.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        match &self.state {
            State::Missing { until } => now >= *until,
            State::Ended(end) => now >= end.until,
            State::Wanted | State::Ready | State::Running => false,
        }
    }

    /// Whether a pass of a kill is due.
    pub(super) fn pass_is_due(&self, now: Instant) -> bool {
        self.next_pass.is_some_and(|at| now >= at)
    }

    /// One pass of a kill; true if nobody is left.
    pub(super) fn kill_once(&mut self, slots: &Slots, now: Instant) -> Result<bool, CgroupError> {
        let Some(id) = self.slot else { return Ok(true) };
        let slot = slots.slot(id);
        let empty = slot.is_empty()? || slot.kill_once()?;
        self.next_pass = (!empty).then_some(now + PASS);
        Ok(empty)
    }

    /// Signals its first process; false if that is not known.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        match &self.process {
            // A process that is gone needs no signal.
            Some(process) => matches!(pidfd_send_signal(process, signal), Ok(()) | Err(Errno::SRCH)),
            None => false,
        }
    }

    /// Takes a sample of its slot; true when a fork storm is proven.
    pub(super) fn storms(&mut self, slot: &Slot, pids: u64, now: Instant) -> bool {
        // Counting refused forks takes opening a file, so it is done only where forks can be refused.
        let near = pids.saturating_mul(10) >= slot.limits().pids.saturating_mul(9);
        near && self.storm.sample(now, pids, slot.refused_forks())
    }

    /// Whether a fork storm seems to be on.
    pub(super) fn may_storm(&self, now: Instant) -> bool {
        self.storm.is_likely(now)
    }
}

/// A descriptor of the only process in a slot.
fn process_in(slot: &Slot) -> Result<Option<OwnedFd>, CgroupError> {
    let Some(pid) = slot.only_process()? else { return Ok(None) };
    let opened = Pid::from_raw(pid).and_then(|valid| pidfd_open(valid, PidfdFlags::empty()).ok());
    // The descriptor is fixed now: if the pid is a member's, the descriptor is either that member's or a dead one's.
    Ok(opened.filter(|_| slot.holds(pid)))
}
