//! Tests that were killed, and tests that passed only when they were tried again: one line each.

use testbox_model::{Bytes, Duration, Isolate, PytestEvidence, RunRecord, TestRow, TestVerdict, telling_call};

use super::Style;
use super::paint::{Ink, count, paint};
use super::row::{CALL_WIDTH, MESSAGE_WIDTH, NAME_WIDTH, outcome};
use crate::harmless::short_line;
use crate::told::diagnosis;

/// Lines of each kind at most; the rest is counted.
const LISTED: usize = 10;

pub(super) fn lines(record: &RunRecord, style: Style) -> Vec<String> {
    let Some(seen) = &record.evidence.pytest else { return vec![] };
    let mut lines = killed(record, seen, style);
    lines.extend(flaky(seen, style));
    lines.extend(omitted(seen));
    lines
}

fn killed(record: &RunRecord, seen: &PytestEvidence, style: Style) -> Vec<String> {
    let killed = || seen.tests.iter().filter(|row| row.verdict.is_kill());
    let word = paint("killed", Ink::Bad, style);
    let mut lines: Vec<String> =
        killed().take(LISTED).map(|row| format!("{word}: {}", killed_test(record, seen, row))).collect();
    lines.extend(more(killed().count(), "killed"));
    lines
}

fn killed_test(record: &RunRecord, seen: &PytestEvidence, row: &TestRow) -> String {
    let phase = row.phase.map(|phase| format!(" ({phase})")).unwrap_or_default();
    let place = telling_call(&row.stack).map(|call| format!("; at {}", short_line(call, CALL_WIDTH)));
    let place = place.unwrap_or_default();
    let before = match row.killed_before.as_slice() {
        [] => String::new(),
        before => format!("; killed before as well ({})", words(before)),
    };
    let name = short_line(&row.nodeid, NAME_WIDTH);
    format!("{name}{phase}: {}{}{place}{before}", row.verdict.word(), cause(record, seen, row))
}

/// What follows the word of the verdict: the diagnosis, else the number that speaks for it.
fn cause(record: &RunRecord, seen: &PytestEvidence, row: &TestRow) -> String {
    match (diagnosis(row), row.verdict, row.peak_bytes) {
        (Some(cause), ..) => format!(": {}", short_line(cause, MESSAGE_WIDTH)),
        (_, TestVerdict::Memory, Some(peak)) => {
            let limit = limit(record, seen).map(|limit| format!(" of {limit}")).unwrap_or_default();
            format!(", peak {}{limit}", Bytes(peak))
        }
        _ => format!(" after {}", Duration::from_ms(row.wall_ms)),
    }
}

/// The memory of each worker, where one limit is everybody's.
fn limit(record: &RunRecord, seen: &PytestEvidence) -> Option<Bytes> {
    let testing = &record.plan.testing;
    if testing.quotas.value.iter().any(|quota| quota.memory_bytes.is_some()) {
        return None;
    }
    match seen.isolate.parse() {
        Ok(Isolate::Tests(1)) => testing.test_memory.value,
        Ok(Isolate::File) => testing.file_memory.value,
        _ => None,
    }
}

fn flaky(seen: &PytestEvidence, style: Style) -> Vec<String> {
    let retried = || seen.tests.iter().filter(|row| !row.killed_before.is_empty() && !row.verdict.is_kill());
    let word = paint("flaky", Ink::Caution, style);
    let mut lines: Vec<String> = retried()
        .take(LISTED)
        .map(|row| {
            let name = short_line(&row.nodeid, NAME_WIDTH);
            format!("{word}: {name}: killed ({}), then {}", words(&row.killed_before), outcome(row))
        })
        .collect();
    lines.extend(more(retried().count(), "flaky"));
    lines
}

fn more(total: usize, what: &str) -> Option<String> {
    let more = total.saturating_sub(LISTED);
    (more > 0).then(|| format!("{what}: and {more} more, in the report"))
}

fn words(verdicts: &[TestVerdict]) -> String {
    verdicts.iter().map(|verdict| verdict.word()).collect::<Vec<_>>().join(", ")
}

fn omitted(seen: &PytestEvidence) -> Option<String> {
    let omitted = count(usize::try_from(seen.tests_omitted).unwrap_or(usize::MAX), "test is", "tests are");
    (seen.tests_omitted > 0).then(|| format!("note: {omitted} only counted: the rows of the others fill the report"))
}
