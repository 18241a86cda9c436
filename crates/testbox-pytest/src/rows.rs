//! The rows of the tests: one for each that began, as long as there is room for them.

use testbox_model::{RunningTest, TestOutcome, TestRow, TestVerdict};

use crate::session::cut;
use crate::wire::{DoneSaid, ReportSaid};

/// Bytes that all rows together may take; the texts of failures have a part of it.
const BUDGET: usize = 24 << 20;
/// Bytes of a row besides its texts.
const ROW: usize = 320;
/// Calls of a stack that are kept.
const MAX_CALLS: usize = 64;

/// Killed tests that get a row when there is no room for others.
const SPARE_ROWS: usize = 1000;
/// Killed attempts of a test that are kept.
const MAX_ATTEMPTS: usize = 100;

#[derive(Debug, Clone, Default)]
pub(crate) struct Rows {
    rows: Vec<TestRow>,
    spent: usize,
    omitted: u64,
    /// Rows of killed tests beyond the budget.
    spared: usize,
    /// Rows of killed tests that are tried again.
    retried: Vec<usize>,
}

impl Rows {
    /// The row of a test that begins, if there is room.
    pub(crate) fn start(&mut self, worker: u32, nodeid: &str, at_ms: u64) -> Option<usize> {
        let again = self.retried.iter().position(|row| self.rows[*row].nodeid == nodeid);
        if let Some(row) = again.map(|position| self.retried.remove(position)) {
            self.rows[row].worker = worker;
            return Some(row);
        }
        if !self.spend(ROW + nodeid.len()) {
            self.omitted += 1;
            return None;
        }
        let row = TestRow { nodeid: nodeid.to_owned(), worker, started_ms: at_ms, ..TestRow::default() };
        self.rows.push(row);
        Some(self.rows.len() - 1)
    }

    /// The row of a killed test that had found no room: a kill is never only counted, up to a bound.
    pub(crate) fn spare(&mut self, worker: u32, test: &RunningTest) -> Option<usize> {
        if self.spared == SPARE_ROWS {
            return None;
        }
        self.spared += 1;
        self.omitted = self.omitted.saturating_sub(1);
        let (nodeid, started_ms) = (test.nodeid.clone(), test.since_ms);
        self.rows.push(TestRow { nodeid, worker, started_ms, ..TestRow::default() });
        Some(self.rows.len() - 1)
    }

    /// The worker of this test was killed.
    pub(crate) fn killed(
        &mut self,
        row: Option<usize>,
        verdict: TestVerdict,
        phase: &'static str,
        stack: &[String],
        peak_bytes: Option<u64>,
    ) {
        if let Some(row) = row.and_then(|row| self.rows.get_mut(row)) {
            (row.verdict, row.phase, row.peak_bytes) = (verdict, Some(phase), peak_bytes);
            row.stack.clear();
        }
        self.seen_at(row, stack);
    }

    /// This test was in these calls.
    pub(crate) fn seen_at(&mut self, row: Option<usize>, stack: &[String]) {
        let stack: Vec<String> = stack.iter().take(MAX_CALLS).cloned().map(cut).collect();
        let room = self.spend(stack.iter().map(String::len).sum());
        if let Some(row) = row.and_then(|row| self.rows.get_mut(row)).filter(|_| room) {
            row.stack = stack;
        }
    }

    /// The killed test is tried again.
    pub(crate) fn retry(&mut self, row: Option<usize>) {
        let Some(index) = row else { return };
        if let Some(row) = self.rows.get_mut(index) {
            let verdict = std::mem::take(&mut row.verdict);
            if row.killed_before.len() < MAX_ATTEMPTS {
                row.killed_before.push(verdict);
            }
            row.phase = None;
            self.retried.push(index);
        }
    }

    /// The plugin's last word on a test: the outcome that counts, and its row. `None`: it is no word of pytest's.
    pub(crate) fn done(
        &mut self,
        row: Option<usize>,
        id: String,
        said: &DoneSaid,
        at_ms: u64,
    ) -> Option<(TestOutcome, Option<usize>)> {
        let outcome = outcome(&said.outcome)?;
        let index = row.or_else(|| self.start(said.w, &id, at_ms));
        let Some(row) = index.and_then(|index| self.rows.get_mut(index)) else { return Some((outcome, None)) };
        let outcome = believed(outcome, row.verdict);
        row.outcome = Some(outcome);
        if !row.verdict.is_kill() {
            row.verdict = verdict(outcome);
            row.phase = failed_phase(&said.reports);
        }
        // A second word on a test tells only what is new.
        for (phase, ms) in ["setup", "call", "teardown"].into_iter().zip(&mut row.phases_ms) {
            *ms = time(&said.reports, phase).unwrap_or(*ms);
        }
        row.wall_ms = row.phases_ms.iter().fold(0, |sum, ms| sum.saturating_add(*ms));
        let usage = &said.usage;
        row.peak_bytes = usage.peak.or(row.peak_bytes);
        row.growth_bytes = usage.growth.or(row.growth_bytes);
        row.cache_bytes = usage.cache.or(row.cache_bytes);
        row.cpu_ms = usage.cpu_ms.or(row.cpu_ms);
        row.pids = usage.pids.or(row.pids);
        self.explain(index, &said.reports);
        Some((outcome, index))
    }

    /// A row.
    pub(crate) fn get(&self, row: usize) -> Option<&TestRow> {
        self.rows.get(row)
    }

    /// The rows and the number of those that found no room.
    pub(crate) fn into_list(self) -> (Vec<TestRow>, u64) {
        (self.rows, self.omitted)
    }

    fn explain(&mut self, row: Option<usize>, reports: &[ReportSaid]) {
        let Some(told) = reports.iter().find(|report| report.message.is_some() || report.text.is_some()) else {
            return;
        };
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        if !self.spend(length(&told.message) + length(&told.text)) {
            return;
        }
        if let Some(row) = row.and_then(|row| self.rows.get_mut(row)) {
            (row.message, row.text) = (told.message.clone(), told.text.clone());
        }
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let fits = self.spent + bytes <= BUDGET;
        self.spent += if fits { bytes } else { 0 };
        fits
    }
}

fn outcome(word: &str) -> Option<TestOutcome> {
    Some(match word {
        "passed" => TestOutcome::Passed,
        "failed" => TestOutcome::Failed,
        "error" => TestOutcome::Error,
        "skipped" => TestOutcome::Skipped,
        "xfailed" => TestOutcome::Xfailed,
        "xpassed" => TestOutcome::Xpassed,
        _ => return None,
    })
}

/// A killed test has failed, whatever the plugin says.
fn believed(said: TestOutcome, verdict: TestVerdict) -> TestOutcome {
    match said {
        TestOutcome::Failed | TestOutcome::Error => said,
        _ if verdict.is_kill() => TestOutcome::Failed,
        _ => said,
    }
}

fn verdict(outcome: TestOutcome) -> TestVerdict {
    match outcome {
        TestOutcome::Passed | TestOutcome::Xpassed => TestVerdict::Passed,
        TestOutcome::Failed | TestOutcome::Error => TestVerdict::Failed,
        TestOutcome::Skipped | TestOutcome::Xfailed => TestVerdict::Skipped,
    }
}

fn failed_phase(reports: &[ReportSaid]) -> Option<&'static str> {
    let failed = reports.iter().find(|report| report.outcome == "failed")?;
    ["setup", "call", "teardown"].into_iter().find(|phase| *phase == failed.when)
}

/// `None`: there is no such phase among them.
fn time(reports: &[ReportSaid], phase: &str) -> Option<u64> {
    reports.iter().filter(|report| report.when == phase).map(|report| report.ms).reduce(u64::saturating_add)
}
