//! What test runners counted, read from what they print.

use std::fmt;
use std::iter::Sum;

/// Tests by how they came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// The counts of all `test result:` lines of cargo's test harnesses.
pub(crate) fn of_cargo_test(output: &str) -> Counts {
    let lines = output.lines().filter_map(|line| line.trim().strip_prefix("test result: "));
    lines.map(|line| named(line, "passed", "failed", "ignored")).sum()
}

/// The counts of pytest's last line; errors are failures, expected failures and unexpected passes are passes.
pub(crate) fn of_pytest(output: &str) -> Counts {
    // Behind a minute or more it says so twice: `in 72.10s (0:01:12)`.
    let seconds =
        |line: &str| line.trim_end_matches(['=', ' ']).split(" (0:").next().unwrap_or_default().ends_with('s');
    let is_summary = |line: &&str| line.contains(" in ") && seconds(line);
    let Some(line) = output.lines().rev().find(is_summary) else { return Counts::default() };
    let mut counts = named(line, "passed", "failed", "skipped");
    counts.failed += named(line, "error", "errors", "").sum();
    counts.passed += named(line, "xfailed", "xpassed", "").sum();
    counts
}

/// Ignored tests of cargo's test harnesses, name and reason. The reason stands behind, `test NAME ... ignored, REASON`, or
/// in the kind of the test, `test [REASON] NAME ... ignored`.
pub(crate) fn skips_of_cargo_test(output: &str) -> Vec<(String, String)> {
    let skip = |line: &str| {
        let (name, rest) = line.trim().strip_prefix("test ")?.split_once(" ... ignored")?;
        let (kind, name) = match name.strip_prefix('[').and_then(|name| name.rsplit_once("] ")) {
            Some((kind, name)) => (Some(kind), name),
            None => (None, name),
        };
        let reason = rest.strip_prefix(", ").or(kind).unwrap_or("no reason given");
        Some((name.trim().to_owned(), reason.to_owned()))
    };
    output.lines().filter_map(skip).collect()
}

fn named(line: &str, passed: &str, failed: &str, skipped: &str) -> Counts {
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let number_before = |name: &str| {
        let position = words.iter().position(|word| *word == name).filter(|at| *at > 0);
        position.and_then(|at| words[at - 1].parse().ok()).unwrap_or(0)
    };
    Counts { passed: number_before(passed), failed: number_before(failed), skipped: number_before(skipped) }
}

impl Counts {
    fn sum(self) -> u64 {
        self.passed + self.failed + self.skipped
    }

    /// No test was seen at all.
    pub(crate) fn is_empty(self) -> bool {
        self.sum() == 0
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |a, b| Self {
            passed: a.passed + b.passed,
            failed: a.failed + b.failed,
            skipped: a.skipped + b.skipped,
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harness_lines_are_added_up() {
        let output = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                      noise 9 passed\n\
                      test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(of_cargo_test(output), Counts { passed: 7, failed: 1, skipped: 1 });
        assert!(of_cargo_test("error: could not compile").is_empty());
    }

    #[test]
    fn pytest_has_many_words() {
        let line = "== 1 failed, 1376 passed, 8 skipped, 1 deselected, 1 xfailed, 2 warnings, 1 error in 10.14s ==";
        assert_eq!(of_pytest(line), Counts { passed: 1377, failed: 2, skipped: 8 });
        assert_eq!(of_pytest("27 passed in 0.61s\n"), Counts { passed: 27, failed: 0, skipped: 0 });
        assert_eq!(of_pytest("1 skipped in 0.02s\n").skipped, 1);
        let long = of_pytest("4 failed, 9 passed in 312.25s (0:05:12)\n");
        assert_eq!(long, Counts { passed: 9, failed: 4, skipped: 0 });
        assert!(of_pytest("no tests ran in 0.01s\n").is_empty());
        assert!(of_pytest("Traceback ...").is_empty());
    }

    #[test]
    fn skips_keep_their_reasons() {
        let output = "test a::b ... ok\ntest c ... ignored, needs cgroup v2\ntest d ... ignored\n\
                      test [skipped, needs root: not root] e   ... ignored\n";
        let skips = skips_of_cargo_test(output);
        let expected = [("c", "needs cgroup v2"), ("d", "no reason given"), ("e", "skipped, needs root: not root")];
        assert_eq!(skips, expected.map(|(name, reason)| (name.to_owned(), reason.to_owned())));
    }
}
