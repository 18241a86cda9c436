//! The view of a project: a box writes into it, and nothing may arrive on the host.

use testbox_model::ProjectCopy;

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
        "written" => match (said.copy, said.by_fuse) {
            (Some(copy), _) => copied(&copy),
            (None, Some(because)) => by_fuse(because),
            (None, None) => {
                Finding::ok(SUBJECT, "a box wrote into its view of a project, and the project is unchanged")
            }
        },
        other => Finding::missing(SUBJECT, format!("a box cannot write into its view of a project: `{other}`")),
    }
}

/// No wall is missing either: it only takes its time.
fn by_fuse(because: String) -> Finding {
    let text = "boxes see their project by fuse-overlayfs; a box wrote into it, and the project is unchanged";
    Finding::absent(SUBJECT, text).because([because])
}

/// No wall is missing where boxes get a copy: it only takes its room and its time.
fn copied(copy: &ProjectCopy) -> Finding {
    Finding::absent(SUBJECT, "boxes get a copy of their project; a box wrote into it, and the project is unchanged")
        .because([copy.because.clone()])
        .fix("the copy takes scratch space: if a project does not fit, give it room with `--tmp-size SIZE`")
}
