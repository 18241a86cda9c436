//! The walls that cgroups guard: a fresh group with the limit, read back and removed again. That a process can join it
//! is shown by the boxes of the other probes.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use testbox_cgroup::{BoxGroup, Demand, IoDemand};
use testbox_model::{Fault, Wall, WallState};

use super::super::finding::{Finding, State};
use super::super::ground::Ground;
use crate::device;
use crate::fault::{self, OrFault};

const MEMORY_BYTES: u64 = 64 << 20;
const PIDS: u64 = 64;
const BYTES_PER_SECOND: u64 = 64 << 20;
const REMOVAL: Duration = Duration::from_secs(5);

/// Whether `wall` can be built here.
pub(super) fn probe(ground: &mut Ground, wall: Wall) -> Finding {
    match built(ground, wall) {
        Ok(finding) => finding,
        Err(fault) => {
            ground.lacking.insert(wall);
            finding_of(wall, &fault)
        }
    }
}

fn built(ground: &mut Ground, wall: Wall) -> Result<Finding, Box<Fault>> {
    let demand = demand(wall)?;
    ground.cgroups.find_place(&ground.id, &demand, "doctor").or_fault()?;
    let group = BoxGroup::create(&ground.cgroups, &ground.id, &demand).or_fault()?;
    let report = group.walls().iter().find(|report| report.wall == wall && report.state == WallState::Enforced);
    let finding = report.map(|report| Finding::wall(wall, report));
    group.remove(Instant::now() + REMOVAL).or_fault()?;
    finding
        .ok_or_else(|| fault::plain(format!("the wall `{wall}` was asked for and not built"), "report this as a bug"))
}

/// A default run asks for memory and pids only.
fn finding_of(wall: Wall, fault: &Fault) -> Finding {
    match wall {
        Wall::Cpu => {
            Finding::failed(wall.name(), State::Absent, fault).because(["only a run with `--cpus` needs it".to_owned()])
        }
        Wall::Io => Finding::failed(wall.name(), State::Absent, fault)
            .because(["only a run with `--io-read` or `--io-write` needs it".to_owned()]),
        _ => Finding::failed(wall.name(), State::Missing, fault),
    }
}

/// Only this wall is asked for; the others may be missing.
fn demand(wall: Wall) -> Result<Demand, Box<Fault>> {
    let others: BTreeSet<Wall> = Wall::ALL.into_iter().filter(|other| *other != wall).collect();
    Ok(Demand {
        memory_bytes: MEMORY_BYTES,
        swap_bytes: 0,
        pids: PIDS,
        cpus: (wall == Wall::Cpu).then_some(1.0),
        io: (wall == Wall::Io).then(io).transpose()?,
        allow_degraded: others,
        workers: false,
    })
}

/// The disk that the working directory lies on, as that of a project would be.
fn io() -> Result<IoDemand, Box<Fault>> {
    let device = device::disk_of(Path::new("/"), Path::new(".")).map_err(|error| {
        let hint = "start testbox in a project that lies on a local disk, or leave out `--io-read` and `--io-write`";
        fault::of(&error, Some(hint.to_owned()))
    })?;
    Ok(IoDemand { devices: vec![device], read_bps: Some(BYTES_PER_SECOND), write_bps: Some(BYTES_PER_SECOND) })
}
