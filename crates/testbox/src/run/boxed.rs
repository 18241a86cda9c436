//! What a box owns on the host, its cgroups and its reaper, and that it goes away on every path.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use testbox_cgroup::{BoxGroup, BoxId, Host, MemoryAlarm};
use testbox_model::{Fault, RunPlan, Wall, WallState};
use testbox_sandbox::{Dismissed, MainsEnd, Reaper};
use testbox_supervisor::SavedTerminal;

use super::demand;
use crate::fault::{self, OrFault};

/// Longest wait for the kernel to take the last process out of the groups.
const REMOVAL: Duration = Duration::from_secs(10);
/// A run that is over by then does not wait for its alarms to be armed.
const ALARMS_AFTER: Duration = Duration::from_millis(50);

/// The cgroups and the reaper of a box.
#[derive(Debug)]
pub(crate) struct Boxed {
    pub(crate) id: String,
    pub(crate) group: BoxGroup,
    /// Where no cgroup limits processes: RLIMIT_NPROC in the box's own user namespace.
    pub(crate) nproc_limit: Option<u64>,
    /// Sound near the memory limit; the reaper arms them.
    pub(crate) alarms: Vec<MemoryAlarm>,
    reaper: Option<Reaper>,
}

impl Boxed {
    /// Makes the groups with their limits, and starts the reaper, which also removes what dead runs left.
    pub(crate) fn new(plan: &RunPlan, terminal: Option<&SavedTerminal>) -> Result<Self, Box<Fault>> {
        let root = Path::new("/");
        let mut host = Host::detect(root).or_fault()?;
        let id = BoxId::of_current(root).or_fault()?;
        host.settle(&id).or_fault()?;
        let group = BoxGroup::create(&host, &id, &demand::of(plan)?).or_fault()?;
        let degraded = |wall| group.walls().iter().any(|w| w.wall == wall && w.state == WallState::Degraded);
        let nproc_limit = degraded(Wall::Pids).then_some(plan.limits.pids.value);
        let alarms =
            testbox_supervisor::memory_alarms(&group, &plan.limits).inspect_err(|_| clean(&group)).or_fault()?;
        let mut boxed = Self { id: id.to_string(), group, nproc_limit, alarms, reaper: None };
        let tty = terminal.is_some().then(|| std::io::stdin().as_fd().try_clone_to_owned());
        let tty = tty.transpose().map_err(|error| fault::of(&error, None))?;
        let group = &boxed.group;
        let alarms = &boxed.alarms;
        let chores = |mains_end: &MainsEnd<'_>| {
            // What cannot be removed now is no reason not to run; `testbox gc` names it.
            drop(testbox_cgroup::gc(&host));
            if !mains_end.comes_within(ALARMS_AFTER) {
                // Without an alarm the samples see less of the last moment: no reason not to run either.
                alarms.iter().for_each(|alarm| drop(alarm.arm()));
            }
        };
        let reaper = Reaper::start(tty, chores, |tty| {
            clean(group);
            if let (Some(saved), Some(tty)) = (terminal, tty) {
                let _nobody_is_left_to_tell = saved.restore_on(tty.as_fd());
            }
        });
        boxed.reaper = Some(reaper.inspect_err(|_| clean(group)).or_fault()?);
        Ok(boxed)
    }

    /// After the last process: removes the groups, and says goodbye to the reaper.
    pub(crate) fn end(mut self) -> Result<Option<Dismissed>, Box<Fault>> {
        testbox_sandbox::reap_children();
        self.group.remove(Instant::now() + REMOVAL).or_fault()?;
        Ok(self.reaper.take().map(Reaper::dismiss))
    }
}

impl Drop for Boxed {
    fn drop(&mut self) {
        if self.reaper.is_some() {
            clean(&self.group);
            testbox_sandbox::reap_children();
            drop(self.reaper.take().map(Reaper::dismiss));
        }
    }
}

/// Kills and removes whatever is left. On the paths that come here an error is told already, or nobody is left to tell.
fn clean(group: &BoxGroup) {
    drop(group.kill());
    drop(group.remove(Instant::now() + REMOVAL));
}
