//! What the loop does about each descriptor that is ready, and about each deadline that passed.

use std::time::Instant;

use nix::sys::signal::{Signal, raise};
use testbox_model::{InitMessage, PayloadEnd, RunEvent, StopCause};

use super::wait::Ready;
use super::{Phase, Supervisor};
use crate::SupervisorError;
use crate::status::{Heard, payload_end};
use crate::stop::Order;
use crate::streams::Progress;
use crate::witness::{Effect, Scene, Witness};

/// Datagrams taken in one go, so that other descriptors get their turn.
const DATAGRAMS: usize = 16;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

impl Supervisor<'_, '_> {
    pub(super) fn react(&mut self, ready: Ready) -> Result<(), SupervisorError> {
        let now = Instant::now();
        match ready {
            Ready::Status => self.hear_status(DATAGRAMS, now),
            Ready::Init => self.init_is_dead(now)?,
            Ready::Signals => self.on_signals(now),
            Ready::Oom => self.on_oom(now),
            Ready::Alarm => self.on_alarm(now),
            Ready::Witness => self.with_witness(now, Witness::hear),
            Ready::Orders => self.witness.flush(),
            Ready::Stack => self.witness.read_stacks(),
            Ready::WorkerStack(w) => self.with_witness(now, |witness, scene| witness.read_worker_stacks(scene, w)),
            Ready::WorkerAlarm(w) => self.with_witness(now, |witness, scene| witness.on_worker_alarm(scene, w)),
            Ready::Source(stream) => {
                let progress = self.output.pull(stream, now);
                self.on_output(progress, now);
            }
            Ready::Outlet(stream) => {
                let warning = self.output.push(stream, now);
                self.warn(warning);
            }
            Ready::HostInput => self.input.read(),
            Ready::CommandInput => {
                if self.input.write() {
                    self.timers.active(now);
                }
            }
        }
        Ok(())
    }

    pub(super) fn on_time(&mut self, now: Instant) {
        match self.phase {
            Phase::Running => self.on_running_time(now),
            Phase::Lingering { quiet_since, until } => {
                let quiet = now >= quiet_since + self.pace.linger_quiet;
                if quiet || now >= until || !self.output.is_open() {
                    self.die_with_others(now);
                }
            }
            Phase::Dying { give_up } if now >= give_up => self.give_init_up(now),
            Phase::Flushing { since } => self.flush(now, since),
            Phase::Dying { .. } | Phase::Over => {}
        }
    }

    fn on_running_time(&mut self, now: Instant) {
        if self.sampler.is_due(now) {
            let proven = self.sample(now);
            self.timers.cpu(now, self.sampler.cpu_ms());
            if self.output.is_blocked() {
                self.timers.active(now);
            }
            self.output.wake();
            self.with_witness(now, Witness::sample);
            if let Some(init) = self.init.pid().filter(|_| self.witness.is_to_watch()) {
                let census = self.sampler.census(init, &mut self.events);
                self.with_witness(now, |witness, scene| witness.watch(scene, &census));
            }
            if self.sampler.is_near_the_limit() {
                self.with_witness(now, Witness::ask_all);
            }
            if self.sampler.stalls(now) {
                self.with_witness(now, Witness::ask_all);
                self.events.emit(&RunEvent::Stalled { at_ms: self.timers.at_ms(now) });
            }
            if let Some(cause) = proven.filter(|cause| !self.is_a_workers_doing(cause, now)) {
                self.stop(cause, now);
            }
        }
        self.with_witness(now, Witness::on_time);
        if self.timers.is_close(now) {
            self.with_witness(now, Witness::ask_all);
        }
        if let Some(cause) = self.timers.over(now) {
            self.stop(cause, now);
        }
        if self.phase == Phase::Running {
            let order = self.stopper.on_time(now);
            self.carry_out(order, now);
        }
    }

    /// Whether a worker ends for it, and not the run.
    fn is_a_workers_doing(&mut self, cause: &StopCause, now: Instant) -> bool {
        let Some(init) = self.init.pid().filter(|_| *cause == StopCause::MemoryWatchdog) else { return false };
        let census = self.sampler.census(init, &mut self.events);
        let mut blamed = false;
        self.with_witness(now, |witness, scene| {
            let (is_blamed, effects) = witness.blame(scene, &census);
            blamed = is_blamed;
            effects
        });
        blamed
    }

    /// The memory in use crossed a mark below the limit, up or down.
    fn on_alarm(&mut self, now: Instant) {
        self.with_witness(now, Witness::ask_all);
        self.sampler.on_alarm(now, self.init.pid(), &mut self.events);
    }

    /// Lets the witness act, and does what it asks for.
    fn with_witness(&mut self, now: Instant, act: impl FnOnce(&mut Witness, &mut Scene<'_>) -> Vec<Effect>) {
        let at_ms = self.at_ms(now);
        let mut scene = Scene { now, at_ms, slots: self.sampler.slots() };
        for effect in act(&mut self.witness, &mut scene) {
            match effect {
                Effect::Warn(text) => self.events.warn(text),
                Effect::Tell(event) => {
                    // What the test has filled may be free again in a moment.
                    self.sampler.look_at_disks(&mut self.events);
                    self.events.emit(&event);
                }
                Effect::LeftBehind(processes) => self.left_behind(processes),
                Effect::Stop(cause) => self.stop(cause, now),
                Effect::Dump(signal) => drop(self.status.signal_leader(signal)),
            }
        }
    }

    pub(super) fn sample(&mut self, now: Instant) -> Option<StopCause> {
        let at_ms = self.at_ms(now);
        self.sampler.sample(now, at_ms, &mut self.events)
    }

    /// Takes what init says, so many datagrams at most. One that is no message changes nothing.
    pub(super) fn hear_status(&mut self, datagrams: usize, now: Instant) {
        for _ in 0..datagrams {
            match self.status.receive() {
                Heard::Message(message) => self.on_message(message, now),
                Heard::Garbage => self.events.warn("the status socket said something that is no message".to_owned()),
                Heard::Nothing | Heard::End => return,
            }
        }
    }

    fn on_message(&mut self, message: InitMessage, now: Instant) {
        match message {
            InitMessage::Moved { .. }
            | InitMessage::Created { .. }
            | InitMessage::Daemon { .. }
            | InitMessage::ByFuse { .. }
            | InitMessage::Copying
            | InitMessage::Copied { .. }
            | InitMessage::Descriptors { .. } => {}
            InitMessage::Ready { readback } => {
                self.found.readback = Some(readback.clone());
                self.events.emit(&RunEvent::Started { readback });
            }
            InitMessage::Failed { step, errno, detail } => {
                self.command_ended(PayloadEnd::SetupFailed { step, errno, detail }, now);
            }
            InitMessage::Exited { status } => self.command_ended(payload_end(status), now),
        }
    }

    fn on_signals(&mut self, now: Instant) {
        while let Some(signal) = self.signals.next() {
            match signal {
                Signal::SIGWINCH => self.screen.iter().for_each(|screen| screen.fit()),
                Signal::SIGTSTP => self.suspend(now),
                _ => self.interrupt(signal, now),
            }
        }
    }

    fn interrupt(&mut self, signal: Signal, now: Instant) {
        let signal = u8::try_from(signal as i32).unwrap_or(0);
        match self.phase {
            Phase::Running => self.stop(StopCause::Interrupted { signal }, now),
            Phase::Lingering { .. } => self.die_with_others(now),
            Phase::Flushing { .. } => self.abandon_output(),
            Phase::Dying { .. } | Phase::Over => {}
        }
    }

    /// The user's Ctrl-Z: the command and testbox stop, and so does the time, until the user goes on.
    fn suspend(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        self.status.signal(SIGSTOP);
        let before = self.screen.as_ref().map(|screen| screen.terminal().suspend());
        let _stopped_and_continued = raise(Signal::SIGSTOP);
        let after = self.screen.as_ref().map(|screen| screen.terminal().resume());
        for error in [before, after].into_iter().flatten().filter_map(Result::err) {
            self.events.warn(error.to_string());
        }
        self.status.signal(SIGCONT);
        self.timers.shift(now.elapsed());
        self.stopper.shift(now.elapsed());
        self.witness.shift(now.elapsed());
    }

    fn on_oom(&mut self, now: Instant) {
        if self.sampler.oom_happened(now, &mut self.events) {
            self.events.emit(&RunEvent::OomKill { at_ms: self.timers.at_ms(now) });
        }
    }

    pub(super) fn on_output(&mut self, progress: Progress, now: Instant) {
        if progress.active {
            self.timers.active(now);
            if let Phase::Lingering { quiet_since, .. } = &mut self.phase {
                *quiet_since = now;
            }
        }
        if progress.limit_passed {
            let limit = self.output.evidence().limit_bytes.unwrap_or(testbox_model::Bytes(0));
            let warning = self.output.notice(&format!("testbox: output truncated at {limit}\n"), now);
            self.warn(warning);
            self.stop(StopCause::OutputLimit, now);
        }
        self.warn(progress.warning);
    }

    pub(super) fn warn(&mut self, warning: Option<String>) {
        if let Some(text) = warning {
            self.events.warn(text);
        }
    }

    /// A reason to stop. When the command ended meanwhile it is only noted.
    pub(super) fn stop(&mut self, cause: StopCause, now: Instant) {
        let (first, at_ms) = (self.stopper.stop().is_none(), self.at_ms(now));
        let running = self.phase == Phase::Running;
        let order = self.stopper.request(cause.clone(), now, at_ms);
        if !running {
            return;
        }
        if first {
            self.obey(order);
            self.events.emit(&RunEvent::Stopping { cause, at_ms });
        }
        self.carry_out(order, now);
    }

    fn carry_out(&mut self, order: Order, now: Instant) {
        if order == Order::Kill {
            self.obey(order);
            self.phase = Phase::Dying { give_up: now + self.pace.death_patience };
            self.events.emit(&RunEvent::Killing { at_ms: self.timers.at_ms(now) });
        }
    }

    /// The signals themselves: before any event is told, so that no sink delays them.
    fn obey(&mut self, order: Order) {
        match order {
            Order::Nothing => {}
            Order::Ask(signal) => {
                self.status.signal(signal);
                self.status.signal(SIGCONT);
            }
            Order::Kill => self.init.kill(),
        }
    }
}
