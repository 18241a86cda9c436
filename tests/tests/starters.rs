//! Who starts testbox on a host with systemd: services with and without groups of their own, other users' sessions. Each
//! way brings limits that the kernel guards.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::process::Command;

use testbox_tests::{Case, Finished, Need, Project, case, run, starter, testbox_bin};

/// Takes all memory.
const HUNGRY: &str = "kept = []\nwhile True: kept.append(b'x' * (4 << 20))";

/// Of the guest: the first has a systemd of its own, the second has none.
const WITH: &str = "tester";
const WITHOUT: &str = "plain";

const NEEDS: &[Need] = &[Need::Root, Need::Systemd, Need::Place, Need::Python3];
const SERVICE: [&str; 5] = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect"];

fn main() {
    let cases: [Case; 9] = [
        case("a service of root", NEEDS, || limited(None, &SERVICE)),
        case("a service of root to which its group is delegated", NEEDS, || limited(None, &delegated(&[]))),
        case("a service of a user to whom its group is delegated, as CI runners are", NEEDS, || {
            limited(Some(WITH), &delegated(&["--uid=tester"]));
        }),
        case("the same of a user without a systemd", NEEDS, || limited(Some(WITHOUT), &delegated(&["--uid=plain"]))),
        case("a service of a user, as from cron, without a bus in its environment", NEEDS, || {
            limited(Some(WITH), &[&SERVICE[..], &["--uid=tester"]].concat());
        }),
        case("a service of the user's own systemd", NEEDS, || limited(Some(WITH), &of_the_user(&[]))),
        case("the same with its group delegated", NEEDS, || limited(Some(WITH), &of_the_user(&["-p", "Delegate=yes"]))),
        case("after su, with the caller's environment", NEEDS, || {
            limited(Some(WITH), &["env", "XDG_RUNTIME_DIR=/run/user/0", "runuser", "-u", WITH, "--"]);
        }),
        case("a user without a systemd in a service of its own learns what helps", NEEDS, explained),
    ];
    run(cases.into_iter().collect())
}

fn delegated<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SERVICE[..], &["-p", "Delegate=yes"], more].concat()
}

fn of_the_user<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let bus = ["runuser", "-u", WITH, "--", "env", "XDG_RUNTIME_DIR=/run/user/1000"];
    [&bus[..], &SERVICE[..], &["--user"], more].concat()
}

/// A project of this user, on a disk that all may enter.
fn project_of(user: Option<&str>) -> Project {
    let project = Project::on_a_disk();
    if let Some(user) = user {
        Finished::of(Command::new("chown").args(["-R", user]).arg(project.path())).expect_code(0);
    }
    project
}

/// testbox with these words after it, started by this way in this project.
fn started(way: &[&str], project: &Project, words: &[&str]) -> Finished {
    let script = format!("cd {} && exec \"$@\"", project.path().display());
    let mut command = starter(way[0]);
    command.args(&way[1..]).args(["/bin/sh", "-c", &script, "sh"]).arg(testbox_bin()).args(words);
    Finished::of(command.env("HOME", "/nonexistent"))
}

/// What uses more memory than its box has is killed by the kernel, and the verdict says so; nothing stays of the box.
#[track_caller]
fn limited(user: Option<&str>, way: &[&str]) {
    let project = project_of(user);
    let words = ["run", "--memory", "64M", "--", "/usr/bin/python3", "-c", HUNGRY];
    let finished = started(way, &project, &words);
    assert_eq!(finished.code, 120, "{finished:?}");
    let report = project.report();
    assert_eq!(report["verdict"], "memory", "{report:#}");
    let walls = report["walls"].as_array().expect("walls");
    assert!(walls.iter().all(|wall| wall["state"] != "degraded"), "{walls:#?}");
    let of_memory = walls.iter().find(|wall| wall["wall"] == "memory").expect("the wall");
    assert_eq!(of_memory["state"], "enforced");
    let passed = started(way, &project, &["run", "-q", "--", "/bin/sh", "-c", "exit 7"]);
    assert_eq!(passed.code, 7, "{passed:?}");
}

fn explained() {
    let project = project_of(Some(WITHOUT));
    let way = [&SERVICE[..], &["--uid=plain"]].concat();
    let finished = started(&way, &project, &["run", "--", "/bin/true"]).expect_code(125);
    finished.expect_stderr("no systemd runs for user").expect_stderr("sudo loginctl enable-linger");
}
