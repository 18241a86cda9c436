//! The loop on plain children: no box, no cgroup, no privilege. Nothing here sleeps; every wait is on a descriptor.

mod ending;
pub(crate) mod fake_box;
mod fake_meter;
mod limits;
mod messages;
mod output;
mod terminal;
