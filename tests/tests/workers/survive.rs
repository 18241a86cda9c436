//! A worker is killed or dies: its test is named, the others run.

use testbox_tests::{Case, HUNGRY, Need, Project};

use crate::{case, expect_verdicts, grouped, row};

const BOMBS: &str = "
@pytest.fixture
def greedy_end():
    yield
    eat()

def test_before(): pass

def test_call_bomb():
    print('said before the end')
    eat()

def test_between(): pass
def test_setup_bomb(hungry): pass
def test_teardown_bomb(greedy_end): pass
def test_after(): pass
";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        grouped("a_memory_kill_fails_its_test_and_no_other", a_memory_kill_fails_its_test_and_no_other),
        grouped("many_small_processes_are_one_tests_memory", many_small_processes_are_one_tests_memory),
        grouped("a_fork_bomb_fails_its_test_and_no_other", a_fork_bomb_fails_its_test_and_no_other),
        testbox_tests::case(
            "without_groups_a_memory_kill_fails_its_test_and_no_other",
            &[Need::Degraded, Need::Pytest],
            without_groups_a_memory_kill_fails_its_test_and_no_other,
        ),
        case("crashes_and_silent_exits_are_named", crashes_and_silent_exits_are_named),
        grouped("what_is_left_behind_does_not_reach_the_next_test", what_is_left_behind_does_not_reach_the_next_test),
        case("the_session_ends_after_so_many_kills", the_session_ends_after_so_many_kills),
        case("maxfail_counts_kills", maxfail_counts_kills),
        case("a_killed_test_is_tried_again", a_killed_test_is_tried_again),
        case("a_worker_that_does_not_end_is_not_waited_for", a_worker_that_does_not_end_is_not_waited_for),
        case("every_collected_test_is_accounted_for", every_collected_test_is_accounted_for),
    ]
}

/// What must come of these tests, and of one in another file.
const OF_BOMBS: [(&str, &str); 7] = [
    ("test_before", "passed"),
    ("test_call_bomb", "memory"),
    ("test_between", "passed"),
    ("test_setup_bomb", "memory"),
    ("test_teardown_bomb", "memory"),
    ("test_after", "passed"),
    ("test_other", "passed"),
];

fn write_bombs(project: &Project) {
    project.write("test_bomb.py", &format!("{HUNGRY}{BOMBS}")).write("test_other.py", "def test_other(): pass\n");
}

/// The watchdog sees what a cgroup would count: of a worker and of what its test started.
fn without_groups_a_memory_kill_fails_its_test_and_no_other() {
    let project = Project::unprivileged();
    write_bombs(&project);
    let weaker = ["--allow-degraded", "memory,pids", "--memory", "256M"];
    let run = project.pytest(&weaker, &[]).expect_code(1);
    expect_verdicts(&project, &OF_BOMBS);
    let bomb = row(&project, "test_bomb.py::test_call_bomb");
    assert!(bomb["stack"][0].as_str().is_some_and(|call| call.ends_with("test_bomb.py:6 in eat")), "{bomb:#}");
    assert!(bomb["peak_bytes"].as_u64() > Some(128 << 20), "{bomb:#}");
    assert!(run.stdout.contains("when the box had used all of its 256.0 MiB"), "{}", run.stdout);
    let children = "import subprocess, sys\nHOLD = 'import time; x = b\"x\" * (60 << 20); time.sleep(60)'\n\
                    def test_many(): [child.wait() for child in [subprocess.Popen([sys.executable, '-c', HOLD]) for _ in range(5)]]\n\
                    def test_after(): pass\n";
    project.write("test_bomb.py", children);
    let run = project.pytest(&weaker, &[]).expect_code(1);
    expect_verdicts(&project, &[("test_many", "memory"), ("test_after", "passed"), ("test_other", "passed")]);
    assert!(run.stdout.contains(" processes; largest: "), "{}", run.stdout);
    project.write("test_bomb.py", "def test_holds(): import time; x = b'x' * (150 << 20); time.sleep(60)\n");
    let run = project.pytest(&[&weaker[..], &["--test-memory", "128M"]].concat(), &[]).expect_code(1);
    expect_verdicts(&project, &[("test_holds", "memory"), ("test_other", "passed")]);
    assert!(run.stdout.contains(" where it may use 128.0 MiB"), "{}", run.stdout);
}

fn a_memory_kill_fails_its_test_and_no_other() {
    let project = Project::new();
    write_bombs(&project);
    let run = project.pytest(&["--memory", "256M"], &[]).expect_code(1);
    expect_verdicts(&project, &OF_BOMBS);
    let phase = |name: &str| row(&project, &format!("test_bomb.py::{name}"))["phase"].clone();
    assert_eq!((phase("test_call_bomb"), phase("test_setup_bomb")), ("call".into(), "setup".into()));
    assert_eq!(phase("test_teardown_bomb"), "teardown");
    let stack = row(&project, "test_bomb.py::test_call_bomb")["stack"].clone();
    assert!(stack[0].as_str().is_some_and(|call| call.ends_with("test_bomb.py:6 in eat")), "{stack}");
    assert!(stack[1].as_str().is_some_and(|call| call.ends_with("in test_call_bomb")), "{stack}");
    for text in ["testbox: memory: ", "said before the end", "test_bomb.py:6 in eat", "1 failed", "2 error"] {
        assert!(run.stdout.contains(text), "no `{text}` in\n{}", run.stdout);
    }
    run.expect_stderr("killed: test_bomb.py::test_call_bomb (call): memory");
}

fn many_small_processes_are_one_tests_memory() {
    let project = Project::new();
    let text = "\
import multiprocessing, time

def eat(size):
    taken = b'x' * size
    time.sleep(30)

def test_many():
    context = multiprocessing.get_context('fork')
    children = [context.Process(target=eat, args=(24 << 20,)) for _ in range(30)]
    for child in children: child.start()
    for child in children: child.join()
    assert all(child.exitcode == 0 for child in children)

def test_after(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--memory", "300M", "--test-timeout", "20s"], &[]).expect_code(1);
    let row = row(&project, "test_x.py::test_many");
    assert_eq!(row["outcome"], "failed", "{row}");
    assert_eq!(crate::row(&project, "test_x.py::test_after")["verdict"], "passed");
}

fn a_fork_bomb_fails_its_test_and_no_other() {
    let project = Project::new();
    let text = "\
import os

def test_before(): pass

def test_forks():
    while True:
        try: os.fork()
        except OSError: pass

def test_after(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--pids", "64", "--memory", "512M"], &[]).expect_code(1);
    expect_verdicts(&project, &[("test_before", "passed"), ("test_forks", "pids"), ("test_after", "passed")]);
}

fn crashes_and_silent_exits_are_named() {
    let project = Project::new();
    let text = "\
import os, signal

def segfault(): os.kill(os.getpid(), signal.SIGSEGV)
def test_segfault(): segfault()
def test_abort(): os.abort()
def test_exit_0(): os._exit(0)
def test_exit_3(): os._exit(3)
def test_kill(): os.kill(os.getpid(), signal.SIGKILL)
def test_fine(): pass
";
    project.write("test_x.py", text);
    let run = project.pytest(&[], &[]).expect_code(1);
    expect_verdicts(
        &project,
        &[
            ("test_segfault", "crashed"),
            ("test_abort", "crashed"),
            ("test_exit_0", "silent"),
            ("test_exit_3", "silent"),
            ("test_kill", "crashed"),
            ("test_fine", "passed"),
        ],
    );
    for word in ["SIGSEGV", "SIGABRT", "SIGKILL"] {
        assert!(run.stdout.contains(word), "no {word} in\n{}", run.stdout);
    }
    for (test, line, function) in [("test_segfault", 3, "segfault"), ("test_abort", 5, "test_abort")] {
        let stack = row(&project, &format!("test_x.py::{test}"))["stack"].clone();
        let place = format!("test_x.py:{line} in {function}");
        assert!(stack[0].as_str().is_some_and(|call| call.ends_with(&place)), "{test}: {stack}");
        assert!(run.stdout.contains(&place), "no `{place}` in\n{}", run.stdout);
    }
    assert_eq!(row(&project, "test_x.py::test_kill")["stack"], serde_json::json!([]));
    assert!(!run.stderr.contains("Fatal Python error"), "{}", run.stderr);
}

fn what_is_left_behind_does_not_reach_the_next_test() {
    let project = Project::new();
    let text = "\
import os, subprocess, time

def test_leaves():
    subprocess.Popen(['setsid', 'sleep', '1000'])
    time.sleep(0.3)

def command(pid):
    try: return open(f'/proc/{pid}/cmdline').read()
    except OSError: return 'gone meanwhile'

def test_looks():
    listed = [command(pid) for pid in os.listdir('/proc') if pid.isdigit()]
    assert not any('1000' in line for line in listed)
";
    project.write("test_x.py", text);
    project.pytest(&["--isolate", "test"], &[]).expect_code(0);
    let left = project.report()["left_behind"].to_string();
    assert!(left.contains("sleep 1000"), "{left}");
}

fn the_session_ends_after_so_many_kills() {
    let project = Project::new();
    let dies = (0..6).map(|number| format!("def test_{number}(): os.abort()\n")).collect::<String>();
    project.write("test_x.py", &format!("import os\n{dies}"));
    project.pytest(&["--max-kills", "2"], &[]).expect_code(2);
    expect_verdicts(&project, &[("test_0", "crashed"), ("test_1", "crashed")]);
}

fn maxfail_counts_kills() {
    let project = Project::new();
    project.write("test_x.py", "import os\ndef test_0(): os.abort()\ndef test_1(): pass\n");
    project.pytest(&[], &["-x"]).expect_code(1);
    expect_verdicts(&project, &[("test_0", "crashed")]);
}

fn a_killed_test_is_tried_again() {
    let project = Project::new();
    let text = "\
import os, pathlib

def test_flaky():
    mark = pathlib.Path('/tmp/mark')
    if not mark.exists():
        mark.touch()
        os.abort()

def test_always(): os.abort()
def test_fine(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--retry-killed", "1"], &[]).expect_code(1);
    let flaky = row(&project, "test_x.py::test_flaky");
    assert_eq!((&flaky["verdict"], &flaky["killed_before"]), (&"passed".into(), &serde_json::json!(["crashed"])));
    let always = row(&project, "test_x.py::test_always");
    assert_eq!((&always["verdict"], &always["killed_before"]), (&"crashed".into(), &serde_json::json!(["crashed"])));
    assert_eq!(row(&project, "test_x.py::test_fine")["verdict"], "passed");
}

/// Plain pytest would hang for ever at its exit.
fn a_worker_that_does_not_end_is_not_waited_for() {
    let project = Project::new();
    let text = "\
import threading, time

def test_starts_a_thread(): threading.Thread(target=time.sleep, args=(1000,)).start()
def test_fine(): pass
";
    project.write("test_x.py", text).write("test_y.py", "def test_y(): pass\n");
    let run = project.pytest(&["--isolate", "file", "--timeout", "60s"], &[]).expect_code(0);
    expect_verdicts(&project, &[("test_starts_a_thread", "passed"), ("test_fine", "passed"), ("test_y", "passed")]);
    run.expect_stderr("did not end within 20 s");
}

fn every_collected_test_is_accounted_for() {
    let project = Project::new();
    let text = "\
import os, pytest

@pytest.mark.parametrize('number', range(60))
def test_n(number):
    if number % 7 == 3: os.abort()
    if number % 7 == 4: pytest.skip('so')
    if number % 7 == 5: assert 0
";
    project.write("test_a.py", text).write("test_b.py", text);
    project.pytest(&["--max-kills", "100"], &[]).expect_code(1);
    let seen = project.report()["evidence"]["pytest"].clone();
    let outcomes: u64 =
        seen["outcomes"].as_object().expect("counts").values().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!((outcomes, seen["collected"].as_u64()), (120, Some(120)), "{seen}");
    assert_eq!(crate::rows(&project).len(), 120);
    let killed = crate::verdicts(&project).iter().filter(|(_, verdict)| verdict == "crashed").count();
    assert_eq!(killed, 18);
}
