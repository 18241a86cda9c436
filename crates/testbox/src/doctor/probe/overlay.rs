//! The view of a project: a box writes into it, and nothing may arrive on the host.

use super::super::finding::{Finding, State};
use super::super::ground::Ground;
use super::super::trial::Trial;

const SUBJECT: &str = "overlay";
const FILE: &str = "written-in-the-box";

/// Whether a box can write to its view of a project without changing the project.
pub(super) fn probe(ground: &mut Ground) -> Finding {
    if ground.readback.is_none() {
        return Finding::unknown(SUBJECT);
    }
    let script = format!("echo written > {FILE} && cat {FILE}");
    let said = match Trial::of(&["/bin/sh", "-c", &script]).run(ground) {
        Ok(said) => said,
        Err(fault) => return Finding::failed(SUBJECT, State::Missing, &fault),
    };
    if ground.project.path().join(FILE).exists() {
        return Finding::missing(SUBJECT, "what a box wrote into its view arrived in the project");
    }
    match said.output.as_str() {
        "written" => Finding::ok(SUBJECT, "a box wrote into its view of a project, and the project is unchanged"),
        other => Finding::missing(SUBJECT, format!("a box cannot write into its view of a project: `{other}`")),
    }
}
