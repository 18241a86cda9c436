//! One attack: a program in the box, canaries on the host, and what the program says it achieved.

use std::collections::BTreeMap;

use testbox_tests::{Canaries, Finished, Project};

/// What the programs share.
const PROBE: &str = include_str!("programs/probe.py");

/// A hostile program, ready to run.
pub(crate) struct Attack {
    pub(crate) project: Project,
    pub(crate) canaries: Canaries,
    flags: Vec<String>,
}

/// What each attempt led to: `ok`, an errno, or how the process that tried it ended.
#[derive(Debug)]
pub(crate) struct Answers {
    answers: BTreeMap<String, serde_json::Value>,
    pub(crate) finished: Finished,
}

impl Attack {
    /// The program in a project of its own.
    pub(crate) fn new(program: &str) -> Self {
        let (project, canaries) = (Project::new(), Canaries::plant());
        project.write("probe.py", PROBE).write("attack.py", program);
        project.write("host.json", &canaries.targets().to_string());
        Self { project, canaries, flags: Vec::new() }
    }

    /// More flags for `testbox run`.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(ToString::to_string));
        self
    }

    /// The arguments of testbox.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let command = ["-q", "--timeout", "60s", "--", "/usr/bin/python3", "attack.py"];
        self.flags.iter().cloned().chain(command.map(String::from)).collect()
    }

    /// Runs it; every canary must be unharmed, and the program must have come to its end.
    #[track_caller]
    pub(crate) fn run(&self) -> Answers {
        let finished = self.project.run(&self.arguments());
        self.canaries.assert_unharmed();
        Answers::of(finished)
    }
}

impl Answers {
    /// What the program printed last.
    #[track_caller]
    pub(crate) fn of(finished: Finished) -> Self {
        let line = finished.stdout.lines().rev().find(|line| line.starts_with('{'));
        let answers = line.and_then(|line| serde_json::from_str(line).ok());
        let answers = answers.unwrap_or_else(|| panic!("the program did not come to its end: {finished:#?}"));
        Self { answers, finished }
    }

    /// This attempt led to this, or to one of these, separated by `|`.
    #[track_caller]
    pub(crate) fn expect(&self, attempt: &str, wanted: &str) -> &Self {
        let found = self.text(attempt);
        assert!(
            wanted.split('|').any(|one| one == found),
            "{attempt}: {found}, not {wanted}; all: {:#?}",
            self.answers
        );
        self
    }

    /// Every one of these attempts led to this.
    #[track_caller]
    pub(crate) fn expect_each(&self, attempts: &[&str], wanted: &str) -> &Self {
        attempts.iter().for_each(|attempt| _ = self.expect(attempt, wanted));
        self
    }

    /// Every attempt whose name starts with this led to this, and there was at least one.
    #[track_caller]
    pub(crate) fn expect_all(&self, prefix: &str, wanted: &str) -> &Self {
        let names: Vec<&String> = self.answers.keys().filter(|name| name.starts_with(prefix)).collect();
        assert!(!names.is_empty(), "no attempt starts with {prefix}");
        names.into_iter().for_each(|name| _ = self.expect(name, wanted));
        self
    }

    /// The answer as a value.
    #[track_caller]
    pub(crate) fn value(&self, attempt: &str) -> &serde_json::Value {
        self.answers.get(attempt).unwrap_or_else(|| panic!("no {attempt} among {:#?}", self.answers))
    }

    #[track_caller]
    fn text(&self, attempt: &str) -> String {
        match self.value(attempt) {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}
