//! Whether the project fits, counted while it is copied; and beyond, to say how much it needs.

use rustix::fs::Stat;
use testbox_model::{Bytes, Limits, SetupStep};

use crate::error::StepFailure;

const PAGE_BYTES: u64 = 4096;
/// A link that is shorter takes no page of a tmpfs.
const SHORT_LINK: i64 = 128;

/// What was counted, beside what there is.
#[derive(Debug)]
pub(super) struct Room {
    limits: Limits,
    /// The scratch space is memory of the box: the command must have some of it, too.
    most_bytes: u64,
    bytes: u64,
    inodes: u64,
    /// The kernel took no more.
    full: bool,
}

impl Room {
    pub(super) fn of(limits: &Limits) -> Self {
        let most_bytes = limits.tmp_bytes.value.0.min(limits.memory_bytes.value.0 / 4 * 3);
        Self { limits: limits.clone(), most_bytes, bytes: 0, inodes: 0, full: false }
    }

    /// One more file, folder or link with these bytes.
    pub(super) fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.inodes += 1;
    }

    /// The kernel takes no more.
    pub(super) fn mark_full(&mut self) {
        self.full = true;
    }

    pub(super) fn suffices(&self) -> bool {
        !self.full && self.bytes <= self.most_bytes && self.inodes <= self.limits.tmp_inodes.value
    }

    /// An error if it did not suffice.
    pub(super) fn verdict(&self) -> Result<(), StepFailure> {
        if self.suffices() {
            return Ok(());
        }
        let (tmp, inodes) = (self.limits.tmp_bytes.value, self.limits.tmp_inodes.value);
        let scratch = format!("the scratch space of {tmp} and {inodes} inodes");
        let there_is = match self.most_bytes < tmp.0 && self.bytes > self.most_bytes {
            true => format!("three quarters of the box's memory of {}", self.limits.memory_bytes.value),
            false => scratch,
        };
        let (bytes, inodes) = (Bytes(self.bytes), self.inodes);
        let detail = format!("its {bytes} in {inodes} files, folders and links do not fit into {there_is}");
        Err(StepFailure { step: SetupStep::Copy, errno: libc::ENOSPC, detail })
    }
}

/// Bytes that a file takes in a tmpfs. What a compressing file system holds in fewer blocks may take more.
pub(super) fn of_file(stat: &Stat) -> u64 {
    (stat.st_size as u64).min(allocated(stat)).next_multiple_of(PAGE_BYTES)
}

pub(super) fn of_link(stat: &Stat) -> u64 {
    if stat.st_size < SHORT_LINK { 0 } else { PAGE_BYTES }
}

/// Whether there may be holes in it.
pub(super) fn has_holes(stat: &Stat) -> bool {
    allocated(stat) < stat.st_size as u64
}

fn allocated(stat: &Stat) -> u64 {
    (stat.st_blocks as u64).saturating_mul(512)
}
