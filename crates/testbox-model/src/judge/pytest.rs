//! What pytest's plugin adds to a verdict: where the tests were, and that an exit code of 0 without an end is no success.

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
    let summary = format!("the command exited with 0, but {why}{}", clause(seen));
    let hint = "look for `os._exit` or `os.exec*` in the tests and in what they import".to_owned();
    Some(Verdict { kind: VerdictKind::Lost, exit_code: ExitCode::Payload(1), summary, hint: Some(hint) })
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
            | VerdictKind::Interrupted
    );
    if let (true, Some(seen)) = (ended_early, &record.evidence.pytest) {
        verdict.summary.push_str(&clause(seen));
    }
    verdict
}

fn session_open(seen: &PytestEvidence) -> bool {
    matches!(seen.stage, PytestStage::Collection | PytestStage::Tests)
}

fn clause(seen: &PytestEvidence) -> String {
    let place = seen.stack.as_ref().and_then(|stack| stack.calls.first()).map(|call| format!(" at {call}"));
    let place = place.unwrap_or_default();
    let counted = seen.collected.map(|total| format!("; {} of {total} tests had a result", seen.outcomes.total()));
    let counted = counted.unwrap_or_default();
    match (&seen.collecting, seen.running.as_slice(), seen.stage) {
        (_, [], PytestStage::Finished) => String::new(),
        (_, [test], _) => format!("; running {} ({}){place}{counted}", test.nodeid, test.phase),
        (_, [], PytestStage::Configuration) => {
            format!("; pytest was reading its configuration and conftest files{place}")
        }
        (Some(file), [], _) => format!("; collecting {file}{place}"),
        (None, [], _) => format!("{place}{counted}"),
        (_, several, _) => format!("; running {}{counted}", names(several)),
    }
}

fn names(tests: &[RunningTest]) -> String {
    let named: Vec<&str> = tests.iter().take(NAMED).map(|test| test.nodeid.as_str()).collect();
    match tests.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
