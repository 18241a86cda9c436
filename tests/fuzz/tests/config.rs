//! Project files: an error names the file and the line, or there is a plan in which everything has an origin.

#![expect(clippy::unwrap_used, reason = "checks fail by panicking")]

use std::path::Path;

use fs_err as fs;
use testbox_config::{ConfigError, Layer, Machine, Request, describe, notes, resolve};
use testbox_fuzz::{lines, run};

fn request(project: &Path) -> Request {
    Request {
        command: vec!["pytest".into()],
        flags: Layer::default(),
        cwd: project.to_owned(),
        environment: Vec::new(),
        machine: Machine::SAMPLE,
        home: None,
    }
}

fn check(text: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let project = fs::canonicalize(folder.path()).unwrap();
    fs::write(project.join("testbox.toml"), text).unwrap();
    match resolve(&request(&project)) {
        Err(error) => named(&error, &project),
        Ok(plan) => {
            let described = describe(&plan);
            assert!(described.contains("isolate ") && described.ends_with(")\n"), "{described}");
            notes(&plan);
            assert!(plan.testing.jobs.value >= 1 && plan.testing.max_kills.value >= 1);
            for quota in &plan.testing.quotas.value {
                assert!(quota.memory_bytes.is_none_or(|memory| memory <= plan.limits.memory_bytes.value), "{quota:?}");
            }
        }
    }
}

/// A mistake in a file is told with the file; most have a line, and none is longer than a person reads.
fn named(error: &ConfigError, project: &Path) {
    let message = error.to_string();
    let file = project.join("testbox.toml").display().to_string();
    assert!(message.contains("testbox.toml") || message.contains(&*project.to_string_lossy()), "{message}");
    if let ConfigError::UnknownKey { line, .. } | ConfigError::Toml { line, .. } = error {
        assert!(*line >= 1 && message.starts_with(&format!("{file}:{line}: ")), "{message}");
    }
}

#[test]
fn config() {
    run("config", lines, check);
}
