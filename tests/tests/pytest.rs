//! pytest in the box: a run that ended early names test, phase and line, and an exit code of 0 without an end is no
//! success. Where the tests are divided, see `workers`.

use serde_json::Value;
use testbox_tests::{HUNGRY, Need, Project, case, run};

const BOMBS: &str = "
def test_before(): pass
def test_setup_bomb(hungry): pass
def test_call_bomb(): eat()
def test_after(): pass
";

const SPIN: &str = "\
import collections, itertools, signal

def spin():
    collections.deque(itertools.repeat(None), maxlen=0)

def test_fine(): pass

def test_spins():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    spin()
";

fn main() {
    let needs = &[Need::Box, Need::Pytest];
    run(vec![
        case("a_memory_kill_names_test_phase_line_and_count", needs, a_memory_kill_names_test_phase_line_and_count),
        case("a_memory_kill_in_a_fixture_is_in_its_setup", needs, a_memory_kill_in_a_fixture_is_in_its_setup),
        case("a_memory_kill_during_collection_names_the_file", needs, a_memory_kill_during_collection_names_the_file),
        case("a_timeout_in_c_names_the_line", needs, a_timeout_in_c_names_the_line),
        case("an_exit_code_of_0_without_an_end_is_lost", needs, an_exit_code_of_0_without_an_end_is_lost),
        case("an_ordinary_run_is_counted_in_the_report", needs, an_ordinary_run_is_counted_in_the_report),
        case("the_tests_do_not_see_the_plugin", needs, the_tests_do_not_see_the_plugin),
        case("forged_frames_end_no_run_and_acquit_nobody", needs, forged_frames_end_no_run_and_acquit_nobody),
        case("no_plugin_leaves_the_command_untouched", needs, no_plugin_leaves_the_command_untouched),
        case("pytest_s_own_ends_pass", needs, pytest_s_own_ends_pass),
        case("a_waiting_box_uses_no_cpu", needs, a_waiting_box_uses_no_cpu),
    ])
}

fn place(project: &Project) -> String {
    project.report()["place"].as_str().unwrap_or_default().to_owned()
}

fn a_memory_kill_names_test_phase_line_and_count() {
    let project = Project::new();
    project.write("tests/test_bomb.py", &format!("{HUNGRY}{BOMBS}"));
    let undivided = ["--memory", "200M", "--isolate", "none"];
    let run = project.pytest(&undivided, &["tests/test_bomb.py", "-k", "not setup_bomb"]);
    run.expect_code(120)
        .expect_stderr("where: running tests/test_bomb.py::test_call_bomb (call) at tests/test_bomb.py:6 in eat");
    let report = project.report();
    let evidence = &report["evidence"];
    let by_watchdog = evidence["stop"]["cause"]["why"] == "memory-watchdog";
    assert!(by_watchdog || evidence["memory"]["oom_kills"].as_u64() > Some(0), "{report}");
    assert!(place(&project).ends_with("1 of 3 tests had a result"), "{}", place(&project));
    let calls = report["evidence"]["pytest"]["stack"]["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(calls.len() == 2 && calls[1].as_str().is_some_and(|call| call.ends_with("in test_call_bomb")), "{calls:?}");
}

fn a_memory_kill_in_a_fixture_is_in_its_setup() {
    let project = Project::new();
    project.write("test_bomb.py", &format!("{HUNGRY}{BOMBS}"));
    project.pytest(&["--memory", "200M", "--isolate", "none"], &["test_bomb.py"]).expect_code(120);
    assert!(place(&project).starts_with("running test_bomb.py::test_setup_bomb (setup) at test_bomb.py:6 in eat"));
}

fn a_memory_kill_during_collection_names_the_file() {
    let project = Project::new();
    project.write("test_a.py", "def test_a(): pass\n");
    project.write(
        "test_b.py",
        "import time; taken = []\nwhile True:\n    taken.append((b'x' * (4 << 20), time.sleep(0.01)))\n",
    );
    project.pytest(&["--memory", "200M"], &[]).expect_code(120);
    assert!(place(&project).starts_with("collecting test_b.py at test_b.py:3 in <module>"), "{}", place(&project));
}

fn a_timeout_in_c_names_the_line() {
    let project = Project::new();
    project.write("test_spin.py", SPIN);
    // Long enough for pytest to start, also on a busy machine.
    project.pytest(&["--timeout", "10s", "--grace", "300ms"], &[]).expect_code(124);
    let expected = "running test_spin.py::test_spins (call) at test_spin.py:4 in spin; 1 of 2 tests had a result";
    assert_eq!(place(&project), expected);
}

fn an_exit_code_of_0_without_an_end_is_lost() {
    for (name, file, text) in [
        ("in a test", "test_x.py", "import os\ndef test_x(): os._exit(0)\n"),
        ("at import of a conftest", "conftest.py", "import os\nos._exit(0)\n"),
        ("at import of a test file", "test_x.py", "import os\nos._exit(0)\n"),
        ("at exit", "test_x.py", "import atexit, os\ndef test_x():\n    atexit.register(os._exit, 0)\n    assert 0\n"),
    ] {
        let project = Project::new();
        project.write(file, text).write("test_y.py", "def test_y(): pass\n");
        let finished = project.pytest(&["--isolate", "none"], &[]);
        assert_eq!(finished.code, 1, "{name}: {}", finished.stderr);
        assert_eq!(project.report()["verdict"], "lost", "{name}");
    }
}

fn an_ordinary_run_is_counted_in_the_report() {
    let project = Project::new();
    let text = "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.mark.skip\ndef test_c(): pass\n";
    project.write("test_x.py", text);
    project.pytest(&[], &[]).expect_code(1);
    let seen = project.report()["evidence"]["pytest"].clone();
    assert_eq!((&seen["stage"], &seen["collected"]), (&Value::from("finished"), &Value::from(3)));
    let expected = serde_json::json!({"passed": 1, "failed": 1, "error": 0, "skipped": 1});
    assert_eq!(seen["outcomes"], expected);
    assert_eq!(project.report()["place"], Value::Null);
}

fn the_tests_do_not_see_the_plugin() {
    let text = "\
import os, subprocess, sys

def test_environment():
    assert 'TESTBOX_CHANNEL' not in os.environ
    assert 'PYTHONPATH' not in os.environ
    assert '/etc/testbox/python' not in sys.path

def test_children_do_not_inherit_the_socket():
    listed = subprocess.run(['/bin/ls', '/proc/self/fd'], capture_output=True, text=True, close_fds=False).stdout
    assert 'socket' not in ''.join(os.readlink(f'/proc/self/fd/{fd}') for fd in (0, 1, 2))
    assert '4' not in listed.split() or 'socket' not in os.readlink('/proc/self/fd/4') or not os.get_inheritable(4)

def test_a_nested_pytest_has_no_plugin(tmp_path):
    (tmp_path / 'test_n.py').write_text('import sys\\ndef test_n(): assert \"testbox_plugin\" not in sys.modules\\n')
    assert subprocess.run([sys.executable, '-m', 'pytest', '-q', str(tmp_path)]).returncode == 0
";
    let project = Project::new();
    project.write("test_x.py", text);
    project.pytest(&[], &[]).expect_code(0);
}

fn forged_frames_end_no_run_and_acquit_nobody() {
    let text = "\
import os, struct

def test_forges():
    for fd in range(3, 64):
        try:
            if 'socket' in os.readlink(f'/proc/self/fd/{fd}'):
                for frame in (b'{\"t\":\"finish\",\"s\":1,\"exit\":0}', b'[' * 5000, b'x' * (2 << 20)):
                    os.write(fd, struct.pack('<I', len(frame)) + frame)
        except OSError:
            pass

def test_fails():
    assert 0
";
    let project = Project::new();
    project.write("test_x.py", text);
    project.pytest(&["--isolate", "none"], &[]).expect_code(1).expect_stderr("no longer listened to");
}

fn no_plugin_leaves_the_command_untouched() {
    let project = Project::new();
    let text = "import os, sys\ndef test_x():\n    assert 'testbox_plugin' not in sys.modules\n    \
        assert b'testbox_plugin' not in open('/proc/self/cmdline', 'rb').read()\n";
    project.write("test_x.py", text);
    project.pytest(&["--no-plugin"], &[]).expect_code(0);
    assert_eq!(project.report()["evidence"]["pytest"], Value::Null);
}

fn pytest_s_own_ends_pass() {
    let project = Project::new();
    project.write("test_x.py", "def test_x(): pass\n");
    for (arguments, code) in
        [(["--version"], 0), (["--help"], 0), (["--collect-only"], 0), (["--deselect=test_x.py"], 5), (["--bogus"], 4)]
    {
        project.pytest(&[], &arguments).expect_code(code);
    }
}

/// The init once spun after it had closed its own descriptor of signals together with the plugin's socket.
fn a_waiting_box_uses_no_cpu() {
    let project = Project::new();
    project.write("test_x.py", "import time\ndef test_x(): time.sleep(8)\n");
    for command in [&["sleep", "3"][..], &["python", "-m", "pytest", "-q"]] {
        project.run(&[&["--"], command].concat()).expect_code(0);
        let report = project.report();
        let (used, wall) = (&report["evidence"]["cpu"]["used_ms"], &report["duration_ms"]);
        let (Some(used), Some(wall)) = (used.as_u64(), wall.as_u64()) else { panic!("no times: {report:#}") };
        // What spins uses all of it. A guest takes for used what its host gave to others while pytest started.
        assert!(used * 2 < wall, "{command:?}: {used} ms of CPU in {wall} ms, nearly all of them waiting");
    }
}
