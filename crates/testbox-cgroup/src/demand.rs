//! What a box may use: the input of `BoxGroup::create`.

use std::collections::BTreeSet;

use testbox_model::Wall;

/// The limits of a box as the kernel shall guard them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Demand {
    /// Memory in bytes, page cache included; rounded down to pages by the kernel.
    pub memory_bytes: u64,
    /// Swap in bytes, beside the memory; 0 = none.
    pub swap_bytes: u64,
    /// Processes and threads together.
    pub pids: u64,
    /// CPU time per wall time (1.5 = one and a half CPUs), at least 0.01; `None` = all CPUs.
    pub cpus: Option<f64>,
    /// Limits of disk transfer rates; `None` = none.
    pub io: Option<IoDemand>,
    /// Workers get groups of their own below the box's ([`crate::Slots`]).
    pub workers: bool,
    /// Walls that may be missing where this host cannot build them.
    pub allow_degraded: BTreeSet<Wall>,
}

/// Transfer rates of each of some block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoDemand {
    /// Whole disks as (major, minor); a partition is refused by the kernel.
    pub devices: Vec<(u32, u32)>,
    /// Bytes read per second and device; `None` = no limit.
    pub read_bps: Option<u64>,
    /// Bytes written per second and device; `None` = no limit.
    pub write_bps: Option<u64>,
}
