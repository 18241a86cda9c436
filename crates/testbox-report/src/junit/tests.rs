//! The file word by word, its structure by the rules of Jenkins' `junit-10.xsd`, and what hostile names cannot do.

#[expect(clippy::disallowed_types, reason = "a test reads what was written")]
mod structure;

use testbox_model::*;

use super::*;
use crate::harmless::is_bidi_control;
use crate::sample;
use structure::{Element, complaints, parse};

fn text_of(record: &RunRecord) -> String {
    let mut text = vec![];
    write(record, &judge(record), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn file_of(record: &RunRecord) -> Element {
    let file = parse(&text_of(record));
    assert_eq!(complaints(&file), Vec::<String>::new());
    file
}

fn cases(file: &Element) -> Vec<&Element> {
    file.children[0].children.iter().filter(|child| child.name == "testcase").collect()
}

/// One more record for each way in which a run of pytest can end early.
fn records() -> Vec<RunRecord> {
    let mut records = vec![sample::pytest_record(); 6];
    records[1].evidence.stop = Some(Stop { cause: StopCause::Timeout, at_ms: 3_000, killed: true });
    records[2].evidence.memory.oom_kills = 1;
    records[3].evidence.payload = PayloadEnd::Signaled { signal: 11 };
    records[4].evidence.payload = PayloadEnd::Lost;
    records[5].evidence.pytest.as_mut().unwrap().tests_omitted = 7;
    records
}

#[test]
fn every_case_word_by_word() {
    let expected = r##"<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests">
  <testsuite name="pytest" tests="9" failures="2" errors="3" skipped="2" time="3.200" timestamp="2025-06-15T15:06:40+00:00">
    <properties>
      <property name="testbox.verdict" value="failed"/>
      <property name="testbox.summary" value="2 of 10 tests were killed: tests/test_a.py::test_bomb (memory), tests/test_a.py::test_hang (timeout); 2 failed"/>
      <property name="testbox.view" value="overlay"/>
      <property name="testbox.collected" value="10"/>
    </properties>
    <testcase classname="tests.test_a" name="test_ok[1-a]" time="0.004"/>
    <testcase classname="tests.test_a" name="test_sum" time="0.008">
      <failure message="assert 1 == 2">    def test_sum():
&gt;       assert 1 == 2
E       assert 1 == 2</failure>
    </testcase>
    <testcase classname="tests.test_a.TestB" name="test_set" time="0.012">
      <error message="failed on setup with &quot;no such fixture&quot;"/>
    </testcase>
    <testcase classname="tests.test_a" name="test_win" time="0.016">
      <skipped type="pytest.skip" message="needs Windows">tests/test_a.py:9: needs Windows</skipped>
    </testcase>
    <testcase classname="tests.test_a" name="test_bug" time="0.020">
      <skipped type="pytest.xfail" message="not yet"/>
    </testcase>
    <testcase classname="tests.test_a" name="test_bomb" time="0.024">
      <failure type="testbox.memory" message="memory: used all of its 512.0 MiB (peak 512.0 MiB, 3 processes)">the last calls seen, the innermost first:
  tests/test_a.py:12 in grow
  tests/test_a.py:15 in test_bomb</failure>
    </testcase>
    <testcase classname="tests.test_a" name="test_hang" time="5.000">
      <error type="testbox.timeout" message="timeout: the test was ended in teardown"/>
    </testcase>
    <testcase classname="tests.test_a" name="test_flaky" time="0.032">
      <flakyFailure type="testbox.memory" message="an attempt was killed: memory"/>
      <flakyFailure type="testbox.crashed" message="an attempt was killed: crashed"/>
    </testcase>
    <testcase classname="a" name="t[\x1b[2J&lt;&amp;&quot;&apos;]]&gt;\x00\u{ffff}\u{202e}\x9b\r\n::error::x ##\[error]]" time="0.036">
      <error type="testbox.lost" message="it began and has no result"/>
    </testcase>
  </testsuite>
</testsuites>
"##;
    assert_eq!(text_of(&sample::pytest_record()), expected);
}

#[test]
fn every_file_keeps_to_the_common_schema_and_counts_its_cases() {
    for record in records() {
        let file = file_of(&record);
        let suite = &file.children[0];
        let with = |name: &str| cases(&file).iter().filter(|case| case.children.iter().any(|c| c.name == name)).count();
        for (attribute, count) in [
            ("tests", cases(&file).len()),
            ("failures", with("failure")),
            ("errors", with("error")),
            ("skipped", with("skipped")),
        ] {
            assert_eq!(suite.attribute(attribute), Some(count.to_string().as_str()), "{attribute}");
        }
    }
}

#[test]
fn a_run_that_ended_early_is_an_error_even_if_all_its_tests_passed() {
    for (mut record, kind) in records().into_iter().zip([
        Some("testbox.failed"),
        Some("testbox.timeout"),
        Some("testbox.memory"),
        Some("testbox.crashed"),
        Some("testbox.sandbox-fault"),
        Some("testbox.failed"),
    ]) {
        record.evidence.pytest.as_mut().unwrap().tests.truncate(1);
        let file = file_of(&record);
        let run = cases(&file).into_iter().find(|case| case.attribute("classname") == Some("testbox"));
        assert_eq!(run.and_then(|run| run.children[0].attribute("type")), kind);
        assert_eq!(
            run.map(|run| run.children[0].attribute("message").unwrap()),
            kind.map(|_| judge(&record).summary).as_deref()
        );
    }
}

#[test]
fn a_killed_collection_is_the_only_case() {
    let mut record = sample::pytest_record();
    record.evidence.stop = Some(Stop { cause: StopCause::CollectTimeout, at_ms: 300_000, killed: false });
    let seen = record.evidence.pytest.as_mut().unwrap();
    (seen.stage, seen.collecting) = (PytestStage::Collection, Some("tests/test_nlp.py".to_owned()));
    seen.tests.clear();
    assert!(has_cases(&record, &judge(&record)));
    let file = file_of(&record);
    let error = &cases(&file)[0].children[0];
    assert!(error.text.starts_with("collecting tests/test_nlp.py\n"), "{}", error.text);
    assert_eq!((cases(&file).len(), error.attribute("type")), (1, Some("testbox.timeout")));
}

#[test]
fn a_run_that_is_not_pytests_has_no_cases() {
    let record = sample::record();
    assert!(!has_cases(&record, &judge(&record)));
    let mut version = sample::record();
    version.evidence.pytest = Some(PytestEvidence { said_goodbye: true, ..PytestEvidence::default() });
    assert!(!has_cases(&version, &judge(&version)), "`pytest --version` runs no tests");
}

#[test]
fn a_killed_test_is_a_failure_whatever_its_outcome_says() {
    for outcome in [None, Some(TestOutcome::Passed), Some(TestOutcome::Skipped), Some(TestOutcome::Failed)] {
        for verdict in [TestVerdict::Memory, TestVerdict::Pids, TestVerdict::Timeout, TestVerdict::Crashed] {
            let mut record = sample::pytest_record();
            record.evidence.pytest.as_mut().unwrap().tests =
                vec![TestRow { outcome, verdict, ..sample::row("a.py::b", 1) }];
            let file = file_of(&record);
            let failure = &cases(&file)[0].children[0];
            assert_eq!(failure.name, "failure");
            assert_eq!(failure.attribute("type"), Some(format!("testbox.{}", verdict.word()).as_str()));
        }
    }
}

#[test]
fn a_failure_without_a_message_is_one() {
    let mut record = sample::pytest_record();
    for row in &mut record.evidence.pytest.as_mut().unwrap().tests {
        (row.message, row.text) = (None, None);
    }
    let file = file_of(&record);
    let message = |case: usize| cases(&file)[case].children[0].attribute("message").map(str::to_owned);
    let expected = [None, Some("failed on setup"), None, None, Some("memory: the test was ended in call")];
    assert_eq!([1, 2, 3, 4, 5].map(message), expected.map(|text| text.map(str::to_owned)));
}

#[test]
fn calls_stand_once_and_reasons_as_pytest_has_them() {
    let mut record = sample::pytest_record();
    let tests = &mut record.evidence.pytest.as_mut().unwrap().tests;
    tests[3].message = Some("Skipped: needs Windows".to_owned());
    tests[5].message = Some("testbox: memory: used all".to_owned());
    tests[5].text = Some(format!("E   testbox: memory: used all\n      {}", tests[5].stack[0]));
    let file = file_of(&record);
    let reason = |case: usize| &cases(&file)[case].children[0];
    assert_eq!(reason(3).attribute("message"), Some("needs Windows"));
    assert_eq!(reason(5).attribute("message"), Some("memory: used all"));
    assert_eq!(reason(5).text.matches("in grow").count(), 1);
}

#[test]
fn a_test_that_was_killed_again_shows_each_attempt() {
    let mut record = sample::pytest_record();
    let bomb = &mut record.evidence.pytest.as_mut().unwrap().tests[5];
    bomb.killed_before = vec![TestVerdict::Memory];
    let file = file_of(&record);
    let names: Vec<_> = cases(&file)[5].children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["failure", "rerunFailure"]);
}

#[test]
fn hostile_text_makes_no_markup_and_no_command() {
    let mut record = sample::pytest_record();
    for row in &mut record.evidence.pytest.as_mut().unwrap().tests {
        row.nodeid = sample::HOSTILE.to_owned();
        (row.message, row.text) = (Some(sample::HOSTILE.to_owned()), Some(sample::HOSTILE.to_owned()));
        row.stack = vec![sample::HOSTILE.to_owned()];
    }
    let text = text_of(&record);
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || is_bidi_control(c) || c == '\u{ffff}'), "{text}");
    assert!(!text.contains("##[") && !text.contains("]]>"), "{text}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
    let file = file_of(&record);
    assert_eq!(cases(&file).len(), 9);
    for case in cases(&file) {
        assert_eq!(case.attribute("classname"), Some("a"));
        assert_eq!(case.attribute("name"), Some(crate::harmless::one_line(&sample::HOSTILE[6..]).as_str()));
    }
}

#[test]
fn the_structure_check_sees_what_is_wrong() {
    let good = r#"<testsuites><testsuite name="" tests="0" failures="0" errors="0"><testcase name="x"/></testsuite></testsuites>"#;
    assert_eq!(complaints(&parse(good)).len(), 0);
    for (from, to) in [
        ("name=\"x\"", ""),
        ("name=\"x\"", "name=\"x\" file=\"y\""),
        ("errors=\"0\"", "errors=\"0\" time=\"1e3\""),
        ("<testcase name=\"x\"/>", "<testcase name=\"x\"><oops/></testcase>"),
        ("<testcase name=\"x\"/>", "<testcase name=\"x\">text</testcase>"),
        ("<testcase name=\"x\"/>", "<failure/>"),
        ("testsuites", "suites"),
    ] {
        assert_eq!(complaints(&parse(&good.replace(from, to))).len(), 1, "{to}");
    }
}
