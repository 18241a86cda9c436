//! Every ordinary ending of a box: nothing is left when testbox returns (P1, P4), and a kill lands in time (P13).

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbox_tests::{Finished, Project, groups_of, note};

use crate::times;
use crate::traced::Traced;

/// Leaves behind whatever survives careless clean-ups, then goes on with the line that follows.
const DAEMONS: &str = "
import ctypes, os, signal, subprocess, sys, threading, time
def spawn(work):
    if os.fork() == 0:
        work()
        while True:
            signal.pause()
def double():
    os.setsid()
    if os.fork():
        os._exit(0)
def deaf():
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)
def stopped():
    os.setsid()
    os.kill(os.getpid(), signal.SIGSTOP)
def group():
    os.setpgid(0, 0)
def threads():
    for _ in range(8):
        threading.Thread(target=lambda: time.sleep(1000)).start()
def open_files():
    os.setsid()
    hold = [os.open('/dev/null', os.O_RDONLY) for _ in range(2000)]
def quiet():
    os.setsid()
    for number in range(3):
        os.close(number)
for work in (double, deaf, stopped, group, threads, open_files, quiet):
    spawn(work)
time.sleep(0.2)
print('up', flush=True)
";

fn with_daemons(then: &str) -> Traced {
    Traced::new(&format!("{DAEMONS}\n{then}\n"))
}

#[track_caller]
fn verdict(traced: &Traced, wanted: &str) {
    let report = traced.project.report();
    assert_eq!(report["verdict"], wanted, "{report:#}");
}

pub(crate) fn p1_nothing_is_left_after_a_normal_end() {
    for (then, code, kind) in
        [("os._exit(0)", 0, "passed"), ("os._exit(7)", 7, "failed"), ("os.abort()", 134, "crashed")]
    {
        let traced = with_daemons(then);
        traced.run(&[]).expect_code(code);
        verdict(&traced, kind);
        let left = traced.project.report()["left_behind"].as_array().map_or(0, Vec::len);
        assert!(left >= 7, "only {left} of the daemons are told");
    }
}

pub(crate) fn p1_nothing_is_left_after_the_memory_limit() {
    let traced = with_daemons("hold = []\nwhile True: hold.append(bytearray(1 << 20))");
    traced.run(&["--memory", "200M"]).expect_code(120);
    verdict(&traced, "memory");
    let report = traced.project.report();
    assert!(report["evidence"]["memory"]["oom_kills"].as_u64() > Some(0), "{report:#}");
    let twin = with_daemons("hold = [bytearray(1 << 20) for _ in range(220)]; os._exit(0)");
    twin.run(&["--memory", "600M"]).expect_code(0);
}

pub(crate) fn p1_nothing_is_left_after_a_fork_bomb() {
    let bomb = "while True:\n    try: os.fork()\n    except OSError: pass";
    let traced = with_daemons(bomb);
    traced.run(&["--pids", "100", "--timeout", "2m"]).expect_code(121);
    verdict(&traced, "pids");
    let report = traced.project.report();
    assert!(report["evidence"]["pids"]["refused_forks"].as_u64() > Some(0), "{report:#}");
    assert!(report["peaks"]["pids"].as_u64() <= Some(100), "{report:#}");
}

pub(crate) fn p1_nothing_is_left_after_a_timeout() {
    let traced = with_daemons("while True: time.sleep(1)");
    traced.run(&["--timeout", "1s"]).expect_code(124);
    verdict(&traced, "timeout");
}

pub(crate) fn p1_nothing_is_left_after_an_interrupt() {
    for signal in [Signal::INT, Signal::TERM] {
        let traced = with_daemons("while True: time.sleep(1)");
        let mut child = traced.start(&[]);
        wait_for_line(&mut child);
        let pid = Pid::from_child(&child);
        pidfd_send_signal(pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd"), signal).expect("a signal");
        traced.end_of(child).expect_code(130);
        verdict(&traced, "interrupted");
    }
}

pub(crate) fn wait_for_line(child: &mut Child) {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("stdout");
    BufReader::with_capacity(1, stdout).read_line(&mut line).expect("a line");
}

pub(crate) fn p1_nothing_is_left_of_a_box_that_could_not_start() {
    let project = Project::new();
    project.write("not-executable", "").write("no-interpreter", "#!/nonexistent/interpreter\n");
    fs_err::set_permissions(project.path().join("no-interpreter"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("chmod");
    for (command, code) in [("./missing", 127), ("./not-executable", 126), ("./no-interpreter", 126)] {
        let child = project.command(&["--", command]).stderr(std::process::Stdio::piped()).spawn().expect("testbox");
        let pid = child.id();
        Finished::from(child.wait_with_output().expect("an end")).expect_code(code);
        assert_eq!(groups_of(pid), Vec::<String>::new(), "{command}");
    }
}

/// Each process forks the next and ends: a pass over the list of processes never sees the last one (F14).
pub(crate) fn p4_a_fork_chain_dies() {
    let chain = "import os, sys\nfor _ in range(4):\n    if os.fork() == 0:\n        os.setsid()\n        while True:\n            \
        if os.fork(): os._exit(0)\nos.write(1, b'up')\n";
    for round in 0..times(100, 20) {
        let traced = Traced::new(chain);
        // Enough for the dead of the chain that nobody has reaped yet: a refused fork would end it.
        traced.run(&["-q", "--pids", "1000"]).expect_code(0);
        assert!(!traced.project.report().is_null(), "round {round}");
    }
}

pub(crate) fn p13_a_stopped_command_is_killed_in_time() {
    killed_in_time("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n");
}

/// The parent waits uninterruptibly for a child that never executes anything.
pub(crate) fn p13_a_command_blocked_in_vfork_is_killed_in_time() {
    killed_in_time("import ctypes, signal\nlibc = ctypes.CDLL(None)\nif libc.syscall(58) == 0:\n    libc.pause()\n");
}

pub(crate) fn p13_a_command_that_holds_the_gil_is_killed_in_time() {
    killed_in_time("import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)\nsum(range(10 ** 13))\n");
}

pub(crate) fn p13_a_command_that_ignores_signals_is_killed_in_time() {
    let deaf = "import os, signal\nfor number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n    \
        except (OSError, ValueError): pass\nos.fork() or os.setpgid(0, 0)\nwhile True: signal.pause()\n";
    killed_in_time(deaf);
}

#[track_caller]
fn killed_in_time(program: &str) {
    let traced = Traced::new(program);
    let started = Instant::now();
    traced.run(&["-q", "--timeout", "1s"]).expect_code(124);
    let (wall, report) = (started.elapsed(), traced.project.report());
    verdict(&traced, "timeout");
    note(&format!("P13: 1 s of time and 2 s of grace took {} ms", report["duration_ms"]));
    // And a second for a busy machine to end what was killed.
    assert!(report["duration_ms"].as_u64() < Some(4000), "1 s of time and 2 s of grace took {}", report["duration_ms"]);
    assert!(wall < Duration::from_secs(8), "{wall:?}");
}
