//! The texts of runs of pytest: killed and retried tests, memory, collection.

use super::*;

fn with(change: impl FnOnce(&mut RunRecord, &mut PytestEvidence)) -> RunRecord {
    let mut record = sample::pytest_record();
    let mut seen = record.evidence.pytest.take().unwrap();
    seen.collection.clear();
    change(&mut record, &mut seen);
    record.evidence.pytest = Some(seen);
    record
}

fn lines_with(record: &RunRecord, words: &[&str]) -> Vec<String> {
    let text = verdict_of(record, PLAIN);
    text.lines().filter(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}

fn bombs(number: u64) -> Vec<TestRow> {
    let bomb =
        |n| TestRow { verdict: TestVerdict::Memory, phase: Some("call"), ..sample::row(&format!("a.py::t{n}"), n) };
    (0..number).map(bomb).collect()
}

#[test]
fn killed_and_retried_tests_follow_the_verdict() {
    assert_lines(
        &verdict_of(&with(|_, _| {}), PLAIN),
        &[
            "testbox: FAILED: 2 of 10 tests were killed: tests/test_a.py::test_bomb (memory), tests/test_a.py::test_hang (timeout); 2 failed",
            "  killed: tests/test_a.py::test_bomb (call): memory: used all of its 512.0 MiB (peak 512.0 MiB, 3 processes); \
             at tests/test_a.py:12 in grow",
            "  killed: tests/test_a.py::test_hang (teardown): timeout after 5 s",
            "  flaky: tests/test_a.py::test_flaky: killed (memory, crashed), then passed",
            "  took 3.2 s; peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU",
            "  report: .testbox/last/testbox.json, with junit.xml beside it",
        ],
    );
}

#[test]
fn an_ordinary_run_of_pytest_has_no_line_more() {
    let record = with(|record, seen| {
        record.evidence.payload = PayloadEnd::Exited { code: 0 };
        (seen.exit_status, seen.collected) = (Some(0), Some(1));
        seen.outcomes = Outcomes { passed: 1, ..Outcomes::default() };
        seen.tests.truncate(1);
        seen.collection = vec![sample::collected("tests/test_a.py", Some(900), 200)];
    });
    let line = "testbox: PASSED in 3.2 s  (peak memory 210.0 MiB of 2.0 GiB, 5 pids, 3.1 s CPU)";
    assert_lines(&verdict_of(&record, PLAIN), &[line]);
}

#[test]
fn a_peak_stands_for_a_diagnosis_and_has_its_limit_where_that_is_everybodys() {
    let line = |isolate: &str, change: &dyn Fn(&mut Testing)| {
        let record = with(|record, seen| {
            (seen.tests, seen.isolate) = (bombs(1), isolate.to_owned());
            record.plan.testing.test_memory.value = Some(Bytes(512 << 20));
            record.plan.testing.file_memory.value = Some(Bytes(1 << 30));
            change(&mut record.plan.testing);
        });
        lines_with(&record, &["  killed"]).concat()
    };
    let quota = Quota {
        of: QuotaOf::Marker("heavy".to_owned()),
        memory_bytes: Some(Bytes(1)),
        timeout: None,
        pids: None,
        isolate: None,
        files: None,
        origin: Origin::Policy("default".to_owned()),
    };
    assert_eq!(line("test", &|_| {}), "  killed: a.py::t0 (call): memory, peak 20.0 MiB of 512.0 MiB");
    assert_eq!(line("file", &|_| {}), "  killed: a.py::t0 (call): memory, peak 20.0 MiB of 1.0 GiB");
    assert_eq!(line("session", &|_| {}), "  killed: a.py::t0 (call): memory, peak 20.0 MiB");
    let with_quota = line("test", &|testing| testing.quotas.value = vec![quota.clone()]);
    assert_eq!(with_quota, "  killed: a.py::t0 (call): memory, peak 20.0 MiB");
}

#[test]
fn a_diagnosis_does_not_repeat_the_word_and_another_kill_is_told() {
    let record = with(|_, seen| {
        seen.tests = bombs(1);
        seen.tests[0].message = Some("memory: used all of its 1.0 GiB".to_owned());
        seen.tests[0].killed_before = vec![TestVerdict::Timeout];
    });
    let expected = "  killed: a.py::t0 (call): memory: used all of its 1.0 GiB; killed before as well (timeout)";
    assert_eq!(lines_with(&record, &["  killed", "flaky"]), [expected]);
}

#[test]
fn many_kills_are_counted() {
    let record = with(|_, seen| seen.tests = bombs(25));
    let lines = lines_with(&record, &["  killed"]);
    assert_eq!((lines.len(), lines[10].as_str()), (11, "  killed: and 15 more, in the report"));
}

#[test]
fn tests_without_a_row_are_counted() {
    for (omitted, line) in [(1, "1 test is"), (2, "2 tests are")] {
        let record = with(|_, seen| seen.tests_omitted = omitted);
        let expected = format!("  note: {line} only counted: the rows of the others fill the report");
        assert_eq!(lines_with(&record, &["note"]), [expected]);
    }
}

#[test]
fn the_table_has_the_tests_with_the_highest_memory() {
    let record = with(|record, seen| {
        record.plan.testing.memories.value = 3;
        seen.tests[1].growth_bytes = Some(-(3 << 20));
        (seen.tests[8].cache_bytes, seen.tests[8].cpu_ms, seen.tests[8].pids) = (None, None, None);
    });
    let text = verdict_of(&record, PLAIN);
    let table: String =
        text.lines().skip_while(|line| !line.contains("highest")).take(5).map(|line| format!("{line}\n")).collect();
    assert_lines(
        &table,
        &[
            "  highest memory: 3 of 9 tests",
            "         peak    growth    cache    CPU   wall  pids  test",
            "    512.0 MiB         -  4.0 KiB  18 ms  24 ms     1  tests/test_a.py::test_bomb",
            r#"     29.0 MiB  +9.0 KiB        -      -  36 ms     -  a.py::t[\x1b[2J<&"']]>\x00\u{ffff}\u{202e}\x9b\r\n::error::x ##\[error]]"#,
            "     28.0 MiB  +8.0 KiB  4.0 KiB  24 ms  32 ms     1  tests/test_a.py::test_flaky",
        ],
    );
    let more = with(|record, _| record.plan.testing.memories.value = 1000);
    assert!(verdict_of(&more, PLAIN).contains("  highest memory: 9 of 9 tests\n"));
    let unmeasured = with(|record, seen| {
        record.plan.testing.memories.value = 3;
        seen.tests.iter_mut().for_each(|row| row.peak_bytes = None);
    });
    assert!(!verdict_of(&unmeasured, PLAIN).contains("highest memory"));
}

#[test]
fn three_tests_are_named_where_memory_ended_the_run() {
    let record = with(|record, _| record.evidence.memory.oom_kills = 1);
    assert!(verdict_of(&record, PLAIN).contains("  highest memory: 3 of 9 tests\n"));
}

#[test]
fn a_leak_is_named_with_its_share() {
    let record = with(|_, seen| {
        let leaking = |n: u64| TestRow { growth_bytes: Some(8 << 20), ..sample::row(&format!("c.py::t{n}"), n) };
        seen.tests = (0..41).map(leaking).chain((0..81).map(|n| sample::row(&format!("d.py::t{n}"), n))).collect();
    });
    let expected = "  leak: memory grew by 323.2 MiB over 120 tests (2.7 MiB a test); 99 % in c.py";
    assert_eq!(lines_with(&record, &["leak"]), [expected]);
}

#[test]
fn a_heavy_collection_names_files_and_imports() {
    let record = with(|_, seen| {
        let small = (0..40).map(|n| sample::collected(&format!("tests/test_{n}.py"), Some(5), 0));
        seen.collection = small.collect();
        seen.collection.push(sample::collected("tests/test_ml.py", Some(600), 96));
        seen.collection.push(sample::collected("tests/test_nlp.py", Some(8_100), 512));
    });
    assert_eq!(
        lines_with(&record, &["collection", "test_nlp", "test_ml", "test_1.py"]),
        [
            "  collection: 42 files in 8.9 s, +608.0 MiB",
            "    tests/test_nlp.py +512.0 MiB in 8.1 s, of which spacy +256.0 MiB",
            "    tests/test_ml.py +96.0 MiB in 600 ms, of which spacy +48.0 MiB",
        ]
    );
}

#[test]
fn a_slow_collection_names_its_slowest_files() {
    let record = with(|_, seen| {
        seen.collection = vec![sample::collected("a.py", Some(2_000), 20), sample::collected("b.py", Some(9_000), 10)];
    });
    assert_eq!(
        lines_with(&record, &["collection", ".py +"]),
        [
            "  collection: 2 files in 11 s, +30.0 MiB",
            "    b.py +10.0 MiB in 9 s, of which grpc 4.5 s",
            "    a.py +20.0 MiB in 2 s, of which grpc 1 s",
        ]
    );
}

#[test]
fn a_quarter_of_a_small_limit_is_heavy() {
    let heavy = |limit: u64| {
        let record = with(|record, seen| {
            record.evidence.memory.limit_bytes = Some(Bytes(limit));
            seen.collection = vec![sample::collected("a.py", Some(20), 100)];
        });
        verdict_of(&record, PLAIN).contains("collection: ")
    };
    assert!(heavy(400 << 20) && !heavy(401 << 20));
}

#[test]
fn a_collection_that_ended_the_run_names_the_file_first() {
    let record = with(|record, seen| {
        record.evidence.memory.oom_kills = 1;
        (seen.stage, seen.collecting) = (PytestStage::Collection, Some("b.py".to_owned()));
        seen.tests.clear();
        seen.collection = vec![sample::collected("a.py", Some(2_000), 20), sample::collected("b.py", None, 16)];
        seen.collection[1].started_ms = 2_000;
    });
    assert_eq!(
        lines_with(&record, &["where", "collection", ".py +"]),
        [
            "  where: collecting b.py",
            "  collection: 2 files in 3.2 s, +36.0 MiB",
            "    b.py +16.0 MiB in 1.2 s, it did not end, of which spacy +8.0 MiB",
            "    a.py +20.0 MiB in 2 s, of which spacy +10.0 MiB",
        ]
    );
}

#[test]
fn a_file_of_which_no_end_was_told_is_no_slow_collection_of_a_run_that_went_on() {
    let record = with(|record, seen| {
        (record.duration_ms, seen.stage) = (60_000, PytestStage::Finished);
        seen.collection = vec![sample::collected("conftest.py", None, 0), sample::collected("a.py", Some(20), 1)];
    });
    assert_eq!(lines_with(&record, &["collection", "end"]), [""; 0]);
}

#[test]
fn names_of_tests_files_and_modules_cannot_leave_their_line() {
    let hostile = || format!("{}{}", sample::HOSTILE, "x".repeat(10_000));
    let record = with(|record, seen| {
        record.plan.testing.memories.value = 2;
        seen.tests =
            (0..60).map(|n| TestRow { nodeid: hostile(), growth_bytes: Some(9 << 20), ..sample::row("", n) }).collect();
        seen.tests[0].verdict = TestVerdict::Crashed;
        (seen.tests[0].message, seen.tests[0].stack) = (Some(hostile()), vec![hostile()]);
        seen.tests[1].killed_before = vec![TestVerdict::Memory];
        seen.collection = vec![sample::collected(&hostile(), Some(20_000), 600)];
        seen.collection[0].imports.iter_mut().for_each(|import| import.module = hostile());
    });
    let text = verdict_of(&record, PLAIN);
    assert!(!text.chars().any(|c| c.is_control() && c != '\n') && !text.contains(['\u{202e}', '\u{ffff}']), "{text}");
    assert!(!text.contains("##[") && text.lines().all(|line| line.len() < 700), "{text}");
    assert_eq!(
        text.matches(r##"a.py::t[\x1b[2J<&"']]>\x00\u{ffff}\u{202e}\x9b\r\n::error::x ##\[error]]"##).count(),
        9
    );
    assert!(text.contains("leak: ") && text.contains("flaky: ") && text.contains("collection: "), "{text}");
}

#[test]
fn a_killed_test_is_told_at_once_in_a_line_that_it_cannot_leave() {
    let event = |nodeid: &str, summary: &str, stack: &[&str]| RunEvent::TestKilled {
        nodeid: nodeid.to_owned(),
        phase: "call",
        verdict: TestVerdict::Memory,
        summary: summary.to_owned(),
        stack: stack.iter().map(|call| (*call).to_owned()).collect(),
        at_ms: 3_000,
    };
    let told = |event| shown(PLAIN, |terminal| terminal.on(&event));
    assert_eq!(
        told(event("a.py::test_b", "used all of its 512.0 MiB", &["a.py:3 in grow", "a.py:9 in test_b"])),
        "testbox: a.py::test_b (call): memory: used all of its 512.0 MiB; at a.py:3 in grow\n"
    );
    let long = format!("{}{}", sample::HOSTILE, "x".repeat(1_000));
    let text = told(event(&long, &long, &[&long]));
    assert!(!text.trim_end().chars().any(char::is_control) && !text.contains("##["), "{text}");
    assert!(text.len() < 700 && text.matches("...").count() == 3, "{text}");
    assert_eq!(shown(QUIET, |terminal| terminal.on(&event("a", "b", &[]))), "");
}

#[test]
fn numbers_at_their_ends_do_no_harm() {
    let record = with(|record, seen| {
        record.plan.testing.memories.value = 9;
        for row in &mut seen.tests {
            (row.peak_bytes, row.growth_bytes, row.cpu_ms) = (Some(u64::MAX), Some(i64::MIN), Some(u64::MAX));
            (row.wall_ms, row.pids) = (u64::MAX, Some(u64::MAX));
        }
        let file = sample::collected("a.py", Some(u64::MAX), 1);
        seen.collection = vec![
            FileProfile { growth_bytes: i64::MAX, ..file.clone() },
            FileProfile { growth_bytes: i64::MAX, ..file },
        ];
        seen.tests_omitted = u64::MAX;
    });
    let text = verdict_of(&record, PLAIN);
    assert!(text.contains("-8388608.0 TiB") && text.contains("18446744073709551615"), "{text}");
}
