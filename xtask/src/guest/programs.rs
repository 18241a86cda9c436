//! The tests that look at a whole host, as the guest runs them: built here, each one file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::program::cargo;
use crate::workspace::Workspace;

/// One line of what cargo says of a build.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    target: Target,
    #[serde(default)]
    manifest_path: PathBuf,
    executable: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The packages whose integration tests are such tests.
const PACKAGES: [&str; 3] = ["testbox-tests", "testbox-cgroup", "testbox-supervisor"];

/// The test programs by name, built if they are not up to date: `verdicts` of the black-box tests, `cgroup-real` of a
/// crate.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<(String, PathBuf)>, Error> {
    let program = cargo()
        .args(["test", "--quiet", "--locked", "--test", "*", "--no-run", "--message-format=json"])
        .args(PACKAGES.iter().flat_map(|package| ["--package", package]))
        .dir(&workspace.root);
    let what = program.shown();
    let mut tests = vec![];
    for line in program.stdout()?.lines() {
        let Message { target, manifest_path, executable } =
            serde_json::from_str(line).map_err(|source| Error::Json { what: what.clone(), source })?;
        if let Some(executable) = executable.filter(|_| target.kind == ["test"]) {
            tests.push((name(&manifest_path, &target.name), executable));
        }
    }
    Ok(tests)
}

fn name(manifest: &Path, target: &str) -> String {
    let folder = manifest.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    match folder.strip_prefix("testbox-") {
        Some(crate_name) => format!("{crate_name}-{target}"),
        None => target.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_of_a_crate_carries_its_name() {
        assert_eq!(name(Path::new("/x/tests/Cargo.toml"), "verdicts"), "verdicts");
        assert_eq!(name(Path::new("/x/crates/testbox-cgroup/Cargo.toml"), "real"), "cgroup-real");
    }
}
