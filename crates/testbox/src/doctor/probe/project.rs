//! The project that the doctor was started in: `/bin/true` in the box of a default run.

use std::path::Path;

use super::super::finding::{Finding, State};
use super::super::ground::Ground;
use super::super::trial::Trial;
use crate::plan;

const SUBJECT: &str = "project";

/// Whether a default run in this project, with its settings, gets its box. Nothing is written into it.
pub(super) fn probe(ground: &mut Ground) -> Finding {
    let plan = match plan::resolve(&["/bin/true".into()], testbox_config::Layer::default()) {
        Ok(plan) => plan,
        Err(fault) => return Finding::failed(SUBJECT, State::Note, &fault),
    };
    if ground.readback.is_none() {
        return Finding::unknown(SUBJECT);
    }
    match (Trial { own_project: true, ..Trial::of(&["/bin/true"]) }).run(ground) {
        Ok(said) => Finding::ok(SUBJECT, format!("`/bin/true` ran in a box of {}", shown(&plan.project)))
            .because(said.copy.map(|copy| format!("the box got {}", copy.told()))),
        Err(fault) => Finding::failed(SUBJECT, State::Missing, &fault)
            .because([format!("the project is {}", shown(&plan.project))]),
    }
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.to_string_lossy().escape_debug())
}
