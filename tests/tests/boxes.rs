//! `testbox ps`, `kill` and `logs`: boxes from outside, and everything that only looks like one.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::RwLock;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use testbox_tests::{Finished, Need, Project, case, groups_of, processes_with, run, testbox, wait_until};

const CGROUPS: &[Need] = &[Need::Root, Need::Cgroup1, Need::Box];
/// Every run removes what dead runs left: a test that looks at it runs alone, all others share the host.
static HOST: RwLock<()> = RwLock::new(());
/// Longer than anything that a test waits for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Users that no other test has: one may end all boxes of the first.
const USER: u32 = 65_437;
const OTHER_USER: u32 = 65_438;

macro_rules! beside {
    ($name:expr, $needs:expr, $work:ident) => {
        case($name, $needs, || {
            let _others_that_failed_do_no_harm = HOST.read();
            $work();
        })
    };
}

macro_rules! alone {
    ($name:expr, $needs:expr, $work:ident) => {
        case($name, $needs, || {
            let _others_that_failed_do_no_harm = HOST.write();
            $work();
        })
    };
}

fn main() {
    run(vec![
        beside!("a box is listed with its project, command, usage and limits", &[Need::Box], listed),
        beside!("kill interrupts a run, which writes its report", &[Need::Box], killed),
        beside!("a stopped testbox is told apart, and kill ends it as well", &[Need::Box], stopped),
        alone!("what a dead run left is removed by force only", CGROUPS, orphaned),
        beside!("force kills a testbox that does not end", &[Need::Root, Need::Box], forced),
        beside!("groups that name a process of another user are nobody's box", CGROUPS, named_alike),
        alone!("a group of another boot or with a pid that was used again names no process", CGROUPS, stale),
        beside!("users see their own boxes, and end only those", &[Need::Root, Need::Box, Need::User], others),
        beside!("a box without cgroups is found by its reaper", &[Need::Root, Need::User], without_cgroups),
        beside!("a process that calls itself a reaper makes no box", &[Need::Box, Need::Python3], false_reaper),
        beside!("the journal of a run is read while it goes on and afterwards", &[Need::Box], journal),
        beside!("following a journal ends with the run", &[Need::Box], followed),
        beside!("a journal that is a link is not followed", &[Need::Box], planted_journal),
        beside!("what names no box is refused with a hint", &[], mistyped),
    ])
}

/// A run that goes on until its stdin ends.
struct Going {
    project: Project,
    child: Child,
}

impl Going {
    fn start(project: Project, flags: &[&str]) -> Self {
        let script = ["--", "/bin/sh", "-c", "echo up; read x; echo over"];
        let command = project.command(&flags.iter().copied().chain(script).collect::<Vec<_>>());
        Self::of(project, command)
    }

    fn of(project: Project, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("testbox");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "up\n", "{:?}", child.wait_with_output());
        Self { project, child }
    }

    fn new() -> Self {
        Self::start(Project::new(), &["-q"])
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Lets it end by itself.
    fn end(mut self) -> Finished {
        drop(self.child.stdin.take());
        Finished::from(self.child.wait_with_output().expect("an end"))
    }

    /// It was ended.
    fn ended(mut self) -> (Project, Finished) {
        let stdin = self.child.stdin.take();
        let has_ended = || self.child.try_wait().expect("a status").is_some();
        if !wait_until(PATIENCE, has_ended) {
            self.child.kill().expect("SIGKILL");
            panic!("it goes on: {:?}", self.child.wait_with_output());
        }
        let finished = Finished::from(self.child.wait_with_output().expect("an end"));
        drop(stdin);
        (self.project, finished)
    }
}

fn as_user(uid: u32, mut command: Command) -> Command {
    command.uid(uid).gid(uid);
    command
}

fn said(arguments: &[&str]) -> Finished {
    Finished::of(testbox().args(arguments))
}

/// The row of this pid in `testbox ps --json`.
fn row(pid: &str) -> Option<Value> {
    row_in(&said(&["ps", "--json"]), pid)
}

fn row_in(listed: &Finished, pid: &str) -> Option<Value> {
    assert_eq!(listed.code, 0, "{listed:?}");
    let report: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(report["schema_version"], 1);
    let boxes = report["boxes"].as_array().expect("a list").clone();
    boxes.into_iter().find(|row| row["pid"].as_u64() == pid.parse().ok())
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
    pidfd_send_signal(pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd"), signal).expect("a signal");
}

fn listed() {
    let going = Going::start(Project::new(), &["-q", "--memory", "300M", "--pids", "77"]);
    let row = row(&going.pid()).expect("the box");
    let project = fs_err::canonicalize(going.project.path()).expect("a path");
    assert_eq!(row["state"], "running");
    assert_eq!(row["project"], project.to_string_lossy().as_ref());
    assert_eq!(row["command"], "/bin/sh -c echo up; read x; echo over");
    assert_eq!((row["memory_limit_bytes"].as_u64(), row["pids_limit"].as_u64()), (Some(300 << 20), Some(77)));
    let memory = row["memory_bytes"].as_u64().expect("counted");
    assert!(memory > 0 && memory < 300 << 20 && row["pids"].as_u64() > Some(0), "{row:#}");
    assert!(row["age_ms"].as_u64() < Some(60_000), "{row:#}");
    let table = said(&["ps"]).expect_code(0).stdout;
    assert!(table.starts_with("ID "), "{table}");
    let line = table.lines().find(|line| line.starts_with(&format!("{}-", going.pid()))).expect("a line");
    for part in ["running", "/ 300.0 MiB", "/ 77", "echo up; read x"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let (pid, id) = (going.pid(), row["id"].clone());
    let project = {
        let Going { project, mut child } = going;
        drop(child.stdin.take());
        child.wait().expect("an end");
        project
    };
    assert_eq!(project.report()["box_id"], id);
    assert_eq!(self::row(&pid), None, "it is over");
}

fn killed() {
    let going = Going::new();
    let pid = going.pid();
    let short = said(&["ps"]).stdout.lines().find_map(|line| {
        line.split_whitespace().next().filter(|id| id.starts_with(&format!("{pid}-"))).map(str::to_owned)
    });
    let short = short.expect("its name");
    assert_eq!(said(&["kill", &short]).expect_code(0).stdout, format!("{short}: ended\n"));
    let (project, finished) = going.ended();
    assert_eq!(finished.code, 130, "{finished:?}");
    assert_eq!(project.report()["verdict"], "interrupted");
    assert_eq!(groups_of(pid.parse().expect("a pid")), Vec::<String>::new());
}

fn stopped() {
    let going = Going::new();
    send(going.child.id(), Signal::STOP);
    let is_stopped = || row(&going.pid()).is_some_and(|row| row["state"] == "stopped");
    assert!(wait_until(PATIENCE, is_stopped));
    said(&["kill", &going.pid()]).expect_code(0);
    assert_eq!(going.ended().1.code, 130);
}

/// testbox and its reaper are killed: nobody is left who could remove the groups.
fn orphaned() {
    let mut going = Going::new();
    let marker = going.project.path().to_string_lossy().into_owned();
    let reaper = reaper_of(going.child.id());
    send(reaper, Signal::KILL);
    going.child.kill().expect("SIGKILL");
    going.child.wait().expect("an end");
    assert!(wait_until(PATIENCE, || processes_with(&marker).is_empty()));
    let row = row(&going.pid()).expect("its groups");
    assert_eq!((row["state"].as_str(), row["command"].as_str()), (Some("orphaned"), None));
    let refused = said(&["kill", &going.pid()]).expect_code(125);
    refused.expect_stderr("is dead").expect_stderr(&format!("testbox kill --force {}-", going.pid()));
    assert!(!groups_of(going.child.id()).is_empty());
    let removed = said(&["kill", "--force", &going.pid()]).expect_code(0);
    assert!(removed.stdout.contains("removed what a dead run left"), "{removed:?}");
    assert_eq!(groups_of(going.child.id()), Vec::<String>::new());
}

fn reaper_of(pid: u32) -> u32 {
    let children = fs_err::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
    let is_reaper = |child: &&str| {
        fs_err::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "testbox-reaper\n")
    };
    children.split_whitespace().find(is_reaper).and_then(|child| child.parse().ok()).expect("a reaper")
}

/// A command that ignores SIGTERM under a long grace period.
fn forced() {
    let project = Project::new();
    let script = "trap '' TERM; echo up; while :; do read x || sleep 0.1; done";
    let command = project.command(&["-q", "--grace", "10m", "--", "/bin/sh", "-c", script]);
    let going = Going::of(project, command);
    let finished = said(&["kill", "--force", &going.pid()]).expect_code(0);
    assert!(finished.stdout.ends_with(": killed\n"), "{finished:?}");
    let pid = going.child.id();
    assert_eq!(going.ended().1.code, 137);
    assert_eq!(groups_of(pid), Vec::<String>::new());
}

/// A pids group with this name, without processes.
struct Group(PathBuf);

impl Group {
    fn new(name: &str, owner: Option<u32>) -> Self {
        let path = Path::new("/sys/fs/cgroup/pids").join(name);
        fs_err::create_dir(&path).expect("a cgroup");
        chown(&path, owner, owner).expect("chown");
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.0.exists() {
            wait_until(Duration::from_secs(2), || fs_err::remove_dir(&self.0).is_ok());
        }
    }
}

/// The boot digits of boxes, as a run of this host says them.
fn boot() -> String {
    let going = Going::new();
    let id = row(&going.pid()).expect("the box")["id"].clone();
    going.end().expect_code(0);
    id.as_str().and_then(|id| id.split('-').nth(1)).expect("a name").to_owned()
}

fn start_time(pid: u32) -> u64 {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let rest = stat.rsplit(") ").next().expect("fields");
    rest.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).expect("field 22")
}

/// Whoever may make groups could name any process: root must not be led to end it.
fn named_alike() {
    let boot = boot();
    let mut victim = Command::new("sleep").arg("3600").spawn().expect("a process");
    let name = format!("testbox-{boot}-{}-{}", victim.id(), start_time(victim.id()));
    let group = Group::new(&name, Some(USER));
    let pid = victim.id().to_string();
    let listed = said(&["ps"]);
    assert_eq!(row(&pid), None, "{listed:?}");
    assert!(listed.stderr.contains("to another boot, pid namespace or user"), "{listed:?}");
    for force in [&["kill", &pid][..], &["kill", "--force", &pid], &["kill", "--force", &name]] {
        said(force).expect_code(125).expect_stderr("no box");
    }
    assert!(victim.try_wait().expect("a status").is_none(), "it was killed");
    assert!(group.0.exists());
    victim.kill().expect("SIGKILL");
    victim.wait().expect("an end");
}

fn stale() {
    let boot = boot();
    let mut process = Command::new("sleep").arg("3600").spawn().expect("a process");
    let pid = process.id();
    let other_start = Group::new(&format!("testbox-{boot}-{pid}-{}", start_time(pid) + 1), None);
    let _other_boot = Group::new(&format!("testbox-00000000-{pid}-{}", start_time(pid)), None);
    let _garbage = Group::new(&format!("testbox-{boot}-{pid}-x"), None);
    let row = row(&pid.to_string()).expect("the group of a process that had this pid");
    assert_eq!(row["state"], "orphaned");
    said(&["kill", &pid.to_string()]).expect_code(125).expect_stderr("is dead");
    said(&["kill", "--force", &pid.to_string()]).expect_code(0);
    assert!(!other_start.0.exists());
    assert!(process.try_wait().expect("a status").is_none(), "the process that has the pid now was killed");
    process.kill().expect("SIGKILL");
    process.wait().expect("an end");
}

/// A run of this user, degraded where the user has no cgroups.
fn of_user(uid: u32) -> Going {
    let project = Project::new();
    chown(project.path(), Some(uid), Some(uid)).expect("chown");
    let flags = ["-q", "--allow-degraded", "memory,pids,cpu,io", "--", "/bin/sh", "-c", "echo up; read x"];
    let command = as_user(uid, project.command(&flags));
    Going::of(project, command)
}

fn by_user(uid: u32, arguments: &[&str]) -> Finished {
    let mut command = testbox();
    command.args(arguments).current_dir("/");
    Finished::of(&mut as_user(uid, command))
}

fn others() {
    let (roots, users) = (Going::new(), of_user(USER));
    let listed = by_user(USER, &["ps", "--json"]);
    assert!(row_in(&listed, &users.pid()).is_some(), "{listed:?}");
    assert_eq!(row_in(&listed, &roots.pid()), None);
    by_user(USER, &["kill", &roots.pid()]).expect_code(125).expect_stderr("no box");
    by_user(USER, &["logs", &roots.pid()]).expect_code(125).expect_stderr("no box");
    for pid in [roots.pid(), users.pid()] {
        assert!(row(&pid).is_some(), "root sees all");
    }
    let ended = by_user(USER, &["kill", "--all-mine"]).expect_code(0);
    assert!(ended.stdout.contains(&format!("{}-", users.pid())), "{ended:?}");
    assert!(!ended.stdout.contains(&format!("{}-", roots.pid())), "{ended:?}");
    assert_eq!(users.ended().1.code, 130);
    roots.end().expect_code(0);
}

fn without_cgroups() {
    let going = of_user(OTHER_USER);
    assert_eq!(groups_of(going.child.id()), Vec::<String>::new(), "this user has no cgroups");
    let row = row(&going.pid()).expect("found by its reaper");
    assert_eq!((row["state"].as_str(), row["uid"].as_u64()), (Some("running"), Some(OTHER_USER.into())));
    assert!(row["memory_bytes"].is_null() && row["pids"].is_null(), "{row:#}");
    assert_eq!(row["command"], "/bin/sh -c echo up; read x");
    by_user(OTHER_USER, &["logs", &going.pid()]).expect_code(0);
    by_user(OTHER_USER, &["kill", &going.pid()]).expect_code(0);
    assert_eq!(going.ended().1.code, 130);
}

/// Its parent is this test, which executes another file than it does.
fn false_reaper() {
    let program =
        "import sys\nopen('/proc/self/comm', 'w').write('testbox-reaper')\nprint('up', flush=True)\nsys.stdin.read()";
    let mut process = Command::new("/usr/bin/python3");
    process.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = process.spawn().expect("a process");
    let mut line = String::new();
    BufReader::new(process.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    let own = std::process::id().to_string();
    assert_eq!(row(&own), None);
    assert_eq!(row(&process.id().to_string()), None);
    said(&["kill", "--force", &own]).expect_code(125).expect_stderr("no box");
    drop(process.stdin.take());
    process.wait().expect("an end");
}

fn journal() {
    let going = Going::new();
    let journal = said(&["logs", &going.pid()]).expect_code(0).stdout;
    let events: Vec<&str> = journal.lines().filter_map(|line| line[10..].split_whitespace().next()).collect();
    assert_eq!(events, ["begin", "run", "started"], "{journal}");
    assert!(journal.contains("command=\"/bin/sh -c echo up; read x; echo over\""), "{journal}");
    let project = going.project.path().to_owned();
    // Moved away meanwhile: it is the file that counts, not its place.
    fs_err::rename(project.join(".testbox"), project.join("moved")).expect("a rename");
    assert_eq!(said(&["logs", &going.pid()]).expect_code(0).stdout, journal);
    fs_err::rename(project.join("moved"), project.join(".testbox")).expect("a rename");
    let Going { project, mut child } = going;
    drop(child.stdin.take());
    child.wait().expect("an end");
    let last = Finished::of(testbox().args(["logs", "--last"]).current_dir(project.path())).expect_code(0);
    assert!(last.stdout.starts_with(&journal), "{last:?}");
    assert!(last.stdout.contains("ended      payload.code=0"), "{last:?}");
}

fn followed() {
    let mut going = Going::new();
    let mut command = testbox();
    let mut follower =
        command.args(["logs", "--follow", &going.pid()]).stdout(Stdio::piped()).spawn().expect("testbox");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let started = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("started"))).expect("an event");
    started.expect("a line");
    drop(going.child.stdin.take());
    going.child.wait().expect("an end");
    let rest: Vec<String> = lines.map(|line| line.expect("a line")).collect();
    assert!(rest.iter().any(|line| line.contains("ended")), "{rest:?}");
    assert!(follower.wait().expect("an end").success());
}

fn planted_journal() {
    let project = Project::new();
    project.write(".testbox/last/kept", "x");
    std::os::unix::fs::symlink("/etc/passwd", project.path().join(".testbox/last/journal.jsonl")).expect("a link");
    let refused = Finished::of(testbox().args(["logs", "--last"]).current_dir(project.path())).expect_code(125);
    assert!(refused.stdout.is_empty(), "{refused:?}");
    refused.expect_stderr("cannot open the journal of the last run").expect_stderr("testbox run");
}

/// No word of these can be the beginning of a box of somebody else.
fn mistyped() {
    for words in [&["kill", "0"][..], &["kill", "x"], &["kill", "--force", "-"], &["kill", ""], &["logs", "../x"]] {
        said(words).expect_code(125).expect_stderr("no box `").expect_stderr("testbox ps");
    }
    for words in
        [&["kill"][..], &["kill", "--force"], &["kill", "--all-mine", "0"], &["logs"], &["logs", "--last", "0"]]
    {
        said(words).expect_code(2);
    }
}
