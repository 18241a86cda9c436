//! What pytest's plugin adds to a verdict: where the tests were, and that an exit code of 0 without an end is no success.

use std::path::Path;

use crate::{ExitCode, PayloadEnd, PytestEvidence, PytestStage, RunRecord, RunningTest, Verdict, VerdictKind};

/// Tests named at most.
const NAMED: usize = 3;

/// An exit code of 0, but pytest never came to its end or says otherwise: `os._exit(0)` in a test, at import or at exit.
pub(super) fn lost(record: &RunRecord) -> Option<Verdict> {
    let seen = record.evidence.pytest.as_ref()?;
    if record.evidence.payload != (PayloadEnd::Exited { code: 0 }) {
        return None;
    }
    let why = match (seen.exit_status, seen.said_goodbye) {
        (Some(0), true) | (None, true) if !session_open(seen) => return None,
        (Some(status), _) if status != 0 => format!("pytest itself ended its session with {status}"),
        _ => "pytest did not come to its end".to_owned(),
    };
    let summary = format!("the command exited with 0, but {why}");
    let hint = "look for `os._exit` or `os.exec*` in the tests and in what they import".to_owned();
    Some(Verdict { kind: VerdictKind::Lost, exit_code: ExitCode::Payload(1), summary, place: None, hint: Some(hint) })
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
        verdict.place = place(seen, &record.plan.project);
    }
    verdict
}

fn session_open(seen: &PytestEvidence) -> bool {
    matches!(seen.stage, PytestStage::Collection | PytestStage::Tests)
}

fn place(seen: &PytestEvidence, project: &Path) -> Option<String> {
    let line = seen.stack.as_ref().and_then(|stack| stack.calls.first());
    let line = line.map(|call| format!(" at {}", short(call, project))).unwrap_or_default();
    let counted = seen.collected.map(|total| format!("; {} of {total} tests had a result", seen.outcomes.total()));
    let counted = counted.unwrap_or_default();
    match (&seen.collecting, seen.running.as_slice(), seen.stage) {
        (_, [], PytestStage::Finished) => None,
        (_, [test], _) => Some(format!("running {} ({}){line}{counted}", test.nodeid, test.phase)),
        (_, [], PytestStage::Configuration) => Some(format!("reading pytest's configuration and conftest files{line}")),
        (Some(file), [], _) => Some(format!("collecting {file}{line}")),
        (None, [], _) => Some(format!("between two tests{line}{counted}")),
        (_, several, _) => Some(format!("running {}{counted}", names(several))),
    }
}

/// A call in a file of the project, as seen from the project.
fn short<'a>(call: &'a str, project: &Path) -> &'a str {
    let inside = project.to_str().and_then(|project| call.strip_prefix(project)?.strip_prefix('/'));
    inside.unwrap_or(call)
}

fn names(tests: &[RunningTest]) -> String {
    let named: Vec<&str> = tests.iter().take(NAMED).map(|test| test.nodeid.as_str()).collect();
    match tests.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
