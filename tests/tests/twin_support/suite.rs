//! A suite: whose tests are run twice, where they are, and what may differ.

use std::path::PathBuf;

use super::list::{Exception, List, Project};
use super::places::Places;

/// A suite that is run twice.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) sources: PathBuf,
    /// The environment that has its pytest.
    pub(crate) venv: PathBuf,
    /// Arguments of pytest.
    pub(crate) arguments: Vec<String>,
    /// What may come out differently in a box.
    pub(crate) differs: Vec<Exception>,
    /// What it leaves on the host without a box.
    pub(crate) leaves: Vec<PathBuf>,
}

impl Suite {
    /// A real project of the list.
    pub(crate) fn of(project: Project) -> Self {
        let places = Places::read();
        let mut arguments = common();
        arguments.extend(project.args);
        arguments.extend(project.deselect.into_iter().flat_map(|exception| ["--deselect".to_owned(), exception.id]));
        Self {
            sources: places.twins.get(&project.name).expect("its sources").clone(),
            name: project.name,
            venv: places.twin_venv,
            arguments,
            differs: project.differs,
            leaves: project.leaves,
        }
    }

    /// The project of everyday things that belongs to this repository.
    pub(crate) fn everyday() -> Self {
        Self {
            name: "everyday".to_owned(),
            sources: testbox_tests::checked_in("tests/twin/everyday"),
            venv: std::env::var_os("TESTBOX_TEST_VENV").expect("TESTBOX_TEST_VENV").into(),
            arguments: common(),
            differs: List::read().everyday.differs,
            leaves: Vec::new(),
        }
    }
}

fn common() -> Vec<String> {
    ["-q", "-p", "twin_outcomes"].map(str::to_owned).to_vec()
}
