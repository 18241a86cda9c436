//! Builds the directories of a box, all or none, and decides what may be missing.

use testbox_model::{Wall, WallReport, WallState};

use crate::counting::Gauges;
use crate::group::{BoxGroup, Directory, Part};
use crate::host::Hierarchy;
use crate::place::{self, Need, Placed};
use crate::{BoxId, CgroupError, Demand, Host, delegation, limits, walls};

/// The group of a box's own processes on v2, where workers get groups beside it.
const LEAF: &str = "main";

/// See `BoxGroup::create`.
pub(crate) fn create(host: &Host, id: &BoxId, demand: &Demand) -> Result<BoxGroup, CgroupError> {
    let mut builder = Builder { demand, group: BoxGroup::empty(host), missing: Vec::new() };
    match builder.build(host, &id.to_string()) {
        Ok(()) => Ok(builder.group),
        Err(error) => {
            builder.undo();
            let error = error.advise(host.refusal());
            let walls = if error.wall().is_some() { missing_walls(host, id, demand) } else { Vec::new() };
            Err(if walls.len() > 1 { CgroupError::Several { walls, first: Box::new(error) } } else { error })
        }
    }
}

/// The walls that must stand and cannot be built here, so that the user learns of all of them at once.
fn missing_walls(host: &Host, id: &BoxId, demand: &Demand) -> Vec<Wall> {
    let lenient = Demand { allow_degraded: walls::GUARDED.into(), ..demand.clone() };
    let mut builder = Builder { demand: &lenient, group: BoxGroup::empty(host), missing: Vec::new() };
    let built = builder.build(host, &id.to_string());
    builder.undo();
    let degraded = builder.group.walls.iter().filter(|report| report.state == WallState::Degraded);
    let missing = degraded.map(|report| report.wall).filter(|wall| !demand.allow_degraded.contains(wall));
    if built.is_ok() { missing.collect() } else { Vec::new() }
}

/// Whether the groups of such a box could be made, each wall enforced. Looks, and makes none.
pub(crate) fn look(host: &Host, demand: &Demand) -> Result<(), CgroupError> {
    let needs: Vec<Need> = needs(host, demand).into_iter().map(|need| Need { optional: false, ..need }).collect();
    for hierarchy in in_order_of(&needs, host) {
        let here: Vec<Need> = needs.iter().copied().filter(|need| hierarchy.has(need.controller)).collect();
        place::look(host.kernel, hierarchy, &here)?;
    }
    Ok(())
}

struct Builder<'a> {
    demand: &'a Demand,
    group: BoxGroup,
    /// What could not be built, and why; only optional needs.
    missing: Vec<(Need, String)>,
}

impl Builder<'_> {
    fn build(&mut self, host: &Host, name: &str) -> Result<(), CgroupError> {
        let needs = self.present(host, needs(host, self.demand))?;
        for hierarchy in in_order_of(&needs, host) {
            let mut here: Vec<Need> = needs.iter().copied().filter(|need| hierarchy.has(need.controller)).collect();
            here.sort_by_key(|need| need.optional);
            self.place(hierarchy, name, &here)?;
        }
        for wall in walls::GUARDED {
            let report = self.raise(wall)?;
            self.group.walls.push(report);
        }
        if self.demand.workers {
            self.divide()?;
        }
        self.group.gauges = Gauges::open(&self.group.parts);
        Ok(())
    }

    /// The needs whose controller is mounted somewhere.
    fn present(&mut self, host: &Host, needs: Vec<Need>) -> Result<Vec<Need>, CgroupError> {
        let (present, absent): (Vec<_>, Vec<_>) =
            needs.into_iter().partition(|need| host.hierarchy_of(need.controller).is_some());
        for need in absent {
            self.miss(need, CgroupError::ControllerMissing { wall: need.wall, controller: need.controller })?;
        }
        Ok(present)
    }

    fn place(&mut self, hierarchy: &Hierarchy, name: &str, needs: &[Need]) -> Result<(), CgroupError> {
        let Placed { path, missing } = match place::make(self.group.kernel, hierarchy, name, needs) {
            Ok(placed) => placed,
            // Somebody else's group is no weakness of this host.
            Err(error) if !matches!(error, CgroupError::Exists { .. }) && needs.iter().all(|need| need.optional) => {
                self.miss_all(needs, error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for need in needs.iter().filter(|need| missing.iter().all(|(other, _)| other != *need)) {
            *self.group.parts.of(need.controller) = Some(Part { path: path.clone(), unified: hierarchy.unified });
        }
        if hierarchy.unified {
            // CPU time is counted in every unified group, whatever its controllers.
            self.group.parts.cpuacct = Some(Part { path: path.clone(), unified: true });
        }
        self.group.directories.push(Directory::new(hierarchy, path));
        self.missing.extend(missing.iter().map(|(need, error)| (*need, error.with_cause())));
        Ok(())
    }

    /// Sets the limits of one wall and says what stands of it.
    fn raise(&self, wall: Wall) -> Result<WallReport, CgroupError> {
        if !walls::is_wanted(wall, self.demand) {
            return Ok(self.with_counter_note(wall, walls::off(wall)));
        }
        if let Some((_, reason)) = self.missing.iter().find(|(need, _)| need.wall == wall && !need.is_counter()) {
            return Ok(walls::degraded(wall, reason));
        }
        match limits::apply(&self.group, wall, self.demand) {
            Ok(report) => Ok(self.with_counter_note(wall, report)),
            Err(error) if self.demand.allow_degraded.contains(&wall) => Ok(walls::degraded(wall, &error.with_cause())),
            Err(error) => Err(error),
        }
    }

    /// No wall depends on counting CPU time, but the idle timeout does: its absence must be told.
    fn with_counter_note(&self, wall: Wall, report: WallReport) -> WallReport {
        match self.missing.iter().find(|(need, _)| need.wall == wall && need.is_counter()) {
            Some((_, reason)) => {
                let reason = reason.strip_prefix("cannot build the wall `cpu`: ").unwrap_or(reason);
                report.with_note(format!("CPU time is not counted: {reason}"))
            }
            None => report,
        }
    }

    /// v2: groups with groups below them hold no processes, so those of the box itself go into a leaf.
    fn divide(&mut self) -> Result<(), CgroupError> {
        let parts = &self.group.parts;
        let Some(memory) = parts.memory.as_ref().filter(|memory| memory.unified) else { return Ok(()) };
        let wanted = [(Wall::Memory, "memory", Some(memory)), (Wall::Pids, "pids", parts.pids.as_ref())];
        let wanted: Vec<_> = wanted.into_iter().filter(|(.., part)| part.is_some_and(|part| part.unified)).collect();
        let controllers: Vec<&'static str> = wanted.iter().map(|(_, controller, _)| *controller).collect();
        delegation::enable(self.group.kernel, &memory.path, &controllers);
        let missing = delegation::not_enabled(&memory.path, &controllers);
        if let Some((wall, controller, _)) = wanted.iter().find(|(_, controller, _)| missing.contains(controller)) {
            let path = memory.path.join("cgroup.subtree_control");
            return Err(CgroupError::NotEnabled { wall: *wall, controller, path, remedy: None });
        }
        let leaf = memory.path.join(LEAF);
        (self.group.kernel.mkdir)(&leaf).map_err(|source| CgroupError::Create {
            wall: Wall::Memory,
            path: leaf.clone(),
            source,
        })?;
        let divided = memory.path.clone();
        for directory in self.group.directories.iter_mut().filter(|directory| directory.path == divided) {
            directory.leaf = Some(LEAF);
        }
        Ok(())
    }

    fn miss(&mut self, need: Need, error: CgroupError) -> Result<(), CgroupError> {
        if !need.optional {
            return Err(error);
        }
        self.missing.push((need, error.with_cause()));
        Ok(())
    }

    fn miss_all(&mut self, needs: &[Need], mut error: CgroupError) {
        for need in needs {
            error.blame(need.wall);
            self.missing.push((*need, error.with_cause()));
        }
    }

    fn undo(&self) {
        for directory in self.group.directories.iter().rev() {
            if let Some(leaf) = directory.leaf {
                let _ = (self.group.kernel.rmdir)(&directory.path.join(leaf));
            }
            // Nothing ever ran in it; should even this fail, `gc` finds it by its name.
            let _ = (self.group.kernel.rmdir)(&directory.path);
        }
    }
}

/// The hierarchies that fulfil the needs, so that the most important wall is the first to be missed.
fn in_order_of<'a>(needs: &[Need], host: &'a Host) -> Vec<&'a Hierarchy> {
    let mut hierarchies: Vec<&Hierarchy> = Vec::new();
    for hierarchy in needs.iter().filter_map(|need| host.hierarchy_of(need.controller)) {
        if !hierarchies.contains(&hierarchy) {
            hierarchies.push(hierarchy);
        }
    }
    hierarchies
}

/// What a box needs on this host. CPU time is counted by a v1 hierarchy of its own, but no wall depends on it.
fn needs(host: &Host, demand: &Demand) -> Vec<Need> {
    let need = |wall, controller| Need { wall, controller, optional: demand.allow_degraded.contains(&wall) };
    let io = if host.hierarchy_of("blkio").is_some() { "blkio" } else { "io" };
    let mut needs = vec![need(Wall::Memory, "memory"), need(Wall::Pids, "pids")];
    if demand.cpus.is_some() {
        needs.push(need(Wall::Cpu, "cpu"));
    }
    if demand.io.is_some() {
        needs.push(need(Wall::Io, io));
    }
    if host.hierarchy_of(place::COUNTER).is_some() {
        needs.push(Need { wall: Wall::Cpu, controller: place::COUNTER, optional: true });
    }
    needs
}

#[cfg(test)]
mod tests;
