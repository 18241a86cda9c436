//! What pytest's plugin adds to a verdict: where the tests were, which were killed, and that an exit code of 0 without an
//! end, or without a result of each test, is no success.

use crate::{
    ExitCode, PayloadEnd, PytestEvidence, PytestStage, RunRecord, RunningTest, TestRow, TestVerdict, Verdict,
    VerdictKind, telling_call,
};

/// Tests named at most.
const NAMED: usize = 3;
/// Characters of a test's name in a sentence.
const NAME_CHARS: usize = 120;

/// An exit code of 0, but pytest never came to its end or says otherwise (`os._exit(0)` in a test, at import or at exit),
/// or somebody hid what became of its tests.
pub(super) fn lost(record: &RunRecord) -> Option<Verdict> {
    let seen = record.evidence.pytest.as_ref()?;
    if record.evidence.payload != (PayloadEnd::Exited { code: 0 }) {
        return None;
    }
    let (why, hint) = match (seen.exit_status, seen.said_goodbye) {
        (Some(0), true) | (None, true) if !session_open(seen) => hidden(seen)?,
        (Some(status), _) if status != 0 => (format!("pytest itself ended its session with {status}"), EXITS),
        _ => ("pytest did not come to its end".to_owned(), EXITS),
    };
    let summary = format!("the command exited with 0, but {why}");
    let (kind, exit_code) = (VerdictKind::Lost, ExitCode::Payload(1));
    Some(Verdict { kind, exit_code, summary, place: None, hint: Some(hint.to_owned()) })
}

const EXITS: &str = "look for `os._exit` or `os.exec*` in the tests and in what they import";
const HIDES: &str = "look for hooks in conftest.py and plugins that change results or the exit status";

/// Killed tests, or tests without a result, behind an exit code of 0.
fn hidden(seen: &PytestEvidence) -> Option<(String, &'static str)> {
    if let Some(killed) = killed(seen) {
        return Some((killed, HIDES));
    }
    let (had, collected) = (seen.outcomes.total(), seen.collected?);
    // Where another plugin runs the tests, or nobody, their number is not known.
    let known = !matches!(seen.isolate.as_str(), "" | "other");
    (known && had != collected).then(|| (format!("{had} of {collected} collected tests had a result"), HIDES))
}

/// How many tests were killed and which; `None`: none was.
pub(super) fn killed(seen: &PytestEvidence) -> Option<String> {
    let killed: Vec<&TestRow> = seen.tests.iter().filter(|row| row.verdict.is_kill()).collect();
    let total = seen.collected.unwrap_or(0).max(killed.len() as u64);
    let were = if killed.len() == 1 { "was" } else { "were" };
    let named = names(killed.iter().map(|row| format!("{} ({})", cut(&row.nodeid), row.verdict.word())).collect());
    let failed = seen.tests.iter().filter(|row| row.verdict == TestVerdict::Failed).count();
    let failed = if failed == 0 { String::new() } else { format!("; {failed} failed") };
    (!killed.is_empty()).then(|| format!("{} of {total} tests {were} killed: {named}{failed}", killed.len()))
}

/// What an exit code means that is pytest's own (pytest's documentation, "Exit codes"); `None`: it is somebody else's.
pub(super) fn ended(seen: &PytestEvidence, code: u8) -> Option<String> {
    let by_pytest = match seen.exit_status {
        Some(status) => status == i32::from(code),
        // It never got as far as a session.
        None => code == 4 && seen.stage == PytestStage::Configuration,
    };
    let meaning = match code {
        _ if !by_pytest => return None,
        1 => return failed(seen),
        2 => "pytest was interrupted, or could not collect all tests",
        3 => "pytest met an internal error",
        4 => "pytest could not begin: its options, its configuration or a conftest file",
        5 => "pytest found no test to run",
        _ => return None,
    };
    Some(format!("{meaning} (exit code {code})"))
}

/// How many tests failed by themselves and which; `None`: none did.
fn failed(seen: &PytestEvidence) -> Option<String> {
    let failed: Vec<&TestRow> = seen.tests.iter().filter(|row| row.verdict == TestVerdict::Failed).collect();
    let total = seen.collected.unwrap_or(0).max(failed.len() as u64);
    let named = names(failed.iter().map(|row| cut(&row.nodeid)).collect());
    // Rows that were left out are not named, and so not counted either.
    (!failed.is_empty() && seen.tests_omitted == 0)
        .then(|| format!("{} of {total} tests failed: {named}", failed.len()))
}

/// What to do about killed tests, where all met the same limit.
pub(super) fn killed_hint(seen: &PytestEvidence) -> Option<String> {
    let mut verdicts = seen.tests.iter().map(|row| row.verdict).filter(|verdict| verdict.is_kill());
    let first = verdicts.next()?;
    let hint = match first {
        TestVerdict::Memory => {
            "raise `--memory SIZE`, or give these tests more by a quota; `--memories 10` shows what each test uses"
        }
        TestVerdict::Timeout => "give tests more time with `--test-timeout DUR`, a quota or a `timeout` marker",
        TestVerdict::Pids => "give tests more processes with a quota, or all with `--pids N`",
        _ => return None,
    };
    verdicts.all(|verdict| verdict == first).then(|| hint.to_owned())
}

/// Where the tests were when a limit, a stop or a signal ended them.
pub(super) fn placed(mut verdict: Verdict, record: &RunRecord) -> Verdict {
    let ended_early = matches!(
        verdict.kind,
        VerdictKind::Memory
            | VerdictKind::Pids
            | VerdictKind::Output
            | VerdictKind::Timeout
            | VerdictKind::IdleTimeout
            | VerdictKind::Crashed
            | VerdictKind::Lost
            | VerdictKind::Interrupted
    );
    if let (true, Some(seen)) = (ended_early, &record.evidence.pytest) {
        verdict.place = place(seen);
    }
    verdict
}

fn session_open(seen: &PytestEvidence) -> bool {
    matches!(seen.stage, PytestStage::Collection | PytestStage::Tests)
}

fn place(seen: &PytestEvidence) -> Option<String> {
    let line = seen.stack.as_ref().and_then(|stack| telling_call(&stack.calls));
    let line = line.map(|call| format!(" at {}", call)).unwrap_or_default();
    let counted = seen.collected.map(|total| format!("; {} of {total} tests had a result", seen.outcomes.total()));
    let counted = counted.unwrap_or_default();
    match (&seen.collecting, seen.running.as_slice(), seen.stage) {
        (_, [], PytestStage::Finished) => None,
        (_, [test], _) => Some(format!("running {} ({}){line}{counted}", test.nodeid, test.phase)),
        (_, [], PytestStage::Configuration) => Some(format!("reading pytest's configuration and conftest files{line}")),
        (Some(file), [], _) => Some(format!("collecting {file}{line}")),
        (None, [], _) => Some(format!("between two tests{line}{counted}")),
        (_, several, _) => {
            let ids = several.iter().map(|test: &RunningTest| test.nodeid.clone()).collect();
            Some(format!("running {}{counted}", names(ids)))
        }
    }
}

/// A node id that does not fill the sentence.
fn cut(nodeid: &str) -> String {
    match nodeid.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}...", &nodeid[..end]),
        None => nodeid.to_owned(),
    }
}

fn names(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    match more {
        0 => all.join(", "),
        more => format!("{} and {more} more", all.join(", ")),
    }
}
