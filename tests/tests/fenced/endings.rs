//! The end of a box without namespaces: no kernel ends its processes together, and none is left all the same.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbox_tests::{Finished, pause, processes_with, testbox, wait_until};

use crate::ground::{ALLOW, Ground};

/// Left its session and its parent, and hears no signal that it can ignore.
const DAEMON: &str = "import os, signal, time\n\
    for number in set(range(1, 65)) - {signal.SIGCHLD}:\n    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n\
    if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: time.sleep(0.01)\n    os._exit(0)\n\
    os.wait()\nprint('up', flush=True)\n";
const CHAIN: &str = "import os, sys\nfor _ in range(4):\n    if os.fork() == 0:\n        os.setsid()\n        while True:\n            \
    if os.fork(): os._exit(0)\nos.write(1, b'up')\n";
const BOMB: &str = "import os, time\nend = time.monotonic() + 60\nwhile time.monotonic() < end:\n    try: os.fork()\n    \
    except OSError: pass\n";
const ROUNDS: u32 = 10;

pub(crate) fn a_daemon_is_dead_when_testbox_returns() {
    let ground = Ground::of_user();
    ground.python(&[ALLOW], DAEMON).expect_code(0).expect_stderr("1 process was left behind and killed with the box");
    let waiting = format!("{DAEMON}time.sleep(1000)\n");
    ground.python(&["-q", ALLOW, "--timeout", "500ms", "--grace", "100ms"], &waiting).expect_code(124);
}

pub(crate) fn a_fork_chain_dies() {
    let ground = Ground::of_user();
    for _ in 0..ROUNDS {
        ground.python(&["-q", ALLOW, "--pids", "1000"], CHAIN).expect_code(0);
    }
}

/// Stopped by the watchdog, or when its time is over, with every process of it busy forking.
pub(crate) fn a_fork_bomb_dies() {
    let ground = Ground::of_user();
    for _ in 0..3 {
        let finished = ground.python(&["-q", ALLOW, "--pids", "200", "--timeout", "3s", "--grace", "100ms"], BOMB);
        assert!([121, 124].contains(&finished.code), "{finished:?}");
    }
}

/// In groups of its own: those are the last resort.
pub(crate) fn with_cgroups_nothing_gets_away_either() {
    let ground = Ground::of_root();
    let allow = ["-q", "--allow-degraded", "namespaces", "--timeout", "3s", "--grace", "100ms"];
    ground.python(&allow, DAEMON).expect_code(0);
    for _ in 0..ROUNDS {
        ground.python(&[&allow[..], &["--pids", "1000"]].concat(), CHAIN).expect_code(0);
    }
    let finished = ground.python(&[&allow[..], &["--pids", "200"]].concat(), BOMB);
    assert!([121, 124].contains(&finished.code), "{finished:?}");
    for program in [DAEMON, CHAIN] {
        ground.project.write("program.py", &format!("{program}import time\ntime.sleep(1000)\n"));
        let mut child = started(&ground, &allow[..3]);
        wait_for_word(&mut child);
        ground.kill(child);
    }
}

fn started(ground: &Ground, flags: &[&str]) -> Child {
    let program = ground.project.path().join("program.py").to_string_lossy().into_owned();
    ground.start(flags, &["/usr/bin/python3", &program])
}

/// The programs say `up`.
fn wait_for_word(child: &mut Child) {
    child.stdout.as_mut().expect("a pipe").read_exact(&mut [0; 2]).expect("a word");
}

pub(crate) fn a_sigkill_of_testbox_leaves_nothing() {
    let ground = Ground::of_user();
    for program in [DAEMON, CHAIN] {
        ground.project.write("program.py", &format!("{program}import time\ntime.sleep(1000)\n"));
        for round in 0..ROUNDS {
            let mut child = started(&ground, &["-q", ALLOW]);
            if round.is_multiple_of(2) {
                wait_for_word(&mut child);
            } else {
                pause(Duration::from_millis(u64::from(round) * 37 % 250));
            }
            ground.kill(child);
        }
    }
}

/// With the reaper dead too the processes still die, and the next run removes the folder.
pub(crate) fn without_its_reaper_the_next_run_cleans_up() {
    let ground = Ground::of_user();
    ground.project.write("program.py", &format!("{DAEMON}time.sleep(1000)\n"));
    let mut child = started(&ground, &["-q", ALLOW]);
    wait_for_word(&mut child);
    let marker = ground.project.path().to_string_lossy().into_owned();
    let reaper = processes_with(&marker).iter().find_map(|one| one.strip_suffix(" testbox-reaper")?.parse().ok());
    let reaper = Pid::from_raw(reaper.expect("a reaper")).expect("a pid");
    pidfd_send_signal(pidfd_open(reaper, PidfdFlags::empty()).expect("a pidfd"), Signal::KILL).expect("a signal");
    child.kill().expect("SIGKILL");
    child.wait().expect("an end");
    assert!(wait_until(Duration::from_secs(2), || processes_with(&marker).is_empty()), "{:?}", processes_with(&marker));
    assert_eq!(ground.folders().len(), 1);
    ground.run(&["-q", ALLOW], &["/bin/true"]).expect_code(0);
}

pub(crate) fn gc_takes_only_folders_of_dead_runs() {
    let ground = Ground::of_user();
    let mut child = ground.start(&["-q", ALLOW], &["/bin/sh", "-c", "echo up; sleep 1000"]);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    let alive = ground.folders().pop().expect("its folder");
    let name = alive.file_name().expect("a name").to_string_lossy().into_owned();
    let boot = name.split('-').nth(1).expect("a boot").to_owned();
    let folder = |name: String| ground.temporary().join(name);
    // No process starts with the kernel's first tick.
    let dead = folder(format!("testbox-{boot}-1-1"));
    let others = [folder("testbox-00000000-1-1".to_owned()), folder(format!("testbox-{boot}-1-1-x"))];
    for path in others.iter().chain([&dead]) {
        fs_err::create_dir_all(path.join("in/it")).expect("a folder");
    }
    let finished = Finished::of(testbox().arg("gc").env("TMPDIR", ground.temporary())).expect_code(0);
    assert!(finished.stdout.contains(&format!("removed {}", dead.display())), "{finished:?}");
    assert!(!dead.exists() && others.iter().all(|path| path.exists()) && alive.exists());
    others.iter().for_each(|path| fs_err::remove_dir_all(path).expect("a folder"));
    ground.kill(child);
}
