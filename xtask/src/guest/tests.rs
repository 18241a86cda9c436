//! The black-box tests as the guest runs them: built here, each one file.

use std::path::PathBuf;

use serde::Deserialize;

use crate::error::Error;
use crate::program::cargo;
use crate::workspace::Workspace;

/// One line of what cargo says of a build.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The test programs by name, built if they are not up to date.
pub(crate) fn build(workspace: &Workspace) -> Result<Vec<(String, PathBuf)>, Error> {
    let program = cargo()
        .args(["test", "--quiet", "--locked", "--package", "testbox-tests", "--no-run", "--message-format=json"])
        .dir(&workspace.root);
    let what = program.shown();
    let mut tests = vec![];
    for line in program.stdout()?.lines() {
        let Message { target, executable } =
            serde_json::from_str(line).map_err(|source| Error::Json { what: what.clone(), source })?;
        if let Some(executable) = executable.filter(|_| target.kind == ["test"]) {
            tests.push((target.name, executable));
        }
    }
    Ok(tests)
}
