//! Workers in slots of their own: what the kernel did to one of them is said of it, and of nobody else.

use std::io::Write;
use std::time::{Duration, Instant};

use testbox_model::sample::set;
use testbox_model::{Bytes, PytestEvidence, RunEvent, RunPlan, Stop, StopCause, TestOutcome, TestVerdict};

use crate::ground::{MIB, pause, plan};
use crate::plugin::{Given, played};

/// A Python worker that dumps its stacks when it is asked.
fn python(program: &str) -> String {
    let dumps = "import faulthandler, os; faulthandler.register(61, file=open(os.environ[\"DUMPS\"], \"w\"))";
    format!("exec python3 -c '{dumps}\n{program}'")
}

/// Grows by 3 MiB each time it is woken, 20 times a second, to 80 MiB.
const HOG: &str = "import select; l=[]\ndef grow(): l.append(bytearray(3<<20)); select.select([],[],[],0.05)\nfor i in range(27): grow()";

fn verdicts(pytest: &PytestEvidence) -> Vec<(&str, Option<TestOutcome>, TestVerdict)> {
    pytest.tests.iter().map(|row| (row.nodeid.as_str(), row.outcome, row.verdict)).collect()
}

pub(crate) fn a_worker_runs_its_batch_in_its_slot() {
    let (outcome, events, diagnosis) = played(&plan(512 * MIB, 64), |plugin| {
        let settings = plugin.hello();
        assert_eq!(settings["grouped"], true);
        let given = plugin.want(0, Some(100 * MIB), None);
        // One for each hierarchy.
        assert!([1, 3].contains(&given.join.len()), "{}", given.order);
        assert_eq!(given.order["memory"].as_u64(), Some(100 * MIB));
        let names: Vec<&str> = given.gauges.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["peak", "stat", "usage", "cpu", "pids"]);
        let mut child = plugin.start(0, &given, "true");
        plugin.test_begins(0, "a", None, None);
        plugin.test_ends(0, "a", "passed");
        let diagnosis = plugin.reap(0, &mut child, true);
        plugin.goodbye(0);
        diagnosis
    });
    assert_eq!((diagnosis["kind"].as_str(), diagnosis["summary"].as_str()), (Some("none"), Some("")));
    let pytest = outcome.evidence.pytest.unwrap();
    assert_eq!(verdicts(&pytest), [("a", Some(TestOutcome::Passed), TestVerdict::Passed)]);
    assert!(events.iter().any(|event| matches!(event, RunEvent::Test { nodeid, .. } if nodeid == "a")), "{events:?}");
    assert_eq!((outcome.evidence.stop, outcome.warnings), (None, vec![]));
}

pub(crate) fn a_worker_that_takes_all_its_memory_is_named() {
    let (outcome, events, diagnosis) = played(&plan(512 * MIB, 64), |plugin| {
        plugin.hello();
        let given = plugin.want(0, Some(40 * MIB), None);
        let mut child = plugin.start(0, &given, &python(HOG));
        plugin.test_begins(0, "a", None, None);
        let diagnosis = plugin.reap(0, &mut child, false);
        plugin.test_ends(0, "a", "failed");
        plugin.goodbye(1);
        diagnosis
    });
    assert_eq!(diagnosis["kind"], "memory");
    let summary = diagnosis["summary"].as_str().unwrap();
    assert_eq!(summary, "used all of its 40.0 MiB (peak 40.0 MiB)", "a single process is the worker itself");
    let stack = diagnosis["stack"].as_array().unwrap();
    assert!(stack[0].as_str().unwrap().contains(" in grow"), "{stack:?}");
    let pytest = outcome.evidence.pytest.unwrap();
    assert_eq!(verdicts(&pytest), [("a", Some(TestOutcome::Failed), TestVerdict::Memory)]);
    assert!(!pytest.tests[0].stack.is_empty());
    assert_eq!(outcome.evidence.memory.oom_kills, 0, "not the box's own verdict: {:?}", outcome.evidence.memory);
    assert!(!events.iter().any(|event| matches!(event, RunEvent::OomKill { .. })), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, RunEvent::TestKilled { nodeid, .. } if nodeid == "a")));
}

pub(crate) fn enough_memory_for_a_worker_is_no_oom() {
    let (outcome, _, diagnosis) = played(&plan(512 * MIB, 64), |plugin| {
        plugin.hello();
        let given = plugin.want(0, Some(200 * MIB), None);
        let mut child = plugin.start(0, &given, &python(HOG));
        plugin.test_begins(0, "a", Some(20_000), None);
        plugin.test_ends(0, "a", "passed");
        let diagnosis = plugin.reap(0, &mut child, true);
        plugin.goodbye(0);
        diagnosis
    });
    assert_eq!(diagnosis["kind"], "none");
    assert_eq!(verdicts(&outcome.evidence.pytest.unwrap()), [("a", Some(TestOutcome::Passed), TestVerdict::Passed)]);
}

pub(crate) fn a_worker_that_fills_the_box_is_the_boxs_own_verdict() {
    let hog = format!("l0=bytearray(60<<20)\n{HOG}");
    let (outcome, events, diagnosis) = played(&plan(80 * MIB, 64), move |plugin| {
        plugin.hello();
        // Its own limit is that of the box: the box's is met first, because a shell is in it as well.
        let given = plugin.want(0, Some(80 * MIB), None);
        let mut child = plugin.start(0, &given, &python(&hog));
        plugin.test_begins(0, "a", None, None);
        let diagnosis = plugin.reap(0, &mut child, false);
        plugin.test_ends(0, "a", "failed");
        plugin.goodbye(1);
        diagnosis
    });
    let summary = diagnosis["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("was killed for the memory of the whole box, not for its own limit of 80.0 MiB"),
        "{summary}"
    );
    let memory = &outcome.evidence.memory;
    assert_eq!((memory.oom_kills, memory.limit_bytes), (1, Some(Bytes(80 * MIB))), "{memory:?}");
    assert!(memory.limit_hits > 0, "{memory:?}");
    assert_eq!(verdicts(&outcome.evidence.pytest.unwrap())[0].2, TestVerdict::Memory);
    assert!(events.iter().any(|event| matches!(event, RunEvent::OomKill { .. })), "{events:?}");
}

pub(crate) fn a_child_of_a_test_that_is_killed_is_said_of_the_test() {
    let script = format!("({}); read _; true", python(HOG));
    let (outcome, events, diagnosis) = played(&plan(512 * MIB, 64), move |plugin| {
        plugin.hello();
        let given = plugin.want(0, Some(40 * MIB), None);
        let mut child = plugin.start(0, &given, &format!("trap '' 61; {script}; echo"));
        plugin.test_begins(0, "a", None, None);
        plugin.test_ends(0, "before", "passed");
        wait_for_oom(&given);
        plugin.test_ends(0, "a", "passed");
        writeln!(child.stdin.as_ref().unwrap()).unwrap();
        let diagnosis = plugin.reap(0, &mut child, true);
        plugin.goodbye(0);
        diagnosis
    });
    assert_eq!(diagnosis["kind"], "none", "{diagnosis}");
    let pytest = outcome.evidence.pytest.unwrap();
    let a = pytest.tests.iter().find(|row| row.nodeid == "a").unwrap();
    assert_eq!((a.outcome, a.verdict), (Some(TestOutcome::Failed), TestVerdict::Memory), "never a false green");
    let told = events.iter().find_map(|event| match event {
        RunEvent::TestKilled { nodeid, summary, .. } if nodeid == "a" => Some(summary.as_str()),
        _ => None,
    });
    let expected = "the kernel killed a process of it, not its worker; it used all of its 40.0 MiB";
    assert!(told.unwrap().starts_with(expected), "{told:?}");
    assert_eq!(outcome.evidence.memory.oom_kills, 0);
}

/// Until the kernel has killed the largest process of a slot: its memory is free again.
fn wait_for_oom(given: &Given) {
    let (mut high, deadline) = (false, Instant::now() + Duration::from_secs(20));
    while Instant::now() < deadline {
        let used = given.gauge("usage");
        high |= used > 30 * MIB;
        if high && used < 20 * MIB {
            return;
        }
        pause();
    }
    panic!("no kill within 20 s");
}

pub(crate) fn a_test_that_hangs_is_killed_in_time_with_its_stack() {
    let hang = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [15, 2])\nprint(flush=True)\ndef hang():\n  while True: pass\nhang()";
    let mut plan = plan(512 * MIB, 64);
    plan.testing.test_timeout = set(Some(testbox_model::Duration::from_ms(1500)));
    let (outcome, _, (diagnosis, took)) = played(&plan, move |plugin| {
        let settings = plugin.hello();
        assert_eq!(settings["test_timeout_ms"], 1500);
        let given = plugin.want(0, None, None);
        let mut child = plugin.start(0, &given, &python(hang));
        // The interpreter is there, and can be asked where it is.
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        plugin.test_begins(0, "a", Some(1500), Some(500));
        let begun = Instant::now();
        let diagnosis = plugin.reap(0, &mut child, false);
        let took = begun.elapsed();
        plugin.test_ends(0, "a", "failed");
        plugin.goodbye(1);
        (diagnosis, took)
    });
    assert_eq!(diagnosis["kind"], "timeout");
    assert_eq!(diagnosis["summary"], "setup and call took longer than 1.5 s (--test-timeout)");
    assert!(diagnosis["stack"][0].as_str().unwrap().contains(" in hang"), "{diagnosis}");
    assert!((1500..10_000).contains(&took.as_millis()), "{took:?}");
    assert_eq!(verdicts(&outcome.evidence.pytest.unwrap()), [("a", Some(TestOutcome::Failed), TestVerdict::Timeout)]);
}

pub(crate) fn a_fork_bomb_in_a_worker_ends_the_worker_alone() {
    let bomb =
        "import os, signal\nsignal.signal(61, signal.SIG_IGN)\nwhile True:\n  try: os.fork()\n  except OSError: pass";
    let (outcome, _, (diagnosis, other)) = played(&two_jobs(512 * MIB, 128), move |plugin| {
        plugin.hello();
        let spared = plugin.want(1, Some(50 * MIB), Some(8));
        let mut quiet = plugin.start(1, &spared, "read _");
        let given = plugin.want(0, None, Some(32));
        let mut child = plugin.start(0, &given, &python(bomb));
        plugin.test_begins(0, "a", None, None);
        let diagnosis = plugin.reap(0, &mut child, false);
        plugin.test_ends(0, "a", "failed");
        writeln!(quiet.stdin.as_ref().unwrap()).unwrap();
        let other = plugin.reap(1, &mut quiet, true);
        plugin.goodbye(1);
        (diagnosis, other)
    });
    assert_eq!((diagnosis["kind"].as_str(), other["kind"].as_str()), (Some("pids"), Some("none")), "{diagnosis}");
    let summary = diagnosis["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("reached its 32 processes and threads (") && summary.ends_with("and went on forking"),
        "{summary}"
    );
    assert_eq!((outcome.evidence.stop, outcome.evidence.pids.refused_forks), (None, 0));
}

pub(crate) fn what_a_worker_leaves_behind_is_named_and_ended() {
    let (_, _, (first, second)) = played(&plan(512 * MIB, 64), |plugin| {
        plugin.hello();
        let given = plugin.want(0, None, None);
        // A process that executes another program has that one's name first, and its arguments a moment later.
        let is_up = "grep -q sleep /proc/$!/comm && grep -q 1000 /proc/$!/cmdline";
        let mut child = plugin.start(0, &given, &format!("setsid sleep 1000 & until {is_up}; do :; done; exit 0"));
        let first = plugin.reap(0, &mut child, true);
        let again = plugin.want(0, None, None);
        let mut child = plugin.start(0, &again, "exit 3");
        plugin.test_begins(0, "b", None, None);
        let second = plugin.reap(0, &mut child, false);
        plugin.goodbye(1);
        (first, second)
    });
    assert_eq!((first["kind"].as_str(), first["left"][0].as_str()), (Some("none"), Some("sleep 1000")), "{first}");
    assert_eq!((second["kind"].as_str(), second["left"].as_array().unwrap().len()), (Some("silent"), 0), "{second}");
    assert_eq!(second["summary"], "exited with status 3 in the middle of the test");
}

pub(crate) fn a_worker_that_is_not_in_its_slot_gets_no_go() {
    let (outcome, _, heard) = played(&plan(512 * MIB, 64), |plugin| {
        plugin.hello();
        let given = plugin.want(0, None, None);
        let mut both = [given.spawn("true"), given.spawn("true")];
        plugin.say(serde_json::json!({"t": "joined", "w": 0}));
        let heard = plugin.hear().0;
        for child in &mut both {
            child.wait().unwrap();
        }
        heard
    });
    assert_ne!(heard["t"], "go");
    let Some(Stop { cause: StopCause::Fault { detail }, .. }) = outcome.evidence.stop else { panic!("no fault") };
    assert!(detail.starts_with("worker 0 is not where it must be: cgroup `"), "{detail}");
}

fn two_jobs(memory_bytes: u64, pids: u64) -> RunPlan {
    let mut plan = plan(memory_bytes, pids);
    plan.testing.jobs = set(2);
    plan
}
