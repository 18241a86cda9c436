//! Tests that reach for the controller, the channel or the outcome: never a false green, never another test's result.

use testbox_tests::{Case, Project};

use crate::{case, expect_verdicts, grouped, row};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("a_test_that_kills_the_controller_is_not_green", a_test_that_kills_the_controller_is_not_green),
        case("the_controllers_memory_is_closed", the_controllers_memory_is_closed),
        case("a_worker_has_no_socket_to_testbox", a_worker_has_no_socket_to_testbox),
        case("a_child_that_reports_is_no_test", a_child_that_reports_is_no_test),
        grouped("a_worker_cannot_leave_its_limits", a_worker_cannot_leave_its_limits),
        case("an_exit_handler_of_a_worker_changes_nothing", an_exit_handler_of_a_worker_changes_nothing),
        case("a_flood_of_the_workers_socket_is_survived", a_flood_of_the_workers_socket_is_survived),
    ]
}

/// Where the kernel scopes signals (Landlock ABI 6) it cannot; elsewhere the run ends and is not green.
fn a_test_that_kills_the_controller_is_not_green() {
    let project = Project::new();
    let text = "\
import os, pytest

def test_asks():
    try: os.kill(os.getppid(), 0)
    except PermissionError: print('SIGNALS ARE SCOPED')

@pytest.mark.parametrize('signal', [9, 19])
@pytest.mark.parametrize('victim', ['parent', 'everyone', 'group'])
def test_signals(victim, signal):
    try: os.kill({'parent': os.getppid(), 'everyone': -1, 'group': 0}[victim], signal)
    except PermissionError: pass

def test_after(): pass
";
    project.write("test_x.py", text);
    let flags = ["--isolate", "test", "--test-timeout", "3s", "--timeout", "20s", "--grace", "300ms"];
    let run = project.pytest(&flags, &["-s"]);
    assert!(run.code != 0 && run.code != 125, "{run:?}");
    if run.stdout.contains("SIGNALS ARE SCOPED") {
        let verdict = |name: &str| row(&project, &format!("test_x.py::{name}"))["verdict"].clone();
        assert_eq!((verdict("test_signals[parent-9]"), verdict("test_after")), ("passed".into(), "passed".into()));
        assert_eq!(verdict("test_signals[group-9]"), "crashed");
        assert_eq!(verdict("test_signals[group-19]"), "timeout");
    }
}

fn the_controllers_memory_is_closed() {
    let project = Project::new();
    let text = "\
import os, pytest

@pytest.mark.parametrize('name', ['mem', 'fd', 'environ', 'maps'])
def test_closed(name):
    with pytest.raises(PermissionError):
        path = f'/proc/{os.getppid()}/{name}'
        os.listdir(path) if name == 'fd' else open(path, 'rb+' if name == 'mem' else 'rb').read(1)
";
    project.write("test_x.py", text);
    project.pytest(&[], &[]).expect_code(0);
}

fn a_worker_has_no_socket_to_testbox() {
    let project = Project::new();
    let text = "\
import os

def test_x():
    assert 'TESTBOX_CHANNEL' not in os.environ
    sockets = [fd for fd in os.listdir('/proc/self/fd') if is_socket(fd)]
    assert len(sockets) <= 2, 'at most those to the controller'
    assert '4' not in sockets or not is_socket('4')

def is_socket(fd):
    try: return 'socket' in os.readlink(f'/proc/self/fd/{fd}')
    except OSError: return False
";
    project.write("test_x.py", text);
    project.pytest(&["-j", "2", "--isolate", "test"], &[]).expect_code(0);
}

/// A fork that goes on as if it were the worker: only the worker itself has a say.
fn a_child_that_reports_is_no_test() {
    let project = Project::new();
    let text = "\
import os

def test_forks():
    if os.fork():
        os._exit(0)

def test_after(): pass
";
    project.write("test_x.py", text);
    let run = project.pytest(&["--test-timeout", "10s"], &[]);
    run.expect_code(1);
    assert_eq!(row(&project, "test_x.py::test_forks")["outcome"], "failed");
    assert_eq!(row(&project, "test_x.py::test_after")["outcome"], "passed");
}

fn a_worker_cannot_leave_its_limits() {
    let project = Project::new();
    let text = "\
import os

def test_moves():
    for fd in range(3, 256):
        for word in (b'0', str(os.getppid()).encode(), b'-1', b'1'):
            try: os.write(fd, word)
            except OSError: pass
    taken = []
    while True: taken.append(b'x' * (4 << 20))

def test_after(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--memory", "512M", "--isolate", "test", "--test-memory", "120M"], &[]).expect_code(1);
    assert_eq!(row(&project, "test_x.py::test_moves")["outcome"], "failed");
    assert_eq!(row(&project, "test_x.py::test_after")["verdict"], "passed");
    let peak = project.report()["peaks"]["memory_bytes"].as_u64().expect("a peak");
    assert!(peak < 400 << 20, "{peak}");
}

/// The worker did not say that its batch was over: the last test has an error of its teardown.
fn an_exit_handler_of_a_worker_changes_nothing() {
    let project = Project::new();
    let text = "import atexit, os\ndef test_x():\n    atexit.register(os._exit, 0)\n    assert 0\ndef test_y(): pass\n";
    project.write("test_x.py", text);
    project.pytest(&[], &[]).expect_code(1);
    expect_verdicts(&project, &[("test_x", "failed"), ("test_y", "failed")]);
}

fn a_flood_of_the_workers_socket_is_survived() {
    let project = Project::new();
    let text = "\
import os, stat, struct

def sockets():
    return [fd for fd in range(3, 256) if os.path.exists(f'/proc/self/fd/{fd}') and stat.S_ISSOCK(os.fstat(fd).st_mode)]

def test_garbage():
    for fd in sockets():
        os.set_blocking(fd, True)
        frame = b'{' * 70000
        os.write(fd, struct.pack('<I', 1 << 31) + frame)

def test_after(): pass
";
    project.write("test_x.py", text);
    project.pytest(&["--test-timeout", "10s"], &[]).expect_code(1);
    assert_eq!(row(&project, "test_x.py::test_garbage")["outcome"], "failed");
    assert_eq!(row(&project, "test_x.py::test_after")["outcome"], "passed");
}
