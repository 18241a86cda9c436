//! Ways out of the box: descriptors, mounts, terminals, control groups, sockets, devices, files, signals.

use testbox_tests::{Canaries, Finished, Project, starter, testbox_bin};

use crate::attack::{Answers, Attack};
use crate::privileges::REACH;

pub(crate) fn r2_leaked_descriptors_do_not_reach_the_box() {
    let attack = Attack::new(include_str!("programs/descriptors.py"));
    let leak = "import os, sys\n\
        for number, path in ((7, '/'), (33, '/etc/passwd'), (900, '/etc'), (1023, '/proc')):\n    \
        os.dup2(os.open(path, os.O_RDONLY), number, inheritable=True)\n\
        os.dup2(os.memfd_create('leak', 0), 34, inheritable=True)\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    let mut command = starter("/usr/bin/python3");
    command
        .args(["-c", leak])
        .arg(testbox_bin())
        .args(attack.project.run_words())
        .args(attack.arguments())
        .current_dir(attack.project.path());
    let answers = Answers::of(Finished::of(&mut command));
    attack.canaries.assert_unharmed();
    answers.expect("descriptors", "[0,1,2]").expect("kinds", "[\"null or pipe\",\"pipe\",\"pipe\"]");
}

/// CVE-2024-21626: a working directory below /proc/self/fd leads out.
pub(crate) fn r2_the_working_directory_lies_in_the_box() {
    let project = Project::new();
    std::os::unix::fs::symlink("/proc/self/fd/7", project.path().join("fd")).expect("a link");
    std::os::unix::fs::symlink("/root", project.path().join("out")).expect("a link");
    for cwd in ["/proc/self/fd/7", "fd", "out", "/", "/root", "../.."] {
        let finished = project.run(&["-q", "--cwd", cwd, "--", "/bin/sh", "-c", "/bin/pwd; ls"]).expect_code(125);
        assert_eq!(finished.stdout, "", "--cwd {cwd}");
    }
    let finished = project.run(&["-q", "--", "/bin/sh", "-c", "/bin/pwd -P; ls /proc/self/cwd/.. "]).expect_code(0);
    let place = fs_err::canonicalize(project.path()).expect("the project");
    let name = place.file_name().expect("a name").to_string_lossy().into_owned();
    let mut lines = finished.stdout.lines();
    assert_eq!(lines.next(), place.to_str());
    // Beside the project lies at most the way to the venv that these tests use.
    let venv = std::env::var_os("TESTBOX_TEST_VENV").map(std::path::PathBuf::from).unwrap_or_default();
    let parent = place.parent().expect("a parent");
    let strangers: Vec<&str> = lines.filter(|entry| *entry != name && !venv.starts_with(parent.join(entry))).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

pub(crate) fn r3_the_mounts_are_fixed_and_none_belongs_to_the_host() {
    let answers = &*REACH;
    answers.expect_each(&["mounts with setuid", "writable mounts", "propagating mounts"], "[]");
    answers.expect("mount cgroup", "EPERM").expect("firmware", "[]");
    answers.expect_all("masked ", "empty|EACCES|ENOENT");
    answers.expect_each(&["plant in /", "plant in /usr", "plant in /usr/bin", "plant in /etc"], "EROFS");
    answers.expect_each(&["plant in /sys", "plant in /var", "plant in /root", "plant in /mnt"], "EROFS");
    answers.expect("plant in /proc", "ENOENT|EACCES|EPERM");
}

/// CVE-2025-31133 and its kin: what is masked or mounted is found through a link of the attacker's.
pub(crate) fn r3_links_of_the_project_do_not_choose_what_is_mounted() {
    let (project, canaries) = (Project::new(), Canaries::plant());
    for name in ["proc", "sys", "dev", "etc", ".venv", "hidden"] {
        std::os::unix::fs::symlink(canaries.dir(), project.path().join(name)).expect("a link");
    }
    std::os::unix::fs::symlink("/proc/sys", project.path().join("settings")).expect("a link");
    let script = "for l in proc sys dev etc .venv hidden; do ls $l/ 2>/dev/null; echo x > $l/planted; done;\
        echo x > settings/kernel/core_pattern; cut -d' ' -f5 /proc/self/mountinfo | grep -c '^/proc$'; cut -d' ' -f5 /proc/self/mountinfo | grep -c '^/sys$'";
    let hide = ["-q", "--hide", "hidden", "--hide", "settings", "--", "/bin/sh", "-c", script];
    let finished = project.run(&hide);
    canaries.assert_unharmed();
    assert_eq!(finished.stdout.lines().collect::<Vec<_>>(), ["1", "1"], "{finished:?}");
}

pub(crate) fn r4_no_terminal_unless_asked_for() {
    let attack = Attack::new(include_str!("programs/terminal.py"));
    let answers = on_a_terminal(&attack);
    answers.expect("/dev/tty", "ENXIO").expect("terminals", "[]").expect("leader", "True|true");
}

pub(crate) fn r4_nothing_is_typed_into_a_terminal() {
    let attack = Attack::new(include_str!("programs/terminal.py")).flags(&["--tty"]);
    let answers = on_a_terminal(&attack);
    answers.expect("terminals", "[0,1,2]").expect("/dev/tty", "ok");
    answers.expect_all("TIOCSTI", "EPERM").expect_all("TIOCLINUX", "EPERM").expect_all("TIOCSETD", "EPERM|EINVAL|ok");
    assert!(!answers.finished.stdout.contains("canary-typed"), "{:?}", answers.finished);
}

/// testbox with a terminal of the host as its stdin, stdout and stderr.
#[track_caller]
fn on_a_terminal(attack: &Attack) -> Answers {
    let driver = "import os, pty, sys\nstatus = pty.spawn(sys.argv[1:])\nsys.exit(os.waitstatus_to_exitcode(status))";
    let mut command = starter("/usr/bin/python3");
    command.args(["-c", driver]).arg(testbox_bin()).args(attack.project.run_words()).args(attack.arguments());
    let finished = Finished::of(command.current_dir(attack.project.path()));
    attack.canaries.assert_unharmed();
    Answers::of(finished)
}

pub(crate) fn r6_no_control_group_is_writable() {
    let answers = &*REACH;
    answers.expect_each(&["cgroup mounts", "cgroup writable", "release_agent"], "[]");
    answers.expect("mount cgroup", "EPERM");
}

pub(crate) fn r7_no_socket_of_the_host_is_reachable() {
    let answers = &*REACH;
    answers.expect("interfaces", "lo").expect("own loopback", "ok");
    answers.expect_each(&["abstract socket", "loopback of the host"], "ECONNREFUSED");
    answers.expect("address far away", "ENETUNREACH");
}

/// On the host's network only Landlock stands between the box and the host's abstract sockets (CVE-2020-15257).
pub(crate) fn r7_abstract_sockets_are_scoped_on_the_hosts_network() {
    let attack = Attack::new(include_str!("programs/sockets.py")).flags(&["--net", "host"]);
    let finished = attack.project.run(&attack.arguments());
    let answers = Answers::of(finished);
    answers.expect("own abstract socket", "ok");
    let walls = attack.project.report()["walls"].to_string();
    if walls.contains("Landlock") && answers.value("abstract socket") == "EPERM" {
        return attack.canaries.assert_unharmed();
    }
    assert!(!kernel_has_abi_6() && walls.contains("abstract"), "{answers:#?} {walls}");
}

fn kernel_has_abi_6() -> bool {
    let probe = "import ctypes; raise SystemExit(ctypes.CDLL(None).syscall(444, 0, 0, 1) < 6)";
    starter("/usr/bin/python3").args(["-c", probe]).status().expect("python3").success()
}

pub(crate) fn devices_and_kernel_are_out_of_reach() {
    let answers = &*REACH;
    answers.expect_all("device ", "ENOENT").expect("kmsg", "EACCES|EPERM|ENOENT");
    answers.expect_each(&["mknod kmsg", "mknod mem", "mknod disk"], "EPERM").expect("mknod fifo", "ok");
    answers.expect("write /proc/sysrq-trigger", "EROFS|EACCES|ENOENT").expect("modprobe", "EROFS|ENOENT");
}

pub(crate) fn host_files_are_out_of_reach() {
    let answers = &*REACH;
    answers.expect_each(&["canary open", "canary secret"], "ENOENT").expect("canary through init", "EACCES");
    answers.expect_all("seen ", "false").expect("host/processes", "true").expect("host/signal", "ESRCH");
}

pub(crate) fn kill_everybody_kills_only_the_box() {
    let (project, canaries) = (Project::new(), Canaries::plant());
    let script = "import os, signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        os.fork() or signal.pause()\nos.kill(-1, signal.SIGTERM)\nos.kill(-1, signal.SIGSTOP)\nos.kill(-1, signal.SIGKILL)\n\
        print('alone', flush=True)\nsys.exit(3)\n";
    project.write("everybody.py", script);
    let finished = project.run(&["-q", "--", "/usr/bin/python3", "everybody.py"]).expect_code(3);
    assert_eq!(finished.stdout, "alone\n");
    canaries.assert_unharmed();
}
