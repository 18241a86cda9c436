//! cgroup v1, v2 and hybrid behind one type: create, limit, read, kill, remove.
//!
//! Read in this order: a [`Host`] says which hierarchies this machine has and where the caller sits in them; a
//! [`Demand`] says what a box may use; [`BoxGroup::create`] turns both into fresh directories whose limits were read
//! back. Where the caller may make none, [`Host::find_place`] asks systemd for a scope first. The box is known by the
//! name of these directories alone ([`BoxId`]); [`gc`] removes those whose owner died.
//!
//! Never: a change to a group that is not ours, a signal to a plain pid, a limit that was not read back. All paths
//! start at a root directory given by the caller, so the whole crate runs on recorded trees.

mod box_id;
mod bus;
mod counters;
mod counting;
mod create;
mod delegation;
mod demand;
mod enclosing;
mod error;
mod events;
#[cfg(test)]
mod fake;
mod found;
mod gc;
mod group;
mod host;
mod kernel;
mod kill;
mod limits;
mod membership;
mod mountinfo;
mod place;
mod pressure;
mod proc_cgroup;
mod processes;
mod remove;
mod scope;
mod slot;
mod slots;
mod wait;
mod walls;

pub use box_id::BoxId;
pub use counters::{Counters, Usage};
pub use demand::{Demand, IoDemand};
pub use enclosing::Enclosing;
pub use error::CgroupError;
pub use events::MemoryAlarm;
pub use found::{Found, FoundBox, find_boxes};
pub use gc::{GcReport, gc};
pub use group::BoxGroup;
pub use host::{Hierarchy, Host, Version};
pub use membership::verify_member;
pub use pressure::MemoryPressure;
pub use slot::{Counted, Slot, SlotLimits};
pub use slots::{SlotDemand, SlotId, Slots};
