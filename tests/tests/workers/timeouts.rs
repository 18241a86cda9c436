//! Timeouts by phase: with the interpreter's lock held, signals blocked, or the work in a child.

use testbox_tests::{Case, Project};

use crate::{case, expect_verdicts, row};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(
            "a_test_that_takes_too_long_is_killed_wherever_it_is",
            a_test_that_takes_too_long_is_killed_wherever_it_is,
        ),
        case("a_teardown_has_a_time_of_its_own", a_teardown_has_a_time_of_its_own),
        case("a_collection_that_takes_too_long_ends_the_run", a_collection_that_takes_too_long_ends_the_run),
        case("the_marker_of_pytest_timeout_is_honoured", the_marker_of_pytest_timeout_is_honoured),
        case("a_slow_fixture_counts_for_its_test", a_slow_fixture_counts_for_its_test),
    ]
}

fn a_test_that_takes_too_long_is_killed_wherever_it_is() {
    let project = Project::new();
    let text = "\
import collections, itertools, os, signal, subprocess, sys, time

def spin():
    collections.deque(itertools.repeat(None), maxlen=0)

def test_fine(): pass

def test_spins_in_c():
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    spin()

def test_spins_in_python():
    while True: pass

def test_waits_for_a_child():
    subprocess.run([sys.executable, '-c', 'while True: pass'])

def test_stops_itself():
    os.kill(os.getpid(), signal.SIGSTOP)

def test_sleeps():
    time.sleep(1000)

def test_after(): pass
";
    project.write("test_x.py", text);
    let run = project.pytest(&["--test-timeout", "1500ms"], &[]).expect_code(1);
    expect_verdicts(
        &project,
        &[
            ("test_fine", "passed"),
            ("test_spins_in_c", "timeout"),
            ("test_spins_in_python", "timeout"),
            ("test_waits_for_a_child", "timeout"),
            ("test_stops_itself", "timeout"),
            ("test_sleeps", "timeout"),
            ("test_after", "passed"),
        ],
    );
    let top = |name: &str| row(&project, &format!("test_x.py::{name}"))["stack"][0].as_str().unwrap_or("").to_owned();
    assert!(top("test_spins_in_python").ends_with("test_x.py:13 in test_spins_in_python"), "{}", run.stdout);
    assert!(top("test_sleeps").ends_with("test_x.py:22 in test_sleeps"), "{}", top("test_sleeps"));
}

fn a_teardown_has_a_time_of_its_own() {
    let project = Project::new();
    let text = "\
import pytest, time

@pytest.fixture
def slow_end():
    yield
    time.sleep(1000)

def test_slow_end(slow_end): pass
def test_after(): time.sleep(1)
";
    project.write("test_x.py", text);
    project.pytest(&["--teardown-timeout", "500ms"], &[]).expect_code(1);
    expect_verdicts(&project, &[("test_slow_end", "timeout"), ("test_after", "passed")]);
    assert_eq!(row(&project, "test_x.py::test_slow_end")["phase"], "teardown");
}

fn a_collection_that_takes_too_long_ends_the_run() {
    let project = Project::new();
    project.write("test_a.py", "def test_a(): pass\n").write("test_b.py", "import time\ntime.sleep(1000)\n");
    // Long enough for pytest to start, also on a busy machine.
    let run = project.pytest(&["--collect-timeout", "8s", "--grace", "500ms"], &[]).expect_code(124);
    run.expect_stderr("collecting test_b.py at test_b.py:2 in <module>").expect_stderr("collection within 8 s");
}

fn the_marker_of_pytest_timeout_is_honoured() {
    let project = Project::new();
    let text = "\
import pytest, time

@pytest.mark.timeout(1)
def test_marked(): time.sleep(1000)

def test_free(): time.sleep(1.5)
";
    project.write("test_x.py", text);
    project.pytest(&[], &["-W", "ignore"]).expect_code(1);
    expect_verdicts(&project, &[("test_marked", "timeout"), ("test_free", "passed")]);
}

fn a_slow_fixture_counts_for_its_test() {
    let project = Project::new();
    let text = "\
import pytest, time

@pytest.fixture
def slow(): time.sleep(1000)

def test_slow(slow): pass
def test_after(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--test-timeout", "1s"], &[]).expect_code(1);
    expect_verdicts(&project, &[("test_slow", "timeout"), ("test_after", "passed")]);
    assert_eq!(row(&project, "test_x.py::test_slow")["phase"], "setup");
}
