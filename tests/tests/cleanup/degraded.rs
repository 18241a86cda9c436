//! An ordinary user without usable cgroups: refused by name (P10), or weaker walls that are told and still hold.

use std::time::{Duration, Instant};

use testbox_tests::{Project, pause, processes_with};

use crate::endings::wait_for_line;
use crate::times;
use crate::traced::Traced;

const ALLOW: &str = "--allow-degraded=memory,pids,cpu,io";

fn traced(program: &str) -> Traced {
    Traced::in_project(Project::unprivileged(), program)
}

pub(crate) fn p10_no_usable_cgroup_is_a_named_error() {
    let traced = Traced::in_project(Project::unprivileged().strict(), "print('ran')\n");
    let finished = traced.run(&[]).expect_code(125).expect_stderr("memory").expect_stderr("hint: ");
    let finished = finished.expect_stderr("--allow-degraded");
    assert_eq!(finished.stdout, "");
}

pub(crate) fn p10_degraded_walls_are_told_everywhere() {
    let traced = traced("print('ran')\n");
    let finished = traced.run(&[ALLOW]).expect_code(0);
    assert!(finished.stderr.matches("DEGRADED").count() >= 2, "header and verdict:\n{}", finished.stderr);
    let report = traced.project.report();
    let state = |name: &str| {
        let walls = report["walls"].as_array().expect("walls").iter();
        walls.filter(|wall| wall["wall"] == name).map(|wall| wall["state"].clone()).next().expect("the wall")
    };
    assert_eq!((state("memory"), state("pids")), ("degraded".into(), "degraded".into()));
    assert_eq!((state("namespaces"), state("seccomp")), ("enforced".into(), "enforced".into()));
}

pub(crate) fn degraded_memory_is_watched() {
    // 100 MiB a second at most: the watchdog has a second and a half to see what lies above the limit.
    let slow = "import time\nhold = []\nfor _ in range(600):\n    hold.append(bytearray(1 << 20)); time.sleep(0.01)\n";
    let bomb = traced(slow);
    bomb.run(&[ALLOW, "--memory", "150M"]).expect_code(120);
    let report = bomb.project.report();
    assert_eq!(report["verdict"], "memory");
    assert_eq!(report["evidence"]["stop"]["cause"]["why"], "memory-watchdog", "{report:#}");
    assert!(report["peaks"]["memory_bytes"].as_u64() < Some(300 << 20), "{}", report["peaks"]);
    traced(&slow.replace("600", "60")).run(&[ALLOW, "--memory", "150M"]).expect_code(0);
}

pub(crate) fn degraded_forks_are_bounded() {
    let bomb = "import os, time\nend = time.monotonic() + 30\nwhile time.monotonic() < end:\n    try: os.fork()\n    \
        except OSError: time.sleep(0.1)\n";
    let traced = traced(bomb);
    let child = traced.start(&[ALLOW, "-q", "--pids", "50", "--timeout", "15s"]);
    let marker = traced.project.path().to_string_lossy().into_owned();
    let (started, mut most, mut reached) = (Instant::now(), 0, None);
    // Until the bomb is at its limit, which takes a while on a busy machine, and a second more.
    while started.elapsed() < Duration::from_secs(12)
        && reached.is_none_or(|at: Instant| at.elapsed() < Duration::from_secs(1))
    {
        most = most.max(processes_with(&marker).len());
        reached = reached.or_else(|| (most >= 40).then(Instant::now));
        pause(Duration::from_millis(50));
    }
    let finished = traced.end_of(child);
    assert!([121, 124].contains(&finished.code), "{finished:?}");
    // Beside the 50: testbox, its reaper, the box's init.
    assert!(most <= 55, "{most} processes");
    // The watchdog may end the bomb before it was seen at its limit.
    assert!(most >= 40 || finished.code == 121, "{most} processes: {finished:?}");
}

pub(crate) fn degraded_timeouts_end_everything() {
    let daemons = "import os, signal, time\nif os.fork() == 0:\n    os.setsid()\n    \
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)\n";
    let traced = traced(daemons);
    traced.run(&[ALLOW, "-q", "--timeout", "1s"]).expect_code(124);
}

pub(crate) fn degraded_kills_of_testbox_leave_nothing() {
    let traced = traced(
        "import os, time\nos.fork(); os.setsid() if os.getpid() > 2 else 0\nprint('up', flush=True)\ntime.sleep(1000)\n",
    );
    for round in 0..times(50, 10) {
        let mut child = traced.start(&[ALLOW, "-q"]);
        if round.is_multiple_of(2) {
            wait_for_line(&mut child);
        } else {
            pause(Duration::from_millis(u64::from(round) * 17 % 150));
        }
        traced.kill(child);
    }
}
