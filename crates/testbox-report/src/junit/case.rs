//! One `testcase`.

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::BytesText;
use testbox_model::{TestOutcome, TestRow, TestVerdict, Verdict};

use super::time;
use crate::harmless::{lines, one_line};
use crate::told::diagnosis;

/// What becomes a `testcase`.
pub(super) enum Case<'a> {
    /// A test.
    Test(&'a TestRow),
    /// The whole run.
    Run(&'a Verdict),
}

/// What a case is counted as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Passed,
    Failure,
    Error,
    Skipped,
}

/// The element that says why a case did not pass.
struct Reason {
    element: &'static str,
    cause: Option<String>,
    message: String,
    text: String,
}

impl<'a> Case<'a> {
    pub(super) fn kind(&self) -> Kind {
        let Self::Test(row) = self else { return Kind::Error };
        match (row.verdict, row.outcome) {
            (TestVerdict::Lost, _) | (_, Some(TestOutcome::Error)) => Kind::Error,
            (verdict, _) if verdict.is_kill() => Kind::Failure,
            (_, None) => Kind::Error,
            (_, Some(TestOutcome::Failed)) | (TestVerdict::Failed, _) => Kind::Failure,
            (_, Some(TestOutcome::Skipped | TestOutcome::Xfailed)) => Kind::Skipped,
            (_, Some(TestOutcome::Passed | TestOutcome::Xpassed)) => Kind::Passed,
        }
    }

    pub(super) fn write(&self, xml: &mut Writer<&mut dyn Write>) -> io::Result<()> {
        let (classname, name, time) = match self {
            Self::Test(row) => {
                let (classname, name) = address(&row.nodeid);
                (classname, name, Some(time::seconds(row.wall_ms)))
            }
            Self::Run(_) => ("testbox".to_owned(), "run".to_owned(), None),
        };
        let case = xml.create_element("testcase");
        let case = case.with_attribute(("classname", one_line(&classname).as_str()));
        let case = case.with_attribute(("name", one_line(&name).as_str()));
        let case = case.with_attributes(time.as_deref().map(|time| ("time", time)));
        let reasons = self.reasons();
        if reasons.is_empty() {
            return case.write_empty().map(drop);
        }
        case.write_inner_content(|xml| reasons.iter().try_for_each(|reason| reason.write(xml))).map(drop)
    }

    fn reasons(&self) -> Vec<Reason> {
        match self {
            Self::Run(verdict) => vec![Reason {
                element: "error",
                cause: Some(format!("testbox.{}", verdict.kind.word().replace(' ', "-"))),
                message: verdict.summary.clone(),
                text: verdict.place.iter().chain(&verdict.hint).map(|line| format!("{line}\n")).collect(),
            }],
            Self::Test(row) => {
                let again = row.killed_before.iter().map(|verdict| attempt(*verdict, self.kind()));
                reason(row, self.kind()).into_iter().chain(again).collect()
            }
        }
    }
}

impl Reason {
    fn write(&self, xml: &mut Writer<&mut dyn Write>) -> io::Result<()> {
        let element = xml.create_element(self.element);
        let element = element.with_attributes(self.cause.as_deref().map(|cause| ("type", cause)));
        let message = (!self.message.is_empty()).then(|| one_line(&self.message));
        let element = element.with_attributes(message.as_deref().map(|message| ("message", message)));
        match lines(&self.text).trim_end() {
            "" => element.write_empty().map(drop),
            text => element.write_text_content(BytesText::new(text)).map(drop),
        }
    }
}

/// Why a test did not pass, if it did not.
fn reason(row: &TestRow, kind: Kind) -> Option<Reason> {
    let message = row.message.clone().unwrap_or_default();
    let text = row.text.clone().unwrap_or_default();
    let element = match kind {
        Kind::Passed => return None,
        Kind::Failure => "failure",
        Kind::Error => "error",
        Kind::Skipped => "skipped",
    };
    let (cause, message) = match (row.verdict, row.outcome) {
        (verdict, _) if verdict.is_kill() => (Some(format!("testbox.{}", verdict.word())), killed(row)),
        (TestVerdict::Lost, _) | (_, None) => {
            (Some("testbox.lost".to_owned()), "it began and has no result".to_owned())
        }
        (_, Some(TestOutcome::Skipped)) => (Some("pytest.skip".to_owned()), without("Skipped: ", message)),
        (_, Some(TestOutcome::Xfailed)) => (Some("pytest.xfail".to_owned()), message),
        (_, Some(TestOutcome::Error)) => (None, failed_around(row, &message)),
        _ => (None, message),
    };
    Some(Reason { element, cause, message, text: format!("{}{text}", stack(row)) })
}

fn without(start: &str, message: String) -> String {
    message.strip_prefix(start).map(str::to_owned).unwrap_or(message)
}

/// In pytest's words.
fn failed_around(row: &TestRow, message: &str) -> String {
    let phase = row.phase.unwrap_or("setup or teardown");
    if message.is_empty() { format!("failed on {phase}") } else { format!("failed on {phase} with \"{message}\"") }
}

fn killed(row: &TestRow) -> String {
    let during = row.phase.map(|phase| format!(" in {phase}")).unwrap_or_default();
    let cause = diagnosis(row).map(str::to_owned);
    format!("{}: {}", row.verdict.word(), cause.unwrap_or_else(|| format!("the test was ended{during}")))
}

/// Where it was seen last, if its text does not say so.
fn stack(row: &TestRow) -> String {
    let told = row.text.as_ref().zip(row.stack.first()).is_some_and(|(text, call)| text.contains(call.as_str()));
    if told || row.stack.is_empty() {
        return String::new();
    }
    let calls: String = row.stack.iter().map(|call| format!("  {}\n", call)).collect();
    format!("the last calls seen, the innermost first:\n{calls}\n")
}

/// An attempt that was killed: flaky if the test passed at last.
fn attempt(verdict: TestVerdict, at_last: Kind) -> Reason {
    let element = if at_last == Kind::Passed { "flakyFailure" } else { "rerunFailure" };
    let cause = Some(format!("testbox.{}", verdict.word()));
    Reason { element, cause, message: format!("an attempt was killed: {}", verdict.word()), text: String::new() }
}

/// Class and name of a node id, as pytest's own XML has them: `a/test_b.py::TestC::test_d[x::y]` is
/// (`a.test_b.TestC`, `test_d[x::y]`).
fn address(nodeid: &str) -> (String, String) {
    let bracket = nodeid.find('[').unwrap_or(nodeid.len());
    let (path, parameters) = nodeid.split_at(bracket);
    let (file, rest) = path.split_once("::").map_or((path, None), |(file, rest)| (file, Some(rest)));
    let file = file.replace('/', ".");
    let file = file.strip_suffix(".py").unwrap_or(&file);
    let Some(rest) = rest else { return (String::new(), format!("{file}{parameters}")) };
    let mut names: Vec<&str> = rest.split("::").collect();
    let name = names.pop().unwrap_or_default();
    names.insert(0, file);
    (names.join("."), format!("{name}{parameters}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_pytest() {
        for (nodeid, classname, name) in [
            ("tests/a/test_b.py::test_c", "tests.a.test_b", "test_c"),
            ("test_b.py::TestC::TestD::test_e[1-x/y.py::z]", "test_b.TestC.TestD", "test_e[1-x/y.py::z]"),
            ("README.md::README.md", "README.md", "README.md"),
            ("src/pkg/mod.py::pkg.mod.f", "src.pkg.mod", "pkg.mod.f"),
            ("tests/test_b.py", "", "tests.test_b"),
            ("a.pyi::x", "a.pyi", "x"),
            ("", "", ""),
        ] {
            assert_eq!(address(nodeid), (classname.to_owned(), name.to_owned()), "{nodeid}");
        }
    }
}
