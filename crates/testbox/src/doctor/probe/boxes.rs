//! The whole box: `/bin/true` in a temporary project, and what was read back of its set-up.

use testbox_model::{PayloadEnd, Readback};

use super::super::finding::{Finding, State};
use super::super::ground::Ground;
use super::super::trial::{Said, Trial};
use super::switches;

const NAMESPACES: &str = "namespaces";
const WEAKER: &str = "accept a weaker box with `--allow-degraded namespaces`";

/// Whether a box with its namespaces stands; the others of this file ask for what it read back.
pub(super) fn namespaces(ground: &mut Ground) -> Finding {
    let said = match Trial::of(&["/bin/true"]).run(ground) {
        Ok(said) => said,
        Err(fault) => return weaker(ground, switches::explain(Finding::failed(NAMESPACES, State::Missing, &fault))),
    };
    match (said.readback, said.payload) {
        (Some(readback), PayloadEnd::Exited { code: 0 }) => {
            let text = format!(
                "a box stands, with user, pid, mount, net, ipc, uts and cgroup namespaces; it runs as {}:{}",
                readback.uid, readback.gid
            );
            ground.readback = Some(readback);
            Finding::ok(NAMESPACES, text)
        }
        (_, payload) => Finding::missing(NAMESPACES, format!("`/bin/true` in a box ended as {payload:?}")),
    }
}

/// The finding with the weaker way, if a box can be built so: what a run names is what a run can do.
fn weaker(ground: &mut Ground, finding: Finding) -> Finding {
    match (Trial { may_fence: true, ..Trial::of(&["/bin/true"]) }).run(ground) {
        Ok(Said { payload: PayloadEnd::Exited { code: 0 }, .. }) => finding.or_weaker(WEAKER),
        // What hinders a box may have nothing to do with its namespaces, and then hinders this one as well.
        Ok(_) | Err(_) => finding,
    }
}

/// Whether all capabilities are gone.
pub(super) fn capabilities(ground: &mut Ground) -> Finding {
    of_readback(ground, "capabilities", |readback| {
        (readback.capabilities == 0 && readback.no_new_privs, "all five sets empty, no_new_privs; read back".to_owned())
    })
}

/// Whether the filters of system calls are in force.
pub(super) fn seccomp(ground: &mut Ground) -> Finding {
    of_readback(ground, "seccomp", |readback| {
        (readback.seccomp_mode == 2, format!("filters in force: {}; read back", readback.seccomp_filters))
    })
}

fn of_readback(ground: &Ground, subject: &'static str, judge: fn(&Readback) -> (bool, String)) -> Finding {
    let Some(readback) = &ground.readback else { return Finding::unknown(subject) };
    match judge(readback) {
        (true, text) => Finding::ok(subject, text),
        (false, _) => Finding::missing(subject, format!("read back as {readback:?}")),
    }
}
