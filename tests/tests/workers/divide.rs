//! Which tests share a worker, what a worker may use, and several workers at once.

use std::collections::BTreeSet;

use testbox_tests::{Case, Project};

use crate::{case, expect_verdicts, grouped, row, verdicts};

const FIXTURES: &str = "\
import os, pytest

@pytest.fixture(scope='session')
def session_pid(): return os.getpid()

@pytest.fixture(scope='module')
def module_pid(): return os.getpid()

@pytest.mark.parametrize('number', range(4))
def test_n(number, session_pid, module_pid):
    with open('/tmp/pids', 'a') as pids:
        print(os.getpid(), session_pid, module_pid, file=pids)
    assert session_pid == module_pid == os.getpid(), 'fixtures are set up in the worker that needs them'
";

const LAST: &str = "\
def test_last():
    with open('/tmp/pids') as pids:
        print('WORKERS', len({line.split()[0] for line in pids}))
";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("batches_share_a_worker_and_its_fixtures", batches_share_a_worker_and_its_fixtures),
        grouped("a_test_has_its_own_memory_limit", a_test_has_its_own_memory_limit),
        grouped("quotas_are_for_some_tests", quotas_are_for_some_tests),
        case("a_quota_may_say_nothing_but_how_to_isolate", a_quota_may_say_nothing_but_how_to_isolate),
        case("workers_at_once_give_the_same_results", workers_at_once_give_the_same_results),
        grouped("large_tests_run_alone_once_it_is_known_what_they_take", large_tests_run_alone_once_it_is_known),
        grouped("a_worker_at_once_is_killed_alone", a_worker_at_once_is_killed_alone),
        case(
            "a_conftest_with_an_alarm_of_faulthandler_is_no_trap",
            a_conftest_with_an_alarm_of_faulthandler_is_no_trap,
        ),
        case("isolate_none_is_plain_pytest", isolate_none_is_plain_pytest),
        case("a_limit_above_the_boxs_is_refused", a_limit_above_the_boxs_is_refused),
    ]
}

fn batches_share_a_worker_and_its_fixtures() {
    for (isolate, workers) in [("session", 1), ("file", 2), ("3", 3), ("test", 8)] {
        let project = Project::new();
        project.write("test_a.py", FIXTURES).write("test_b.py", FIXTURES).write("test_z.py", LAST);
        let run = project.pytest(&["--isolate", isolate], &["-s"]).expect_code(0);
        assert!(run.stdout.contains(&format!("WORKERS {workers}\n")), "{isolate}:\n{}", run.stdout);
    }
}

fn a_test_has_its_own_memory_limit() {
    let project = Project::new();
    let text = "\
def test_small(): assert len(b'x' * (10 << 20))
def test_large(): assert len(b'x' * (150 << 20))
def test_after(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--memory", "1G", "--isolate", "test", "--test-memory", "100M"], &[]).expect_code(1);
    expect_verdicts(&project, &[("test_small", "passed"), ("test_large", "memory"), ("test_after", "passed")]);
    project.pytest(&["--memory", "1G", "--isolate", "file", "--file-memory", "400M"], &[]).expect_code(0);
}

fn quotas_are_for_some_tests() {
    let project = Project::new();
    let quota = "\
[tool.testbox.quota]
\"e2e/**\" = { timeout = \"1s\" }
marker.hungry = { memory = \"100M\" }
\"test_x.py::test_patient\" = { timeout = \"30s\" }

[tool.pytest.ini_options]
markers = [\"hungry\"]
";
    let text = "\
import pytest, time

@pytest.mark.hungry
def test_hungry(): assert len(b'x' * (150 << 20))
def test_free(): assert len(b'x' * (150 << 20))
def test_patient(): time.sleep(1.5)
";
    project.write("pyproject.toml", quota).write("test_x.py", text);
    project.write("e2e/test_e.py", "import time\ndef test_long(): time.sleep(1000)\ndef test_short(): pass\n");
    project.pytest(&["--memory", "1G"], &[]).expect_code(1);
    let mut found = verdicts(&project);
    found.sort();
    let found: Vec<(&str, &str)> = found.iter().map(|(name, verdict)| (name.as_str(), verdict.as_str())).collect();
    let expected = [
        ("test_free", "passed"),
        ("test_hungry", "memory"),
        ("test_long", "timeout"),
        ("test_patient", "passed"),
        ("test_short", "passed"),
    ];
    assert_eq!(found, expected);
}

fn a_quota_may_say_nothing_but_how_to_isolate() {
    let project = Project::new();
    let quota = "\
[tool.testbox.quota]
\"e2e/**\" = { isolate = \"test\" }
marker.pair = { isolate = \"2\" }

[tool.pytest.ini_options]
markers = [\"pair\"]
";
    let text = "\
import os, pytest

@pytest.mark.parametrize('number', range(4))
def test_n(number): print('KIND', os.getpid())
";
    project.write("pyproject.toml", quota);
    for (file, kind) in [("test_a.py", "shared"), ("test_b.py", "shared"), ("e2e/test_e.py", "alone")] {
        project.write(file, &text.replace("KIND", kind));
    }
    let pairs = text.replace("KIND", "pair").replace("@pytest.mark", "@pytest.mark.pair\n@pytest.mark");
    project.write("test_p.py", &pairs);
    let run = project.pytest(&[], &["-s"]).expect_code(0);
    for (kind, workers) in [("shared ", 1), ("alone ", 4), ("pair ", 2)] {
        let pids = run.stdout.lines().filter_map(|line| line.split_once(kind)).map(|(_, pid)| pid);
        assert_eq!(pids.collect::<BTreeSet<_>>().len(), workers, "{kind}: {}", run.stdout);
    }
}

fn workers_at_once_give_the_same_results() {
    let project = Project::new();
    let text = "\
import os, pytest, time

@pytest.mark.parametrize('number', range(12))
def test_n(number):
    time.sleep(0.05)
    if number == 3: assert 0
    if number == 5: pytest.skip('so')
    if number == 7: os.abort()
";
    for file in ["test_a.py", "test_b.py", "test_c.py"] {
        project.write(file, text);
    }
    let outcomes = |flags: &[&str]| {
        project.pytest(flags, &[]).expect_code(1);
        let mut rows: Vec<(String, String)> = crate::rows(&project)
            .iter()
            .map(|row| (row["nodeid"].to_string(), format!("{} {}", row["outcome"], row["verdict"])))
            .collect();
        rows.sort();
        rows
    };
    let one = outcomes(&[]);
    assert_eq!(one.len(), 36);
    assert_eq!(outcomes(&["-j", "2"]), one);
    assert_eq!(outcomes(&["-j", "3", "--isolate", "test"]), one);
}

/// Two of them do not fit into the box. The first run knows nothing of them: the kernel ends one, never the controller,
/// which it once preferred. The second has what pytest's cache folder remembers.
fn large_tests_run_alone_once_it_is_known() {
    let project = Project::new();
    let large = "import time\ndef test_large():\n    taken = b'x' * (300 << 20)\n    time.sleep(2)\n";
    project.write("test_a.py", large).write("test_b.py", large).write("test_c.py", "def test_small(): pass\n");
    let run =
        || project.run(&["-j", "2", "--memory", "512M", "--", "python", "-m", "pytest", "-q", "-p", "no:randomly"]);
    run().expect_code(120);
    let first = verdicts(&project);
    assert!(first.iter().any(|(name, verdict)| name == "test_large" && verdict == "memory"), "{first:?}");
    assert!(first.len() == 3 && first.iter().all(|(_, verdict)| verdict != "lost"), "{first:?}");
    run().expect_code(0);
    let peaks =
        fs_err::read_to_string(project.path().join(".pytest_cache/v/testbox/peaks")).expect("what is remembered");
    assert!(peaks.contains("test_a.py::test_large") && peaks.contains("test_c.py::test_small"), "{peaks}");
}

fn a_worker_at_once_is_killed_alone() {
    let project = Project::new();
    project.write("test_a.py", "def test_bomb():\n    taken = []\n    while True: taken.append(b'x' * (4 << 20))\n");
    project.write("test_b.py", "import time\ndef test_slow(): time.sleep(3)\n");
    project.pytest(&["-j", "2", "--memory", "512M", "--isolate", "file", "--file-memory", "200M"], &[]).expect_code(1);
    assert_eq!(row(&project, "test_a.py::test_bomb")["verdict"], "memory");
    assert_eq!(row(&project, "test_b.py::test_slow")["verdict"], "passed");
}

/// The thread of `dump_traceback_later` does not live in a forked worker, where the next call once waited for its end.
fn a_conftest_with_an_alarm_of_faulthandler_is_no_trap() {
    let project = Project::new();
    project.write("conftest.py", "import faulthandler\nfaulthandler.dump_traceback_later(1000, exit=True)\n");
    let text = "\
import faulthandler

def setup_module(): faulthandler.dump_traceback_later(900, exit=True)
def teardown_module(): faulthandler.cancel_dump_traceback_later()
def test_x(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--timeout", "20s"], &[]).expect_code(0);
}

fn isolate_none_is_plain_pytest() {
    let project = Project::new();
    let text = "import os\nFIRST = os.getpid()\ndef test_x(): assert os.getpid() == FIRST\n";
    project.write("test_x.py", text);
    project.pytest(&["--isolate", "none"], &[]).expect_code(0);
    assert_eq!(project.report()["evidence"]["pytest"]["isolate"], "none");
    project.pytest(&[], &[]).expect_code(1);
    project
        .write("test_x.py", "import pytest\ndef test_x(): pytest.exit('enough', returncode=0)\ndef test_y(): pass\n");
    let run = project.pytest(&["--isolate", "none"], &[]).expect_code(1);
    run.expect_stderr("0 of 2 collected tests had a result");
}

fn a_limit_above_the_boxs_is_refused() {
    let project = Project::new();
    let words = ["--test-memory 2G", "--memory 1G"];
    project.refuses(&["--memory", "1G", "--isolate", "test", "--test-memory", "2G"], 125, &words);
}
