//! The guard of the architecture: which crate may depend on which, who may see libcontainer and clap, where unsafe may be.

use crate::error::Error;
use crate::stats::source::{self, Source};
use crate::test::part::{Context, Outcome};
use crate::workspace::Package;

/// Each package of the workspace with the packages of the workspace that it may depend on.
const ARROWS: [(&str, &[&str]); 12] = [
    ("testbox-model", &[]),
    ("testbox-config", &["testbox-model"]),
    ("testbox-pytest", &["testbox-model"]),
    ("testbox-bundle", &["testbox-pytest", "testbox-model"]),
    ("testbox-cgroup", &["testbox-model"]),
    ("testbox-sandbox", &["testbox-bundle", "testbox-cgroup", "testbox-model"]),
    ("testbox-supervisor", &["testbox-cgroup", "testbox-pytest", "testbox-model"]),
    ("testbox-report", &["testbox-model"]),
    (
        "testbox",
        &[
            "testbox-model",
            "testbox-config",
            "testbox-pytest",
            "testbox-bundle",
            "testbox-cgroup",
            "testbox-sandbox",
            "testbox-supervisor",
            "testbox-report",
        ],
    ),
    ("testbox-tests", &["testbox-model"]),
    ("testbox-fuzz", &["testbox-config", "testbox-model", "testbox-pytest", "testbox-report"]),
    ("xtask", &[]),
];

/// Packages from elsewhere that only some of ours may see.
const RESERVED: [(&str, &[&str]); 7] = [
    ("libcontainer", &["testbox-sandbox"]),
    ("libcgroups", &[]),
    ("clap", &["testbox", "xtask"]),
    ("seccompiler", &["testbox-bundle", "testbox-sandbox"]),
    ("tar", &["xtask"]),
    ("zbus", &["testbox-cgroup"]),
    ("syn", &["xtask"]),
];

/// The one file with unsafe code.
const UNSAFE_HOME: &str = "crates/testbox-sandbox/src/sys.rs";

/// Checks all three rules.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    let metadata = context.workspace.metadata()?;
    let mut complaints: Vec<String> = metadata.members().flat_map(complaints_about).collect();
    let sources = source::all(context.workspace)?;
    complaints.extend(sources.iter().filter_map(unsafe_elsewhere));
    Ok(Outcome::complaints(&complaints))
}

fn complaints_about(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let Some((_, allowed)) = ARROWS.iter().find(|(member, _)| *member == name) else {
        return vec![format!("{name} is not in the table of arrows (xtask/src/test/arrows.rs)")];
    };
    let mut complaints = vec![];
    for dependency in &package.dependencies {
        let wanted = dependency.name.as_str();
        let ours = ARROWS.iter().any(|(member, _)| *member == wanted);
        if ours && !allowed.contains(&wanted) {
            complaints.push(format!("{name} -> {wanted} is no allowed arrow{}", kind(dependency.kind.as_deref())));
        }
        let reserved = RESERVED.iter().find(|(package, _)| *package == wanted);
        if let Some((_, users)) = reserved.filter(|(_, users)| !users.contains(&name)) {
            complaints.push(format!(
                "{name} -> {wanted}: only {} may",
                if users.is_empty() { "nobody".to_owned() } else { users.join(", ") }
            ));
        }
    }
    complaints
}

fn kind(kind: Option<&str>) -> String {
    kind.map(|kind| format!(" ({kind} dependency)")).unwrap_or_default()
}

fn unsafe_elsewhere(source: &Source) -> Option<String> {
    let line = source.unsafe_lines.first().filter(|_| source.path != UNSAFE_HOME)?;
    Some(format!("{}:{line}: unsafe code belongs into {UNSAFE_HOME}", source.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(json: &str) -> Package {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_forbidden_arrow_is_named_whatever_its_kind() {
        let report = package(
            r#"{"id": "", "name": "testbox-report", "manifest_path": "", "dependencies": [
                {"name": "testbox-model", "kind": null}, {"name": "testbox-sandbox", "kind": "dev"},
                {"name": "libcontainer", "kind": null}, {"name": "serde", "kind": null}]}"#,
        );
        assert_eq!(
            complaints_about(&report),
            [
                "testbox-report -> testbox-sandbox is no allowed arrow (dev dependency)",
                "testbox-report -> libcontainer: only testbox-sandbox may"
            ]
        );
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        let new = package(r#"{"id": "", "name": "testbox-new", "manifest_path": "", "dependencies": []}"#);
        assert!(complaints_about(&new)[0].contains("testbox-new is not in the table"));
    }
}
