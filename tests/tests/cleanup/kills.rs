//! SIGKILL of testbox at any instant: nothing lives on (P2), reports are whole (P8), the terminal is intact (P17); and
//! what a clean-up must never touch (P3).

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbox_tests::{
    Finished, Project, groups_of, note, pause, processes_with, root_group, starter, testbox, testbox_bin, wait_until,
};

use crate::endings::wait_for_line;
use crate::times;
use crate::traced::Traced;

const LINGER: &str = "import os, signal, time\nif os.fork() == 0:\n    os.setsid()\n    \
    signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(0.05)\n";

/// Instants spread over this time, the same in every run.
fn instants(number: u32, span: Duration) -> impl Iterator<Item = Duration> {
    (0..number).map(move |index| span.mul_f64(f64::from(index * 7919 % 1000) / 1000.0))
}

pub(crate) fn p2_a_killed_supervisor_leaves_nothing() {
    let traced = Traced::new(LINGER);
    let (kills, mut for_gc, mut longest) = (times(200, 40), 0, Duration::ZERO);
    for instant in instants(kills, Duration::from_millis(300)) {
        let child = traced.start(&["-q"]);
        pause(instant);
        let killed = traced.kill(child);
        for_gc += u32::from(killed.for_gc);
        longest = longest.max(killed.processes_gone_after);
    }
    note(&format!("P2: the processes of {kills} kills were gone after {longest:.1?} at most; left to gc: {for_gc}"));
    assert!(for_gc <= kills / 20, "the reaper was too late in {for_gc} of {kills} kills");
}

/// Signals that end a program by default, from a closed terminal to a crash.
pub(crate) fn p2_other_deadly_signals_leave_nothing_either() {
    let traced = Traced::new(&format!("print('up', flush=True)\n{LINGER}"));
    for signal in [Signal::HUP, Signal::QUIT, Signal::ABORT, Signal::USR1, Signal::ALARM, Signal::SYS] {
        let mut child = traced.start(&["-q"]);
        wait_for_line(&mut child);
        let pid = child.id();
        send(pid, signal);
        child.wait().expect("an end");
        let gone = wait_until(Duration::from_secs(2), || traced.left(pid).is_empty());
        assert!(gone, "{signal:?}: {:?}", traced.left(pid));
    }
}

/// With the reaper dead too the processes still die, and the next run removes the groups.
pub(crate) fn p2_without_its_reaper_the_next_run_cleans_up() {
    let traced = Traced::new(&format!("print('up', flush=True)\n{LINGER}"));
    let mut child = traced.start(&["-q"]);
    wait_for_line(&mut child);
    let pid = child.id();
    let reaper = processes_with(&traced.project.path().to_string_lossy());
    let reaper = reaper.iter().find_map(|one| one.strip_suffix(" testbox-reaper")).expect("a reaper");
    send(reaper.parse().expect("a pid"), Signal::KILL);
    child.kill().expect("SIGKILL");
    child.wait().expect("an end");
    let running = || processes_with(&traced.project.path().to_string_lossy());
    assert!(wait_until(Duration::from_secs(1), || running().is_empty()), "{:?}", running());
    Project::new().run(&["-q", "--", "/bin/true"]).expect_code(0);
    assert!(wait_until(Duration::from_secs(1), || groups_of(pid).is_empty()), "{:?}", groups_of(pid));
}

/// A run goes on without its reaper.
pub(crate) fn p2_a_killed_reaper_does_no_harm() {
    let traced = Traced::new("import sys\nprint('up', flush=True)\nsys.stdin.read()\n");
    let mut child = traced.start(&["-q"]);
    wait_for_line(&mut child);
    let reaper = processes_with(&traced.project.path().to_string_lossy());
    let reaper = reaper.iter().find_map(|one| one.strip_suffix(" testbox-reaper")).expect("a reaper");
    send(reaper.parse().expect("a pid"), Signal::KILL);
    traced.end_of(child).expect_code(0);
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a pid");
    pidfd_send_signal(pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd"), signal).expect("a signal");
}

pub(crate) fn p8_a_killed_run_leaves_a_whole_report() {
    let traced = Traced::new("print('x' * 1000)\n");
    traced.run(&[]).expect_code(0);
    let last = traced.project.path().join(".testbox/last");
    for instant in instants(times(150, 30), Duration::from_millis(400)) {
        let child = traced.start(&["-q"]);
        pause(instant);
        traced.kill(child);
        let text = fs_err::read_to_string(last.join("testbox.json")).expect("the old report or the new one");
        let report: serde_json::Value = serde_json::from_str(&text).expect("a whole report");
        assert_eq!(report["verdict"], "passed");
    }
    traced.run(&[]).expect_code(0);
    let strays = fs_err::read_dir(&last).expect("the folder").flatten().map(|entry| entry.file_name());
    let strays: Vec<_> = strays.filter(|name| name.to_string_lossy().contains("tmp")).collect();
    assert!(strays.is_empty(), "{strays:?}");
}

/// The terminal is raw while a command with `--tty` runs; the reaper puts its modes back.
pub(crate) fn p17_a_terminal_is_intact_after_sigkill() {
    let project = Project::new();
    let mut driver = starter("/usr/bin/python3");
    driver.args(["-c", include_str!("terminal.py")]).arg(testbox_bin()).args(project.run_words());
    let finished = Finished::of(driver.current_dir(project.path())).expect_code(0);
    assert_eq!(finished.stdout, "running\nraw\nintact\n", "{finished:?}");
}

/// Groups of others, planted beside one that a dead run left; each holds a process.
struct Planted {
    path: PathBuf,
    process: Child,
}

impl Planted {
    fn new(name: &str) -> Self {
        let path = root_group("pids").join(name);
        fs_err::create_dir(&path).expect("a cgroup");
        let process = Command::new("sleep").arg("3600").spawn().expect("a process");
        fs_err::write(path.join("cgroup.procs"), process.id().to_string()).expect("a member");
        Self { path, process }
    }

    fn is_untouched(&mut self) -> bool {
        self.path.exists() && self.process.try_wait().expect("a status").is_none()
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if self.path.exists() {
            wait_until(Duration::from_secs(2), || fs_err::remove_dir(&self.path).is_ok());
        }
    }
}

pub(crate) fn p3_gc_touches_only_the_boxes_of_dead_runs() {
    let project = Project::new();
    project.run(&["-q", "--", "/bin/true"]).expect_code(0);
    let report = project.report();
    let boot = report["box_id"].as_str().and_then(|id| id.split('-').nth(1)).expect("a box id").to_owned();
    let own = std::process::id();
    let start = start_time(own);
    let mut dead = Command::new("true").spawn().expect("a process");
    let (dead_pid, dead_start) = (dead.id(), start_time(dead.id()));
    dead.wait().expect("an end");
    let foreign = [
        format!("testbox-foo-{own}"),
        format!("testbox-{boot}-{own}-{start}"),
        format!("testbox-{boot}-{dead_pid}-{dead_start}-x"),
        format!("testbox-00000000-{dead_pid}-{dead_start}"),
        format!("nottestbox-{boot}-{dead_pid}-{dead_start}"),
    ];
    let mut foreign: Vec<Planted> = foreign.iter().map(|name| Planted::new(name)).collect();
    let mut orphan = Planted::new(&format!("testbox-{boot}-{dead_pid}-{dead_start}"));
    Finished::of(testbox().arg("gc")).expect_code(0);
    assert!(!orphan.path.exists(), "the group of a dead run is still there");
    assert!(orphan.process.try_wait().expect("a status").is_some(), "a process of a dead run lives on");
    project.run(&["-q", "--", "/bin/true"]).expect_code(0);
    for planted in &mut foreign {
        assert!(planted.is_untouched(), "{} was touched", planted.path.display());
    }
}

/// Field 22 of /proc/PID/stat.
fn start_time(pid: u32) -> String {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let rest = stat.rsplit(") ").next().expect("fields");
    rest.split(' ').nth(19).expect("field 22").to_owned()
}
