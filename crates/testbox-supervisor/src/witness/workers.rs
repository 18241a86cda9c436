//! The table of the workers: slots for them, their clocks, kills and diagnoses. What the plugin says is hostile input;
//! what a worker may do is decided by kernel and clock.

mod watch;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::process::Signal;
use rustix_libc_wrappers::process::SignalExt;
use testbox_cgroup::{CgroupError, Counted, SlotDemand, SlotId, Slots};
use testbox_model::{RunEvent, RunPlan, StackDump, TestVerdict};
use testbox_pytest::{Order, Session};

use super::channel::{Channel, HangUp};
use super::clock::Limit;
use super::diagnosis::{Case, Kill, diagnose, wounded};
use super::stacks::Stacks;
use super::worker::{State, Worker};
use super::{Effect, Scene};
use crate::scan::ProcessTable;
use crate::status::payload_end;
use crate::tree::ProcessTree;

/// Workers at once, at most.
const MOST: usize = 64;
/// Of each worker that runs, one more may be there that begins after it.
const EACH: usize = 2;
const SIGKILL: i32 = 9;

/// The workers of a run.
pub(super) struct Workers {
    table: Vec<Option<Worker>>,
    /// The plan's limits of time, in milliseconds: of setup and call, and of the teardown.
    planned_ms: [Option<u64>; 2],
    dump_signal: Option<i32>,
    project: PathBuf,
    processes: ProcessTable,
    trees: ProcessTree,
    /// When a worker was last told to end for the box's memory.
    blamed: Option<Instant>,
}

/// What the workers act on.
pub(super) struct Stage<'s, 'n> {
    pub(super) channel: &'s mut Channel,
    pub(super) session: &'s mut Session,
    pub(super) scene: &'s mut Scene<'n>,
    pub(super) effects: &'s mut Vec<Effect>,
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The plugin said what it would not say now.
    #[error("{0}")]
    Forged(String),
    /// It is no longer talked to.
    #[error("{0}")]
    HangUp(#[from] HangUp),
    /// Testbox or the host failed; the run must not go on.
    #[error("{0}")]
    Fault(String),
}

pub(crate) use watch::Census;

type Done = Result<(), Trouble>;

impl Workers {
    pub(super) fn new(plan: &RunPlan) -> Self {
        let testing = &plan.testing;
        let places = EACH * usize::try_from(testing.jobs.value).unwrap_or(MOST).clamp(1, MOST);
        let ms = |span: Option<testbox_model::Duration>| span.map(testbox_model::Duration::as_ms);
        Self {
            table: std::iter::repeat_with(|| None).take(places).collect(),
            planned_ms: [ms(testing.test_timeout.value), ms(testing.teardown_timeout.value)],
            dump_signal: None,
            project: plan.project.clone(),
            processes: ProcessTable::new(Path::new("/proc")),
            trees: ProcessTree::new(Path::new("/proc")),
            blamed: None,
        }
    }

    /// The signal that makes an interpreter dump its stacks.
    pub(super) fn dump_by(&mut self, signal: i32) {
        self.dump_signal = Some(signal);
    }

    /// A worker is about to be forked and needs a slot.
    pub(super) fn want(&mut self, stage: &mut Stage<'_, '_>, w: u32, after: Option<u32>, demand: SlotDemand) -> Done {
        let places = self.table.len();
        // One that has ended meanwhile is not waited for; nobody waits for itself.
        let after = after.filter(|before| *before != w && find(&mut self.table, *before).is_ok());
        let freed = after.and_then(|before| find(&mut self.table, before).ok()).and_then(|before| before.slot);
        let place = usize::try_from(w).ok().and_then(|index| self.table.get_mut(index));
        let place =
            place.ok_or_else(|| Trouble::Forged(format!("worker {w} is wanted, where there are {places} places")))?;
        if place.is_some() {
            return Err(Trouble::Forged(format!("worker {w} is wanted, which has not ended")));
        }
        let stacks = Stacks::new(&self.project);
        let slots = stage.scene.slots.as_deref_mut();
        match stacks.and_then(|stacks| equip(slots, demand, after, freed, stacks)) {
            Ok(equipped) => {
                *place = Some(equipped.worker);
                let (join, gauges) = (equipped.join, equipped.gauges);
                let order = Order::Slot { w, fds: equipped.fds.len(), join, gauges, memory: equipped.memory };
                Ok(stage.channel.send(&order, equipped.fds)?)
            }
            Err(why) => {
                stage.channel.send(&Order::Refused { w, why: why.clone() }, Vec::new())?;
                Err(Trouble::Fault(format!("cannot make a group for worker {w}: {why}")))
            }
        }
    }

    /// A worker says that it is in its slot: it may begin if it is, alone, and if it is its turn.
    pub(super) fn joined(&mut self, stage: &mut Stage<'_, '_>, w: u32, pid: i32) -> Done {
        let worker = find(&mut self.table, w)?;
        if !matches!(worker.state, State::Wanted) {
            return Err(Trouble::Forged(format!("worker {w} joined twice")));
        }
        match stage.scene.slots.as_deref_mut().zip(worker.slot) {
            None => (worker.state, worker.said_pid) = (State::Ready, Some(pid)),
            Some((slots, id)) => worker
                .find(slots.slot(id), stage.scene.now)
                .map_err(|error| Trouble::Fault(format!("worker {w} is not where it must be: {}", told(&error))))?,
        }
        self.begin(stage, w)
    }

    /// A worker begins if it is ready and nobody must end before it.
    fn begin(&mut self, stage: &mut Stage<'_, '_>, w: u32) -> Done {
        let worker = find(&mut self.table, w)?;
        if !matches!(worker.state, State::Ready) || worker.after.is_some() {
            return Ok(());
        }
        worker.state = State::Running;
        let Some((slots, id)) = stage.scene.slots.as_deref_mut().zip(worker.slot) else {
            return Ok(stage.channel.send(&Order::Go { w }, Vec::new())?);
        };
        // What was free when its slot was taken may not be so now.
        if slots.refit(id, worker.demand).map_err(|error| fault(w, &error))? {
            let limited = worker.limited_anew(slots.slot(id));
            limited.map_err(|error| Trouble::Fault(format!("cannot copy an alarm of worker {w}: {error}")))?;
        }
        worker.take_alarms();
        stage.channel.send(&Order::Go { w }, Vec::new())?;
        // The worker runs already. Without an alarm the samples see less of its last moment.
        drop(slots.slot_mut(id).arm());
        Ok(())
    }

    /// A worker has ended: those begin that waited for it.
    fn succeed(&mut self, stage: &mut Stage<'_, '_>, ended: u32) -> Done {
        for w in 0..u32::try_from(self.table.len()).unwrap_or(0) {
            if let Ok(worker) = find(&mut self.table, w)
                && worker.after == Some(ended)
            {
                worker.after = None;
                self.begin(stage, w)?;
            }
        }
        Ok(())
    }

    /// A test begins.
    pub(super) fn start(
        &mut self,
        stage: &mut Stage<'_, '_>,
        w: u32,
        timeout_ms: Option<u64>,
        teardown_ms: Option<u64>,
    ) {
        let Some(worker) = self.running(w) else { return };
        worker.stacks.forget();
        worker.largest = None;
        worker.clock.start(stage.scene.now, timeout_ms, teardown_ms);
        if let Some((slots, id)) = stage.scene.slots.as_deref_mut().zip(worker.slot) {
            // It was relieved in the test before.
            drop(slots.slot_mut(id).arm());
        }
    }

    /// The teardown of a test begins.
    pub(super) fn teardown(&mut self, now: Instant, w: u32) {
        if let Some(worker) = self.running(w) {
            worker.clock.teardown(now);
        }
    }

    /// A test is about to be over: its time is, and the kernel may have killed for memory in it.
    pub(super) fn done(&mut self, stage: &mut Stage<'_, '_>, w: u32) {
        let Some(worker) = self.running(w) else { return };
        worker.clock.stop();
        let Some((slots, id)) = stage.scene.slots.as_deref_mut().zip(worker.slot) else { return };
        let slot = slots.slot(id);
        let oom_kills = slot.oom_kills();
        if oom_kills <= worker.told_oom_kills || stage.session.running(w).is_none() {
            return;
        }
        worker.told_oom_kills = oom_kills;
        let case = Case {
            limits: worker.limits(),
            counted: slot.counted(),
            largest: worker.largest.take(),
            ..Case::default()
        };
        let stack = worker.stacks.take().map(|dump| dump.calls).unwrap_or_default();
        stage.killed(w, (TestVerdict::Memory, wounded(&case)), stack, case.counted.peak_bytes);
    }

    /// A worker was reaped.
    pub(super) fn ended(&mut self, stage: &mut Stage<'_, '_>, w: u32, status: i32, clean: bool) -> Done {
        let worker = find(&mut self.table, w)?;
        if matches!(worker.state, State::Ended(_)) {
            return Err(Trouble::Forged(format!("worker {w} ended twice")));
        }
        let slots = stage.scene.slots.as_deref_mut();
        let (mut counted, mut left) = (Counted::default(), Vec::new());
        if let Some((slots, id)) = slots.zip(worker.slot) {
            counted = slots.slot(id).counted();
            if worker.kill.is_none() {
                let pids = slots.slot(id).processes().map_err(|error| fault(w, &error))?;
                let found = self.processes.largest(pids);
                left = found.iter().map(|process| process.command.clone()).collect();
                if !found.is_empty() {
                    stage.effects.push(Effect::LeftBehind(found));
                }
            }
        }
        if let Some(Kill::Memory { held, .. }) = worker.kill {
            counted.peak_bytes = Some(held);
        }
        worker.end(stage.scene.now, status, clean, counted, left);
        self.settle(stage, w)
    }

    /// Kills what a worker that ended left behind; when all of it is gone, its end is explained.
    fn settle(&mut self, stage: &mut Stage<'_, '_>, w: u32) -> Done {
        let worker = find(&mut self.table, w)?;
        if let Some(slots) = stage.scene.slots.as_deref_mut()
            && !worker.kill_once(slots, stage.scene.now).map_err(|error| fault(w, &error))?
        {
            return Ok(());
        }
        if let Some(worker) = self.take(w) {
            explain(stage, w, worker)?;
        }
        self.succeed(stage, w)
    }

    /// What is due now.
    pub(super) fn on_time(&mut self, stage: &mut Stage<'_, '_>) -> Done {
        let now = stage.scene.now;
        for w in 0..u32::try_from(self.table.len()).unwrap_or(0) {
            let Ok(worker) = find(&mut self.table, w) else { continue };
            if worker.is_overdue(now) {
                return Err(overdue(stage, w, worker));
            }
            match &worker.state {
                State::Running if worker.kill.is_some() => {
                    if worker.pass_is_due(now) {
                        self.pass(stage, w)?;
                    }
                }
                State::Running => self.on_clock(stage, w)?,
                State::Ended(_) if worker.pass_is_due(now) => self.settle(stage, w)?,
                State::Wanted | State::Missing { .. } | State::Ready | State::Ended(_) => {}
            }
        }
        Ok(())
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.table.iter().flatten().filter_map(Worker::next).min()
    }

    /// Testbox itself was suspended for so long.
    pub(super) fn shift(&mut self, by: std::time::Duration) {
        self.table.iter_mut().flatten().for_each(|worker| worker.clock.shift(by));
    }

    /// Looks at each worker's use: near its memory it is asked where it is, a fork storm is ended.
    pub(super) fn sample(&mut self, stage: &mut Stage<'_, '_>) -> Done {
        for w in 0..u32::try_from(self.table.len()).unwrap_or(0) {
            let Some(worker) = self.running(w).filter(|worker| worker.kill.is_none()) else { continue };
            let Some((slots, id)) = stage.scene.slots.as_deref_mut().zip(worker.slot) else { return Ok(()) };
            let slot = slots.slot(id);
            let usage = slot.usage();
            let near = usage.memory_bytes.is_some_and(|bytes| bytes >= slot.limits().memory_bytes / 10 * 9);
            let storm = usage.pids.is_some_and(|pids| worker.storms(slot, pids, stage.scene.now));
            if near || worker.may_storm(stage.scene.now) {
                self.ask(stage, w)?;
            }
            if storm {
                self.kill(stage, w, Kill::Storm)?;
            }
            if self.running(w).is_some_and(|worker| worker.is_slowed_in_vain(stage.scene.now)) {
                self.relieve(stage, w);
            }
        }
        Ok(())
    }

    /// The memory of a worker crossed a mark.
    pub(super) fn on_alarm(&mut self, stage: &mut Stage<'_, '_>, w: u32) -> Done {
        if let Some(worker) = self.running(w) {
            worker.take_alarms();
            worker.alarmed.get_or_insert(stage.scene.now);
        }
        self.ask(stage, w)
    }

    /// An alarm was heeded, or in vain: the worker is slowed down no more.
    fn relieve(&mut self, stage: &mut Stage<'_, '_>, w: u32) {
        let Ok(worker) = find(&mut self.table, w) else { return };
        if worker.alarmed.take().is_some()
            && let Some((slots, id)) = stage.scene.slots.as_deref_mut().zip(worker.slot)
        {
            // Where the kernel refuses, it is slow near its limit, and no worse.
            drop(slots.slot_mut(id).relieve());
        }
    }

    /// Asks all workers where they are.
    pub(super) fn ask_all(&mut self, stage: &mut Stage<'_, '_>) -> Done {
        (0..u32::try_from(self.table.len()).unwrap_or(0)).try_for_each(|w| self.ask(stage, w))
    }

    /// Nobody tells any more what the workers do: they end.
    pub(super) fn abandon(&mut self, slots: Option<&mut Slots>, now: Instant) {
        let Some(slots) = slots else { return };
        for worker in self.table.iter_mut().flatten() {
            // Where this fails, the end of the box ends them.
            let _ = worker.kill_once(slots, now);
        }
    }

    /// The run is over: where the tests were that still ran, and the first of these places.
    pub(super) fn last_seen(&mut self, session: &mut Session) -> Option<StackDump> {
        let mut first = None;
        for (w, worker) in (0..).zip(&mut self.table) {
            let dump = worker.as_mut().filter(|_| session.running(w).is_some()).and_then(|worker| worker.stacks.take());
            if let Some(dump) = dump {
                session.seen_at(w, &dump.calls);
                first.get_or_insert(dump);
            }
        }
        first
    }

    /// The pipes of the dumps to wait for, and whose they are.
    pub(super) fn stack_fds(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.numbered().filter_map(|(w, worker)| Some((w, worker.stacks.fd()?)))
    }

    /// The alarms to wait for, and whose they are.
    pub(super) fn alarm_fds(&self) -> impl Iterator<Item = (u32, (BorrowedFd<'_>, PollFlags))> {
        self.numbered().flat_map(|(w, worker)| worker.alarm_fds().map(move |fd| (w, fd)))
    }

    /// Reads a piece of a worker's dump.
    pub(super) fn read_stacks(&mut self, stage: &mut Stage<'_, '_>, w: u32) -> Done {
        if let Ok(worker) = find(&mut self.table, w) {
            worker.stacks.read();
        }
        // Who writes it does not go on meanwhile.
        self.relieve(stage, w);
        Ok(())
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, &Worker)> {
        (0..).zip(&self.table).filter_map(|(w, worker)| Some((w, worker.as_ref()?)))
    }

    fn running(&mut self, w: u32) -> Option<&mut Worker> {
        find(&mut self.table, w).ok().filter(|worker| worker.is_running())
    }

    fn take(&mut self, w: u32) -> Option<Worker> {
        usize::try_from(w).ok().and_then(|index| self.table.get_mut(index)).and_then(Option::take)
    }

    fn on_clock(&mut self, stage: &mut Stage<'_, '_>, w: u32) -> Done {
        let (now, planned_ms) = (stage.scene.now, self.planned_ms);
        let Some(worker) = self.running(w) else { return Ok(()) };
        let over = worker.clock.over(now);
        if worker.clock.is_close(now) && over.is_none() {
            return self.ask(stage, w);
        }
        match over {
            Some(limit) => self.kill(stage, w, timeout(limit, planned_ms)),
            None => Ok(()),
        }
    }

    /// While there is still somebody to ask: where is the worker, and who uses its memory?
    fn ask(&mut self, stage: &mut Stage<'_, '_>, w: u32) -> Done {
        let (now, at_ms) = (stage.scene.now, stage.scene.at_ms);
        let Some(signal) = self.dump_signal else { return Ok(()) };
        let Ok(worker) = find(&mut self.table, w) else { return Ok(()) };
        if !worker.is_running() || worker.kill.is_some() || !worker.stacks.ask(now, at_ms) {
            return Ok(());
        }
        let Some((slots, id)) = stage.scene.slots.as_deref_mut().zip(worker.slot) else {
            return Ok(stage.channel.send(&Order::Signal { w, signal }, Vec::new())?);
        };
        if let Some(signal) = Signal::from_raw(signal) {
            worker.signal(signal);
        }
        let pids = slots.slot(id).processes().unwrap_or_default();
        // An alarm also sounds when the kernel has killed: what was seen before is what filled the memory.
        worker.largest = self.processes.largest_of(&pids).or(worker.largest.take());
        Ok(())
    }

    /// Ends a worker, and nobody else.
    fn kill(&mut self, stage: &mut Stage<'_, '_>, w: u32, kill: Kill) -> Done {
        let worker = find(&mut self.table, w)?;
        worker.kill = Some(kill);
        if worker.slot.is_none() {
            return Ok(stage.channel.send(&Order::Signal { w, signal: SIGKILL }, Vec::new())?);
        }
        self.pass(stage, w)
    }

    fn pass(&mut self, stage: &mut Stage<'_, '_>, w: u32) -> Done {
        let worker = find(&mut self.table, w)?;
        if let Some(slots) = stage.scene.slots.as_deref_mut() {
            worker.kill_once(slots, stage.scene.now).map_err(|error| fault(w, &error))?;
        }
        Ok(())
    }
}

impl Stage<'_, '_> {
    /// The test that a worker runs was killed; if it runs none, the user must know nevertheless.
    fn killed(&mut self, w: u32, why: (TestVerdict, String), stack: Vec<String>, peak_bytes: Option<u64>) {
        let (verdict, summary) = why;
        let Some(test) = self.session.running(w).cloned() else {
            let text = format!("worker {w}, which ran no test, {summary} ({})", verdict.word());
            self.effects.push(Effect::Warn(text));
            return;
        };
        self.session.killed(w, verdict, &stack, peak_bytes);
        self.effects.push(Effect::Tell(RunEvent::TestKilled {
            nodeid: test.nodeid,
            phase: test.phase,
            verdict,
            summary,
            stack,
            at_ms: self.scene.at_ms,
        }));
    }
}

/// A worker with all that it needs.
struct Equipped {
    worker: Worker,
    fds: Vec<OwnedFd>,
    join: usize,
    gauges: Vec<&'static str>,
    memory: Option<u64>,
}

fn equip(
    slots: Option<&mut Slots>,
    demand: SlotDemand,
    after: Option<u32>,
    freed: Option<SlotId>,
    (stacks, dumps): (Stacks, OwnedFd),
) -> Result<Equipped, String> {
    let failed = |error: std::io::Error| format!("cannot copy a descriptor: {error}");
    let Some(slots) = slots else {
        let worker = Worker::new(None, demand, after, stacks).map_err(failed)?;
        return Ok(Equipped { worker, fds: vec![dumps], join: 0, gauges: Vec::new(), memory: None });
    };
    let id = slots.take(demand, freed).map_err(|error| told(&error))?;
    let slot = slots.slot(id);
    let mut fds = slot.join_fds().map_err(|error| told(&error))?;
    let join = fds.len();
    fds.push(dumps);
    let (gauges, gauge_fds): (Vec<_>, Vec<_>) = slot.gauges().into_iter().unzip();
    fds.extend(gauge_fds);
    let worker = Worker::new(Some((id, slot)), demand, after, stacks).map_err(failed)?;
    Ok(Equipped { worker, fds, join, gauges, memory: Some(slot.limits().memory_bytes) })
}

/// Why a worker ended, told to everybody; its slot is free again.
fn explain(stage: &mut Stage<'_, '_>, w: u32, mut worker: Worker) -> Done {
    let limits = worker.limits();
    let State::Ended(end) = worker.state else { return Ok(()) };
    let stack = worker.stacks.take().map(|dump| dump.calls).unwrap_or_default();
    let case = Case {
        end: payload_end(end.status),
        clean: end.clean,
        in_test: stage.session.running(w).is_some(),
        kill: worker.kill,
        limits,
        counted: end.counted,
        largest: worker.largest,
    };
    let diagnosis = diagnose(&case);
    let (kind, summary) = diagnosis.clone().map_or(("none", String::new()), |(verdict, text)| (verdict.word(), text));
    let order = Order::Diagnosis { w, kind, summary, stack: stack.clone(), left: end.left };
    let sent = stage.channel.send(&order, Vec::new());
    if let Some(why) = diagnosis {
        stage.killed(w, why, stack, case.counted.peak_bytes);
    } else if end.counted.oom_kills > worker.told_oom_kills {
        let text = format!("the kernel killed a process of worker {w} for memory while no test was running in it");
        stage.effects.push(Effect::Warn(text));
    }
    if let Some((slots, id)) = stage.scene.slots.as_deref_mut().zip(worker.slot) {
        slots.give_back(id);
    }
    Ok(sent?)
}

fn find(table: &mut [Option<Worker>], w: u32) -> Result<&mut Worker, Trouble> {
    let place = usize::try_from(w).ok().and_then(|index| table.get_mut(index));
    place.and_then(Option::as_mut).ok_or_else(|| Trouble::Forged(format!("there is no worker {w}")))
}

fn timeout(limit: Limit, planned_ms: [Option<u64>; 2]) -> Kill {
    let planned = planned_ms[usize::from(limit.teardown)];
    let planned = planned.is_some_and(|ms| u128::from(ms) == limit.span.as_millis());
    Kill::Timeout { span: limit.span, teardown: limit.teardown, planned }
}

fn overdue(stage: &mut Stage<'_, '_>, w: u32, worker: &Worker) -> Trouble {
    if let (State::Ended(_), Some((slots, id))) = (&worker.state, stage.scene.slots.as_deref_mut().zip(worker.slot)) {
        let left = slots.slot(id).not_empty().unwrap_or_else(|error| error);
        return Trouble::Fault(format!("worker {w} cannot be ended: {}", told(&left)));
    }
    Trouble::Fault(format!("worker {w} says that it joined its group, but nobody is in it"))
}

fn fault(w: u32, error: &CgroupError) -> Trouble {
    Trouble::Fault(format!("cannot look after worker {w}: {}", told(error)))
}

/// The error with its cause, in one line.
fn told(error: &CgroupError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
