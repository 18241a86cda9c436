//! What a person should know about a plan before it runs: walls opened by the project's own file, and outputs that no
//! one will see.

use testbox_model::{EnvRule, Net, Origin, RunPlan};

use crate::element::lost_outputs;

/// One sentence each, without a full stop; for the header of a run.
pub fn notes(plan: &RunPlan) -> Vec<String> {
    let mut notes = opened_by_project(plan);
    for (option, path) in lost_outputs(&plan.command, &plan.project, &plan.cwd) {
        notes.push(format!(
            "`{option}` writes `{}`, which is outside the project and is lost with the box; name a path inside it",
            path.display()
        ));
    }
    notes
}

/// A project file may open walls, but never silently: a cloned project brings its own.
fn opened_by_project(plan: &RunPlan) -> Vec<String> {
    let view = &plan.view;
    let opened = [
        ("policy", &plan.policy.origin, plan.policy.value != "strict"),
        ("write", &view.write.origin, view.write.value),
        ("ro", &view.ro.origin, true),
        ("rw", &view.rw.origin, true),
        ("env", &plan.env.origin, passes_more(plan)),
        ("net", &plan.net.origin, plan.net.value == Net::Host),
        ("seccomp", &plan.seccomp.origin, true),
        ("allow-degraded", &plan.allow_degraded.origin, true),
    ];
    let note = |(key, origin, open): &(&str, &Origin, bool)| {
        let place = project_file(origin).filter(|_| *open)?;
        Some(format!("`{key}` of {place} opens the box wider than the default policy"))
    };
    opened.iter().filter_map(note).collect()
}

/// A variable of the host passes that the default policy keeps out.
fn passes_more(plan: &RunPlan) -> bool {
    let default = crate::defaults().ok().and_then(|layer| layer.text("env")).unwrap_or_default();
    let more = |rule: &EnvRule| matches!(rule, EnvRule::Pass(name) if default.split(' ').all(|known| known != name));
    plan.env.value.iter().any(more)
}

fn project_file(origin: &Origin) -> Option<String> {
    match origin {
        Origin::ProjectFile { .. } => Some(origin.to_string()),
        Origin::Joined(origins) => origins.iter().find_map(project_file),
        _ => None,
    }
}
