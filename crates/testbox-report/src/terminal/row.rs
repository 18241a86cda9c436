//! How a test is told in a line.

use testbox_model::{Bytes, TestOutcome, TestRow};

/// Characters of a node id at most.
pub(super) const NAME_WIDTH: usize = 200;
/// Characters of a call at most.
pub(super) const CALL_WIDTH: usize = 120;
/// Characters of a diagnosis at most.
pub(super) const MESSAGE_WIDTH: usize = 160;

/// `passed`, `failed`, ... as pytest says it.
pub(super) fn outcome(row: &TestRow) -> &'static str {
    match row.outcome {
        None => "without a result",
        Some(TestOutcome::Passed) => "passed",
        Some(TestOutcome::Failed) => "failed",
        Some(TestOutcome::Error) => "error",
        Some(TestOutcome::Skipped) => "skipped",
        Some(TestOutcome::Xfailed) => "xfailed",
        Some(TestOutcome::Xpassed) => "xpassed",
    }
}

/// Growth with its sign: `+3.0 MiB`, `-4.0 KiB`, `0 B`.
pub(super) fn signed(bytes: i64) -> String {
    let sign = match bytes {
        0 => "",
        ..0 => "-",
        1.. => "+",
    };
    format!("{sign}{}", Bytes(bytes.unsigned_abs()))
}
