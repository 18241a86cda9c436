//! pytest on a project of the benchmark: plain, and in a box.

use std::path::{Path, PathBuf};

use crate::bench::place::{Place, User};
use crate::error::Error;
use crate::program::Program;
use crate::testbox::Testbox;

/// Nothing is kept of a run that the next one would find.
const PYTEST: [&str; 7] = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "tmp_path_retention_policy=none"];

/// A project with tests, and what runs them.
pub(crate) struct Pytest<'a> {
    place: &'a Place<'a>,
    testbox: Testbox,
    venv: &'a Path,
    pub(crate) project: PathBuf,
}

impl<'a> Pytest<'a> {
    /// Tests in `project`, run by this environment's pytest.
    pub(crate) fn new(place: &'a Place<'a>, venv: &'a Path, project: PathBuf) -> Result<Self, Error> {
        crate::cache::make_readable(&project)?;
        let testbox = place.testbox(User::Caller, &project)?;
        Ok(Self { place, testbox, venv, project })
    }

    /// Plain pytest with these arguments.
    pub(crate) fn bare(&self, args: &[&str]) -> Program {
        let python = self.venv.join("bin/python");
        self.place.program(User::Caller, &python).args(PYTEST).args(args).dir(&self.project)
    }

    /// The same in a box with these flags of `testbox run`.
    pub(crate) fn boxed(&self, flags: &[&str], args: &[&str]) -> Program {
        self.place
            .program(User::Caller, &self.testbox.binary)
            .env("VIRTUAL_ENV", self.venv)
            .args(["run", "-q"])
            .args(flags)
            .args(self.testbox.degraded_flags())
            .arg("--")
            .arg(self.venv.join("bin/python"))
            .args(PYTEST)
            .args(args)
            .dir(&self.project)
    }

    /// The report of the last run in a box.
    pub(crate) fn report(&self) -> Result<serde_json::Value, Error> {
        let file = self.project.join(".testbox/last/testbox.json");
        let text = fs_err::read_to_string(&file)?;
        serde_json::from_str(&text).map_err(|source| Error::Json { what: file.display().to_string(), source })
    }
}
