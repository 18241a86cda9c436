//! What every report tells of a test in the same words.

use std::path::Path;

use testbox_model::TestRow;

/// `/project/tests/a.py:3 in f` as `tests/a.py:3 in f`; a call in a file elsewhere as it is.
pub(crate) fn in_project<'a>(call: &'a str, project: &Path) -> &'a str {
    let inside = project.to_str().and_then(|project| call.strip_prefix(project)?.strip_prefix('/'));
    inside.unwrap_or(call)
}

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
    fn a_call_is_shown_as_seen_from_the_project() {
        for (call, shown) in [
            ("/p/tests/a.py:3 in f", "tests/a.py:3 in f"),
            ("/pp/a.py:3 in f", "/pp/a.py:3 in f"),
            ("a.py:3 in f", "a.py:3 in f"),
        ] {
            assert_eq!(in_project(call, Path::new("/p")), shown);
        }
    }

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
