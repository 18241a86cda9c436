//! Where the boxes of ordinary users lie on cgroup v2 with systemd: in scopes that come and go with the run.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testbox_tests::{Finished, Need, Project, case, processes_with, run, testbox, wait_until};

const USER: &[Need] = &[Need::UserSystemd, Need::Box];

fn main() {
    run(vec![
        case("the box of an ordinary user lies in a scope that says what runs", USER, described),
        case("the scope goes with the run", USER, gone_after_the_end),
        case("the scope goes when testbox is killed, and every process with it", USER, gone_after_a_kill),
        case("a limit of a box in a scope is the kernel's", USER, killed_by_the_kernel),
        case("a controller that systemd does not pass on is named with what helps", USER, not_passed_on),
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

fn no_systemd_of_the_user() {
    let project = Project::unprivileged();
    let finished = project.run(&["--", "/bin/true"]).expect_code(125);
    finished.expect_stderr("no systemd runs for user").expect_stderr("sudo loginctl enable-linger");
}
