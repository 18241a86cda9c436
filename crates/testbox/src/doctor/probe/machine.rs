//! The memory of the machine, and what a default run would take of it.

use testbox_config::Layer;
use testbox_model::{Bytes, Fault};

use super::super::finding::{Finding, State};
use crate::plan;

/// Memory in all and available, and the limit of a default run in this folder.
pub(super) fn probe() -> Vec<Finding> {
    let machine = match plan::cgroups().and_then(|cgroups| plan::machine(&cgroups)) {
        Ok(machine) => machine,
        Err(fault) => return vec![Finding::failed("machine", State::Missing, &fault)],
    };
    let text = format!(
        "{} of memory available of {}, {} CPUs",
        Bytes(machine.memory_available_bytes),
        Bytes(machine.memory_total_bytes),
        machine.cpus
    );
    let mut findings = vec![Finding::note("machine", text)];
    findings.extend(limit().ok().map(|text| Finding::note("default limit", text)));
    findings
}

/// `None` where this folder is no project, which another probe tells.
fn limit() -> Result<String, Box<Fault>> {
    let plan = plan::resolve(&["/bin/true".into()], Layer::default())?;
    let memory = plan.limits.memory_bytes;
    Ok(format!("{} of memory ({})", memory.value, memory.origin))
}
