//! Parts that are a list of checks, each with the programs that it needs.

use std::path::PathBuf;

use crate::error::{self, Error};
use crate::program::Program;
use crate::test::counts::Counts;
use crate::test::part::Outcome;
use crate::workspace::Workspace;

/// One check; what it needs, and what it does with `T`.
pub(crate) struct Check<T> {
    pub(crate) name: &'static str,
    /// Why it cannot be done here; `None`: it can.
    pub(crate) unmet: fn(&T) -> Option<Unmet>,
    pub(crate) run: fn(&T) -> Result<(), Error>,
}

/// Something that a check needs and this host does not have.
pub(crate) struct Unmet {
    /// Its name in `TESTBOX_TEST_MUST`, which makes the skip a failure.
    pub(crate) need: &'static str,
    pub(crate) why: String,
}

/// The environment with linters and uv, or why there is none.
pub(crate) struct Tools(Result<PathBuf, String>);

impl Tools {
    /// Makes it if need be.
    pub(crate) fn of(workspace: &Workspace) -> Self {
        Self(crate::setup::tools_venv(workspace).map_err(|error| error::describe(&error).trim_end().to_owned()))
    }

    /// Why there is none, as a need by this name.
    pub(crate) fn unmet(&self, need: &'static str) -> Option<Unmet> {
        self.0.as_ref().err().map(|why| Unmet { need, why: why.clone() })
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> Result<Program, Error> {
        match &self.0 {
            Ok(venv) => Ok(Program::new(venv.join("bin").join(name))),
            Err(why) => Err(Error::NotAsExpected { complaint: why.clone() }),
        }
    }
}

/// Does all checks; one that cannot be done is skipped with its reason, or fails where it must not be skipped.
pub(crate) fn run<T>(checks: &[Check<T>], subject: &T) -> Outcome {
    let (mut counts, mut skipped, mut failures) = (Counts::default(), Vec::new(), Vec::new());
    for check in checks {
        match (check.unmet)(subject) {
            Some(Unmet { need, why }) if is_a_must(need) => {
                failures.push(format!("{}: needs {need}: {why}", check.name));
            }
            Some(Unmet { need, why }) => skipped.push(format!("{}: needs {need}: {why}", check.name)),
            None => match (check.run)(subject) {
                Ok(()) => counts.passed += 1,
                Err(error) => failures.push(format!("{}: {}", check.name, error::describe(&error))),
            },
        }
    }
    counts.failed = failures.len() as u64;
    counts.skipped = skipped.len() as u64;
    Outcome::tests(counts, skipped, (!failures.is_empty()).then(|| failures.join("\n")))
}

/// Whether `TESTBOX_TEST_MUST` makes an unmet need a failure.
pub(crate) fn is_a_must(need: &str) -> bool {
    let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
    must.split(',').any(|name| name.trim() == need)
}

/// A condition of a check that did not hold.
pub(crate) fn expect(holds: bool, complaint: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::NotAsExpected { complaint: complaint() }) }
}

/// A need for a program by name.
pub(crate) fn program(name: &'static str) -> Option<Unmet> {
    let missing = crate::setup::find_program(name).is_none();
    missing.then(|| Unmet { need: name, why: format!("no program `{name}`") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_counts_once_and_a_failure_names_it() {
        let check = |name, unmet, run| Check::<()> { name, unmet, run };
        let outcome = run(
            &[
                check("good", |_| None, |_| Ok(())),
                check("bad", |_| None, |_| expect(1 > 2, || "1 is not above 2".to_owned())),
                check("elsewhere", |_| Some(Unmet { need: "moon", why: "no moon here".to_owned() }), |_| Ok(())),
            ],
            &(),
        );
        assert_eq!(outcome.counts(), Counts { passed: 1, failed: 1, skipped: 1 });
        assert!(outcome.failure.as_ref().is_some_and(|text| text.starts_with("bad: error: 1 is not above 2")));
        assert_eq!(outcome.skips("part"), ["part: elsewhere: needs moon: no moon here"]);
    }
}
