//! pytest's side of a run: what its plugin says, the workers that it forks, and the stacks that they dump on request.
//! Hostile input: bounded, never waited for, and no longer listened to after the first frame that the plugin would not
//! send.

mod channel;
mod clock;
mod diagnosis;
mod stacks;
mod worker;
mod workers;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use testbox_cgroup::{SlotDemand, Slots};
use testbox_model::{ProcessUse, PytestEvidence, RunEvent, RunPlan, StopCause, Testing};
use testbox_pytest::{Frame, Order, Session, Settings};

use channel::Channel;
use clock::CLOSE;
use stacks::Stacks;
use workers::{Stage, Trouble, Workers};

pub(crate) use workers::Census;

/// The version of the protocol that is spoken here.
const PROTOCOL: u32 = 2;
/// Signals that the plugin may name: the real-time ones (signal(7)).
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;
/// Frames are taken for so long in one go, so that other descriptors get their turn.
const TURN: Duration = Duration::from_millis(5);
/// Characters of a note that are told.
const NOTE_CHARS: usize = 600;

/// The plugin's side of a run; of a run without pytest it knows nothing.
pub(crate) struct Witness {
    channel: Channel,
    /// What was said, once the plugin is there.
    session: Option<Session>,
    controller: Option<Stacks>,
    dump_signal: Option<i32>,
    workers: Workers,
    testing: Testing,
    project: PathBuf,
    /// Memory in bytes, processes and threads of the box.
    limits: (u64, u64),
    /// The end of the time for configuration and collection, while they go on.
    collect_out: Option<Instant>,
    collect_asked: bool,
}

/// The moment, and what can be acted on.
pub(crate) struct Scene<'s> {
    pub(crate) now: Instant,
    /// Milliseconds since the start of the run.
    pub(crate) at_ms: u64,
    /// Groups for workers, where there are any.
    pub(crate) slots: Option<&'s mut Slots>,
}

/// What the loop has to do about what was said or seen.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Tell the user.
    Warn(String),
    /// Tell the journal and whoever watches.
    Tell(RunEvent),
    /// End the run.
    Stop(StopCause),
    /// A worker left these processes behind; they die now.
    LeftBehind(Vec<ProcessUse>),
    /// Send the controller the signal that makes it dump its stacks.
    Dump(i32),
}

impl Witness {
    /// Listens to this socket. Times count from `started`.
    pub(crate) fn new(socket: Option<OwnedFd>, plan: &RunPlan, started: Instant) -> Self {
        let collect_timeout = plan.testing.collect_timeout.value.filter(|_| socket.is_some());
        Self {
            channel: Channel::new(socket),
            session: None,
            controller: None,
            dump_signal: None,
            workers: Workers::new(plan),
            testing: plan.testing.clone(),
            project: plan.project.clone(),
            limits: (plan.limits.memory_bytes.value.0, plan.limits.pids.value),
            collect_out: collect_timeout.and_then(|limit| started.checked_add(limit.into())),
            collect_asked: false,
        }
    }

    /// The socket, to wait for frames.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.channel.fd()
    }

    /// The socket, to wait for room for orders, if some wait.
    pub(crate) fn fd_to_write(&self) -> Option<BorrowedFd<'_>> {
        self.channel.fd_to_write()
    }

    /// The pipe of the controller's dumps to wait for.
    pub(crate) fn stack_fd(&self) -> Option<BorrowedFd<'_>> {
        self.controller.as_ref().and_then(Stacks::fd)
    }

    /// The pipes of the workers' dumps to wait for, and whose they are.
    pub(crate) fn worker_stack_fds(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.workers.stack_fds()
    }

    /// The workers' memory alarms to wait for, and whose they are.
    pub(crate) fn worker_alarm_fds(&self) -> impl Iterator<Item = (u32, (BorrowedFd<'_>, PollFlags))> {
        self.workers.alarm_fds()
    }

    /// When something is due.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let backlog = self.channel.has_backlog().then_some(now);
        let collect = self.collecting_until().map(|end| match self.collect_asked {
            false => end.checked_sub(CLOSE).unwrap_or(end),
            true => end,
        });
        [backlog, collect, self.workers.next()].into_iter().flatten().min()
    }

    /// Reads what is there.
    pub(crate) fn hear(&mut self, scene: &mut Scene<'_>) -> Vec<Effect> {
        let open = self.channel.fd().is_some();
        self.channel.receive();
        let effects = self.take_frames(scene);
        if open && self.channel.fd().is_none() {
            self.workers.abandon(scene.slots.as_deref_mut(), scene.now);
        }
        effects
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self) {
        self.channel.flush();
    }

    /// Reads a piece of the controller's dump.
    pub(crate) fn read_stacks(&mut self) {
        self.controller.as_mut().map(Stacks::read);
    }

    /// Reads a piece of a worker's dump.
    pub(crate) fn read_worker_stacks(&mut self, scene: &mut Scene<'_>, w: u32) -> Vec<Effect> {
        self.act(scene, |workers, stage| workers.read_stacks(stage, w))
    }

    /// The memory of a worker crossed a mark.
    pub(crate) fn on_worker_alarm(&mut self, scene: &mut Scene<'_>, w: u32) -> Vec<Effect> {
        self.act(scene, |workers, stage| workers.on_alarm(stage, w))
    }

    /// What is due now.
    pub(crate) fn on_time(&mut self, scene: &mut Scene<'_>) -> Vec<Effect> {
        let mut effects = if self.channel.has_backlog() { self.hear(scene) } else { Vec::new() };
        effects.extend(self.act(scene, Workers::on_time));
        let Some(end) = self.collecting_until() else { return effects };
        if scene.now + CLOSE >= end && !std::mem::replace(&mut self.collect_asked, true) {
            effects.extend(self.ask_controller(scene));
        }
        if scene.now >= end {
            self.collect_out = None;
            effects.push(Effect::Stop(StopCause::CollectTimeout));
        }
        effects
    }

    /// A look at the workers, at the pace of samples.
    pub(crate) fn sample(&mut self, scene: &mut Scene<'_>) -> Vec<Effect> {
        self.act(scene, Workers::sample)
    }

    /// The box as a whole is near a limit: where is everybody?
    pub(crate) fn ask_all(&mut self, scene: &mut Scene<'_>) -> Vec<Effect> {
        let mut effects = self.act(scene, Workers::ask_all);
        effects.extend(self.ask_controller(scene));
        effects
    }

    /// The box's memory is used up, as the watchdog saw it; true if that is a worker's doing, which ends for it.
    pub(crate) fn blame(&mut self, scene: &mut Scene<'_>, census: &Census) -> (bool, Vec<Effect>) {
        let mut blamed = false;
        let effects = self.act(scene, |workers, stage| {
            blamed = workers.blame(stage, census)?;
            Ok(())
        });
        (blamed, effects)
    }

    /// Whether somebody has a limit of memory that no group holds.
    pub(crate) fn is_to_watch(&self) -> bool {
        self.workers.is_to_be_watched()
    }

    /// A look at those whose memory no group limits.
    pub(crate) fn watch(&mut self, scene: &mut Scene<'_>, census: &Census) -> Vec<Effect> {
        self.act(scene, |workers, stage| workers.watch(stage, census))
    }

    /// Testbox itself was suspended for so long.
    pub(crate) fn shift(&mut self, by: Duration) {
        self.workers.shift(by);
        self.collect_out = self.collect_out.and_then(|end| end.checked_add(by));
    }

    /// Everything that was said.
    pub(crate) fn into_evidence(mut self) -> Option<PytestEvidence> {
        let mut session = self.session?;
        let controller = self.controller.as_mut().and_then(Stacks::take);
        let in_test = self.workers.last_seen(&mut session);
        let mut evidence = session.into_evidence();
        evidence.stack = in_test.or(controller);
        Some(evidence)
    }

    /// Only a plugin that is there can say that the collection is over.
    fn collecting_until(&self) -> Option<Instant> {
        self.collect_out.filter(|_| self.session.is_some())
    }

    fn take_frames(&mut self, scene: &mut Scene<'_>) -> Vec<Effect> {
        let (begun, mut effects) = (Instant::now(), Vec::new());
        while begun.elapsed() < TURN {
            let heard = match self.channel.next() {
                Ok(Some(frame)) => self.on(frame, scene, &mut effects),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            if let Err(trouble) = heard {
                effects.push(self.give_up(&trouble));
                break;
            }
        }
        effects
    }

    fn act(
        &mut self,
        scene: &mut Scene<'_>,
        what: impl FnOnce(&mut Workers, &mut Stage<'_, '_>) -> Result<(), Trouble>,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(session) = &mut self.session else { return effects };
        let mut stage = Stage { channel: &mut self.channel, session, scene, effects: &mut effects };
        if let Err(trouble) = what(&mut self.workers, &mut stage) {
            effects.push(self.give_up(&trouble));
            self.workers.abandon(scene.slots.as_deref_mut(), scene.now);
        }
        effects
    }

    /// The conversation ends.
    fn give_up(&mut self, trouble: &Trouble) -> Effect {
        match trouble {
            Trouble::Fault(detail) => Effect::Stop(StopCause::Fault { detail: detail.clone() }),
            Trouble::Forged(_) | Trouble::HangUp(_) => {
                self.channel.close();
                Effect::Warn(format!("pytest's plugin is no longer listened to: {trouble}"))
            }
        }
    }

    fn ask_controller(&mut self, scene: &Scene<'_>) -> Option<Effect> {
        let stacks = self.controller.as_mut()?;
        let signal = self.dump_signal?;
        stacks.ask(scene.now, scene.at_ms).then_some(Effect::Dump(signal))
    }

    /// Acts on a frame before the session takes it, so that what it says about a test finds what the kernel said.
    fn on(&mut self, frame: Frame, scene: &mut Scene<'_>, effects: &mut Vec<Effect>) -> Result<(), Trouble> {
        if let Frame::Hello { protocol, dump_signal, .. } = &frame {
            self.welcome(*protocol, *dump_signal, scene.slots.is_some())?;
        }
        let session = self.session.get_or_insert_default();
        let mut stage = Stage { channel: &mut self.channel, session, scene, effects };
        let workers = &mut self.workers;
        match &frame {
            Frame::Want { w, memory, pids, after } => {
                workers.want(&mut stage, *w, *after, SlotDemand { memory_bytes: *memory, pids: *pids })?;
            }
            Frame::Joined { w, pid } => workers.joined(&mut stage, *w, *pid)?,
            Frame::Ended { w, status, clean } => workers.ended(&mut stage, *w, *status, *clean)?,
            Frame::Start { w, timeout_ms, teardown_ms, .. } => {
                workers.start(&mut stage, *w, *timeout_ms, *teardown_ms);
            }
            Frame::When { w, when } if when == "teardown" => workers.teardown(stage.scene.now, *w),
            Frame::Done(said) => workers.done(&mut stage, said.w),
            Frame::Note { text } => {
                stage.effects.push(Effect::Warn(text.chars().take(NOTE_CHARS).collect()));
            }
            Frame::Collected { .. } => self.collect_out = None,
            Frame::Phase { name } if name == "tests" => self.collect_out = None,
            _ => {}
        }
        if let Some(row) = session.on(frame, scene.at_ms) {
            effects.push(Effect::Tell(RunEvent::of_test(row, scene.at_ms)));
        }
        Ok(())
    }

    /// The first frame is answered with the settings and the pipe that the controller's dumps go to.
    fn welcome(&mut self, protocol: u32, dump_signal: i32, grouped: bool) -> Result<(), Trouble> {
        if self.session.is_some() {
            return Err(Trouble::Forged("a second `hello`".to_owned()));
        }
        if protocol != PROTOCOL {
            return Err(Trouble::Forged(format!("it speaks version {protocol} of the protocol, not {PROTOCOL}")));
        }
        let (stacks, writer) = Stacks::new(&self.project).map_err(Trouble::Fault)?;
        let (memory, pids) = self.limits;
        let settings = Box::new(Settings::of(&self.testing, memory, pids, grouped));
        self.channel.send(&Order::Welcome { fds: 1, settings }, vec![writer])?;
        self.controller = Some(stacks);
        if REAL_TIME.contains(&dump_signal) {
            self.dump_signal = Some(dump_signal);
            self.workers.dump_by(dump_signal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
