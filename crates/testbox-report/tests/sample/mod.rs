//! A plan and a record of an ordinary run, for tests to vary.

use std::path::PathBuf;

use testbox_model::*;

use testbox_model::sample::set;

pub(crate) fn plan() -> RunPlan {
    let mut plan = testbox_model::sample::plan();
    plan.limits.memory_bytes.origin = Origin::Flag("--memory".to_owned());
    plan.limits.tmp_bytes.origin = Origin::Machine("1/4 of the memory limit".to_owned());
    plan.times.timeout.origin = Origin::ProjectFile { path: PathBuf::from("testbox.toml"), line: 3 };
    plan.env = set(vec![EnvRule::Pass("LANG".to_owned())]);
    plan
}

pub(crate) fn walls() -> Vec<WallReport> {
    vec![
        WallReport::enforced(Wall::Namespaces, "user pid mount net ipc uts cgroup"),
        WallReport::enforced(Wall::Capabilities, "all dropped, no_new_privs"),
        WallReport::enforced(Wall::Seccomp, "profile default"),
        WallReport::enforced(Wall::Memory, "cgroup v1 memory.limit_in_bytes"),
        WallReport::enforced(Wall::Pids, "cgroup v1 pids.max"),
        WallReport::off(Wall::Cpu, "no limit asked for"),
        WallReport::off(Wall::Io, "no limit asked for"),
        WallReport::enforced(Wall::Disk, "tmpfs with size and nr_inodes"),
        WallReport::enforced(Wall::Network, "own namespace, loopback only"),
    ]
}

/// An ordinary run that passed.
pub(crate) fn record() -> RunRecord {
    let sample = |at_ms, mib: u64| Sample { at_ms, memory_bytes: mib << 20, pids: 5, cpu_ms: at_ms };
    RunRecord {
        box_id: "testbox-0a1b2c3d-4242-99".to_owned(),
        started_at: 1_750_000_000,
        duration_ms: 3_200,
        plan: plan(),
        walls: walls(),
        view: ProjectView::Overlay,
        evidence: evidence(),
        timeline: Timeline { interval_ms: 100, samples: vec![sample(0, 20), sample(100, 210), sample(200, 180)] },
        carried_out: vec![],
        warnings: vec![],
    }
}

fn evidence() -> Evidence {
    Evidence {
        payload: PayloadEnd::Exited { code: 0 },
        readback: Some(Readback {
            uid: 1000,
            gid: 1000,
            capabilities: 0,
            no_new_privs: true,
            seccomp_mode: 2,
            seccomp_filters: 3,
        }),
        memory: MemoryEvidence {
            limit_bytes: Some(Bytes(2 << 30)),
            peak_bytes: Some(Bytes(210 << 20)),
            ..MemoryEvidence::default()
        },
        pids: PidsEvidence { limit: Some(512), peak: Some(5), refused_forks: 0 },
        cpu: CpuEvidence { used_ms: 3_100, throttled_ms: 0 },
        io: IoEvidence { read_bytes: Some(4096), written_bytes: Some(0) },
        stalled: StallEvidence { memory_ms: Some(0), io_ms: Some(12), cpu_ms: None },
        output: OutputEvidence { bytes: 1234, limit_bytes: Some(Bytes(64 << 20)), truncated: false },
        disk: vec![DiskUse {
            name: "scratch".to_owned(),
            size_bytes: Bytes(512 << 20),
            peak_bytes: Bytes(3 << 20),
            inodes: 65_536,
            peak_inodes: 120,
            full: false,
        }],
        ..Evidence::default()
    }
}

/// A name that tries everything: markup, terminal control, CI commands, what XML cannot hold.
pub(crate) const HOSTILE: &str = "a.py::t[\u{1b}[2J<&\"']]>\u{0}\u{ffff}\u{202e}\u{9b}\r\n::error::x ##[error]]";

/// A run of pytest with a test of each kind; two were killed, and it ended by itself.
pub(crate) fn pytest_record() -> RunRecord {
    let mut record = record();
    record.evidence.payload = PayloadEnd::Exited { code: 1 };
    let outcomes = Outcomes { passed: 3, failed: 2, error: 2, skipped: 2 };
    record.evidence.pytest = Some(PytestEvidence {
        version: "9.0.2".to_owned(),
        python: "3.11.2".to_owned(),
        stage: PytestStage::Finished,
        collected: Some(10),
        outcomes,
        exit_status: Some(1),
        said_goodbye: true,
        isolate: "session".to_owned(),
        tests: rows(),
        collection: vec![collected("tests/test_nlp.py", Some(8_100), 512), collected("tests/test_a.py", Some(3), 0)],
        ..PytestEvidence::default()
    });
    record
}

/// What the collection of a file cost: half of the growth in one import, half of the time in another.
pub(crate) fn collected(nodeid: &str, wall_ms: Option<u64>, mib: i64) -> FileProfile {
    let ms = wall_ms.unwrap_or(100);
    let import =
        |module: &str, wall_ms, mib: i64| ImportProfile { module: module.to_owned(), wall_ms, growth_bytes: mib << 20 };
    let imports = vec![import("grpc", ms / 2, mib / 8), import("spacy", ms / 4, mib / 2)];
    FileProfile { nodeid: nodeid.to_owned(), started_ms: 0, wall_ms, growth_bytes: mib << 20, imports }
}

/// A test that passed; `n` decides its numbers.
pub(crate) fn row(nodeid: &str, n: u64) -> TestRow {
    TestRow {
        nodeid: nodeid.to_owned(),
        outcome: Some(TestOutcome::Passed),
        verdict: TestVerdict::Passed,
        started_ms: 10 * n,
        wall_ms: 4 * n,
        phases_ms: [n, 2 * n, n],
        peak_bytes: Some((20 + n) << 20),
        growth_bytes: Some((n << 10) as i64),
        cache_bytes: Some(4096),
        cpu_ms: Some(3 * n),
        pids: Some(1),
        ..TestRow::default()
    }
}

fn rows() -> Vec<TestRow> {
    let with = |nodeid: &str, n, outcome, verdict| TestRow { outcome, verdict, ..row(nodeid, n) };
    let text = |text: &str| Some(text.to_owned());
    let mut failed = with("tests/test_a.py::test_sum", 2, Some(TestOutcome::Failed), TestVerdict::Failed);
    (failed.phase, failed.message) = (Some("call"), text("assert 1 == 2"));
    failed.text = text("    def test_sum():\n>       assert 1 == 2\nE       assert 1 == 2");
    let mut error = with("tests/test_a.py::TestB::test_set", 3, Some(TestOutcome::Error), TestVerdict::Failed);
    (error.phase, error.message) = (Some("setup"), text("no such fixture"));
    let mut skipped = with("tests/test_a.py::test_win", 4, Some(TestOutcome::Skipped), TestVerdict::Skipped);
    (skipped.message, skipped.text) = (text("needs Windows"), text("tests/test_a.py:9: needs Windows"));
    let mut xfailed = with("tests/test_a.py::test_bug", 5, Some(TestOutcome::Xfailed), TestVerdict::Skipped);
    xfailed.message = text("not yet");
    let mut bomb = with("tests/test_a.py::test_bomb", 6, Some(TestOutcome::Failed), TestVerdict::Memory);
    (bomb.phase, bomb.peak_bytes, bomb.growth_bytes) = (Some("call"), Some(512 << 20), None);
    bomb.stack = vec!["tests/test_a.py:12 in grow".to_owned(), "tests/test_a.py:15 in test_bomb".to_owned()];
    bomb.message = text("used all of its 512.0 MiB (peak 512.0 MiB, 3 processes)");
    let mut hang = with("tests/test_a.py::test_hang", 7, Some(TestOutcome::Error), TestVerdict::Timeout);
    (hang.phase, hang.wall_ms) = (Some("teardown"), 5_000);
    let mut flaky = row("tests/test_a.py::test_flaky", 8);
    flaky.killed_before = vec![TestVerdict::Memory, TestVerdict::Crashed];
    let lost = with(HOSTILE, 9, None, TestVerdict::Lost);
    vec![row("tests/test_a.py::test_ok[1-a]", 1), failed, error, skipped, xfailed, bomb, hang, flaky, lost]
}
