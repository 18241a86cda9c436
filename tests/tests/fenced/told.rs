//! What is said of a box without namespaces, and that the rest is as ever.

use std::io::{BufRead, BufReader};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use testbox_tests::{Finished, Project, starter, testbox_bin};

use crate::ground::{ALLOW, Ground};

pub(crate) fn without_the_users_word_it_is_refused_and_the_word_is_named() {
    let ground = Ground::of_user();
    let finished = ground.run(&["--allow-degraded", "memory,pids"], &["echo", "STARTED"]).expect_code(125);
    assert_eq!(finished.stdout, "");
    finished.expect_stderr("cannot create the namespaces").expect_stderr("`--allow-degraded namespaces`");
}

/// As `kernel.unprivileged_userns_clone=0` and `user.max_user_namespaces=0` do.
pub(crate) fn a_switch_of_the_kernel_is_met_as_well() {
    let ground = Ground::of_user();
    let uid = ground.uid();
    let inner = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces; \
         exec setpriv --inh-caps=-all --ambient-caps=-all \"$0\" run {ALLOW} -- /bin/sh -c 'id -u'"
    );
    let mut command = starter("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", &uid.to_string(), "--clear-groups"]);
    command.args(["unshare", "--user", &format!("--map-user={uid}"), &format!("--map-group={uid}"), "--keep-caps"]);
    command.args(["sh", "-c", &inner]).arg(testbox_bin()).current_dir(ground.project.path());
    command.env("HOME", "/nonexistent").env("TMPDIR", ground.temporary());
    let finished = Finished::of(&mut command).expect_code(0);
    assert_eq!(finished.stdout, format!("{uid}\n"));
    assert_eq!(ground.wall("namespaces")["state"], "degraded");
}

pub(crate) fn the_flag_that_the_doctor_names_makes_a_run_possible() {
    let ground = Ground::of_user();
    let mut doctor = ground.command(&[]);
    let words: Vec<_> = doctor.get_args().map(ToOwned::to_owned).filter(|word| word != "run").collect();
    doctor = replaced(&doctor, &words);
    let finished = Finished::of(doctor.args(["doctor", "--json"])).expect_code(1);
    let report: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let namespaces = findings.iter().find(|finding| finding["subject"] == "namespaces").expect("the finding");
    let fix = namespaces["fix"].as_str().expect("a fix");
    assert!(fix.contains("seccomp=unconfined") && fix.contains("`--allow-degraded namespaces`"), "{fix}");
    let conclusion = report["conclusion"].as_str().expect("a conclusion");
    let flag = conclusion.split('`').nth(1).expect("a flag").split(' ').collect::<Vec<_>>();
    ground.run(&flag, &["/bin/true"]).expect_code(0);
}

/// The same command with other words, and the same surroundings.
fn replaced(command: &std::process::Command, words: &[std::ffi::OsString]) -> std::process::Command {
    let mut other = starter(&command.get_program().to_string_lossy());
    other.args(words).current_dir(command.get_current_dir().expect("a folder"));
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other
}

pub(crate) fn exit_codes_are_as_ever() {
    let ground = Ground::of_user();
    for (command, code) in [
        (&["/bin/true"][..], 0),
        (&["/bin/sh", "-c", "exit 7"], 7),
        (&["/bin/sh", "-c", "kill -SEGV $$"], 139),
        (&["/nonexistent/program"], 127),
        (&["/etc/passwd"], 126),
    ] {
        ground.run(&["-q", ALLOW], command).expect_code(code);
    }
    let deaf = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"];
    ground.run(&["-q", ALLOW, "--timeout", "1s", "--grace", "200ms"], &deaf).expect_code(124);
    assert_eq!(ground.project.report()["verdict"], "timeout");
    ground.run(&["-q", ALLOW, "--fsize", "1M"], &["head", "-c", "2M", "/dev/zero"]).expect_code(0);
    let large = ["/bin/sh", "-c", "exec head -c 2M /dev/zero > $TMPDIR/large"];
    ground.run(&["-q", ALLOW, "--fsize", "1M"], &large).expect_code(122);
}

pub(crate) fn an_interrupt_ends_it() {
    let ground = Ground::of_user();
    let mut child = ground.start(&["-q", ALLOW], &["/bin/sh", "-c", "echo up; (setsid sleep 1000 &); sleep 1000"]);
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a pid");
    pidfd_send_signal(pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd"), Signal::INT).expect("a signal");
    ground.end_of(child).expect_code(130);
}

pub(crate) fn a_terminal_works() {
    let ground = Ground::of_user();
    let script = "test -t 0 && test -t 1 && echo seen > /dev/tty && cat /dev/null";
    let finished = ground.run(&["-q", ALLOW, "--tty"], &["/bin/sh", "-c", script]).expect_code(0);
    assert_eq!(finished.stdout.trim_end(), "seen");
}

pub(crate) fn every_report_tells_the_weaker_walls() {
    let ground = Ground::of_root();
    let finished = ground.run(&["--allow-degraded", "namespaces"], &["/bin/true"]).expect_code(0);
    for wall in ["namespaces", "disk", "network"] {
        assert_eq!(ground.wall(wall)["state"], "degraded", "{wall}");
        let lines = finished.stderr.matches(&format!("DEGRADED {wall}: ")).count();
        assert_eq!(lines, 2, "header and verdict of {wall}:\n{}", finished.stderr);
    }
    for wall in ["capabilities", "seccomp", "memory", "pids"] {
        assert_eq!(ground.wall(wall)["state"], "enforced", "{wall}");
    }
    let note = ground.wall("namespaces")["note"].to_string();
    assert!(note.contains("command lines") && note.contains("/dev/shm is the host's"), "{note}");
    let report = ground.project.report();
    assert_eq!(report["view"], serde_json::json!({ "way": "read-only" }));
    assert!(finished.stderr.contains("the project itself, read-only"), "{}", finished.stderr);
    let journal = fs_err::read_to_string(ground.project.path().join(".testbox/last/journal.jsonl")).expect("a journal");
    assert_eq!(journal.matches("degraded ").count(), 3, "{journal}");
}

pub(crate) fn where_namespaces_can_be_made_nothing_changes() {
    let project = Project::new();
    let finished = project.run(&["--allow-degraded", "namespaces", "--", "/bin/true"]).expect_code(0);
    assert!(!finished.stderr.contains("DEGRADED"), "{}", finished.stderr);
    assert_eq!(project.report()["view"]["way"], "overlay");
}

pub(crate) fn roots_box_is_somebody_elses() {
    let ground = Ground::of_root();
    let script = "id -u; id -G; grep -h -e ^Cap -e ^NoNewPrivs /proc/self/status | tr -d '\\n\\t'";
    let finished = ground.run(&["-q", "--allow-degraded", "namespaces"], &["/bin/sh", "-c", script]).expect_code(0);
    let nothing = "0000000000000000";
    let sets = format!("CapInh:{nothing}CapPrm:{nothing}CapEff:{nothing}CapBnd:{nothing}CapAmb:{nothing}NoNewPrivs:1");
    assert_eq!(finished.stdout, format!("735700\n735700\n{sets}"));
}

/// The sample project, readable for the user whom root's box runs as.
fn sample() -> Ground {
    let ground = Ground::of_root();
    let sources = testbox_tests::checked_in("tests/fixtures/sample/.");
    let copied =
        std::process::Command::new("cp").arg("-r").arg(sources).arg(ground.project.path()).status().expect("cp");
    assert!(copied.success(), "cp: {copied}");
    ground
}

fn pytest(ground: &Ground, flags: &[&str], arguments: &[&str]) -> Finished {
    let venv = std::env::var("TESTBOX_TEST_VENV").expect("a venv");
    let first = ["--allow-degraded", "namespaces", "--memory", "256M"];
    let python = ["--", "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"];
    let mut command = ground.command(&[&first, flags, &python, arguments].concat());
    Finished::of(command.env("VIRTUAL_ENV", venv))
}

pub(crate) fn pytest_names_the_killed_test() {
    let ground = sample();
    let tests = ["tests/test_cli.py", "tests/test_stats.py", "tests/runaway/memory_in_test.py"];
    let finished = pytest(&ground, &["--isolate", "test"], &tests).expect_code(1);
    let finished =
        finished.expect_stderr("killed: tests/runaway/memory_in_test.py::test_takes_all_memory (call): memory: ");
    assert!(finished.stdout.contains("E   testbox: memory: used all of its"), "{}", finished.stdout);
    assert!(finished.stdout.contains("1 failed, "), "{}", finished.stdout);
    assert!(ground.folders().is_empty(), "{:?}", ground.folders());
}

pub(crate) fn pytest_has_the_hosts_network_where_it_is_asked_for() {
    let ground = sample();
    let finished = pytest(&ground, &[], &["tests/test_server.py"]).expect_code(1);
    assert!(finished.stdout.contains("PermissionError"), "{}", finished.stdout);
    pytest(&ground, &["--net", "host"], &["tests/test_server.py"]).expect_code(0);
    assert_eq!(ground.wall("network")["state"], "off");
}
