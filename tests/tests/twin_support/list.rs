//! tests/twin/projects.toml, as far as these tests read it.

use std::path::PathBuf;

use serde::Deserialize;

/// The projects.
#[derive(Debug, Deserialize)]
pub(crate) struct List {
    pub(crate) project: Vec<Project>,
    pub(crate) everyday: Everyday,
}

/// The suite of everyday things.
#[derive(Debug, Deserialize)]
pub(crate) struct Everyday {
    /// Tests that come out differently in a box, as they should.
    pub(crate) differs: Vec<Exception>,
}

/// One project.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Project {
    pub(crate) name: String,
    /// Arguments of pytest.
    pub(crate) args: Vec<String>,
    /// Tests that fail without a box as well, or that come out differently by chance.
    #[serde(default)]
    pub(crate) deselect: Vec<Exception>,
    /// Tests that come out differently in a box, as they should.
    #[serde(default)]
    pub(crate) differs: Vec<Exception>,
    /// What its tests leave on the host where no box is around them.
    #[serde(default)]
    pub(crate) leaves: Vec<PathBuf>,
}

/// A test and the reason.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Exception {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// The forms for which it holds; all if there is none.
    #[serde(default)]
    pub(crate) forms: Vec<String>,
    /// Places of the guest (`TESTBOX_TEST_PLACE`) for which it does not, as it is so there without a box as well.
    #[serde(default)]
    pub(crate) not_in: Vec<String>,
}

impl Exception {
    /// Does it hold for this form, in this place?
    pub(crate) fn is_for(&self, form: &str) -> bool {
        let place = std::env::var("TESTBOX_TEST_PLACE").unwrap_or_default();
        let is_of_form = self.forms.is_empty() || self.forms.iter().any(|word| word == form);
        is_of_form && !self.not_in.contains(&place)
    }
}

impl List {
    /// Reads the list.
    pub(crate) fn read() -> Self {
        let text = fs_err::read_to_string(testbox_tests::checked_in("tests/twin/projects.toml"))
            .expect("the list of projects");
        let list: Self = toml::from_str(&text).expect("the list of projects as TOML");
        let of_projects = list.project.iter().flat_map(|project| project.deselect.iter().chain(&project.differs));
        for exception in of_projects.chain(&list.everyday.differs) {
            assert!(exception.reason.len() > 10, "{} needs a reason", exception.id);
        }
        list
    }

    /// The project of this name.
    pub(crate) fn find(self, name: &str) -> Project {
        self.project.into_iter().find(|project| project.name == name).expect("a project of this name")
    }
}
