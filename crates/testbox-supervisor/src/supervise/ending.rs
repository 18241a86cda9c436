//! The end of a run: the command ended, the box is killed, the rest of the output goes out, the evidence is put together.

use std::time::Instant;

use testbox_model::{Evidence, PayloadEnd, ProcessUse, RunEvent, StopCause};

use super::{Phase, Supervisor};
use crate::SupervisorError;
use crate::inputs::Outcome;

/// More than a socket can hold: nothing that a dead init said is missed.
const LAST_DATAGRAMS: usize = 4096;
/// Processes left behind that are remembered, by all workers and the command together.
const LEFT_BEHIND: usize = 64;

impl Supervisor<'_, '_> {
    /// The first word about the command's end counts.
    pub(super) fn command_ended(&mut self, payload: PayloadEnd, now: Instant) {
        if self.found.payload.is_some() {
            return;
        }
        self.found.payload = Some(payload.clone());
        self.input.close();
        let _too_late_to_stop = self.sample(now);
        self.events.emit(&RunEvent::Ended { payload, at_ms: self.timers.at_ms(now) });
        if self.phase == Phase::Running {
            self.linger_or_die(now);
        }
    }

    /// Init died, by our kill or by itself; what it said before counts.
    pub(super) fn init_is_dead(&mut self, now: Instant) -> Result<(), SupervisorError> {
        if !self.init.reap()? {
            return Ok(());
        }
        self.hear_status(LAST_DATAGRAMS, now);
        self.start_flushing(now);
        self.command_ended(PayloadEnd::Lost, now);
        Ok(())
    }

    /// Without processes left behind there is nothing to wait for: what was printed lies in the pipes.
    fn linger_or_die(&mut self, now: Instant) {
        let others = self.others();
        if others.is_empty() || !self.output.is_open() {
            self.die(others, now);
        } else {
            self.phase = Phase::Lingering { quiet_since: now, until: now + self.pace.linger };
        }
    }

    /// The end of lingering.
    pub(super) fn die_with_others(&mut self, now: Instant) {
        let others = self.others();
        self.die(others, now);
    }

    /// Kills the box after the command's own end, with all that it left behind.
    fn die(&mut self, others: Vec<i32>, now: Instant) {
        let others = self.sampler.name(others);
        self.left_behind(others);
        self.init.kill();
        self.phase = Phase::Dying { give_up: now + self.pace.death_patience };
    }

    /// Remembers processes that somebody left behind, so many at most.
    pub(super) fn left_behind(&mut self, processes: Vec<ProcessUse>) {
        let room = LEFT_BEHIND.saturating_sub(self.found.left_behind.len());
        self.found.left_behind.extend(processes.into_iter().take(room));
    }

    /// Processes of the box besides init; of a box that never ran a command they are testbox's own.
    fn others(&mut self) -> Vec<i32> {
        match self.found.payload {
            Some(PayloadEnd::SetupFailed { .. }) => Vec::new(),
            _ => self.sampler.others(self.init.pid(), &mut self.events),
        }
    }

    /// A process of the box hangs in the kernel: the run ends without it, and says so.
    pub(super) fn give_init_up(&mut self, now: Instant) {
        let patience = testbox_model::Duration::from_ms(millis(self.pace.death_patience));
        let detail = format!("the box is still alive {patience} after SIGKILL: a process of it hangs in the kernel");
        self.events.warn(detail.clone());
        self.init.let_go();
        self.stop(StopCause::Fault { detail }, now);
        self.start_flushing(now);
        self.command_ended(PayloadEnd::Lost, now);
    }

    fn start_flushing(&mut self, now: Instant) {
        self.output.box_is_dead();
        self.phase = Phase::Flushing { since: now };
    }

    pub(super) fn flush(&mut self, now: Instant, since: Instant) {
        let progress = self.output.drain(now);
        self.on_output(progress, now);
        if self.output.is_done() {
            self.phase = Phase::Over;
        } else if now >= self.flush_deadline(since) {
            self.abandon_output();
        }
    }

    /// When a reader that takes nothing is given up.
    pub(super) fn flush_deadline(&self, since: Instant) -> Instant {
        self.output.last_progress().map_or(since, |last| last.max(since)) + self.pace.flush_patience
    }

    pub(super) fn abandon_output(&mut self) {
        for warning in self.output.abandon() {
            self.events.warn(warning);
        }
        self.phase = Phase::Over;
    }

    pub(super) fn outcome(mut self) -> Result<Outcome, SupervisorError> {
        let counters = self.sampler.counters().map_err(|source| SupervisorError::Counters { source })?;
        let duration_ms = self.at_ms(Instant::now());
        if self.sampler.count_oom(&counters) {
            self.events.emit(&RunEvent::OomKill { at_ms: duration_ms });
        }
        let collected = self.sampler.finish();
        let mut evidence = Evidence {
            payload: self.found.payload.unwrap_or_default(),
            stop: self.stopper.stop().cloned(),
            readback: self.found.readback,
            memory: counters.memory,
            pids: counters.pids,
            cpu: counters.cpu,
            io: counters.io,
            stalled: counters.stalled,
            output: self.output.evidence(),
            disk: collected.disks,
            pytest: self.witness.into_evidence(),
            left_behind: self.found.left_behind,
        };
        evidence.memory.largest = collected.largest;
        if let (Some(seen), Some(peak)) = (&mut evidence.pytest, evidence.memory.peak_bytes) {
            seen.end_collection(&collected.timeline, peak.0);
        }
        let warnings = self.events.into_warnings();
        let helper_lasted = self.init.helper_lasted();
        Ok(Outcome { evidence, timeline: collected.timeline, warnings, duration_ms, helper_lasted })
    }
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
