//! The tests of a pytest run as JUnit XML, `junit.xml`: names as pytest's own `--junitxml` gives them, valid by the
//! schema of Jenkins (`junit-10.xsd`), and written piece by piece.
//!
//! A reader that knows nothing of testbox must see every run red that is not green: a killed test is a failure, a test
//! without a result is an error, and a run that did not come to its end has an error of its own.

mod case;
mod time;

use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, Event};
use testbox_model::{PytestEvidence, RunRecord, Verdict, VerdictKind};

use crate::harmless::one_line;
use case::{Case, Kind};

/// Whether there is anything to tell: rows, or a pytest run that ended without its tests.
pub(crate) fn has_cases(record: &RunRecord, verdict: &Verdict) -> bool {
    record.evidence.pytest.as_ref().is_some_and(|seen| !seen.tests.is_empty() || whole_run(seen, verdict).is_some())
}

/// Writes the file.
///
/// # Errors
/// `out` takes no more.
pub(crate) fn write(record: &RunRecord, verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
    let Some(seen) = &record.evidence.pytest else { return Ok(()) };
    let cases = || seen.tests.iter().map(Case::Test).chain(whole_run(seen, verdict));
    let counts = cases().fold(Counts::default(), Counts::with);
    let mut xml = Writer::new_with_indent(out, b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    xml.write_event(Event::Start(BytesStart::new("testsuites").with_attributes([("name", "pytest tests")])))?;
    xml.write_event(Event::Start(suite(record, counts)))?;
    properties(&mut xml, record, seen, verdict)?;
    for case in cases() {
        case.write(&mut xml)?;
    }
    xml.write_event(Event::End(BytesEnd::new("testsuite")))?;
    xml.write_event(Event::End(BytesEnd::new("testsuites")))?;
    xml.into_inner().write_all(b"\n")
}

#[derive(Default)]
struct Counts {
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
}

impl Counts {
    fn with(mut self, case: Case<'_>) -> Self {
        self.tests += 1;
        match case.kind() {
            Kind::Passed => {}
            Kind::Failure => self.failures += 1,
            Kind::Error => self.errors += 1,
            Kind::Skipped => self.skipped += 1,
        }
        self
    }
}

fn suite(record: &RunRecord, counts: Counts) -> BytesStart<'static> {
    let mut suite = BytesStart::new("testsuite");
    suite.push_attribute(("name", "pytest"));
    let numbers = [
        ("tests", counts.tests),
        ("failures", counts.failures),
        ("errors", counts.errors),
        ("skipped", counts.skipped),
    ];
    for (name, number) in numbers {
        suite.push_attribute((name, number.to_string().as_str()));
    }
    suite.push_attribute(("time", time::seconds(record.duration_ms).as_str()));
    suite.push_attribute(("timestamp", time::utc(record.started_at).as_str()));
    suite
}

/// What a reader of the file alone would miss.
fn properties(
    xml: &mut Writer<&mut dyn Write>,
    record: &RunRecord,
    seen: &PytestEvidence,
    verdict: &Verdict,
) -> io::Result<()> {
    let mut properties = vec![("testbox.verdict", verdict.kind.word().to_owned())];
    properties.push(("testbox.summary", one_line(&verdict.summary)));
    properties.push(("testbox.view", record.view.word().to_owned()));
    properties.extend(seen.collected.map(|collected| ("testbox.collected", collected.to_string())));
    if seen.tests_omitted > 0 {
        properties.push(("testbox.tests_omitted", seen.tests_omitted.to_string()));
    }
    xml.create_element("properties")
        .write_inner_content(|xml| {
            properties.iter().try_for_each(|(name, value)| {
                let property = xml.create_element("property").with_attribute(("name", *name));
                property.with_attribute(("value", value.as_str())).write_empty().map(drop)
            })
        })
        .map(drop)
}

/// A case for the run itself, where its rows do not say why it is not green.
fn whole_run<'a>(seen: &PytestEvidence, verdict: &'a Verdict) -> Option<Case<'a>> {
    let told = match verdict.kind {
        VerdictKind::Passed => true,
        VerdictKind::Failed => {
            seen.tests_omitted == 0
                && seen.tests.iter().any(|row| matches!(Case::Test(row).kind(), Kind::Failure | Kind::Error))
        }
        _ => false,
    };
    (!told).then_some(Case::Run(verdict))
}

#[cfg(test)]
mod tests;
