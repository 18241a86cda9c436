//! What every report tells of a test in the same words.

use testbox_model::TestRow;

/// Why a test was killed, without the words that a report puts before it; as the failure reads that pytest shows, it is
/// `testbox: memory: used all of its 512.0 MiB`.
pub(crate) fn diagnosis(row: &TestRow) -> Option<&str> {
    let message = row.message.as_deref()?;
    let message = message.strip_prefix("testbox: ").unwrap_or(message);
    let cause = message.strip_prefix(row.verdict.word()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message);
    (!cause.is_empty()).then_some(cause)
}

#[cfg(test)]
mod tests {
    use testbox_model::TestVerdict;

    use super::*;

    #[test]
    fn a_diagnosis_has_no_words_that_are_told_anyway() {
        for (message, cause) in [
            ("testbox: memory: used all of it", Some("used all of it")),
            ("memory: used all of it", Some("used all of it")),
            ("used all of it", Some("used all of it")),
            ("memory", Some("memory")),
            ("", None),
        ] {
            let message = Some(message.to_owned());
            let row = TestRow { message, verdict: TestVerdict::Memory, ..TestRow::default() };
            assert_eq!(diagnosis(&row), cause);
        }
    }
}
