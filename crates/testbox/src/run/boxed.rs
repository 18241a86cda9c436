//! What a box owns on the host, its cgroups and its reaper, and that it goes away on every path.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use testbox_bundle::Identity;
use testbox_cgroup::{BoxGroup, BoxId, Host, MemoryAlarm};
use testbox_model::{Fault, RunPlan, Wall, WallState};
use testbox_sandbox::{CleaningUp, Launch, MainsEnd, Reaper};
use testbox_supervisor::SavedTerminal;

use super::demand;
use crate::fault::{self, OrFault};

/// Longest wait for the kernel to take the last process out of the groups.
const REMOVAL: Duration = Duration::from_secs(10);
const SCRATCH_STAYS: &str = "the scratch folder of the box stays: look at it, and remove it by hand";
/// A run that is over by then does not wait for its alarms to be armed.
const ALARMS_AFTER: Duration = Duration::from_millis(50);

/// Where the groups of a box will be made.
#[derive(Debug)]
pub(crate) struct Place {
    host: Host,
    id: BoxId,
}

/// Stands before anything of a box exists: from then on the box's groups go, whatever happens to testbox.
///
/// When it is dropped, the reaper kills and removes what there is of the box.
#[derive(Debug)]
pub(crate) struct Safeguard {
    host: Host,
    id: BoxId,
    /// Sound near the memory limit; the reaper arms them.
    alarms: Vec<MemoryAlarm>,
    reaper: Option<Reaper>,
}

/// The cgroups of a box.
#[derive(Debug)]
pub(crate) struct Boxed {
    pub(crate) id: String,
    pub(crate) group: BoxGroup,
    /// Where no cgroup limits processes: RLIMIT_NPROC in the box's own user namespace.
    nproc_limit: Option<u64>,
    /// It has no namespaces: the kernel ends none of it with its init.
    pub(crate) fenced: bool,
    /// Sounds near the memory limit, where the reaper's alarms do not.
    high: Option<MemoryAlarm>,
    safeguard: Safeguard,
}

/// The groups of a dead box, which the reaper removes meanwhile.
#[derive(Debug)]
#[must_use = "the groups are gone only after `wait`"]
pub(crate) struct Ending {
    group: BoxGroup,
    id: BoxId,
    cleaning_up: Option<CleaningUp>,
}

impl Place {
    /// Finds it; testbox may be moved to another cgroup for it, so it comes before every fork.
    pub(crate) fn find(mut host: Host, plan: &RunPlan) -> Result<Self, Box<Fault>> {
        let id = BoxId::of_current(host.root()).or_fault()?;
        // A demand that cannot be met is told when the groups are made.
        if let Ok(demand) = demand::of(plan) {
            let command: Vec<_> = plan.command.iter().map(|word| word.to_string_lossy()).collect();
            host.find_place(&id, &demand, &command.join(" ")).or_fault()?;
        }
        Ok(Self { host, id })
    }
}

impl Safeguard {
    /// Starts the reaper, which also removes what dead runs left.
    pub(crate) fn new(place: Place, plan: &RunPlan, terminal: Option<&SavedTerminal>) -> Result<Self, Box<Fault>> {
        let Place { host, id } = place;
        let alarms = MemoryAlarm::near(plan.limits.memory_bytes.value.0).or_fault()?;
        let tty = terminal.is_some().then(|| std::io::stdin().as_fd().try_clone_to_owned());
        let tty = tty.transpose().map_err(|error| fault::of(&error, None))?;
        let chores = |mains_end: &MainsEnd<'_>| {
            // What cannot be removed now is no reason not to run; `testbox gc` names it.
            drop(testbox_cgroup::gc(&host));
            drop(testbox_sandbox::collect_scratch(host.root()));
            if !mains_end.comes_within(ALARMS_AFTER) {
                // Without an alarm the samples see less of the last moment: no reason not to run either.
                let group = BoxGroup::find(&host, &id);
                group.iter().for_each(|group| alarms.iter().for_each(|alarm| drop(alarm.arm(group))));
            }
        };
        let reaper = Reaper::start(tty, chores, |tty| {
            if let (Some(saved), Some(tty)) = (terminal, tty) {
                let _nobody_is_left_to_tell = saved.restore_on(tty.as_fd());
            }
            clean(&host, &id)
        });
        let reaper = Some(reaper.or_fault()?);
        Ok(Self { host, id, alarms, reaper })
    }
}

impl Drop for Safeguard {
    fn drop(&mut self) {
        let Some(reaper) = self.reaper.take() else { return };
        if !reaper.clean_up().went_well() {
            // An error is told already.
            clean(&self.host, &self.id);
        }
        testbox_sandbox::reap_children();
    }
}

impl Boxed {
    /// Makes the groups with their limits.
    pub(crate) fn new(safeguard: Safeguard, plan: &RunPlan) -> Result<Self, Box<Fault>> {
        let group = BoxGroup::create(&safeguard.host, &safeguard.id, &demand::of(plan)?).or_fault()?;
        let degraded = |wall| group.walls().iter().any(|w| w.wall == wall && w.state == WallState::Degraded);
        let nproc_limit = degraded(Wall::Pids).then_some(plan.limits.pids.value);
        let high = MemoryAlarm::high(&group, plan.limits.memory_bytes.value.0).or_fault()?;
        // Without an alarm the samples see less of the last moment: no reason not to run.
        high.iter().for_each(|alarm| drop(alarm.arm(&group)));
        Ok(Self { id: safeguard.id.to_string(), group, nproc_limit, fenced: false, high, safeguard })
    }

    /// What a launcher has to know to build this box.
    pub(crate) fn launch(&self, identity: Identity) -> Launch<'_> {
        Launch { identity, group: &self.group, box_id: &self.id, nproc_limit: self.nproc_limit }
    }

    /// Sound near the memory limit.
    pub(crate) fn alarms(&self) -> &[MemoryAlarm] {
        self.high.as_ref().map_or(&self.safeguard.alarms, std::slice::from_ref)
    }

    /// After the last process: the reaper removes the groups, while testbox goes on.
    pub(crate) fn end(mut self) -> Result<Ending, Box<Fault>> {
        if self.fenced {
            // The init has swept; whoever got away from it did not get out of the groups.
            self.group.kill().or_fault()?;
        }
        self.group.wait_empty(Instant::now() + REMOVAL).or_fault()?;
        let cleaning_up = self.safeguard.reaper.take().map(Reaper::clean_up);
        Ok(Ending { group: self.group, id: self.safeguard.id.clone(), cleaning_up })
    }
}

impl Ending {
    /// Returns when the groups and the reaper are gone.
    pub(crate) fn wait(self) -> Result<(), Box<Fault>> {
        let gone = self.cleaning_up.is_some_and(CleaningUp::went_well);
        testbox_sandbox::reap_children();
        // Somebody may have killed the reaper; or this says why the groups stay.
        if gone {
            return Ok(());
        }
        self.group.remove(Instant::now() + REMOVAL).or_fault()?;
        testbox_sandbox::remove_scratch(&self.id).map_err(|error| fault::of(&error, Some(SCRATCH_STAYS.to_owned())))
    }
}

/// Kills and removes whatever there is of a box; `false` if something is left.
fn clean(host: &Host, id: &BoxId) -> bool {
    let gone = BoxGroup::find(host, id).is_none_or(|group| {
        let killed = group.kill();
        killed.and(group.remove(Instant::now() + REMOVAL)).is_ok()
    });
    testbox_sandbox::remove_scratch(id).is_ok() && gone
}
