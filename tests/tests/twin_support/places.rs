//! Where `cargo xtask setup` has put things: the file that `TESTBOX_TEST_TWINS` names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// Environment and sources of the projects.
#[derive(Debug, Deserialize)]
pub(crate) struct Places {
    /// The one environment of all projects.
    pub(crate) twin_venv: PathBuf,
    /// The unpacked sources of each project, by name.
    pub(crate) twins: BTreeMap<String, PathBuf>,
}

impl Places {
    /// Reads the file.
    pub(crate) fn read() -> Self {
        let path = std::env::var_os("TESTBOX_TEST_TWINS").expect("TESTBOX_TEST_TWINS");
        let text = fs_err::read_to_string(&path).expect("the file of `cargo xtask setup`");
        serde_json::from_str(&text).expect("the file of `cargo xtask setup` as JSON")
    }
}
