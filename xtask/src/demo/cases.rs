//! The table of cases: what runs, under which limits, and what must come out.

use crate::demo::report::Report;

/// One run.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Limits beside those that every case has.
    flags: &'static [&'static str],
    /// The test file; all ordinary tests if there is none.
    file: Option<&'static str>,
    exit_code: i32,
    verdict: &'static str,
    /// The wall that the verdict depends on: where it is degraded, only the end of the run is promised.
    wall: Option<&'static str>,
    /// The verdict of the one test that must have been killed, while the others of its file have a result.
    killed: Option<&'static str>,
    /// Processes that must have been found alive when the tests were over.
    leaves_processes: bool,
}

/// Limits of every case: small, so that each runaway meets its own within seconds.
const COMMON: [&str; 10] =
    ["--memory", "384M", "--pids", "64", "--timeout", "60s", "--tmp-size", "64M", "--output-limit", "1M"];

const fn case(
    name: &'static str,
    about: &'static str,
    file: &'static str,
    exit_code: i32,
    verdict: &'static str,
) -> Case {
    Case {
        name,
        about,
        flags: &[],
        file: Some(file),
        exit_code,
        verdict,
        wall: None,
        killed: None,
        leaves_processes: false,
    }
}

/// All cases, in the order of the story: what is normal, what runs away, what is vicious.
pub(crate) const CASES: [Case; 13] = [
    Case { file: None, ..case("ordinary", "the project's ordinary tests", "", 0, "passed") },
    case("polite-failure", "an assertion that fails", "polite_failure.py", 1, "failed"),
    Case {
        wall: Some("memory"),
        ..case(
            "memory-in-collection",
            "a module takes all memory when it is imported",
            "memory_in_collection.py",
            120,
            "memory",
        )
    },
    Case {
        wall: Some("memory"),
        killed: Some("memory"),
        ..case("memory-in-test", "a test takes all memory, the others run", "memory_in_test.py", 1, "failed")
    },
    Case {
        wall: Some("pids"),
        killed: Some("pids"),
        ..case("fork-bomb", "each process of a test forks for ever", "fork_bomb.py", 1, "failed")
    },
    case("disk-full-tmp", "a test fills /tmp", "disk_full_tmp.py", 122, "disk"),
    case("disk-full-project", "a test fills the project's folder", "disk_full_project.py", 122, "disk"),
    case("output-flood", "a test prints without end", "output_flood.py", 123, "output"),
    Case {
        flags: &["--test-timeout", "3s"],
        killed: Some("timeout"),
        ..case("hang-in-c", "a test spins in C, the interpreter's lock held", "hang_in_c.py", 1, "failed")
    },
    Case {
        flags: &["--timeout", "4s", "--grace", "1s"],
        ..case(
            "hang-in-pause",
            "a test sleeps in C, the lock held, deaf to SIGTERM",
            "hang_in_pause.py",
            124,
            "timeout",
        )
    },
    Case {
        leaves_processes: true,
        ..case(
            "daemon-left-behind",
            "a test leaves a daemon of a session of its own",
            "daemon_left_behind.py",
            0,
            "passed",
        )
    },
    case("kill-parent", "tests kill their parent, init and everyone", "kill_parent.py", 0, "passed"),
    case("delete-project", "a test deletes the project's sources", "delete_project.py", 0, "passed"),
];

impl Case {
    /// The arguments of testbox.
    pub(crate) fn arguments(&self, degraded: &[String]) -> Vec<String> {
        let own = |flag: &str| self.flags.contains(&flag);
        let common = COMMON.chunks(2).filter(|pair| !own(pair[0])).flatten();
        let limits = common.chain(self.flags).map(|word| (*word).to_owned());
        let file = self.file.map(|file| format!("tests/runaway/{file}"));
        let mut words = vec!["run".to_owned()];
        words.extend(limits.chain(degraded.iter().cloned()));
        words.extend(["--".to_owned(), "pytest".to_owned()]);
        words.extend(file);
        words
    }

    /// Verdict and exit code as they must be.
    pub(crate) fn expected(&self) -> String {
        format!("{} (exit code {})", self.verdict, self.exit_code)
    }

    /// What did not come out as it must.
    pub(crate) fn complaints(&self, code: Option<i32>, report: Option<&Report>, degraded: &[String]) -> Vec<String> {
        let Some(report) = report else { return vec![format!("no testbox.json was written (exit code {code:?})")] };
        let mut complaints = vec![];
        let weaker = self.wall.is_some_and(|wall| degraded.iter().any(|name| name == wall));
        let ended_somehow = weaker && code.is_some_and(|code| code != 0 && code != 125);
        if code != Some(self.exit_code) && !ended_somehow {
            complaints.push(format!("exit code {code:?} instead of {}", self.exit_code));
        }
        if report.verdict != self.verdict && !ended_somehow {
            complaints.push(format!("verdict `{}` instead of `{}`: {}", report.verdict, self.verdict, report.summary));
        }
        if code.is_some_and(|code| code != report.exit_code) {
            complaints.push(format!("testbox.json says exit code {}, the shell saw {code:?}", report.exit_code));
        }
        if let (Some(expected), false) = (self.killed, weaker) {
            complaints.extend(killed_otherwise(expected, report));
        }
        if self.leaves_processes && report.left_behind.is_empty() {
            complaints.push("the daemon is not named in `left_behind`".to_owned());
        }
        complaints
    }
}

/// What is wrong with the rows of the tests, of which one must have been killed.
fn killed_otherwise(expected: &str, report: &Report) -> Option<String> {
    let verdicts: Vec<&str> = report.tests.iter().map(|test| test.verdict.as_str()).collect();
    let as_expected = verdicts.iter().filter(|verdict| **verdict == expected).count() == 1
        && verdicts.iter().all(|verdict| *verdict == expected || *verdict == "passed");
    (!as_expected)
        .then(|| format!("one test had to end by `{expected}` and the others to pass: {}", verdicts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: &str, exit_code: i32) -> Report {
        let killed = if verdict == "failed" { "pids" } else { "passed" };
        let text = format!(
            r#"{{"box_id": "b", "verdict": "{verdict}", "summary": "s", "exit_code": {exit_code}, "left_behind": [],
                "tests": [{{"verdict": "{killed}"}}, {{"verdict": "passed"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn named(name: &str) -> &'static Case {
        CASES.iter().find(|case| case.name == name).unwrap()
    }

    #[test]
    fn own_limits_take_the_place_of_the_common_ones() {
        let words = named("hang-in-pause").arguments(&[]).join(" ");
        assert!(words.contains("--timeout 4s") && !words.contains("60s"), "{words}");
        assert!(words.starts_with("run --memory 384M") && words.ends_with("-- pytest tests/runaway/hang_in_pause.py"));
        assert!(named("ordinary").arguments(&[]).join(" ").ends_with("-- pytest"));
    }

    #[test]
    fn every_runaway_of_the_sample_project_has_its_case() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/sample/tests/runaway");
        for entry in fs_err::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = CASES.iter().any(|case| case.file == Some(&name));
            assert!(known || name == "boxed.py" || !name.ends_with(".py"), "{name}");
        }
    }

    #[test]
    fn a_verdict_must_be_right_unless_its_wall_is_degraded() {
        let bomb = named("fork-bomb");
        assert!(bomb.complaints(Some(1), Some(&report("failed", 1)), &[]).is_empty());
        assert_eq!(bomb.complaints(Some(124), Some(&report("timeout", 124)), &[]).len(), 3);
        assert!(bomb.complaints(Some(124), Some(&report("timeout", 124)), &["pids".to_owned()]).is_empty());
        assert_eq!(bomb.complaints(Some(0), Some(&report("passed", 0)), &["pids".to_owned()]).len(), 2);
        assert_eq!(bomb.complaints(Some(1), None, &[]).len(), 1);
        assert_eq!(named("memory-in-test").complaints(Some(1), Some(&report("failed", 1)), &[]).len(), 1);
        assert_eq!(named("daemon-left-behind").complaints(Some(0), Some(&report("passed", 0)), &[]).len(), 1);
    }
}
