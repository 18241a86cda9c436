//! What a person should know about a plan before it runs: walls opened by the project's own file, and outputs that no
//! one will see.

use testbox_model::{EnvRule, Net, Origin, RunPlan};

use crate::element::{lost_outputs, meets};

/// One sentence each, without a full stop; for the header of a run.
pub fn notes(plan: &RunPlan) -> Vec<String> {
    let mut notes = opened_by_project(plan);
    for (option, path) in lost_outputs(&plan.command, &plan.project, &plan.cwd) {
        notes.push(format!(
            "`{option}` writes `{}`, which is outside the project and is lost with the box; name a path inside it",
            path.display()
        ));
    }
    notes.extend(unserved(plan));
    notes
}

/// The settings of pytest's tests that somebody gave, where nothing heeds them and `why`; `None` where there are none.
pub fn unheeded(plan: &RunPlan, why: &str) -> Option<String> {
    let testing = &plan.testing;
    let given = [
        ("isolate", &testing.isolate.origin),
        ("jobs", &testing.jobs.origin),
        ("test-memory", &testing.test_memory.origin),
        ("file-memory", &testing.file_memory.origin),
        ("collect-timeout", &testing.collect_timeout.origin),
        ("test-timeout", &testing.test_timeout.origin),
        ("teardown-timeout", &testing.teardown_timeout.origin),
        ("max-kills", &testing.max_kills.origin),
        ("retry-killed", &testing.retry_killed.origin),
        ("memories", &testing.memories.origin),
        ("quota", &testing.quotas.origin),
    ];
    let given = given.into_iter().filter(|(_, origin)| is_given(origin));
    let keys: Vec<String> = given.map(|(key, origin)| format!("`{key}` ({})", first(origin))).collect();
    let have = if keys.len() == 1 { "has" } else { "have" };
    (!keys.is_empty()).then(|| format!("{} {have} no effect: {why}", keys.join(", ")))
}

/// `testbox.toml:3 and 7 more`.
fn first(origin: &Origin) -> String {
    match origin {
        Origin::Joined(origins) => {
            let first = origins.first().map(ToString::to_string).unwrap_or_default();
            format!("{first} and {} more", origins.len().saturating_sub(1))
        }
        origin => origin.to_string(),
    }
}

/// Somebody gave it, rather than a policy or the machine.
fn is_given(origin: &Origin) -> bool {
    match origin {
        Origin::Flag(_) | Origin::Environment(_) | Origin::ProjectFile { .. } => true,
        Origin::Joined(origins) => origins.iter().any(is_given),
        Origin::Policy(_) | Origin::Machine(_) | Origin::Command(_) | Origin::Implied(_) => false,
    }
}

/// Values that a stronger `isolate` leaves without a worker that they could be for.
fn unserved(plan: &RunPlan) -> Vec<String> {
    let testing = &plan.testing;
    let isolate = &testing.isolate;
    let wanted = [
        ("test-memory", testing.test_memory.value.is_some(), &testing.test_memory.origin),
        ("file-memory", testing.file_memory.value.is_some(), &testing.file_memory.origin),
        ("jobs", testing.jobs.value > 1, &testing.jobs.origin),
        ("test-timeout", testing.test_timeout.value.is_some(), &testing.test_timeout.origin),
        ("teardown-timeout", testing.teardown_timeout.value.is_some(), &testing.teardown_timeout.origin),
        ("retry-killed", testing.retry_killed.value > 0, &testing.retry_killed.origin),
        ("quota", !testing.quotas.value.is_empty(), &testing.quotas.origin),
    ];
    let divisions =
        || std::iter::once(isolate.value).chain(testing.quotas.value.iter().filter_map(|quota| quota.isolate));
    let unserved = wanted.into_iter().filter(|(key, given, _)| *given && !divisions().any(|one| meets(key, one)));
    let note = |(key, _, origin): (&str, bool, &Origin)| {
        let origin = first(origin);
        format!("`{key}` ({origin}) has no effect with `isolate = {}` ({})", isolate.value, isolate.origin)
    };
    unserved.map(note).collect()
}

/// A project file may open walls, but never silently: a cloned project brings its own.
fn opened_by_project(plan: &RunPlan) -> Vec<String> {
    let view = &plan.view;
    let opened = [
        ("policy", &plan.policy.origin, (|plan| plan.policy.value != "strict") as fn(&RunPlan) -> bool),
        ("write", &view.write.origin, |plan| plan.view.write.value),
        ("ro", &view.ro.origin, |_| true),
        ("rw", &view.rw.origin, |_| true),
        ("env", &plan.env.origin, passes_more),
        ("net", &plan.net.origin, |plan| plan.net.value == Net::Host),
        ("seccomp", &plan.seccomp.origin, |_| true),
        ("allow-degraded", &plan.allow_degraded.origin, |_| true),
    ];
    let note = |(key, origin, opens): &(&str, &Origin, fn(&RunPlan) -> bool)| {
        let place = project_file(origin).filter(|_| opens(plan))?;
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
