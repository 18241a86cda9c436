//! Pressure stall information (accounting/psi.rst): for how long a box went without what it wanted.
//!
//! Only groups of the unified hierarchy have it, whichever controllers are there; a hybrid host's as well. Triggers are not
//! used: who looks at the box at a steady pace anyway reads the same sums, while a trigger costs its owner a thread of the
//! kernel and an RCU grace period, and before Linux 6.5 is root's alone.

use std::fs::File;

use testbox_model::StallEvidence;

use crate::group::BoxGroup;
use crate::{counting, kernel};

/// Whose want of something counts.
#[derive(Clone, Copy)]
enum Share {
    /// That of everything in the group at once.
    Full,
    /// That of anything in it.
    Some,
}

/// The sum of a box's stalls for want of memory, while it runs.
#[derive(Debug)]
pub struct MemoryPressure(File);

impl MemoryPressure {
    /// Of this box; `None` where the kernel does not count it: an old one, `psi=0`, or no unified hierarchy.
    pub fn of(group: &BoxGroup) -> Option<Self> {
        // A kernel with `psi=0` has the file and refuses to open or to read it.
        let opened = Self(open(group, "memory.pressure")?);
        opened.stalled_ms().is_some().then_some(opened)
    }

    /// For how long nothing of the box could run for want of memory, in milliseconds since its start.
    pub fn stalled_ms(&self) -> Option<u64> {
        total_ms(&counting::read_again(&self.0)?, Share::Full)
    }
}

/// All sums of a box.
pub(crate) fn stalled(group: &BoxGroup) -> StallEvidence {
    let sum = |file: &str, share| total_ms(&counting::read_again(&open(group, file)?)?, share);
    StallEvidence {
        memory_ms: sum("memory.pressure", Share::Full),
        io_ms: sum("io.pressure", Share::Full),
        cpu_ms: sum("cpu.pressure", Share::Some),
    }
}

fn open(group: &BoxGroup, file: &str) -> Option<File> {
    let unified = group.directories.iter().find(|directory| directory.unified)?;
    kernel::open_file(&unified.path.join(file)).ok()
}

/// Of lines like `full avg10=0.00 avg60=0.00 avg300=0.00 total=1234`, whose sum is in microseconds.
fn total_ms(text: &str, share: Share) -> Option<u64> {
    let name = match share {
        Share::Full => "full ",
        Share::Some => "some ",
    };
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_once("total=")?.1.trim_ascii().parse::<u64>().ok()? / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Demand;
    use crate::fake::{FakeHost, id};

    const TEXT: &str =
        "some avg10=8.13 avg60=4.22 avg300=3.89 total=3904734\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=70\n";

    #[test]
    fn sums_are_told_in_milliseconds() {
        assert_eq!((total_ms(TEXT, Share::Some), total_ms(TEXT, Share::Full)), (Some(3904), Some(0)));
        assert_eq!(total_ms("some avg10=0.00 total=1\n", Share::Full), None, "cpu.pressure before Linux 5.13");
        assert_eq!(total_ms("", Share::Some), None);
    }

    #[test]
    fn who_does_not_count_has_no_sum() {
        let fake = FakeHost::v2();
        let demand = Demand { memory_bytes: 64 << 20, pids: 100, ..Demand::default() };
        let group = BoxGroup::create(&fake.detect(), &id(), &demand).unwrap();
        assert_eq!(group.counters().stalled, StallEvidence::default());
        assert!(MemoryPressure::of(&group).is_none());
        let folder = &group.directories[0].path;
        fs_err::write(folder.join("memory.pressure"), "some total=9000\nfull avg10=0.00 total=4000\n").unwrap();
        fs_err::write(folder.join("cpu.pressure"), "some avg10=0.00 total=5000\n").unwrap();
        let stalled = StallEvidence { memory_ms: Some(4), io_ms: None, cpu_ms: Some(5) };
        assert_eq!(group.counters().stalled, stalled);
        assert_eq!(MemoryPressure::of(&group).unwrap().stalled_ms(), Some(4));
    }
}
