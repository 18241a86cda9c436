//! Where the boxes of ordinary users lie on cgroup v2 with systemd: in scopes that come and go with the run.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testbox_tests::{Finished, Need, Project, case, processes_with, run, starter, testbox, wait_until};

const USER: &[Need] = &[Need::UserSystemd, Need::Box];

fn main() {
    run(vec![
        case("the box of an ordinary user lies in a scope that says what runs", USER, described),
        case("the scope goes with the run", USER, gone_after_the_end),
        case("the scope goes when testbox is killed, and every process with it", USER, gone_after_a_kill),
        case("a limit of a box in a scope is the kernel's", USER, killed_by_the_kernel),
        case(
            "the memory verdict is what memory.events says",
            &[Need::Systemd, Need::Enforced, Need::Python3],
            as_memory_events_say,
        ),
        case("a controller that systemd does not pass on is named with what helps", USER, not_passed_on),
        case(
            "a start costs less than twice what bubblewrap and systemd-run cost together",
            &[Need::UserSystemd, Need::Box, Need::Bwrap],
            cost_of_a_start,
        ),
        case("a user without a systemd is told how to get one", &[Need::Root, Need::Systemd], no_systemd_of_the_user),
    ])
}

/// A run that goes on, in its scope.
struct Going {
    _project: Project,
    child: Child,
    scope: PathBuf,
    marker: String,
}

impl Going {
    fn start() -> Self {
        let project = Project::new();
        let marker = project.path().to_string_lossy().into_owned();
        let mut command = project.command(&["-q", "--", "/bin/sh", "-c", "echo up; read x; : a b"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("testbox");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "up\n");
        let own = fs_err::read_to_string(format!("/proc/{}/cgroup", child.id())).expect("its group");
        let own = own.trim().strip_prefix("0::/").expect("cgroup v2").to_owned();
        let scope = Path::new("/sys/fs/cgroup").join(own).parent().expect("a scope").to_owned();
        Self { _project: project, child, scope, marker }
    }

    fn unit(&self) -> String {
        self.scope.file_name().expect("a name").to_string_lossy().into_owned()
    }

    /// Neither systemd nor the kernel knows it any more.
    fn is_gone(&self) -> bool {
        !self.scope.exists() && systemctl(&["list-units", "--all", "--no-legend", &self.unit()]).is_empty()
    }
}

fn systemctl(arguments: &[&str]) -> String {
    let mut command = Command::new("systemctl");
    command.env("XDG_RUNTIME_DIR", format!("/run/user/{}", nix::unistd::geteuid()));
    Finished::of(command.arg("--user").args(arguments)).stdout
}

fn described() {
    let mut going = Going::start();
    let unit = going.unit();
    let id = unit.strip_suffix(".scope").expect("a scope");
    assert!(id.starts_with("testbox-") && id.split('-').nth(2) == Some(&going.child.id().to_string()), "{unit}");
    assert!(going.scope.parent().expect("a slice").ends_with("app.slice"), "{}", going.scope.display());
    let shown = systemctl(&["show", "-p", "Description", "-p", "Delegate", "-p", "CollectMode", &unit]);
    for line in
        ["Description=testbox: /bin/sh -c echo up; read x; : a b", "Delegate=yes", "CollectMode=inactive-or-failed"]
    {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let limits = fs_err::read_to_string(going.scope.join(id).join("pids.max")).expect("the box's group");
    assert_eq!(limits.trim(), "512");
    drop(going.child.stdin.take());
    going.child.wait().expect("an end");
}

fn gone_after_the_end() {
    let mut going = Going::start();
    drop(going.child.stdin.take());
    assert!(going.child.wait().expect("an end").code().is_some());
    assert!(wait_until(Duration::from_secs(2), || going.is_gone()), "{}", going.unit());
}

fn gone_after_a_kill() {
    let mut going = Going::start();
    going.child.kill().expect("SIGKILL");
    going.child.wait().expect("an end");
    assert!(wait_until(Duration::from_secs(2), || processes_with(&going.marker).is_empty()));
    assert!(wait_until(Duration::from_secs(2), || going.is_gone()), "{}", going.unit());
}

fn killed_by_the_kernel() {
    let project = Project::new();
    let eat = "tail -c 200M /dev/zero | tail";
    let finished = project.run(&["--memory", "32M", "--", "/bin/sh", "-c", eat]);
    assert_eq!(finished.code, 120, "{finished:?}");
    assert_eq!(project.report()["verdict"], "memory");
    project.run(&["--memory", "512M", "--", "/bin/sh", "-c", "head -c 1M /dev/zero | tail -c 1"]).expect_code(0);
}

/// The kernel kills a child of the command, which goes on: its group is looked at from outside before the box ends.
fn as_memory_events_say() {
    for (memory, verdict) in [("64M", "memory"), ("512M", "passed")] {
        let project = Project::new();
        let program = "import os, sys\nif os.fork() == 0:\n    bytearray(128 << 20)\n    os._exit(0)\nos.wait()\n\
                       print('up', flush=True)\nsys.stdin.read()\n";
        project.write("test.py", program);
        let path = format!("{}/test.py", project.path().display());
        let mut command = project.command(&["-q", "--memory", memory, "--", "/usr/bin/python3", &path]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("testbox");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        let payload = processes_with(&path).into_iter().find_map(|one| one.strip_suffix(" python3").map(str::to_owned));
        let own = fs_err::read_to_string(format!("/proc/{}/cgroup", payload.expect("the command"))).expect("its group");
        let own = Path::new("/sys/fs/cgroup").join(own.trim().strip_prefix("0::/").expect("cgroup v2"));
        let boxed = if own.ends_with("main") { own.parent().expect("the box's group") } else { &own };
        let events = fs_err::read_to_string(boxed.join("memory.events")).expect("events");
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).expect("a count").to_owned();
        drop(child.stdin.take());
        child.wait().expect("an end");
        let report = project.report();
        assert_eq!((report["verdict"].as_str(), kills == "0"), (Some(verdict), verdict == "passed"), "{report:#}");
        assert_eq!(report["evidence"]["memory"]["oom_kills"].to_string(), kills);
    }
}

/// The doctor looks at the disk below its working directory; temporary folders of tests may lie on none.
fn not_passed_on() {
    let uid = nix::unistd::geteuid();
    let manager = format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    let passed_on = fs_err::read_to_string(manager).expect("the user's systemd");
    let finished = Finished::of(testbox().arg("doctor").current_dir("/var/tmp"));
    let about_io = finished.stdout.split_once(" io  ").expect("a finding").1;
    if passed_on.split_whitespace().any(|controller| controller == "io") {
        assert!(about_io.trim().starts_with("cgroup v2 io.max, written and read back"), "{finished:?}");
        return;
    }
    let fix = about_io.lines().find_map(|line| line.trim().strip_prefix("fix: ")).expect("a fix");
    for part in [
        "/etc/systemd/system/user@.service.d/delegate.conf",
        &format!("systemctl restart user@{uid}"),
        "--allow-degraded io",
    ] {
        assert!(fix.contains(part), "{part}: {fix}");
    }
}

/// Medians of interleaved runs; only their ratios say something on a machine of unknown speed.
fn cost_of_a_start() {
    let project = Project::new();
    let run_dir = format!("/run/user/{}", nix::unistd::geteuid());
    let program = |words: &[&str]| {
        let mut command = starter(words[0]);
        command.args(&words[1..]).env("XDG_RUNTIME_DIR", &run_dir);
        command
    };
    let mut programs = [
        project.command(&["-q", "--", "/bin/true"]),
        program(&[
            "bwrap",
            "--unshare-all",
            "--die-with-parent",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "/bin/true",
        ]),
        program(&["systemd-run", "--quiet", "--user", "--scope", "/bin/true"]),
    ];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..15 {
        for (command, times) in programs.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            Finished::of(command).expect_code(0);
            times.push(begun.elapsed().as_secs_f64());
        }
    }
    let [testbox, bubblewrap, systemd_run] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let (to_bubblewrap, to_systemd_run) = (testbox / bubblewrap, testbox / systemd_run);
    note(&format!(
        "start of /bin/true: {to_bubblewrap:.2} of bubblewrap, {to_systemd_run:.2} of systemd-run --user --scope"
    ));
    assert!(testbox < 2.0 * (bubblewrap + systemd_run), "{testbox:.3} s, {bubblewrap:.3} s, {systemd_run:.3} s");
}

#[expect(clippy::print_stderr, reason = "numbers for the reader of the test's output")]
fn note(line: &str) {
    eprintln!("note: {line}");
}

fn no_systemd_of_the_user() {
    let project = Project::unprivileged();
    let finished = project.run(&["--", "/bin/true"]).expect_code(125);
    finished.expect_stderr("no systemd runs for user").expect_stderr("sudo loginctl enable-linger");
}
