//! Each way in which a run can end: the exit code, the verdict, and the kernel's or testbox's own evidence behind it.
//! Each limit that ends a run has a negative twin: the same command under a larger limit passes.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use testbox_tests::{Finished, Need, Project, case};

const BOX: &[Need] = &[Need::Enforced];
const PYTHON: &[Need] = &[Need::Enforced, Need::Python3];
const DEGRADED: &[Need] = &[Need::Degraded];
const DEGRADED_PYTHON: &[Need] = &[Need::Degraded, Need::Python3];

fn main() {
    testbox_tests::run(vec![
        case("memory: the kernel's kill is the verdict, and a larger limit passes", PYTHON, memory),
        case("memory: a killed child is the box's verdict", PYTHON, memory_of_a_child),
        case("memory: scratch space counts", BOX, memory_by_scratch),
        case("pids: a fork bomb is stopped, and the kernel counted it", PYTHON, fork_bomb),
        case("pids: refused forks explain a failure, and a larger limit passes", PYTHON, refused_forks),
        case("pids: refused forks of a command that passes are no failure", PYTHON, survived_refusal),
        case("disk: a full /tmp, project view, HOME and /dev/shm", BOX, disk_full),
        case("disk: used-up inodes", PYTHON, inodes),
        case("disk: a full disk of a command that passes is no failure", BOX, survived_full_disk),
        case("fsize: SIGXFSZ is a disk verdict, and a larger limit passes", BOX, fsize),
        case("fsize: what a child met is not denied", BOX, fsize_of_a_child),
        case("output: a flood ends, is cut with a line that says so, and stays bounded", BOX, output_flood),
        case("timeout: the whole run", BOX, timeout),
        case("timeout: who ignores SIGTERM is killed after the grace", BOX, timeout_of_the_deaf),
        case("timeout: a stopped process ends too", BOX, timeout_of_the_stopped),
        case("timeout: SIGTERM comes first, so that the command can say its last words", BOX, last_words),
        case("idle timeout: a sleeper is idle, a busy loop and a printer are not", BOX, idle),
        case("the command's own exit codes are passed on", BOX, own_codes),
        case("a death by a signal is 128 + N and a crash", BOX, signals),
        case("a command that is not found, not executable or no program", BOX, no_program),
        case("SIGINT and SIGTERM to testbox end the run with a report", BOX, interrupted),
        case("a second signal ends even who ignores the first", BOX, interrupted_twice),
        case("processes left behind are named and end with the box", BOX, left_behind),
        case("cpus: half a CPU is half of the time", BOX, cpus),
        case("nofile: the limit of open files holds", PYTHON, nofile),
        case(
            "an ordinary user without cgroups learns which wall is missing, and the fix",
            DEGRADED,
            refused_degradation,
        ),
        case("degraded: every output says so, and the tree ends as a whole", DEGRADED, degraded),
        case("degraded: the watchdog stops who takes too much memory", DEGRADED_PYTHON, degraded_memory),
        case("degraded: processes are limited, and no more is claimed than is known", DEGRADED_PYTHON, degraded_pids),
        case("io: writes to the project's disk are slowed down", &[Need::Box, Need::Root], io_write),
    ]);
}

fn sh(project: &Project, options: &[&str], script: &str) -> Finished {
    let mut command = project.command(options);
    Finished::of(command.args(["--", "sh", "-c", script]))
}

fn python(project: &Project, options: &[&str], script: &str) -> Finished {
    let mut command = project.command(options);
    Finished::of(command.args(["--", "python3", "-c", script]).env_remove("VIRTUAL_ENV"))
}

#[track_caller]
fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {report:#}"))
}

/// The verdict in the report is the one on stderr, with the code that was returned.
#[track_caller]
fn judged(project: &Project, finished: Finished, code: i32, verdict: &str) -> Value {
    let finished = finished.expect_code(code);
    let report = project.report();
    assert_eq!(report["verdict"], verdict, "{report:#}");
    assert_eq!(report["exit_code"], code, "{report:#}");
    let word = verdict.replace('-', " ").to_uppercase();
    finished.expect_stderr(&format!("testbox: {word}"));
    report
}

const TAKE_300_MIB: &str = "x = bytearray(300 << 20); print(len(x))";

fn memory() {
    let project = Project::new();
    let report = judged(&project, python(&project, &["--memory", "128M"], TAKE_300_MIB), 120, "memory");
    assert!(number(&report, "/evidence/memory/oom_kills") > 0);
    assert!(number(&report, "/evidence/memory/peak_bytes") <= 128 << 20);
    assert!(number(&report, "/evidence/memory/peak_bytes") > 100 << 20);
    assert!(report["hint"].as_str().is_some_and(|hint| hint.contains("--memory 256M")), "{report:#}");
    let twin = python(&project, &["--memory", "512M"], TAKE_300_MIB).expect_code(0);
    assert!(twin.stdout.contains("314572800"));
    assert_eq!(number(&project.report(), "/evidence/memory/oom_kills"), 0);
}

fn memory_of_a_child() {
    let project = Project::new();
    let script = format!("import subprocess, sys; subprocess.run([sys.executable, '-c', '{TAKE_300_MIB}'])");
    let report = judged(&project, python(&project, &["--memory", "128M"], &script), 120, "memory");
    assert!(number(&report, "/evidence/memory/oom_kills") > 0);
    assert_eq!(report["evidence"]["payload"]["code"], 0, "the parent survived: {report:#}");
    python(&project, &["--memory", "512M"], &script).expect_code(0);
}

fn memory_by_scratch() {
    let project = Project::new();
    let fill = "head -c 100M /dev/zero > /tmp/big";
    let finished = sh(&project, &["--memory", "64M", "--tmp-size", "64M"], fill);
    assert!([120, 122].contains(&finished.code), "{finished:?}");
    sh(&project, &["--memory", "512M", "--tmp-size", "256M"], fill).expect_code(0);
}

fn fork_bomb() {
    let project = Project::new();
    let bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass";
    let options = ["--pids", "32", "--timeout", "60s"];
    let report = judged(&project, python(&project, &options, bomb), 121, "pids");
    assert!(number(&report, "/evidence/pids/refused_forks") > 0);
    assert!(number(&report, "/evidence/pids/peak") <= 32);
    assert_eq!(report["evidence"]["stop"]["cause"]["why"], "fork-storm", "{report:#}");
}

/// Ten children that wait for their parent; exit code 3 if one could not be made.
const TEN_CHILDREN: &str = "\
import os, sys
reader, writer = os.pipe()
try:
  for _ in range(10):
    if os.fork() == 0:
      os.close(writer); os.read(reader, 1); os._exit(0)
except OSError:
  sys.exit(int(sys.argv[1]))
";

fn children(project: &Project, pids: &str, code: &str) -> Finished {
    Finished::of(project.command(&["--pids", pids]).args(["--", "python3", "-c", TEN_CHILDREN, code]))
}

fn refused_forks() {
    let project = Project::new();
    let report = judged(&project, children(&project, "8", "3"), 121, "pids");
    assert!(number(&report, "/evidence/pids/refused_forks") > 0);
    assert_eq!(report["evidence"]["payload"]["code"], 3);
    children(&project, "64", "3").expect_code(0);
    assert_eq!(number(&project.report(), "/evidence/pids/refused_forks"), 0);
}

fn survived_refusal() {
    let project = Project::new();
    let finished = children(&project, "8", "0").expect_code(0);
    assert!(number(&project.report(), "/evidence/pids/refused_forks") > 0);
    assert!(finished.stderr.contains("note:"), "a met limit is worth a note:\n{}", finished.stderr);
}

fn disk_full() {
    let project = Project::new();
    for (place, name) in [("/tmp/x", "scratch"), ("x", "scratch"), ("$HOME/x", "scratch"), ("/dev/shm/x", "/dev/shm")] {
        let fill = format!("head -c 20M /dev/zero > {place}");
        let report = judged(&project, sh(&project, &["--tmp-size", "4M"], &fill), 122, "disk");
        let disks = report["evidence"]["disk"].as_array().expect("disks").clone();
        assert!(disks.iter().any(|disk| disk["name"] == name && disk["full"] == true), "{place}: {report:#}");
        sh(&project, &["--tmp-size", "64M"], &fill).expect_code(0);
    }
}

fn inodes() {
    let project = Project::new();
    let fill = "for i in range(3000): open(f'/tmp/{i}', 'w').close()";
    let report = judged(&project, python(&project, &["--tmp-size", "4M"], fill), 122, "disk");
    let disk = &report["evidence"]["disk"][0];
    assert_eq!(disk["inodes"], disk["peak_inodes"], "{report:#}");
    assert!(report["summary"].as_str().is_some_and(|text| text.contains("inodes")), "{report:#}");
    python(&project, &["--tmp-size", "128M"], fill).expect_code(0);
}

fn survived_full_disk() {
    let project = Project::new();
    sh(&project, &["--tmp-size", "4M"], "head -c 20M /dev/zero > /tmp/x; rm /tmp/x; true").expect_code(0);
}

fn fsize() {
    let project = Project::new();
    let write = ["--", "dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=8"];
    let finished = Finished::of(project.command(&["--fsize", "1M"]).args(write));
    let report = judged(&project, finished, 122, "disk");
    assert_eq!(report["evidence"]["payload"]["signal"], 25, "{report:#}");
    assert!(report["hint"].as_str().is_some_and(|hint| hint.contains("--fsize")), "{report:#}");
    Finished::of(project.command(&["--fsize", "16M"]).args(write)).expect_code(0);
}

fn fsize_of_a_child() {
    let project = Project::new();
    let finished =
        sh(&project, &["--fsize", "1M"], "dd if=/dev/zero of=/tmp/x bs=1M count=8; exit $?").expect_code(153);
    assert!(!finished.stderr.contains("no limit was reached"), "{}", finished.stderr);
    assert!(finished.stderr.contains("--fsize") && finished.stderr.contains("SIGXFSZ"), "{}", finished.stderr);
}

fn output_flood() {
    let project = Project::new();
    let finished = sh(&project, &["--output-limit", "64K", "--timeout", "60s"], "yes flood");
    assert!(finished.stdout.len() <= 64 << 10, "{} bytes", finished.stdout.len());
    let finished = finished.expect_stderr("output truncated at 64.0 KiB");
    let report = judged(&project, finished, 123, "output");
    assert_eq!(report["evidence"]["output"]["truncated"], true);
    assert!(number(&report, "/evidence/output/bytes") > 64 << 10);
    let twin = sh(&project, &["--output-limit", "1M"], "yes flood | head -c 100K").expect_code(0);
    assert_eq!(twin.stdout.len(), 100 << 10);
}

fn timeout() {
    let project = Project::new();
    let finished = sh(&project, &["--timeout", "2s"], "echo begun; sleep 600");
    assert_eq!(finished.stdout, "begun\n");
    let report = judged(&project, finished, 124, "timeout");
    assert_eq!(report["evidence"]["stop"]["cause"]["why"], "timeout");
    sh(&project, &["--timeout", "60s"], "sleep 2.1").expect_code(0);
}

fn timeout_of_the_deaf() {
    let project = Project::new();
    let deaf = "trap '' TERM INT HUP; while :; do sleep 0.1; done";
    let report = judged(&project, sh(&project, &["--timeout", "2s", "--grace", "300ms"], deaf), 124, "timeout");
    assert_eq!(report["evidence"]["stop"]["killed"], true, "{report:#}");
}

fn timeout_of_the_stopped() {
    let project = Project::new();
    let report = judged(&project, sh(&project, &["--timeout", "500ms"], "kill -STOP $$; sleep 600"), 124, "timeout");
    assert!(number(&report, "/duration_ms") < 30_000);
}

fn last_words() {
    let project = Project::new();
    let polite = "trap 'echo last words; exit 7' TERM; echo begun; while :; do sleep 0.1; done";
    let finished = sh(&project, &["--timeout", "3s", "--grace", "3s"], polite);
    assert_eq!(finished.stdout, "begun\nlast words\n");
    let report = judged(&project, finished, 124, "timeout");
    assert_eq!(report["evidence"]["stop"]["killed"], false, "{report:#}");
}

fn idle() {
    let project = Project::new();
    let report = judged(&project, sh(&project, &["--idle-timeout", "500ms"], "sleep 600"), 124, "idle-timeout");
    assert_eq!(report["evidence"]["stop"]["cause"]["why"], "idle-timeout");
    sh(&project, &["--idle-timeout", "2s"], "timeout 4 sh -c 'while :; do :; done'; true").expect_code(0);
    sh(&project, &["--idle-timeout", "2s"], "for i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.3; done").expect_code(0);
}

fn own_codes() {
    let project = Project::new();
    sh(&project, &[], "exit 0").expect_code(0);
    assert_eq!(project.report()["verdict"], "passed");
    for code in [1, 2, 3, 4, 5, 42, 120, 124, 125, 255] {
        judged(&project, sh(&project, &[], &format!("exit {code}")), code, "failed");
    }
}

fn signals() {
    let project = Project::new();
    for (name, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("ABRT", 6), ("KILL", 9), ("SEGV", 11), ("TERM", 15)] {
        let finished = sh(&project, &[], &format!("kill -{name} $$")).expect_stderr(&format!("SIG{name}"));
        let report = judged(&project, finished, 128 + number, "crashed");
        assert_eq!(report["evidence"]["payload"]["signal"], number);
    }
    let report = judged(&project, sh(&project, &[], "kill -40 $$"), 168, "crashed");
    assert_eq!(report["evidence"]["payload"]["signal"], 40, "a real-time signal");
}

fn no_program() {
    let project = Project::new();
    let finished = project.run(&["--", "no-such-command"]).expect_stderr("`no-such-command`");
    judged(&project, finished, 127, "not-found");
    let finished = project.run(&["--", "./no-such-file"]).expect_stderr("`./no-such-file`");
    judged(&project, finished, 127, "not-found");
    project.write("plain", "text\n");
    judged(&project, project.run(&["--", "./plain"]).expect_stderr("Permission denied"), 126, "not-executable");
    judged(&project, project.run(&["--", "/tmp"]), 126, "not-executable");
    project.write("script", "#!/no/such/interpreter\n");
    executable(&project, "script");
    judged(&project, project.run(&["--", "./script"]).expect_stderr("/no/such/interpreter"), 126, "not-executable");
}

fn executable(project: &Project, path: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(project.path().join(path), std::fs::Permissions::from_mode(0o755)).expect("chmod");
}

fn interrupted() {
    for (signal, name) in [(nix::sys::signal::Signal::SIGINT, "SIGINT"), (nix::sys::signal::Signal::SIGTERM, "SIGTERM")]
    {
        let project = Project::new();
        let mut command = project.command(&["--", "sh", "-c", "echo begun; sleep 600"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testbox");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the first line");
        assert_eq!(line, "begun\n");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("a signal to the child of this test");
        let output = child.wait_with_output().expect("its end");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{stderr}");
        assert!(stderr.contains(name), "{stderr}");
        assert_eq!(project.report()["verdict"], "interrupted");
        assert_eq!(project.report()["exit_code"], 130);
    }
}

fn interrupted_twice() {
    let project = Project::new();
    let deaf = "trap '' TERM INT; echo begun; while :; do sleep 0.1; done";
    let mut command = project.command(&["--grace", "10m", "--", "sh", "-c", deaf]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testbox");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    stdout.read_line(&mut String::new()).expect("the first line");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    let send = || nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a signal to the child");
    send();
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
    while !told.contains("received SIGTERM") {
        assert!(stderr.read_line(&mut told).expect("a line") > 0, "it ended: {told}");
    }
    send();
    stderr.read_to_string(&mut told).expect("the rest");
    assert_eq!(child.wait().expect("its end").code(), Some(130), "{told}");
    assert_eq!(project.report()["evidence"]["stop"]["killed"], true);
}

fn left_behind() {
    let project = Project::new();
    let daemon = "for i in 1 2 3; do setsid sleep 600 </dev/null >/dev/null 2>&1 & done; exit 0";
    let begun = Instant::now();
    let finished = sh(&project, &[], daemon).expect_code(0).expect_stderr("left behind");
    assert!(finished.stderr.contains("sleep 600"), "{}", finished.stderr);
    assert!(begun.elapsed().as_secs() < 60, "testbox waited for daemons");
    let left = project.report()["left_behind"].as_array().map_or(0, Vec::len);
    assert_eq!(left, 3);
    sh(&project, &[], &daemon.replace('3', "4 5 6 7 8 9 10 11 12 13 14")).expect_stderr("at least 8 processes");
}

fn cpus() {
    let project = Project::new();
    let busy = "for i in 1 2; do timeout 2 sh -c 'while :; do :; done' & done; wait; true";
    sh(&project, &["--cpus", "0.5"], busy).expect_code(0);
    let report = project.report();
    let (used, wall) = (number(&report, "/evidence/cpu/used_ms"), number(&report, "/duration_ms"));
    assert!(used * 10 < wall * 7, "{used} ms of CPU in {wall} ms");
    // On a host so busy that the box never got its half nothing was held back.
    assert!(number(&report, "/evidence/cpu/throttled_ms") > 0 || used * 2 < wall, "{report:#}");
}

fn nofile() {
    let project = Project::new();
    let open = "import os; fds = [os.open('/dev/null', 0) for _ in range(100)]";
    let finished = python(&project, &["--nofile", "64"], open).expect_stderr("Too many open files");
    judged(&project, finished, 1, "failed");
    python(&project, &["--nofile", "256"], open).expect_code(0);
    let told = sh(&project, &["--nofile", "100"], "ulimit -Sn; ulimit -Hn").expect_code(0);
    assert_eq!(told.stdout, "100\n100\n");
}

/// Direct writes, and on cgroup v2, which charges the writing back to the box, buffered ones as well.
fn io_write() {
    let project = Project::on_a_disk();
    let run = |options: &[&str], how: &str| {
        let write = format!("dd if=/dev/zero of=big bs=256K count=16 {how} 2>&1 || exit 77");
        let finished = sh(&project, &[&["--write"], options].concat(), &write);
        if finished.code == 125 {
            assert!(finished.stderr.contains("lies on no disk"), "{}", finished.stderr);
            return None;
        }
        assert_eq!(finished.code, 0, "{finished:?}");
        Some((finished, project.report()))
    };
    const SLOW: &[&str] = &["--io-write", "2M"];
    let Some((finished, report)) = run(SLOW, "oflag=direct") else { return };
    let io = report["walls"].as_array().and_then(|walls| walls.iter().find(|wall| wall["wall"] == "io")).expect("io");
    assert_eq!(io["state"], "enforced", "{io:#}");
    assert!(number(&report, "/duration_ms") > 1200, "4 MiB at 2 MiB/s: {report:#}");
    if io["by"].to_string().contains("v1") {
        assert!(finished.stderr.contains("buffered writes"), "{}", finished.stderr);
        return;
    }
    let (_, buffered) = run(SLOW, "conv=fsync").expect("a disk");
    let (_, free) = run(&[], "conv=fsync").expect("a disk");
    let (buffered, free) = (number(&buffered, "/duration_ms"), number(&free, "/duration_ms"));
    assert!(buffered > 1200 && free < buffered, "4 MiB at 2 MiB/s took {buffered} ms, without a limit {free} ms");
}

const WEAKER: [&str; 2] = ["--allow-degraded", "memory,pids,cpu,io"];

/// What the report says of a wall.
fn state(report: &Value, wall: &str) -> Value {
    let walls = report["walls"].as_array().expect("walls");
    walls.iter().find(|found| found["wall"] == wall).unwrap_or_else(|| panic!("{wall}"))["state"].clone()
}

fn refused_degradation() {
    let project = Project::unprivileged().strict();
    let finished = project.run(&["--", "echo", "STARTED"]);
    for word in ["wall `memory`", "--allow-degraded memory", "hint:"] {
        assert!(finished.stderr.contains(word), "no `{word}` in {}", finished.stderr);
    }
    assert_eq!((finished.code, finished.stdout.as_str()), (125, ""));
}

fn degraded() {
    let project = Project::unprivileged();
    let options = [&WEAKER[..], &["--timeout", "1s"]].concat();
    let finished = sh(&project, &options, "id -u; setsid sleep 601 & setsid sleep 602 & sleep 603");
    assert_ne!(finished.stdout, "0\n");
    let told = finished.stderr.matches("DEGRADED memory").count();
    let report = judged(&project, finished, 124, "timeout");
    assert_eq!((told, state(&report, "memory")), (2, "degraded".into()), "before and after the run");
    assert_eq!(state(&report, "seccomp"), "enforced");
}

fn degraded_memory() {
    let project = Project::unprivileged();
    let options = [&WEAKER[..], &["--memory", "128M"]].concat();
    let hold = "import time; x = bytearray(400 << 20); time.sleep(600)";
    judged(&project, python(&project, &options, hold), 120, "memory");
    let options = [&WEAKER[..], &["--memory", "1G"]].concat();
    python(&project, &options, TAKE_300_MIB).expect_code(0);
}

fn degraded_pids() {
    let project = Project::unprivileged();
    let run = |pids| {
        let mut command = project.command(&[&WEAKER[..], &["--pids", pids, "--"]].concat());
        Finished::of(command.args(["python3", "-c", TEN_CHILDREN, "3"]).env_remove("VIRTUAL_ENV"))
    };
    let finished = run("8");
    assert!([3, 121].contains(&finished.code), "{finished:?}");
    assert!(!finished.stderr.contains("no limit was reached"), "{}", finished.stderr);
    run("64").expect_code(0);
}
