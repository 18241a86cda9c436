//! A part of the tests, and how it came out.

use std::path::PathBuf;

use crate::error::Error;
use crate::test::counts::Counts;
use crate::workspace::Workspace;

/// One part.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Context<'_>) -> Result<Outcome, Error>,
}

/// What parts need to know.
pub(crate) struct Context<'a> {
    pub(crate) workspace: &'a Workspace,
    /// The parts that were asked for by name; none: all of them.
    asked: &'a [String],
    /// Where the whole output of each part is kept.
    pub(crate) logs: PathBuf,
}

/// How a part came out.
#[derive(Default)]
pub(crate) struct Outcome {
    /// What its test runners counted; `None` if the part is itself one test.
    tests: Option<Counts>,
    /// The text to show if it failed.
    pub(crate) failure: Option<String>,
    /// What was skipped, each with its reason.
    skipped: Vec<String>,
    /// Why the part as a whole was skipped.
    not_run: Option<String>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(workspace: &'a Workspace, asked: &'a [String]) -> Result<Self, Error> {
        let logs = workspace.target.join("xtask/logs");
        fs_err::create_dir_all(&logs)?;
        Ok(Self { workspace, asked, logs })
    }

    /// Whether this part was asked for by name.
    pub(crate) fn is_asked(&self, part: &str) -> bool {
        self.asked.iter().any(|name| name == part)
    }
}

impl Outcome {
    /// A part that is itself one test, and passed.
    pub(crate) fn passed() -> Self {
        Self::default()
    }

    /// A part that is itself one test, and failed.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { failure: Some(text.into()), ..Self::default() }
    }

    /// A part that passed if there is nothing to complain about.
    pub(crate) fn complaints(complaints: &[String]) -> Self {
        if complaints.is_empty() { Self::passed() } else { Self::failed(complaints.join("\n")) }
    }

    /// A part that could not run here.
    pub(crate) fn not_run(reason: impl Into<String>) -> Self {
        Self { not_run: Some(reason.into()), ..Self::default() }
    }

    /// A part with tests of its own.
    pub(crate) fn tests(tests: Counts, skipped: Vec<String>, failure: Option<String>) -> Self {
        Self { tests: Some(tests), skipped, failure, not_run: None }
    }

    /// One word for the line of this part.
    pub(crate) fn word(&self) -> &'static str {
        match (&self.failure, &self.not_run) {
            (Some(_), _) => "FAILED",
            (None, Some(_)) => "skipped",
            (None, None) => "ok",
        }
    }

    /// What this part adds to the totals. A part that failed although no test of it did counts as one failure.
    pub(crate) fn counts(&self) -> Counts {
        let failed = self.failure.is_some();
        match self.tests {
            Some(tests) if failed && tests.failed == 0 => Counts { failed: 1, ..tests },
            Some(tests) => tests,
            None if failed => Counts { failed: 1, ..Counts::default() },
            None if self.not_run.is_some() => Counts { skipped: 1, ..Counts::default() },
            None => Counts { passed: 1, ..Counts::default() },
        }
    }

    /// Every failed test as its runner names it; the first line of the complaint where none is named.
    pub(crate) fn failures(&self, part: &str) -> Vec<String> {
        let Some(text) = &self.failure else { return vec![] };
        let names_test =
            |line: &&str| line.starts_with("FAILED ") || line.starts_with("ERROR ") || line.ends_with("... FAILED");
        let named: Vec<&str> = text.lines().map(str::trim).filter(names_test).collect();
        let lines = if named.is_empty() { text.lines().take(1).collect() } else { named };
        lines.into_iter().map(|line| format!("{part}: {line}")).collect()
    }

    /// Every skip with its reason.
    pub(crate) fn skips(&self, part: &str) -> Vec<String> {
        self.not_run.iter().chain(&self.skipped).map(|reason| format!("{part}: {reason}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_breaks_without_a_failed_test_is_a_failure() {
        let tests = Counts { passed: 5, failed: 0, skipped: 1 };
        let broken = Outcome::tests(tests, vec![], Some("does not compile".to_owned()));
        assert_eq!(broken.counts(), Counts { passed: 5, failed: 1, skipped: 1 });
        assert_eq!(Outcome::not_run("no tool").counts(), Counts { passed: 0, failed: 0, skipped: 1 });
        assert_eq!(Outcome::complaints(&[]).counts().passed, 1);
    }

    #[test]
    fn the_closing_lines_name_failed_tests() {
        let text = "test net::reaches_nobody ... FAILED\nthread panicked\n  FAILED tests/test_pure.py::test_names - assert 1 == 2\n";
        assert_eq!(
            Outcome::failed(text).failures("blackbox"),
            [
                "blackbox: test net::reaches_nobody ... FAILED",
                "blackbox: FAILED tests/test_pure.py::test_names - assert 1 == 2"
            ]
        );
        assert_eq!(Outcome::failed("no tool\nat all").failures("lint"), ["lint: no tool"]);
        assert!(Outcome::passed().failures("lint").is_empty());
    }
}
