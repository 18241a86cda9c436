//! What the command is allowed: handles on testbox, its init, privileges, system calls, quotas.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use testbox_tests::{Canaries, Finished, Need, Project, starter, testbox_bin};

use crate::attack::{Answers, Attack};

/// The program that tries everything is run once; several tests look at its answers.
pub(crate) static REACH: LazyLock<Answers> = LazyLock::new(|| Attack::new(include_str!("programs/reach.py")).run());
static SECCOMP: LazyLock<Answers> = LazyLock::new(|| Attack::new(include_str!("programs/seccomp.py")).run());

pub(crate) fn r1_the_box_never_sees_the_host_binary() {
    let answers = Attack::new(include_str!("programs/exe.py")).run();
    answers.expect("init exe", "EACCES");
    answers.expect("handles on testbox", "[]");
    answers.expect("processes looked at", "2");
}

/// The first move against runc: the entry point is a link to the file of whoever executes it (CVE-2019-5736).
pub(crate) fn r1_executing_ones_own_exe_gives_no_handle_on_the_host_binary() {
    let (project, canaries) = (Project::new(), Canaries::plant());
    for script in ["#!/proc/self/exe\n", "#!/proc/1/exe\n"] {
        project.write("run.sh", script);
        let script =
            "chmod +x run.sh; ./run.sh --version; for f in /proc/[0-9]*/exe; do (: >> $f) 2>/dev/null; done; exit 0";
        project.run(&["-q", "--", "/bin/sh", "-c", script]).expect_code(0);
    }
    for command in ["/proc/self/exe", "/proc/1/exe"] {
        let finished = project.run(&["-q", "--", command, "run", "--", "/bin/true"]);
        assert_ne!(finished.code, 0, "{finished:?}");
    }
    canaries.assert_unharmed();
}

/// A binary that somebody else than root may write is never executed itself.
pub(crate) fn r1_a_binary_that_others_may_write_runs_as_a_sealed_copy() {
    let project = Project::new();
    let own = project.path().join("testbox-copy");
    fs_err::copy(testbox_bin(), &own).expect("a copy");
    fs_err::set_permissions(&own, PermissionsExt::from_mode(0o777)).expect("chmod");
    let script = "echo up; read end; for p in /proc/[0-9]*; do (: >> $p/exe) 2>/dev/null; done; exit 0";
    let mut command = starter(&own.to_string_lossy());
    command.args(project.run_words()).args(["-q", "--", "/bin/sh", "-c", script]).current_dir(project.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("testbox");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
    let pids = std::iter::once(child.id()).chain(descendants(child.id()));
    let exes: Vec<_> = pids.filter_map(|pid| fs_err::read_link(format!("/proc/{pid}/exe")).ok()).collect();
    drop(child.stdin.take());
    assert!(child.wait().expect("an end").success());
    assert!(exes.len() >= 3 && !exes.contains(&own), "{exes:?}");
    assert!(
        fs_err::read(&own).expect("the copy") == fs_err::read(testbox_bin()).expect("the binary"),
        "it was written"
    );
}

pub(crate) fn r5_no_environment_variable_changes_a_wall() {
    let project = Project::new();
    for name in ["POLICY", "SECCOMP", "ALLOW_DEGRADED", "NET", "RO", "RW", "HIDE", "WRITE"] {
        let mut command = project.command(&["--", "/bin/true"]);
        let finished = Finished::of(command.env(format!("TESTBOX_{name}"), "x")).expect_code(125);
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        finished.expect_stderr(&format!("TESTBOX_{name}")).expect_stderr(&flag);
    }
    project.run(&["-q", "--", "/bin/true"]).expect_code(0);
}

pub(crate) fn r5_the_init_is_closed_to_the_command() {
    let answers = &*REACH;
    for name in ["environ", "mem", "maps", "auxv", "syscall", "stack", "io", "pagemap", "fd", "fdinfo", "map_files"] {
        answers.expect(&format!("init/{name}"), "EACCES|EPERM");
    }
    answers.expect_all("init/link ", "EACCES").expect_all("init/open ", "EACCES");
    answers.expect_all("init/ptrace", "EPERM").expect_all("init/process_vm", "EPERM");
    answers.expect_each(&["init/prlimit", "init/setns by pidfd"], "EPERM");
    answers.expect_each(&["init/oom_score_adj", "init/comm", "init/task"], "EACCES");
    answers.expect_all("init/signal", "ok").expect("init/is there", "ok");
}

pub(crate) fn r5_the_environment_of_the_host_does_not_leak() {
    let project = Project::new();
    let mut command =
        project.command(&["-q", "--", "/bin/sh", "-c", "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'"]);
    command.env("AWS_SECRET_ACCESS_KEY", "canary-1").env("LD_PRELOAD", "").env("PYTHONSTARTUP", "canary-2");
    let finished = Finished::of(command.env("SSH_AUTH_SOCK", "canary-3")).expect_code(0);
    assert!(finished.stdout.contains("PATH="), "{finished:?}");
    assert!(!finished.stdout.contains("canary"), "{finished:?}");
}

pub(crate) fn r9_no_core_files_and_no_settings_of_the_host() {
    let answers = &*REACH;
    answers.expect("core", "0 0").expect("writable settings", "[]").expect("core_pattern", "EROFS");
    answers.expect("oom_score_adj -1000", "EACCES").expect("oom_score_adj 1000", "ok");
    for attempt in ["raise core", "raise nofile"] {
        answers.expect(attempt, "refused: not allowed to raise maximum limit");
    }
}

pub(crate) fn r9_nobody_in_the_box_is_root_on_the_host() {
    let project = Project::new();
    let mut command = project.command(&["--", "/bin/sh", "-c", "echo up; read end; exit 0"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("testbox");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let inside = descendants(child.id()).into_iter().filter(|pid| in_another_pid_namespace(*pid));
    let users: Vec<String> = inside.map(users).collect();
    drop(child.stdin.take());
    stdout.read_to_string(&mut line).expect("the rest");
    assert!(child.wait().expect("an end").success());
    assert_eq!(users.len(), 2, "init and command: {users:?}");
    for user in users {
        assert!(user.split_whitespace().all(|id| id != "0"), "a process of the box is root on the host: {user}");
    }
}

fn descendants(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs_err::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.flat_map(|pid| std::iter::once(pid).chain(descendants(pid)).collect::<Vec<_>>()).collect()
}

fn in_another_pid_namespace(pid: u32) -> bool {
    let namespace = |pid: &str| fs_err::read_link(format!("/proc/{pid}/ns/pid")).ok();
    namespace(&pid.to_string()) != namespace("self")
}

/// Real, effective, saved and file system user and group ids.
fn users(pid: u32) -> String {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0").to_owned();
    format!("{} {}", ids("Uid:"), ids("Gid:"))
}

pub(crate) fn r17_no_privileges_at_all() {
    let answers = &*REACH;
    answers.expect_all("Cap", "0000000000000000");
    answers.expect("NoNewPrivs", "1").expect("Seccomp", "2");
    // Only a privileged process can drop supplementary groups; an ordinary user's box keeps the caller's own one, and
    // the others as nobody's.
    let own = rustix::process::getgid().as_raw().to_string();
    let groups = answers.value("Groups").as_str().expect("groups").to_owned();
    let is_harmless = |group: &str| Need::Root.missing().is_some() && [own.as_str(), "65534"].contains(&group);
    assert!(groups.split_whitespace().all(is_harmless), "{groups}");
    answers.expect_each(&["setuid 0", "setgid 0"], "EINVAL|EPERM").expect("setgroups", "EPERM");
    answers.expect("nice", "EACCES").expect("realtime", "EPERM");
    let uids = answers.value("uid").as_str().expect("uids").to_owned();
    assert!(uids.split(' ').all(|uid| uid != "0"), "root in the box: {uids}");
}

pub(crate) fn r17_foreign_abis_are_killed() {
    let answers = &*SECCOMP;
    answers.expect("int 0x80", "SIGSYS|exit 64");
    answers.expect_each(&["x32", "x32 execve"], "SIGSYS").expect("machine code by itself", "exit 0");
}

pub(crate) fn seccomp_floor_refuses_what_reaches_beyond_the_box() {
    let answers = &*SECCOMP;
    let refused = [
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "move_mount",
        "open_tree",
        "mount_setattr",
        "open_tree_attr",
        "setns",
        "unshare",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "reboot",
        "swapon",
        "swapoff",
        "acct",
        "quotactl",
        "quotactl_fd",
        "settimeofday",
        "clock_settime",
        "sethostname",
        "setdomainname",
        "iopl",
        "ioperm",
        "syslog",
        "vhangup",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "add_key",
        "request_key",
        "keyctl",
        "userfaultfd",
        "bpf",
        "perf_event_open",
        "open_by_handle_at",
        "kcmp",
        "pidfd_getfd",
        "process_madvise",
        "fanotify_init",
        "unshare with high bits",
        "socket raw",
    ];
    let absent = ["clone3", "lookup_dcookie", "nfsservctl", "unknown_999", "unknown_500", "uselib", "_sysctl"];
    answers.expect_each(&refused, "EPERM").expect_each(&absent, "ENOSYS").expect("create_module", "ENOSYS");
    answers.expect_all("clone new ", "EPERM").expect_all("unshare new ", "EPERM");
    for family in ["vsock", "alg", "packet", "key", "bluetooth", "xdp", "can", "tipc"] {
        answers.expect(&format!("socket {family}"), "EAFNOSUPPORT|EPERM");
        answers.expect(&format!("socket seqpacket {family}"), "EAFNOSUPPORT|EPERM");
    }
}

pub(crate) fn seccomp_no_file_becomes_setuid() {
    let answers = &*SECCOMP;
    for way in [
        "chmod ",
        "fchmodat ",
        "fchmodat2 ",
        "open with ",
        "creat with ",
        "mknod with ",
        "mknodat with ",
        "chmod with high bits ",
    ] {
        for mode in ["4755", "2755", "6755"] {
            answers.expect(&format!("{way}{mode}"), "EPERM");
        }
    }
    answers.expect("chmod 755", "ok").expect("setuid files", "");
}

/// Kernel quotas belong to the user on the host, whom the box shares: it must leave most of them (F5).
pub(crate) fn quota_inotify_of_the_host_user_is_not_drained() {
    let program = "import ctypes, sys\nlibc = ctypes.CDLL(None)\nmade = 0\nwhile libc.inotify_init1(0) >= 0: made += 1\n\
        print(made, flush=True)\nsys.stdin.read()\n";
    let project = Project::new();
    project.write("drain.py", program);
    let mut command = project.command(&["-q", "--", "/usr/bin/python3", "drain.py"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("testbox");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
    let user = descendants(child.id()).into_iter().rev().find(|pid| in_another_pid_namespace(*pid)).map(users);
    let uid = user.and_then(|ids| ids.split_whitespace().next()?.parse::<u32>().ok()).expect("the box's user");
    let mut outside = Command::new("/usr/bin/python3");
    outside.args(["-c", "import ctypes; raise SystemExit(ctypes.CDLL(None).inotify_init1(0) < 0)"]);
    if nix::unistd::geteuid().is_root() {
        outside.uid(uid).gid(uid);
    }
    let outside = outside.status().expect("python3");
    drop(child.stdin.take());
    assert!(child.wait().expect("an end").success());
    let made: u32 = line.trim().parse().expect("a number");
    assert!((1..=64).contains(&made), "the box made {made} inotify instances");
    assert!(outside.success(), "the user on the host has no inotify instance left");
}
