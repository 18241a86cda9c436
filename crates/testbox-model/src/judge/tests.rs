//! The verdict table: evidence on the left, verdict and exit code on the right.

use std::path::PathBuf;

use super::*;
use crate::*;

use crate::sample::set;

fn plan() -> RunPlan {
    let mut plan = crate::sample::plan();
    plan.command = vec!["pytest".into()];
    plan.project = PathBuf::from("/p");
    plan.cwd = PathBuf::from("/p");
    plan.times.idle_timeout = set(Some(Duration::from_secs(10)));
    plan
}

fn record(evidence: Evidence) -> RunRecord {
    RunRecord {
        box_id: "testbox-0-1-2".to_owned(),
        started_at: 0,
        duration_ms: 41_200,
        plan: plan(),
        walls: vec![],
        view: ProjectView::Overlay,
        evidence,
        timeline: Timeline::new(100),
        carried_out: vec![],
        warnings: vec![],
    }
}

fn ended(payload: PayloadEnd) -> Evidence {
    Evidence { payload, ..Evidence::default() }
}

fn stopped_by(cause: StopCause) -> Evidence {
    let stop = Some(Stop { cause, at_ms: 5000, killed: true });
    Evidence { stop, ..ended(PayloadEnd::Signaled { signal: 9 }) }
}

fn full_disk(payload: PayloadEnd) -> Evidence {
    let disk = DiskUse {
        name: "scratch".to_owned(),
        size_bytes: Bytes(1 << 30),
        peak_bytes: Bytes(1 << 30),
        inodes: 100,
        peak_inodes: 3,
        full: true,
    };
    Evidence { disk: vec![disk], ..ended(payload) }
}

fn oom(payload: PayloadEnd) -> Evidence {
    Evidence {
        memory: MemoryEvidence {
            limit_bytes: Some(Bytes(2 << 30)),
            peak_bytes: Some(Bytes(2 << 30)),
            oom_kills: 1,
            limit_hits: 7,
            largest: vec![ProcessUse {
                command: "python -m pytest tests/".to_owned(),
                resident_bytes: Bytes((19 << 30) / 10),
            }],
        },
        pids: PidsEvidence { limit: Some(512), peak: Some(3), refused_forks: 0 },
        ..ended(payload)
    }
}

#[test]
fn the_table() {
    use PayloadEnd::{Exited, Lost, Signaled};
    let forks = |payload| Evidence {
        pids: PidsEvidence { limit: Some(512), peak: Some(512), refused_forks: 4 },
        ..ended(payload)
    };
    let exec = |errno| ended(PayloadEnd::SetupFailed { step: SetupStep::Exec, errno, detail: "x".to_owned() });
    let rows: Vec<(&str, Evidence, VerdictKind, u8)> = vec![
        ("exit 0", ended(Exited { code: 0 }), VerdictKind::Passed, 0),
        ("tests failed", ended(Exited { code: 1 }), VerdictKind::Failed, 1),
        ("pytest usage error", ended(Exited { code: 4 }), VerdictKind::Failed, 4),
        ("own code 120 is no memory verdict", ended(Exited { code: 120 }), VerdictKind::Failed, 120),
        ("segfault", ended(Signaled { signal: 11 }), VerdictKind::Crashed, 139),
        ("sigkill without oom evidence", ended(Signaled { signal: 9 }), VerdictKind::Crashed, 137),
        ("oom", oom(Signaled { signal: 9 }), VerdictKind::Memory, 120),
        ("oom of a child, pytest went on", oom(Exited { code: 1 }), VerdictKind::Memory, 120),
        ("oom of a child, and a green exit code", oom(Exited { code: 0 }), VerdictKind::Memory, 120),
        ("oom took init along", oom(Lost), VerdictKind::Memory, 120),
        ("watchdog", stopped_by(StopCause::MemoryWatchdog), VerdictKind::Memory, 120),
        ("timeout", stopped_by(StopCause::Timeout), VerdictKind::Timeout, 124),
        ("idle", stopped_by(StopCause::IdleTimeout), VerdictKind::IdleTimeout, 124),
        ("output", stopped_by(StopCause::OutputLimit), VerdictKind::Output, 123),
        ("fork storm", stopped_by(StopCause::ForkStorm), VerdictKind::Pids, 121),
        ("interrupt", stopped_by(StopCause::Interrupted { signal: 2 }), VerdictKind::Interrupted, 130),
        ("own fault", stopped_by(StopCause::Fault { detail: "x".to_owned() }), VerdictKind::SandboxFault, 125),
        ("refused forks, failed", forks(Exited { code: 1 }), VerdictKind::Pids, 121),
        ("refused forks, passed", forks(Exited { code: 0 }), VerdictKind::Passed, 0),
        ("disk full, failed", full_disk(Exited { code: 1 }), VerdictKind::Disk, 122),
        ("disk full, passed", full_disk(Exited { code: 0 }), VerdictKind::Passed, 0),
        ("file size", ended(Signaled { signal: 25 }), VerdictKind::Disk, 122),
        ("no status", ended(Lost), VerdictKind::SandboxFault, 125),
        ("not found", exec(2), VerdictKind::NotFound, 127),
        ("not executable", exec(13), VerdictKind::NotExecutable, 126),
        (
            "set-up",
            ended(PayloadEnd::SetupFailed { step: SetupStep::Overlay, errno: 22, detail: "x".to_owned() }),
            VerdictKind::SandboxFault,
            125,
        ),
    ];
    for (name, evidence, kind, code) in rows {
        let verdict = judge(&record(evidence));
        assert_eq!((verdict.kind, verdict.exit_code.number()), (kind, code), "{name}: {verdict:?}");
    }
}

#[test]
fn a_memory_verdict_names_peak_limit_largest_process_and_time() {
    let verdict = judge(&record(oom(PayloadEnd::Signaled { signal: 9 })));
    assert_eq!(
        verdict.summary,
        "the box used all of its 2.0 GiB (peak 2.0 GiB, 3 processes; largest: python -m pytest tests/ 1.9 GiB); \
         killed by the kernel after 41.2 s"
    );
    assert!(verdict.hint.unwrap().contains("--memory 4G"));
}

#[test]
fn a_kill_for_memory_below_the_boxs_limit_is_not_blamed_on_it() {
    let mut record = record(ended(PayloadEnd::Signaled { signal: 9 }));
    record.evidence.memory.oom_kills = 1;
    record.evidence.memory.limit_bytes = Some(Bytes(1 << 30));
    record.evidence.memory.peak_bytes = Some(Bytes(150 << 20));
    let around = judge(&record);
    assert_eq!((around.kind, around.exit_code), (VerdictKind::Memory, ExitCode::Memory));
    assert!(around.summary.contains("not for the box's limit of 1.0 GiB (peak 150.0 MiB)"), "{}", around.summary);
    record.evidence.memory.limit_hits = 1;
    assert!(judge(&record).summary.starts_with("the box used all of its 1.0 GiB"));
}

#[test]
fn room_of_the_projects_copy_is_not_blamed_on_the_tests() {
    let mut record = record(full_disk(PayloadEnd::Exited { code: 1 }));
    let summary = |record: &RunRecord| judge(record).summary;
    let plain = summary(&record);
    assert!(!plain.contains("copy"), "{plain}");
    record.view = ProjectView::Copy(ProjectCopy { because: "x".to_owned(), bytes: Bytes(40 << 20), inodes: 12 });
    let told = summary(&record);
    assert!(told.contains(" were used (40.0 MiB of it by the copy of the project), and the command failed"), "{told}");
    let disk = &mut record.evidence.disk[0];
    // One was given back before anybody could look.
    disk.peak_inodes = disk.inodes - 1;
    assert!(summary(&record).starts_with("all 100 inodes of the scratch space were used"), "{}", summary(&record));
    assert!(summary(&record).contains(" (12 of them by the copy of the project)"), "{}", summary(&record));
    record.evidence.disk[0].name = "/dev/shm".to_owned();
    assert!(!summary(&record).contains("copy"), "{}", summary(&record));
    record.evidence = oom(PayloadEnd::Signaled { signal: 9 });
    assert!(summary(&record).contains("(peak 2.0 GiB, 40.0 MiB for the copy of the project, 3 processes;"));
}

#[test]
fn forks_are_counted_only_where_somebody_counts_them() {
    let mut record = record(stopped_by(StopCause::ForkStorm));
    let summary = |record: &RunRecord| judge(record).summary;
    assert!(summary(&record).starts_with("the box reached its 512 processes and threads; it went on"));
    record.evidence.pids.refused_forks = 1;
    assert!(summary(&record).contains("threads (1 fork refused by the kernel); it went on"));
}

#[test]
fn a_limit_that_nobody_counts_is_not_denied() {
    let mut record = record(ended(PayloadEnd::Exited { code: 153 }));
    let hint = "from a shell 153 means that a command of its own died by SIGXFSZ (25)";
    assert_eq!(judge(&record).summary, "the command exited with 153; no limit was reached");
    assert_eq!(judge(&record).hint.as_deref(), Some(hint));
    record.walls = vec![WallReport::degraded(Wall::Pids, "RLIMIT_NPROC")];
    assert_eq!(judge(&record).summary, "the command exited with 153; no limit was seen to be reached");
    record.walls.clear();
    record.plan.limits.fsize_bytes = set(Some(Bytes(1 << 20)));
    assert!(
        judge(&record).summary.ends_with("no limit but perhaps that of 1.0 MiB for one file (`--fsize`) was reached")
    );
}

fn seen(stage: PytestStage) -> PytestEvidence {
    let stack =
        StackDump { at_ms: 1, calls: vec!["data.py:41 in load".to_owned(), "test_io.py:7 in test_big".to_owned()] };
    let running = vec![RunningTest { nodeid: "test_io.py::test_big".to_owned(), phase: "call", since_ms: 1 }];
    let outcomes = Outcomes { passed: 12, ..Outcomes::default() };
    let (collected, stack) = (Some(60), Some(stack));
    PytestEvidence { stage, running, outcomes, collected, stack, ..PytestEvidence::default() }
}

#[test]
fn a_kill_names_test_phase_line_and_how_many_had_a_result() {
    let killed = Evidence { pytest: Some(seen(PytestStage::Tests)), ..oom(PayloadEnd::Signaled { signal: 9 }) };
    let expected = "running test_io.py::test_big (call) at data.py:41 in load; 12 of 60 tests had a result";
    assert_eq!(judge(&record(killed)).place.as_deref(), Some(expected));
}

#[test]
fn a_kill_during_collection_names_the_file() {
    let mut pytest = seen(PytestStage::Collection);
    (pytest.running, pytest.collected, pytest.collecting) = (vec![], None, Some("tests/test_nlp.py".to_owned()));
    let stopped = record(Evidence { pytest: Some(pytest), ..stopped_by(StopCause::Timeout) });
    assert_eq!(judge(&stopped).place.as_deref(), Some("collecting tests/test_nlp.py at data.py:41 in load"));
}

#[test]
fn exit_code_0_is_not_enough() {
    let ended_well =
        |pytest: PytestEvidence| Evidence { pytest: Some(pytest), ..ended(PayloadEnd::Exited { code: 0 }) };
    let finished = PytestEvidence {
        stage: PytestStage::Finished,
        exit_status: Some(0),
        said_goodbye: true,
        running: vec![],
        ..seen(PytestStage::Finished)
    };
    let rows = [
        ("a session that finished", finished.clone(), VerdictKind::Passed),
        ("`pytest --version`", PytestEvidence { said_goodbye: true, ..PytestEvidence::default() }, VerdictKind::Passed),
        ("os._exit(0) in a test", seen(PytestStage::Tests), VerdictKind::Lost),
        ("os._exit(0) in conftest.py", PytestEvidence::default(), VerdictKind::Lost),
        (
            "sys.exit in a collected file",
            PytestEvidence { said_goodbye: true, ..seen(PytestStage::Tests) },
            VerdictKind::Lost,
        ),
        ("os._exit(0) at exit", PytestEvidence { said_goodbye: false, ..finished.clone() }, VerdictKind::Lost),
        ("a flipped exit code", PytestEvidence { exit_status: Some(1), ..finished }, VerdictKind::Lost),
    ];
    for (name, pytest, kind) in rows {
        let verdict = judge(&record(ended_well(pytest)));
        assert_eq!(verdict.kind, kind, "{name}: {verdict:?}");
        assert_eq!(verdict.exit_code.number(), u8::from(kind == VerdictKind::Lost), "{name}");
    }
}

fn finished(exit: i32, rows: &[(&str, TestVerdict)], collected: u64) -> PytestEvidence {
    let kills = rows.iter().filter(|(_, verdict)| verdict.is_kill()).count() as u64;
    let tests = rows.iter().map(|(nodeid, verdict)| TestRow {
        nodeid: (*nodeid).to_owned(),
        verdict: *verdict,
        ..TestRow::default()
    });
    PytestEvidence {
        stage: PytestStage::Finished,
        exit_status: Some(exit),
        said_goodbye: true,
        isolate: "session".to_owned(),
        collected: Some(collected),
        outcomes: Outcomes { passed: rows.len() as u64 - kills, failed: kills, ..Outcomes::default() },
        tests: tests.collect(),
        ..PytestEvidence::default()
    }
}

fn of_pytest(code: u8, pytest: PytestEvidence) -> RunRecord {
    record(Evidence { pytest: Some(pytest), ..ended(PayloadEnd::Exited { code }) })
}

#[test]
fn killed_tests_are_counted_and_named() {
    use TestVerdict::{Memory, Passed, Timeout};
    let rows = [("a.py::x", Memory), ("a.py::y", Passed), ("b.py::z", Timeout)];
    let verdict = judge(&of_pytest(1, finished(1, &rows, 40)));
    assert_eq!((verdict.kind, verdict.exit_code.number()), (VerdictKind::Failed, 1));
    assert_eq!(verdict.summary, "2 of 40 tests were killed: a.py::x (memory), b.py::z (timeout)");
    assert_eq!((verdict.hint, verdict.place), (None, None), "two limits");
    let verdict = judge(&of_pytest(2, finished(2, &rows[..1], 1)));
    assert_eq!(
        (verdict.exit_code.number(), verdict.summary.as_str()),
        (2, "1 of 1 tests was killed: a.py::x (memory)")
    );
    assert!(verdict.hint.unwrap().contains("--memory SIZE"));
    let many: Vec<_> = (0..5).map(|_| ("a", Memory)).collect();
    assert!(judge(&of_pytest(1, finished(1, &many, 5))).summary.ends_with("a (memory) and 2 more"));
}

#[test]
fn failed_tests_are_counted_and_named_beside_killed_ones_too() {
    use TestVerdict::{Failed, Memory, Passed};
    let rows = [("a.py::x", Failed), ("a.py::y", Passed), ("b.py::z", Failed)];
    let verdict = judge(&of_pytest(1, finished(1, &rows, 40)));
    assert_eq!(verdict.summary, "2 of 40 tests failed: a.py::x, b.py::z; no limit was reached");
    let verdict = judge(&of_pytest(1, finished(1, &[rows[0], ("c.py::k", Memory)], 40)));
    assert_eq!(verdict.summary, "1 of 40 tests was killed: c.py::k (memory); 1 failed");
    let many = PytestEvidence { tests_omitted: 1, ..finished(1, &rows, 40) };
    assert_eq!(judge(&of_pytest(1, many)).summary, "the command exited with 1; no limit was reached");
}

#[test]
fn pytests_own_exit_codes_are_told_in_words() {
    let summary = |code, seen| judge(&of_pytest(code, seen)).summary;
    let none = || finished(5, &[], 0);
    assert_eq!(summary(5, none()), "pytest found no test to run (exit code 5); no limit was reached");
    assert_eq!(summary(6, none()), "the command exited with 6; no limit was reached", "of a wrapper");
    assert_eq!(summary(4, none()), "the command exited with 4; no limit was reached", "of a wrapper");
    let begun = PytestEvidence { stage: PytestStage::Configuration, exit_status: None, ..none() };
    assert!(summary(4, begun.clone()).starts_with("pytest could not begin: its options"));
    assert_eq!(summary(1, begun), "the command exited with 1; no limit was reached");
}

#[test]
fn a_kill_that_somebody_hid_is_no_success() {
    let rows = [("a.py::x", TestVerdict::Memory), ("a.py::y", TestVerdict::Passed)];
    let verdict = judge(&of_pytest(0, finished(0, &rows, 2)));
    assert_eq!((verdict.kind, verdict.exit_code.number()), (VerdictKind::Lost, 1));
    assert_eq!(verdict.summary, "the command exited with 0, but 1 of 2 tests was killed: a.py::x (memory)");
    let mut flaky = finished(0, &rows[1..], 1);
    flaky.tests[0].killed_before = vec![TestVerdict::Memory];
    assert_eq!(judge(&of_pytest(0, flaky)).kind, VerdictKind::Passed, "tried again and passed");
}

#[test]
fn every_collected_test_must_have_a_result() {
    let rows = [("a.py::x", TestVerdict::Passed)];
    let verdict = judge(&of_pytest(0, finished(0, &rows, 3)));
    assert_eq!((verdict.kind, verdict.exit_code.number()), (VerdictKind::Lost, 1));
    assert_eq!(verdict.summary, "the command exited with 0, but 1 of 3 collected tests had a result");
    assert_eq!(judge(&of_pytest(0, finished(0, &rows, 1))).kind, VerdictKind::Passed);
    for by_others in ["", "other"] {
        let pytest = PytestEvidence { isolate: by_others.to_owned(), ..finished(0, &rows, 3) };
        assert_eq!(judge(&of_pytest(0, pytest)).kind, VerdictKind::Passed, "`{by_others}`: --collect-only, xdist");
    }
}
