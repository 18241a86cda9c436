//! What a session has come to, frame by frame. Pure; bounded whatever the plugin says.

use testbox_model::{Outcomes, PytestEvidence, PytestStage, RunningTest};

use crate::wire::Frame;

/// Tests that run at once, at most; a plugin that names more is not believed.
const MAX_RUNNING: usize = 1024;
/// Characters of a node id or version that are kept.
const MAX_TEXT: usize = 4096;

/// The state of a session.
#[derive(Debug, Clone, Default)]
pub struct Session {
    seen: PytestEvidence,
}

impl Session {
    /// Takes a frame that came `at_ms` milliseconds after the start of the run.
    pub fn on(&mut self, frame: Frame, at_ms: u64) {
        match frame {
            Frame::Hello { python, pytest, .. } => (self.seen.python, self.seen.version) = (cut(python), cut(pytest)),
            Frame::Phase { name } => self.seen.stage = stage(&name).unwrap_or(self.seen.stage),
            Frame::Collect { id } => self.seen.collecting = Some(cut(id)),
            Frame::Collected { total } => {
                self.seen.collecting = None;
                self.seen.collected = Some(total);
            }
            Frame::Start { id } => self.start(id, at_ms),
            Frame::When { when } => self.go_on(&when),
            Frame::Done { id, reports } => self.done(&id, &reports),
            Frame::Goodbye => self.seen.said_goodbye = true,
            Frame::Finish { exit } => {
                self.seen.stage = PytestStage::Finished;
                self.seen.exit_status = Some(exit);
            }
        }
    }

    /// What is known now.
    pub fn evidence(&self) -> PytestEvidence {
        self.seen.clone()
    }

    fn start(&mut self, id: String, at_ms: u64) {
        if self.seen.running.len() < MAX_RUNNING {
            self.seen.running.push(RunningTest { nodeid: cut(id), phase: "setup", since_ms: at_ms });
        }
    }

    /// Phases are told only where one test runs at a time.
    fn go_on(&mut self, when: &str) {
        let phase = if when == "teardown" { "teardown" } else { "call" };
        if let Some(test) = self.seen.running.last_mut() {
            test.phase = phase;
        }
    }

    fn done(&mut self, id: &str, reports: &[(String, String, u64)]) {
        let position = self.seen.running.iter().position(|test| test.nodeid == id);
        if let Some(position) = position {
            self.seen.running.remove(position);
        }
        count(&mut self.seen.outcomes, reports);
    }
}

/// One test's reports as one outcome: a failed call is `failed`, a failed setup or teardown `error`.
fn count(outcomes: &mut Outcomes, reports: &[(String, String, u64)]) {
    let failed = |call: bool| reports.iter().any(|(when, outcome, _)| outcome == "failed" && (when == "call") == call);
    if failed(true) {
        outcomes.failed += 1;
    } else if failed(false) {
        outcomes.error += 1;
    } else if reports.iter().any(|(_, outcome, _)| outcome == "skipped") {
        outcomes.skipped += 1;
    } else if !reports.is_empty() {
        outcomes.passed += 1;
    }
}

fn stage(name: &str) -> Option<PytestStage> {
    match name {
        "configuration" => Some(PytestStage::Configuration),
        "collection" => Some(PytestStage::Collection),
        "tests" => Some(PytestStage::Tests),
        _ => None,
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(index, _)| index));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(id: &str) -> Frame {
        Frame::Start { id: id.to_owned() }
    }

    fn done(id: &str, reports: &[(&str, &str)]) -> Frame {
        let reports = reports.iter().map(|(when, outcome)| ((*when).to_owned(), (*outcome).to_owned(), 1)).collect();
        Frame::Done { id: id.to_owned(), reports }
    }

    fn after(frames: Vec<Frame>) -> PytestEvidence {
        let mut session = Session::default();
        for (at_ms, frame) in (0..).zip(frames) {
            session.on(frame, at_ms);
        }
        session.evidence()
    }

    #[test]
    fn the_running_test_and_its_phase_are_known_at_any_moment() {
        let seen =
            after(vec![start("a"), done("a", &[("call", "passed")]), start("b"), Frame::When { when: "call".into() }]);
        assert_eq!(seen.running, [RunningTest { nodeid: "b".into(), phase: "call", since_ms: 2 }]);
        assert_eq!(seen.outcomes, Outcomes { passed: 1, ..Outcomes::default() });
    }

    #[test]
    fn outcomes_are_as_pytest_counts_them() {
        let seen = after(vec![
            done("a", &[("setup", "passed"), ("call", "failed"), ("teardown", "passed")]),
            done("b", &[("setup", "failed"), ("teardown", "passed")]),
            done("c", &[("setup", "skipped"), ("teardown", "passed")]),
            done("d", &[("setup", "passed"), ("call", "passed"), ("teardown", "failed")]),
            done("e", &[("setup", "passed"), ("call", "passed"), ("teardown", "passed")]),
        ]);
        assert_eq!(seen.outcomes, Outcomes { passed: 1, failed: 1, error: 2, skipped: 1 });
        assert_eq!(seen.outcomes.total(), 5);
    }

    #[test]
    fn a_collection_that_ends_early_names_its_file() {
        let collect = |id: &str| Frame::Collect { id: id.to_owned() };
        let phase = Frame::Phase { name: "collection".into() };
        let seen = after(vec![phase.clone(), collect("a.py"), collect("b.py")]);
        assert_eq!((seen.stage, seen.collecting.as_deref()), (PytestStage::Collection, Some("b.py")));
        let seen = after(vec![phase, collect("a.py"), Frame::Collected { total: 3 }, Frame::Finish { exit: 0 }]);
        assert_eq!((seen.stage, seen.collecting, seen.collected), (PytestStage::Finished, None, Some(3)));
        assert_eq!(seen.exit_status, Some(0));
    }

    #[test]
    fn a_flood_of_names_stays_bounded() {
        let seen = after((0..5_000).map(|number| start(&format!("{number}{}", "x".repeat(10_000)))).collect());
        assert_eq!(seen.running.len(), MAX_RUNNING);
        assert!(seen.running.iter().all(|test| test.nodeid.chars().count() == MAX_TEXT));
    }
}
