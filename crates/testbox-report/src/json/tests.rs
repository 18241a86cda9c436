//! The report and its schema agree, for every kind of ending; what is written is harmless and holds no secret.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use testbox_model::*;

use super::schema_check::Validator;
use super::*;
use crate::harmless::is_bidi_control;
use crate::sample;

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn report_of(record: &RunRecord) -> Value {
    to_json(record, &judge(record)).unwrap()
}

/// A record that uses every optional part of the model.
fn full_record() -> RunRecord {
    let mut record = sample::record();
    let process = ProcessUse { command: "sleep 1000".to_owned(), resident_bytes: Bytes(4096) };
    record.evidence.memory.largest = vec![process.clone()];
    record.evidence.left_behind = vec![process];
    record.evidence.stop = Some(Stop { cause: StopCause::Timeout, at_ms: 3, killed: true });
    record.carried_out = vec!["junit.xml".to_owned()];
    record.warnings = vec!["cannot carry out `x`".to_owned()];
    record.walls[3] = WallReport::degraded(Wall::Memory, "sampled every 50 ms").with_note("bursts escape it");
    let limits = &mut record.plan.limits;
    (limits.cpus.value, limits.io_read.value, limits.io_write.value) = (Some(1.5), Some(Rate(1)), Some(Rate(1)));
    limits.fsize_bytes.value = Some(Bytes(1));
    record.plan.times.idle_timeout.value = Some(Duration::from_ms(1));
    record.plan.view.ro.value = vec![PathBuf::from(OsString::from_vec(b"/caf\xe9".to_vec()))];
    record.plan.env.value.push(EnvRule::Set { name: "TOKEN".to_owned(), value: "s3cret".to_owned() });
    record.plan.seccomp.value = SeccompChoice::File(PathBuf::from("/p/profile.json"));
    record.plan.allow_degraded.value = Wall::ALL.into_iter().collect();
    record.evidence.pytest = sample::pytest_record().evidence.pytest;
    let limits = |of| Quota {
        of,
        memory_bytes: Some(Bytes(1)),
        timeout: Some(Duration::from_ms(1)),
        pids: Some(1),
        isolate: Some(Isolate::Tests(3)),
        files: Some(4),
        origin: Origin::Policy("default".to_owned()),
    };
    let kinds = [QuotaOf::Path, QuotaOf::Marker, QuotaOf::Node];
    record.plan.testing.quotas.value = kinds.map(|kind| limits(kind("x".to_owned()))).into();
    record.plan.testing.quotas.value[1].files = None;
    record
}

/// One record for each way to end.
fn records() -> Vec<RunRecord> {
    let ends = [
        PayloadEnd::SetupFailed { step: SetupStep::UserMap, errno: 1, detail: "write uid_map".to_owned() },
        PayloadEnd::Exited { code: 255 },
        PayloadEnd::Signaled { signal: 11 },
        PayloadEnd::Lost,
    ];
    let causes = [
        StopCause::Timeout,
        StopCause::CollectTimeout,
        StopCause::IdleTimeout,
        StopCause::OutputLimit,
        StopCause::ForkStorm,
        StopCause::MemoryWatchdog,
        StopCause::Interrupted { signal: 2 },
        StopCause::Fault { detail: "lost the cgroup".to_owned() },
    ];
    let mut records = vec![sample::record(), full_record()];
    let copy = ProjectCopy { because: "it is refused".to_owned(), bytes: Bytes(1), inodes: 1 };
    let fuse = ProjectView::FuseOverlayfs { because: "it is refused".to_owned() };
    for view in [fuse, ProjectView::Copy(copy), ProjectView::Write, ProjectView::ReadOnly] {
        records.push(RunRecord { view, ..full_record() });
    }
    for payload in ends {
        let mut record = full_record();
        (record.evidence.payload, record.evidence.stop, record.evidence.readback) = (payload, None, None);
        records.push(record);
    }
    for cause in causes {
        let mut record = full_record();
        record.evidence.stop = Some(Stop { cause, at_ms: 1, killed: false });
        records.push(record);
    }
    records
}

fn text_of(record: &RunRecord) -> String {
    let mut text = vec![];
    write_json(record, &judge(record), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn every_report_is_valid_by_the_schema_and_has_no_key_that_it_does_not_name() {
    let schema = schema();
    for record in records() {
        assert_eq!(Validator(&schema).complaints(&report_of(&record)), Vec::<String>::new());
    }
}

#[test]
fn the_schema_names_every_word_of_the_model() {
    let schema = schema();
    let names =
        |pointer: &str| serde_json::from_value::<Vec<String>>(schema.pointer(pointer).unwrap().clone()).unwrap();
    assert_eq!(names("/$defs/wall/enum"), Wall::ALL.map(Wall::name));
    let verdicts = names("/$defs/test_verdict/enum");
    let rows = full_record().evidence.pytest.unwrap().tests;
    assert!(rows.iter().all(|row| verdicts.contains(&row.verdict.word().to_owned())));
    let kinds = names("/properties/verdict/enum");
    for record in records() {
        assert!(kinds.contains(&judge(&record).kind.word().replace(' ', "-")));
    }
}

#[test]
fn every_object_of_the_schema_is_closed_and_described() {
    fn walk(value: &Value, at: &str) {
        if value.get("properties").is_some_and(|properties| properties.get("type").is_none()) {
            assert_eq!(value["additionalProperties"], Value::Bool(false), "{at}");
            assert!(value["description"].is_string(), "{at}");
        }
        for (name, inner) in value.as_object().into_iter().flatten() {
            walk(inner, &format!("{at}/{name}"));
        }
        for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
            walk(inner, &format!("{at}/{index}"));
        }
    }
    walk(&schema(), "");
}

#[test]
fn the_validator_sees_what_is_wrong() {
    let schema = schema();
    let complaints = |change: &dyn Fn(&mut Value)| {
        let mut report = report_of(&full_record());
        change(&mut report);
        Validator(&schema).complaints(&report).len()
    };
    assert_eq!(complaints(&|_| {}), 0);
    assert_eq!(complaints(&|report| report["new_key"] = Value::Null), 1);
    assert_eq!(complaints(&|report| report["walls"][0]["new_key"] = Value::Null), 1);
    assert_eq!(complaints(&|report| report["evidence"]["stop"]["cause"]["new_key"] = Value::Null), 1);
    assert_eq!(complaints(&|report| report["verdict"] = Value::from("green")), 1);
    assert_eq!(complaints(&|report| report["exit_code"] = Value::from(256)), 1);
    assert_eq!(complaints(&|report| report["limits"]["cpus"] = Value::from("all")), 1);
    assert_eq!(complaints(&|report| drop(report.as_object_mut().unwrap().remove("peaks"))), 1);
}

#[test]
fn the_text_has_the_verdict_near_its_top_and_means_the_same_as_the_value() {
    let record = full_record();
    let text = text_of(&record);
    let top: Vec<_> = text.lines().skip(1).take(5).map(|line| line.trim().split('"').nth(1).unwrap()).collect();
    assert_eq!(top, ["schema_version", "testbox_version", "box_id", "verdict", "exit_code"]);
    assert!(text.ends_with("}\n"));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), report_of(&record));
}

#[test]
fn values_of_environment_variables_are_not_recorded() {
    let record = full_record();
    assert!(!text_of(&record).contains("s3cret"));
    assert_eq!(report_of(&record)["plan"]["env"]["value"][1], serde_json::json!({ "name": "TOKEN" }));
}

#[test]
fn hostile_text_is_harmless_on_a_terminal_and_in_a_ci_log_and_still_the_same_text() {
    let hostile = "a\x1b[2J\u{9b}1m\u{7f}\u{202e}\n::error::x ##[error] ###[x] \"quoted\" \\";
    let mut record = sample::record();
    record.warnings = vec![hostile.to_owned()];
    record.evidence.pytest = sample::pytest_record().evidence.pytest;
    let text = text_of(&record);
    assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || is_bidi_control(c)), "{text}");
    assert!(!text.contains("##"), "{text}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
    let parsed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["warnings"][0], hostile);
    assert_eq!(parsed["tests"][8]["nodeid"], sample::HOSTILE);
}

#[test]
fn limits_and_peaks_are_flat_numbers_side_by_side() {
    let report = report_of(&sample::record());
    assert_eq!(report["limits"]["memory_bytes"], 2u64 << 30);
    assert_eq!(report["peaks"]["memory_bytes"], 210u64 << 20);
    assert_eq!(report["limits"]["timeout_ms"], 1_800_000);
    assert_eq!(report["limits"]["cpus"], Value::Null);
    assert_eq!(report["peaks"]["scratch_bytes"], 3u64 << 20);
    assert_eq!(report["plan"]["limits"]["memory_bytes"]["origin"], "flag --memory");
}

#[test]
fn tests_stand_at_the_top_and_nowhere_else() {
    let report = report_of(&full_record());
    assert_eq!(report["tests"].as_array().unwrap().len(), 9);
    let bomb = &report["tests"][5];
    assert_eq!(
        (&bomb["verdict"], &bomb["outcome"], &bomb["phase"], &bomb["peak_bytes"], &bomb["growth_bytes"]),
        (&"memory".into(), &"failed".into(), &"call".into(), &(512u64 << 20).into(), &Value::Null)
    );
    assert_eq!(report["tests"][7]["killed_before"], serde_json::json!(["memory", "crashed"]));
    assert_eq!(report["tests"][8]["outcome"], Value::Null);
    assert_eq!(report["collection"][0]["imports"][1]["module"], "spacy");
    assert_eq!((&report["tests_omitted"], &report["leak"]), (&0.into(), &Value::Null));
    let pytest = report["evidence"]["pytest"].as_object().unwrap();
    for name in ["tests", "tests_omitted", "collection"] {
        assert!(!pytest.contains_key(name), "{name}");
    }
    assert_eq!(report_of(&sample::record())["tests"], Value::Array(vec![]));
}

#[test]
fn a_leak_is_told() {
    let mut record = full_record();
    let seen = record.evidence.pytest.as_mut().unwrap();
    seen.tests = (0..41).map(|n| TestRow { growth_bytes: Some(8 << 20), ..sample::row("t.py::test_a", n) }).collect();
    let report = report_of(&record);
    let place = serde_json::json!({ "nodeid": "t.py::test_a", "growth_bytes": 320 << 20, "share_percent": 100 });
    assert_eq!(report["leak"], serde_json::json!({ "growth_bytes": 320 << 20, "tests": 40, "places": [place] }));
    assert_eq!(Validator(&schema()).complaints(&report), Vec::<String>::new());
}

#[test]
fn each_test_has_one_line() {
    let text = text_of(&full_record());
    let lines: Vec<_> =
        text.lines().filter(|line| line.contains("\"nodeid\": ") && line.contains("\"verdict\"")).collect();
    assert_eq!(lines.len(), 9);
    for line in lines {
        assert!(line.starts_with("    {\"nodeid\": "), "{line}");
        serde_json::from_str::<Value>(line.trim_end_matches(',')).unwrap();
    }
    assert!(text.contains("\n  \"carried_out\": [\n    \"junit.xml\"\n  ],\n"), "{text}");
    assert!(
        text.contains("\n    \"limits\": {\n      \"cpus\": {\n        \"origin\": \"policy default\",\n"),
        "{text}"
    );
    assert!(text_of(&sample::record()).contains("\n  \"tests\": [],\n"));
}
