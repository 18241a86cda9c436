//! A meter that says what a test wants.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use testbox_model::StopCause;

use crate::*;

#[derive(Default)]
pub(super) struct FakeMeter {
    /// The command's pid: its process group is the box.
    pub(super) group: i32,
    pub(super) usage: Usage,
    /// Refused forks grow by so many with each look.
    pub(super) refused_each: u64,
    pub(super) stalled_ms: Option<u64>,
    pub(super) counters: Counters,
    pub(super) counters_fail: bool,
    pub(super) usage_fails: bool,
    pub(super) oom: Option<OwnedFd>,
    pub(super) breach: Option<StopCause>,
}

impl FakeMeter {
    pub(super) fn of(group: i32) -> Self {
        Self { group, ..Self::default() }
    }
}

impl Meter for FakeMeter {
    fn usage(&mut self) -> Result<Usage, MeterError> {
        self.usage.refused_forks += self.refused_each;
        if self.usage_fails { Err(failure("usage")) } else { Ok(self.usage) }
    }

    fn counters(&mut self) -> Result<Counters, MeterError> {
        if self.counters_fail { Err(failure("counters")) } else { Ok(self.counters.clone()) }
    }

    fn processes(&mut self) -> Result<Vec<i32>, MeterError> {
        let entries = fs_err::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        Ok(pids.filter(|pid| lives_in(*pid, self.group)).collect())
    }

    fn stalled_ms(&self) -> Option<u64> {
        self.stalled_ms
    }

    fn oom_fd(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.oom.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN))
    }

    fn take_oom(&mut self) {
        if let Some(fd) = &self.oom {
            rustix::io::read(fd, &mut [0; 8]).unwrap();
        }
    }

    fn breach(&self) -> Option<StopCause> {
        self.breach.clone()
    }
}

fn lives_in(pid: i32, group: i32) -> bool {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.first() != Some(&"Z") && fields.get(2) == Some(&group.to_string().as_str())
}

fn failure(what: &'static str) -> MeterError {
    MeterError { what, source: "gone".into() }
}
