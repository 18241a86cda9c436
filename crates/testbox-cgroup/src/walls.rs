//! What is said about the walls that cgroups guard.

use testbox_model::{Wall, WallReport};

use crate::Demand;

/// The walls that cgroups guard, in the order of reports.
pub(crate) const GUARDED: [Wall; 4] = [Wall::Memory, Wall::Pids, Wall::Cpu, Wall::Io];

/// Whether the box shall have this wall.
pub(crate) fn is_wanted(wall: Wall, demand: &Demand) -> bool {
    match wall {
        Wall::Cpu => demand.cpus.is_some(),
        Wall::Io => demand.io.is_some(),
        _ => true,
    }
}

/// A wall that nobody asked for.
pub(crate) fn off(wall: Wall) -> WallReport {
    WallReport::off(wall, "no limit asked for")
}

/// A wall that this host cannot build and the user can do without, and what stands in for it.
pub(crate) fn degraded(wall: Wall, reason: &str) -> WallReport {
    let instead = match wall {
        Wall::Memory => "sampling watchdog over the process tree",
        Wall::Pids => "RLIMIT_NPROC in the box's own user namespace",
        _ => "nothing: not limited on this host",
    };
    WallReport::degraded(wall, instead).with_note(reason)
}
