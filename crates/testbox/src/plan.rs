//! From typed flags to the plan, on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use testbox_cgroup::Host;
use testbox_config::{INSIDE_VARIABLE, Layer, Machine, Request};
use testbox_model::{Fault, RunPlan};

use crate::fault::{self, OrFault};

/// Resolves the plan of a command.
pub(crate) fn resolve(command: &[OsString], flags: Layer) -> Result<RunPlan, Box<Fault>> {
    resolve_in(&cgroups()?, command, flags)
}

/// As [`resolve`], with the groups that limit testbox known.
pub(crate) fn resolve_in(cgroups: &Host, command: &[OsString], flags: Layer) -> Result<RunPlan, Box<Fault>> {
    refuse_nesting()?;
    let cwd = std::env::current_dir().map_err(|error| {
        let hint = "it was deleted or may not be searched: `cd` to the project again";
        fault::of(&CurrentFolder(error), Some(hint.into()))
    })?;
    let request = Request {
        command: command.to_vec(),
        flags,
        cwd,
        environment: std::env::vars_os().collect(),
        machine: machine(cgroups)?,
        home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
    };
    testbox_config::resolve(&request).or_fault()
}

/// The groups around testbox, as they are now.
pub(crate) fn cgroups() -> Result<Host, Box<Fault>> {
    Host::detect(Path::new("/")).or_fault()
}

/// What this machine has, as far as the groups around testbox let it through.
pub(crate) fn machine(cgroups: &Host) -> Result<Machine, Box<Fault>> {
    let enclosing = cgroups.enclosing();
    Machine::read(cgroups.root(), enclosing.memory_bytes, enclosing.cpus).or_fault()
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read the path of the current folder")]
struct CurrentFolder(#[source] std::io::Error);

/// A box has no namespaces to give away: a second testbox inside could enforce nothing.
pub(crate) fn refuse_nesting() -> Result<(), Box<Fault>> {
    match std::env::var_os(INSIDE_VARIABLE) {
        None => Ok(()),
        Some(value) => Err(fault::plain(
            format!("testbox does not run inside a box ({INSIDE_VARIABLE}={} is set)", value.to_string_lossy()),
            format!("run the command itself: it is contained already; outside of a box, `unset {INSIDE_VARIABLE}`"),
        )),
    }
}
