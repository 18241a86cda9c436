//! What a session has come to, frame by frame. Pure; bounded whatever the plugin says.

use testbox_model::{
    FileProfile, ImportProfile, Outcomes, PytestEvidence, PytestStage, RunningTest, TestOutcome, TestRow, TestVerdict,
};

use crate::rows::Rows;
use crate::wire::{DoneSaid, Frame, ImportSaid};

/// Tests that run at once, at most; a plugin that names more is not believed.
const MAX_RUNNING: usize = 1024;
/// Stands for a file where something is imported before the first one.
const CONFIGURATION: &str = "configuration";
/// Characters of a node id, a version or a module that are kept.
const MAX_TEXT: usize = 4096;
/// Bytes that files and heavy imports of the collection may take.
const PROFILE_BUDGET: usize = 8 << 20;
/// Bytes of a file or an import besides its name.
const PROFILE: usize = 96;

/// The state of a session.
#[derive(Debug, Clone, Default)]
pub struct Session {
    seen: PytestEvidence,
    rows: Rows,
    running: Vec<Running>,
    /// The last test of each worker that got its result.
    last: Vec<Last>,
    /// Bytes that the profiles take.
    profiles: usize,
}

#[derive(Debug, Clone)]
struct Running {
    worker: u32,
    /// Index of its row, if it has one.
    row: Option<usize>,
    test: RunningTest,
}

#[derive(Debug, Clone)]
struct Last {
    worker: u32,
    nodeid: String,
    row: Option<usize>,
    outcome: TestOutcome,
}

impl Session {
    /// Takes a frame that came `at_ms` milliseconds after the start of the run; the row of the test that got its result
    /// by it, if there is room for one.
    pub fn on(&mut self, frame: Frame, at_ms: u64) -> Option<&TestRow> {
        match frame {
            Frame::Hello { python, pytest, .. } => (self.seen.python, self.seen.version) = (cut(python), cut(pytest)),
            Frame::Phase { name } => self.seen.stage = stage(&name).unwrap_or(self.seen.stage),
            Frame::Collect { id } => self.collect(cut(id), at_ms),
            Frame::Import(said) => self.import(said, at_ms),
            Frame::Profile { id, wall_ms, growth } => self.profile(cut(id), wall_ms, growth),
            Frame::Collected { total } => {
                self.seen.collecting = None;
                self.seen.collected = Some(total);
            }
            Frame::Workers { mode, .. } => self.seen.isolate = cut(mode),
            Frame::Start { w, id, .. } => self.start(w, cut(id), at_ms),
            Frame::When { w, when } => self.go_on(w, &when),
            Frame::Done(said) => return self.done(&said, at_ms),
            Frame::Retry { w, id } => {
                if let Some(running) = self.take(w, &cut(id)) {
                    self.rows.retry(running.row);
                }
            }
            Frame::Goodbye => self.seen.said_goodbye = true,
            Frame::Finish { exit } => {
                self.seen.stage = PytestStage::Finished;
                self.seen.exit_status = Some(exit);
            }
            Frame::Note { .. } | Frame::Want { .. } | Frame::Joined { .. } | Frame::Ended { .. } => {}
        }
        None
    }

    /// The test that a worker runs now.
    pub fn running(&self, worker: u32) -> Option<&RunningTest> {
        self.running.iter().rev().find(|running| running.worker == worker).map(|running| &running.test)
    }

    /// A worker was killed or died: the test that it ran, if any, has this verdict whatever the plugin says later.
    /// `peak_bytes` is the highest memory that its worker had, as far as the kernel tells.
    pub fn killed(&mut self, worker: u32, verdict: TestVerdict, stack: &[String], peak_bytes: Option<u64>) {
        if let Some(running) = self.running.iter_mut().rev().find(|running| running.worker == worker) {
            running.row = running.row.or_else(|| self.rows.spare(worker, &running.test));
            self.rows.killed(running.row, verdict, running.test.phase, stack, peak_bytes);
        }
    }

    /// A worker is in these calls when the run is ended: its test, if it runs one, was there.
    pub fn seen_at(&mut self, worker: u32, stack: &[String]) {
        if let Some(running) = self.running.iter().rev().find(|running| running.worker == worker) {
            self.rows.seen_at(running.row, stack);
        }
    }

    /// Everything that is known at the end.
    pub fn into_evidence(self) -> PytestEvidence {
        let mut seen = self.seen;
        seen.running = self.running.into_iter().map(|running| running.test).collect();
        (seen.tests, seen.tests_omitted) = self.rows.into_list();
        seen
    }

    fn done(&mut self, said: &DoneSaid, at_ms: u64) -> Option<&TestRow> {
        let id = cut(said.id.clone());
        let row = match self.take(said.w, &id) {
            Some(running) => running.row,
            None => self.reopen(said, &id)?,
        };
        let (outcome, row) = self.rows.done(row, id.clone(), said, at_ms)?;
        *number_of(&mut self.seen.outcomes, outcome) += 1;
        self.last.retain(|last| last.worker != said.w);
        if self.last.len() < MAX_RUNNING {
            self.last.push(Last { worker: said.w, nodeid: id, row, outcome });
        }
        self.rows.get(row?)
    }

    /// The row of a test that does not run. If it is its worker's last one, this is about what came after it (its worker
    /// died): a failure takes the place of its result, and nothing else does. `None`: the word does not count.
    fn reopen(&mut self, said: &DoneSaid, id: &str) -> Option<Option<usize>> {
        let Some(last) = self.last.iter().find(|last| last.worker == said.w && last.nodeid == id) else {
            return Some(None);
        };
        let (row, outcome) = (last.row, last.outcome);
        if !matches!(said.outcome.as_str(), "failed" | "error") {
            return None;
        }
        let number = number_of(&mut self.seen.outcomes, outcome);
        *number = number.saturating_sub(1);
        Some(row)
    }

    fn collect(&mut self, id: String, at_ms: u64) {
        if let [configuration] = &mut self.seen.collection[..]
            && configuration.wall_ms.is_none()
            && configuration.nodeid == CONFIGURATION
        {
            configuration.wall_ms = Some(at_ms.saturating_sub(configuration.started_ms));
            configuration.growth_bytes = configuration.imports.iter().map(|i| i.growth_bytes).max().unwrap_or(0);
        }
        self.open_profile(id.clone(), at_ms);
        self.seen.collecting = Some(id);
    }

    fn open_profile(&mut self, nodeid: String, started_ms: u64) {
        if self.spend_on_profile(&nodeid) {
            self.seen.collection.push(FileProfile { nodeid, started_ms, ..FileProfile::default() });
        }
    }

    /// An import belongs to the file that is being collected; before the first one, to pytest's configuration.
    fn import(&mut self, said: ImportSaid, at_ms: u64) {
        let ImportSaid { module, growth, wall_ms } = said;
        if self.seen.collection.is_empty() {
            // The first word of it comes at the end of an import.
            self.open_profile(CONFIGURATION.to_owned(), at_ms.saturating_sub(wall_ms));
        }
        let module = cut(module);
        if self.spend_on_profile(&module)
            && let Some(file) = self.seen.collection.last_mut()
        {
            file.imports.push(ImportProfile { module, wall_ms, growth_bytes: growth });
        }
    }

    fn spend_on_profile(&mut self, name: &str) -> bool {
        let bytes = PROFILE + name.len();
        let fits = self.profiles + bytes <= PROFILE_BUDGET;
        self.profiles += if fits { bytes } else { 0 };
        fits
    }

    fn profile(&mut self, id: String, wall_ms: u64, growth: i64) {
        if let Some(file) = self.seen.collection.iter_mut().rev().find(|file| file.nodeid == id) {
            (file.wall_ms, file.growth_bytes) = (Some(wall_ms), growth);
        }
    }

    fn start(&mut self, worker: u32, nodeid: String, at_ms: u64) {
        if self.running.len() < MAX_RUNNING {
            let row = self.rows.start(worker, &nodeid, at_ms);
            let test = RunningTest { nodeid, phase: "setup", since_ms: at_ms };
            self.running.push(Running { worker, row, test });
        }
    }

    fn go_on(&mut self, worker: u32, when: &str) {
        let phase = if when == "teardown" { "teardown" } else { "call" };
        if let Some(running) = self.running.iter_mut().rev().find(|running| running.worker == worker) {
            running.test.phase = phase;
        }
    }

    /// With pytest-xdist the tests of all its workers come without a number.
    fn take(&mut self, worker: u32, nodeid: &str) -> Option<Running> {
        let same = |running: &Running| running.worker == worker && running.test.nodeid == nodeid;
        let position = self.running.iter().position(same)?;
        Some(self.running.remove(position))
    }
}

fn number_of(outcomes: &mut Outcomes, outcome: TestOutcome) -> &mut u64 {
    match outcome {
        TestOutcome::Passed | TestOutcome::Xpassed => &mut outcomes.passed,
        TestOutcome::Failed => &mut outcomes.failed,
        TestOutcome::Error => &mut outcomes.error,
        TestOutcome::Skipped | TestOutcome::Xfailed => &mut outcomes.skipped,
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

pub(crate) fn cut(mut text: String) -> String {
    text.truncate(text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(index, _)| index));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ReportSaid, UsageSaid};

    fn start(id: &str) -> Frame {
        start_in(0, id)
    }

    fn start_in(w: u32, id: &str) -> Frame {
        Frame::Start { w, id: id.to_owned(), timeout_ms: None, teardown_ms: None }
    }

    fn when(when: &str) -> Frame {
        Frame::When { w: 0, when: when.to_owned() }
    }

    fn done(id: &str, outcome: &str) -> Frame {
        let report = |when: &str, ms| ReportSaid {
            when: when.to_owned(),
            outcome: "passed".to_owned(),
            ms,
            message: None,
            text: None,
        };
        Frame::Done(Box::new(DoneSaid {
            w: 0,
            id: id.to_owned(),
            outcome: outcome.to_owned(),
            reports: vec![report("setup", 1), report("call", 20), report("teardown", 3)],
            usage: UsageSaid { peak: Some(7), growth: Some(-2), ..UsageSaid::default() },
        }))
    }

    fn after(frames: Vec<Frame>) -> PytestEvidence {
        let mut session = Session::default();
        for (at_ms, frame) in (0..).zip(frames) {
            session.on(frame, at_ms);
        }
        session.into_evidence()
    }

    #[test]
    fn the_running_test_and_its_phase_are_known_at_any_moment() {
        let seen = after(vec![start("a"), done("a", "passed"), start("b"), when("call")]);
        assert_eq!(seen.running, [RunningTest { nodeid: "b".into(), phase: "call", since_ms: 2 }]);
        assert_eq!(seen.outcomes, Outcomes { passed: 1, ..Outcomes::default() });
        let [a, b] = &seen.tests[..] else { panic!("{:?}", seen.tests) };
        assert_eq!(
            (a.outcome, a.verdict, a.wall_ms, a.phases_ms),
            (Some(TestOutcome::Passed), TestVerdict::Passed, 24, [1, 20, 3])
        );
        assert_eq!((a.peak_bytes, a.growth_bytes), (Some(7), Some(-2)));
        assert_eq!((b.outcome, b.verdict), (None, TestVerdict::Lost));
    }

    #[test]
    fn outcomes_are_as_pytest_counts_them() {
        let words = ["passed", "failed", "error", "skipped", "xfailed", "xpassed", "nonsense"];
        let seen = after(words.iter().map(|word| done(word, word)).collect());
        assert_eq!(seen.outcomes, Outcomes { passed: 2, failed: 1, error: 1, skipped: 2 });
        assert_eq!(seen.outcomes.total(), 6, "an unknown word is no result");
    }

    #[test]
    fn a_kill_is_never_talked_into_a_success() {
        let mut session = Session::default();
        session.on(start_in(1, "a"), 0);
        session.on(start("b"), 1);
        session.killed(1, TestVerdict::Memory, &["a.py:3 in grow".to_owned()], Some(9));
        let Frame::Done(mut said) = done("a", "passed") else { unreachable!() };
        said.w = 1;
        session.on(Frame::Done(said), 9);
        let seen = session.into_evidence();
        let row = &seen.tests[0];
        assert_eq!(
            (row.outcome, row.verdict, row.phase),
            (Some(TestOutcome::Failed), TestVerdict::Memory, Some("setup"))
        );
        assert_eq!((row.stack.as_slice(), row.peak_bytes), (&["a.py:3 in grow".to_owned()][..], Some(7)));
        assert_eq!(seen.outcomes, Outcomes { failed: 1, ..Outcomes::default() });
    }

    #[test]
    fn a_test_that_is_tried_again_keeps_the_verdict_of_both() {
        let mut session = Session::default();
        session.on(start("a"), 0);
        session.killed(0, TestVerdict::Crashed, &[], None);
        session.on(Frame::Retry { w: 0, id: "a".into() }, 1);
        session.on(start("a"), 2);
        session.on(done("a", "passed"), 3);
        let seen = session.into_evidence();
        let [row] = &seen.tests[..] else { panic!("{:?}", seen.tests) };
        assert_eq!((row.verdict, row.killed_before.as_slice()), (TestVerdict::Passed, &[TestVerdict::Crashed][..]));
        assert_eq!(seen.outcomes, Outcomes { passed: 1, ..Outcomes::default() });
    }

    #[test]
    fn a_word_after_the_last_one_can_only_make_it_worse() {
        let seen = after(vec![start("a"), done("a", "passed"), done("a", "error")]);
        let [row] = &seen.tests[..] else { panic!("{:?}", seen.tests) };
        assert_eq!((row.outcome, row.verdict), (Some(TestOutcome::Error), TestVerdict::Failed));
        assert_eq!(seen.outcomes, Outcomes { error: 1, ..Outcomes::default() });
        let seen = after(vec![start("a"), done("a", "failed"), done("a", "passed")]);
        assert_eq!(seen.tests[0].outcome, Some(TestOutcome::Failed));
        assert_eq!((seen.tests.len(), seen.outcomes), (1, Outcomes { failed: 1, ..Outcomes::default() }));
        let again = after(vec![start("a"), done("a", "failed"), start("a"), done("a", "passed")]);
        assert_eq!(again.outcomes.total(), 2, "a plugin that runs it again says so");
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
    fn imports_belong_to_their_file() {
        let import = |module: &str| Frame::Import(ImportSaid { module: module.to_owned(), growth: 9, wall_ms: 5 });
        let collect = |id: &str| Frame::Collect { id: id.to_owned() };
        let profile = Frame::Profile { id: "a.py".into(), wall_ms: 8, growth: 11 };
        let seen = after(vec![import("numpy"), collect("a.py"), import("torch"), profile, collect("b.py")]);
        let told: Vec<_> =
            seen.collection.iter().map(|file| (file.nodeid.as_str(), file.wall_ms, file.imports.len())).collect();
        assert_eq!(told, [("configuration", Some(1), 1), ("a.py", Some(8), 1), ("b.py", None, 0)]);
    }

    #[test]
    fn a_flood_of_names_stays_bounded() {
        let seen = after((0..5_000).map(|number| start(&format!("{number}{}", "x".repeat(10_000)))).collect());
        assert_eq!(seen.running.len(), MAX_RUNNING);
        assert!(seen.running.iter().all(|test| test.nodeid.chars().count() == MAX_TEXT));
        let names = (0..40_000).map(|number| format!("{number}{}", "x".repeat(2_000)));
        let seen = after(names.flat_map(|name| [start(&name), done(&name, "passed")]).collect());
        assert!(seen.tests_omitted > 20_000 && seen.tests.len() > 5_000);
        assert_eq!(seen.outcomes.passed, 40_000, "all are counted");
    }
}
