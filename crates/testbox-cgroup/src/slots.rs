//! The groups of a box's workers: made when they are first needed, used again and again, removed with the box.

use testbox_model::{MemoryEvidence, PidsEvidence, Wall, WallState};

use crate::counting::{keyed, number};
use crate::group::{BoxGroup, Part};
use crate::slot::{Counted, Slot, SlotLimits};
use crate::{CgroupError, kernel};

/// Slots of a box at most.
const MOST: usize = 128;
/// A worker that gets what the box has left gets so much at least: then the box's own limit decides.
const LEAST_BYTES: u64 = 16 << 20;
/// What a box keeps for itself of the memory that it has left: one part in so many of its limit, and so much at least.
const MARGIN_SHARE: u64 = 50;
const MARGIN_BYTES: u64 = 4 << 20;
/// A worker that gets what the box has left gets one part in so many less: the next one then fits as well, although the
/// controller has grown a little. Other limits mean other alarms, which take the kernel 10 to 40 ms.
const SPARE_SHARE: u64 = 64;
/// Processes and threads that a box keeps for itself.
const MARGIN_PIDS: u64 = 8;

/// A slot that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotId(usize);

/// What a worker shall be able to use; `None`: what the box has left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotDemand {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// The slots of a box.
#[derive(Debug)]
pub struct Slots {
    /// The box's own directories.
    parent: BoxGroup,
    /// What the box itself may use.
    bounds: SlotLimits,
    swap_bytes: u64,
    slots: Vec<Entry>,
    /// Of all uses that are over.
    tally: Tally,
}

#[derive(Debug)]
struct Entry {
    slot: Slot,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Taken,
    /// Its limits could not be changed; it goes with the box.
    Retired,
}

/// What happened in slots, for the numbers of the box.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Processes killed for memory because a slot's own limit was met.
    explained_kills: u64,
    /// Processes killed for memory although no slot's own limit was met.
    other_kills: u64,
    refused_forks: u64,
}

impl Slots {
    /// Room for slots below a box with these limits, in bytes and in processes and threads. `None` where the kernel does
    /// not limit the box's memory, and where the box was made without `Demand::workers`.
    pub fn below(group: &BoxGroup, memory_bytes: u64, swap_bytes: u64, pids: u64) -> Option<Self> {
        let enforced = |wall| group.walls.iter().any(|said| said.wall == wall && said.state == WallState::Enforced);
        let memory = group.parts.memory.as_ref().filter(|_| enforced(Wall::Memory))?;
        let divided = group.directories.iter().any(|directory| directory.leaf.is_some());
        if memory.unified && !divided {
            return None;
        }
        let mut parent = BoxGroup::bare(group.root.clone(), group.kernel);
        parent.directories.clone_from(&group.directories);
        parent.parts = group.parts.clone();
        let bounds = SlotLimits { memory_bytes, pids };
        Some(Self { parent, bounds, swap_bytes, slots: Vec::new(), tally: Tally::default() })
    }

    /// Takes a slot: an unused one with these limits, else one that gets them, else a new one. What the slot `after`
    /// holds counts as free: nothing begins in the new one before the other is given back.
    ///
    /// # Errors
    /// The kernel refuses a directory or a limit, or all slots are in use.
    pub fn take(&mut self, demand: SlotDemand, after: Option<SlotId>) -> Result<SlotId, CgroupError> {
        let left = self.left(after);
        let fits = |entry: &Entry| entry.state == State::Free && self.fits(demand, left, entry.slot.limits());
        let index = match self.slots.iter().position(fits) {
            Some(index) => index,
            None => self.limited(self.limits_of(demand, left))?,
        };
        let entry = &mut self.slots[index];
        entry.slot.begin()?;
        entry.state = State::Taken;
        Ok(SlotId(index))
    }

    /// Something begins in a slot that was taken before another one was given back: it gets what there is by now. True
    /// if its limits are others than before.
    ///
    /// # Errors
    /// The kernel refuses a limit.
    pub fn refit(&mut self, id: SlotId, demand: SlotDemand) -> Result<bool, CgroupError> {
        let left = self.left(Some(id));
        if self.fits(demand, left, self.slot(id).limits()) {
            return Ok(false);
        }
        let limits = self.limits_of(demand, left);
        self.slot_mut(id).limit(limits).map(|()| true)
    }

    /// A slot that was taken.
    pub fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[id.0].slot
    }

    /// A slot that was taken.
    pub fn slot_mut(&mut self, id: SlotId) -> &mut Slot {
        &mut self.slots[id.0].slot
    }

    /// Nobody is in the slot any more: it may be taken again.
    pub fn give_back(&mut self, id: SlotId) {
        let entry = &mut self.slots[id.0];
        if entry.state == State::Taken {
            self.tally.add(entry.slot.counted());
            entry.slot.end();
            entry.state = State::Free;
        }
    }

    /// Takes out of the box's numbers what the limits of slots explain, and adds what only slots counted: the numbers
    /// then speak of the box's own limits.
    ///
    /// v1 counts a kill in the victim's group alone, whosever limit was met; v2 counts it in all groups above as well.
    pub fn settle(&self, memory: &mut MemoryEvidence, pids: &mut PidsEvidence) {
        let mut tally = self.tally;
        for entry in self.slots.iter().filter(|entry| entry.state == State::Taken) {
            tally.add(entry.slot.counted());
        }
        let unified = |part: &Option<Part>| part.as_ref().is_some_and(|part| part.unified);
        match unified(&self.parent.parts.memory) {
            true => memory.oom_kills = memory.oom_kills.saturating_sub(tally.explained_kills),
            false => memory.oom_kills += tally.other_kills,
        }
        // A refused fork counts where it was tried. Slots stay below the box's limit together unless it was met.
        let counted_above =
            self.parent.parts.pids.as_ref().is_some_and(|part| part.path.join("pids.events.local").exists());
        let met = pids.peak.zip(pids.limit).is_some_and(|(peak, limit)| peak >= limit);
        if met && !counted_above {
            pids.refused_forks += tally.refused_forks;
        }
    }

    /// Whether limits are as they are wanted. Where the rest of the box is wanted, a little less will do.
    fn fits(&self, demand: SlotDemand, left: SlotLimits, limits: SlotLimits) -> bool {
        let near = |wanted: Option<u64>, left: u64, has: u64, bound: u64| match wanted {
            Some(wanted) => has == wanted.min(bound),
            None => has <= left && has >= left / 16 * 15,
        };
        near(demand.memory_bytes, left.memory_bytes, limits.memory_bytes, self.bounds.memory_bytes)
            && near(demand.pids, left.pids, limits.pids, self.bounds.pids)
    }

    fn limits_of(&self, demand: SlotDemand, left: SlotLimits) -> SlotLimits {
        let (memory, pids) = (demand.memory_bytes, demand.pids);
        SlotLimits {
            memory_bytes: memory.map_or(spared(left.memory_bytes), |bytes| bytes.min(self.bounds.memory_bytes)),
            pids: pids.map_or(left.pids, |pids| pids.min(self.bounds.pids)),
        }
    }

    /// A free slot with these limits.
    fn limited(&mut self, limits: SlotLimits) -> Result<usize, CgroupError> {
        if let Some(index) = self.slots.iter().position(|entry| entry.state == State::Free) {
            let entry = &mut self.slots[index];
            match entry.slot.limit(limits) {
                Ok(()) => return Ok(index),
                // Something is still charged to it that cannot be given back.
                Err(CgroupError::Busy { .. }) => entry.state = State::Retired,
                Err(error) => return Err(error),
            }
        }
        if self.slots.len() == MOST {
            return Err(CgroupError::NoSlot { most: MOST });
        }
        let slot = Slot::make(&self.parent, &format!("w{}", self.slots.len()), limits, self.swap_bytes)?;
        self.slots.push(Entry { slot, state: State::Free });
        Ok(self.slots.len() - 1)
    }

    /// What the box has left besides what cannot be given back: page cache can. What this slot holds will be.
    fn left(&self, without: Option<SlotId>) -> SlotLimits {
        let freed = without.map(|id| self.slot(id).usage()).unwrap_or_default();
        let memory = self.parent.parts.memory.as_ref().map_or(0, held_bytes);
        let memory = memory.saturating_sub(freed.memory_bytes.unwrap_or(0));
        let pids = self.parent.parts.pids.as_ref().map_or(0, |part| value(part, "pids.current"));
        let pids = pids.saturating_sub(freed.pids.unwrap_or(0));
        let margin = (self.bounds.memory_bytes / MARGIN_SHARE).max(MARGIN_BYTES);
        let memory_bytes = self.bounds.memory_bytes.saturating_sub(memory + margin);
        SlotLimits {
            memory_bytes: memory_bytes.max(LEAST_BYTES).min(self.bounds.memory_bytes),
            pids: self.bounds.pids.saturating_sub(pids + MARGIN_PIDS).max(1),
        }
    }
}

fn spared(left_bytes: u64) -> u64 {
    (left_bytes - left_bytes / SPARE_SHARE).max(left_bytes.min(LEAST_BYTES))
}

impl Tally {
    fn add(&mut self, counted: Counted) {
        match counted.limit_hits {
            0 => self.other_kills += counted.oom_kills,
            _ => self.explained_kills += counted.oom_kills,
        }
        self.refused_forks += counted.refused_forks;
    }
}

/// Memory of a group and all below it that the kernel cannot take back: anonymous, shared, and its own.
fn held_bytes(memory: &Part) -> u64 {
    let stat = memory.path.join("memory.stat");
    let sum = |keys: &[&str]| keys.iter().map(|key| keyed(&stat, key).unwrap_or(0)).sum::<u64>();
    match memory.unified {
        // The statistics may be some seconds late (all of them 0 for a fresh group, Linux 7.2), the sum never is: what is
        // not known to be cache counts as held.
        true => {
            let cache = sum(&["active_file", "inactive_file", "slab_reclaimable"]);
            value(memory, "memory.current").saturating_sub(cache)
        }
        false => sum(&["total_rss", "total_shmem"]) + value(memory, "memory.kmem.usage_in_bytes"),
    }
}

fn value(part: &Part, file: &str) -> u64 {
    kernel::read(&part.path.join(file)).ok().and_then(|text| number(&text)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
