//! Workers whose memory no group limits: the watchdog finds who holds it, and that one ends.

use std::time::Duration;

use super::super::diagnosis::Kill;
use super::super::worker::Worker;
use super::{Done, Stage, Trouble, Workers, find};

/// Who was killed for the memory of the box gives it back within this time, or the whole box ends.
const DYING: Duration = Duration::from_millis(500);

/// Who is in a box whose memory no group limits, and how much it uses.
pub(crate) struct Census {
    /// Host pids of the box's processes.
    pub(crate) processes: Vec<i32>,
    /// That of its init.
    pub(crate) init: i32,
    /// How much it uses.
    pub(crate) used_bytes: u64,
    /// How much it may use.
    pub(crate) limit_bytes: u64,
}

impl Workers {
    /// Where workers have no groups, the box's memory is used up: whoever holds more of it than all others together, of
    /// those who are no worker, ends for it. True if somebody does, or has just been told to.
    pub(in crate::witness) fn blame(&mut self, stage: &mut Stage<'_, '_>, census: &Census) -> Result<bool, Trouble> {
        if stage.scene.slots.is_some() {
            return Ok(false);
        }
        if self.blamed.is_some_and(|at| stage.scene.now < at + DYING) {
            return Ok(true);
        }
        let Some((w, held, members)) = self.heaviest(census) else { return Ok(false) };
        let worker = find(&mut self.table, w)?;
        if !worker.stacks.were_asked() && census.used_bytes < census.limit_bytes / 4 * 5 {
            // A little more, and it is known where it was.
            return self.ask(stage, w).map(|()| true);
        }
        worker.kill = Some(Kill::Memory { held, limit: census.limit_bytes, own: false });
        worker.largest = self.processes.largest_of(&members);
        self.trees.kill(members[0], census.init);
        self.blamed = Some(stage.scene.now);
        Ok(true)
    }

    /// Whether somebody has a limit of memory that no group holds.
    pub(in crate::witness) fn is_to_be_watched(&self) -> bool {
        self.table.iter().flatten().any(|worker| worker.watched_limit().is_some())
    }

    /// Looks at those whose memory no group limits: near their limit they are asked where they are, above it they end.
    pub(in crate::witness) fn watch(&mut self, stage: &mut Stage<'_, '_>, census: &Census) -> Done {
        for w in 0..u32::try_from(self.table.len()).unwrap_or(0) {
            let Ok(worker) = find(&mut self.table, w) else { continue };
            let (Some(limit), Some(inner)) = (worker.watched_limit(), worker.said_pid) else { continue };
            let Some(root) = self.trees.named(&census.processes, inner) else { continue };
            let members = self.trees.below(root);
            let near = limit / 10 * 9;
            let held = if self.trees.resident(&members) > near { self.trees.weigh(&members).sum() } else { 0 };
            if held > limit {
                worker.kill = Some(Kill::Memory { held, limit, own: true });
                worker.largest = self.processes.largest_of(&members);
                self.trees.kill(root, census.init);
            } else if held > near {
                self.ask(stage, w)?;
            }
        }
        Ok(())
    }

    /// The worker that holds most, what that is, and its processes; none if those that are no worker's hold more.
    fn heaviest(&self, census: &Census) -> Option<(u32, u64, Vec<i32>)> {
        let trees = &self.trees;
        let tree = |(w, worker): (u32, &Worker)| {
            let root = trees.named(&census.processes, worker.said_pid.filter(|_| worker.is_running())?)?;
            Some((w, trees.below(root)))
        };
        let workers: Vec<(u32, Vec<i32>)> = self.numbered().filter_map(tree).collect();
        let is_others = |pid: &i32| workers.iter().all(|(_, members)| !members.contains(pid));
        let others: Vec<i32> = census.processes.iter().copied().filter(is_others).collect();
        let weighed = workers.into_iter().map(|(w, members)| (w, self.trees.weigh(&members).sum(), members));
        let (w, held, members) = weighed.max_by_key(|(_, held, _)| *held)?;
        (held > self.trees.weigh(&others).sum()).then_some((w, held, members))
    }
}
