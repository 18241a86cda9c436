//! `testbox doctor`: what this host can enforce. Every wall is probed by building it; switches of the kernel only
//! explain what failed. Nothing is written into the project.

mod finding;
mod fix;
mod ground;
mod leftovers;
mod probe;
mod report;
mod trial;

use std::io::IsTerminal;

use testbox_sandbox::seal;

use crate::cli::DoctorArgs;
use crate::fault::{self, OrFault, Outcome};
use crate::{plan, print};
use finding::Finding;
use ground::Ground;

/// Probes every wall, and prints the findings; 0 only if a default run would be fully enforced.
pub(crate) fn doctor(args: &DoctorArgs) -> Outcome {
    seal::ensure().or_fault()?;
    plan::refuse_nesting()?;
    let findings = examine()?;
    print::text(&text(args, &findings)?)?;
    if !args.fix {
        return Ok(u8::from(!finding::fully_enforced(&findings)));
    }
    let commands = fix::commands(&findings);
    print::text(&fix::text(&commands))?;
    if !args.yes || commands.is_empty() {
        return Ok(u8::from(!finding::fully_enforced(&findings)));
    }
    fix::run(&commands)?;
    let findings = examine()?;
    print::text(&format!("\nafter these commands:\n{}", text(args, &findings)?))?;
    Ok(u8::from(!finding::fully_enforced(&findings)))
}

/// Probes every wall.
fn examine() -> Result<Vec<Finding>, Box<testbox_model::Fault>> {
    let mut ground = Ground::prepare()?;
    let mut findings: Vec<Finding> = Vec::new();
    for probe in probe::ALL {
        findings.extend(probe(&mut ground));
        if let Some(fault) = ground.interrupted.take() {
            return Err(fault);
        }
    }
    Ok(findings)
}

fn text(args: &DoctorArgs, findings: &[Finding]) -> Result<String, Box<testbox_model::Fault>> {
    if args.json {
        return report::json(findings).map_err(|error| fault::of(&error, None));
    }
    let color = print::color_allowed(true, std::io::stdout().is_terminal());
    Ok(report::lines(findings, color))
}
