//! `testbox.json`, as far as the demo reads it.

use std::path::Path;

use serde::Deserialize;

/// The report of one run.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) box_id: String,
    pub(crate) verdict: String,
    pub(crate) summary: String,
    pub(crate) exit_code: i32,
    pub(crate) left_behind: Vec<serde_json::Value>,
    pub(crate) tests: Vec<Test>,
}

/// The row of a test.
#[derive(Debug, Deserialize)]
pub(crate) struct Test {
    pub(crate) verdict: String,
}

impl Report {
    /// The report of the project's last run; `None` if there is none that can be read.
    pub(crate) fn read(project: &Path) -> Option<Self> {
        let text = fs_err::read_to_string(project.join(".testbox/last/testbox.json")).ok()?;
        serde_json::from_str(&text).ok()
    }
}
