//! The plan's limits as a demand on the cgroups.

use std::path::Path;

use testbox_cgroup::{Demand, IoDemand};
use testbox_model::{Fault, Isolate, RunPlan, Wall};

use crate::device;
use crate::fault;

/// What the cgroups of this plan shall guard.
pub(super) fn of(plan: &RunPlan) -> Result<Demand, Box<Fault>> {
    let limits = &plan.limits;
    Ok(Demand {
        memory_bytes: limits.memory_bytes.value.0,
        swap_bytes: limits.swap_bytes.value.0,
        pids: limits.pids.value,
        cpus: limits.cpus.value,
        io: io(plan)?,
        workers: plan.testing.isolate.value != Isolate::None,
        allow_degraded: plan.allow_degraded.value.clone(),
    })
}

/// The scratch is memory, so the project's disk is the only one that a box can reach.
fn io(plan: &RunPlan) -> Result<Option<IoDemand>, Box<Fault>> {
    let (read, write) = (plan.limits.io_read.value, plan.limits.io_write.value);
    if read.is_none() && write.is_none() {
        return Ok(None);
    }
    let devices = match device::disk_of(Path::new("/"), &plan.project) {
        Ok(device) => vec![device],
        Err(_) if plan.allow_degraded.value.contains(&Wall::Io) => vec![],
        Err(error) => {
            let hint = "leave out `--io-read` and `--io-write`, or allow it with `--allow-degraded io`";
            return Err(fault::of(
                &IoWall { project: plan.project.display().to_string(), source: error },
                Some(hint.into()),
            ));
        }
    };
    Ok(Some(IoDemand { devices, read_bps: read.map(|rate| rate.0), write_bps: write.map(|rate| rate.0) }))
}

#[derive(Debug, thiserror::Error)]
#[error("cannot limit disk transfer rates: `{project}` lies on no disk that the kernel can limit")]
struct IoWall {
    project: String,
    source: std::io::Error,
}
