//! What testbox says is true: limits are read back (P11), a verdict has evidence (P12), and a project of a user holds
//! nothing of root afterwards (P16).

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use testbox_tests::{Finished, Need, Outer, Project, starter, testbox_bin, unprivileged};

use crate::traced::Traced;

const USER: u32 = 65_432;

#[track_caller]
fn judged(program: &str, flags: &[&str], code: i32, verdict: &str) -> serde_json::Value {
    let traced = Traced::new(program);
    let finished = traced.run(flags).expect_code(code);
    let report = traced.project.report();
    assert_eq!(report["verdict"], verdict, "{finished:?}");
    report
}

pub(crate) fn p11_what_was_set_up_is_read_back() {
    let report = judged("pass\n", &["--memory", "300M", "--pids", "77"], 0, "passed");
    let readback = &report["evidence"]["readback"];
    assert_eq!(readback["capabilities"], 0, "{report:#}");
    assert_eq!(readback["no_new_privs"], true);
    assert_eq!(readback["seccomp_mode"], 2);
    assert!(readback["uid"].as_u64() > Some(0) && readback["seccomp_filters"].as_u64() > Some(0), "{readback:#}");
    assert_eq!(report["evidence"]["memory"]["limit_bytes"], 300 << 20);
    assert_eq!(report["evidence"]["pids"]["limit"], 77);
    for wall in report["walls"].as_array().expect("walls") {
        assert!(wall["state"] == "enforced" || wall["state"] == "off", "{wall}");
    }
}

pub(crate) fn p12_exit_codes_alone_are_never_a_limit() {
    for code in [120, 121, 122, 123, 124, 125, 126, 127, 130, 137, 143] {
        let program = format!("raise SystemExit({code})\n");
        judged(&program, &["-q"], code, "failed");
    }
}

pub(crate) fn p12_a_kill_by_the_command_itself_is_a_crash() {
    for signal in [6, 9, 11, 15, 34, 64] {
        let program = format!("import os\nos.kill(os.getpid(), {signal})\n");
        judged(&program, &["-q"], 128 + signal, "crashed");
    }
}

/// The kernel kills a child; the command does not care and exits with 0.
pub(crate) fn p12_a_killed_child_is_not_hidden_by_exit_code_0() {
    let program = "import os\nif os.fork() == 0:\n    hold = []\n    while True: hold.append(bytearray(1 << 20))\n\
        os.wait()\nos._exit(0)\n";
    let report = judged(program, &["-q", "--memory", "100M"], 120, "memory");
    assert!(report["evidence"]["memory"]["oom_kills"].as_u64() > Some(0));
    assert_eq!(report["evidence"]["payload"]["code"], 0);
}

/// Page cache up to the limit, refused forks that the command copes with, a full disk that it copes with: all green.
pub(crate) fn p12_a_limit_that_holds_is_not_a_verdict() {
    let forks = "import os\nfor _ in range(40):\n    try:\n        if os.fork() == 0:\n            os.read(0, 1); os._exit(0)\n    \
        except OSError: pass\n";
    let report = judged(forks, &["-q", "--pids", "20"], 0, "passed");
    assert!(report["evidence"]["pids"]["refused_forks"].as_u64() > Some(0), "{report:#}");
    let disk = "try:\n    with open('/tmp/fill', 'wb') as f:\n        while True: f.write(bytes(1 << 16))\n\
        except OSError as error: print(error)\n";
    judged(disk, &["-q", "--tmp-size", "4M"], 0, "passed");
    let own = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))\nbytearray(1 << 30)\n";
    judged(own, &["-q", "--memory", "1G"], 1, "failed");
}

/// The kernel kills for a group around testbox's own: the box did not use what it was given.
pub(crate) fn p12_a_limit_around_testbox_is_not_called_the_boxs() {
    let project = Project::new();
    project.write("test.py", "hold = []\nwhile True: hold.append(bytearray(1 << 20))\n");
    let outer = Outer::new(150 << 20, 500);
    let flags = ["--memory", "1G", "--tmp-size", "64M", "--", "/usr/bin/python3", "test.py"];
    let finished = match Need::Systemd.missing() {
        Some(_) => Finished::of(&mut outer.command(&project, &flags)),
        None => Finished::of(in_scope(&project).arg(testbox_bin()).arg("run").args(flags)),
    };
    assert_ne!(finished.code, 0, "{finished:?}");
    assert!(!finished.stderr.contains("used all of its 1.0 GiB"), "{}", finished.stderr);
}

/// On cgroup v2 the group around is a scope of systemd, which is passed on to testbox.
fn in_scope(project: &Project) -> Command {
    let mut command = starter("systemd-run");
    command.args(["--quiet", "--scope", "--property=Delegate=yes", "--property=MemorySwapMax=0"]);
    command.args(["--property=MemoryMax=150M", "--"]).current_dir(project.path());
    command
}

pub(crate) fn p16_nothing_of_root_is_left_in_a_users_project() {
    users_project(&["--output", "**"]);
}

pub(crate) fn p16_nothing_of_root_is_left_in_a_users_writable_project() {
    users_project(&["--write"]);
}

/// root runs testbox in a project of a user, as with sudo.
#[track_caller]
fn users_project(flags: &[&str]) {
    let project = Project::new();
    project.write("there/already", "x");
    for path in ["", "there", "there/already"] {
        chown(project.path().join(path), Some(USER), Some(USER)).expect("chown");
    }
    let script = "mkdir -p new/deep && echo x > new/deep/file && echo y > there/already && echo z > top\n\
        cp /bin/true new/program; chmod 4755 new/program 2>/dev/null; chmod 2755 new 2>/dev/null; mkdir closed; chmod 700 closed\n\
        touch closed/file; chmod 400 closed/file; ln -s /etc/shadow link; mkfifo fifo; python3 -m compileall -q . ; id -u; exit 0";
    let mut command =
        project.command(&flags.iter().chain(&["--", "/bin/sh", "-c", script]).copied().collect::<Vec<_>>());
    command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string());
    let finished = Finished::of(&mut command).expect_code(0);
    assert_eq!(finished.stdout.trim(), USER.to_string(), "the box's user is the project's owner");
    let mut seen = 0;
    check_owner(project.path(), &mut seen);
    assert!(seen >= 8, "only {seen} files in the project");
    let mut remove = Command::new("/bin/sh");
    remove.args(["-c", "rm -rf -- ./* ./.[!.]*; ls -A"]).current_dir(project.path());
    let removed = Finished::of(unprivileged(&mut remove)).expect_code(0);
    assert_eq!(removed.stdout, "", "the user cannot remove this");
}

fn check_owner(folder: &Path, seen: &mut u32) {
    for entry in fs_err::read_dir(folder).expect("a folder").flatten() {
        let meta = fs_err::symlink_metadata(entry.path()).expect("a file");
        assert_eq!((meta.uid(), meta.gid()), (USER, USER), "{}", entry.path().display());
        assert_eq!(meta.mode() & 0o6000, 0, "{} is setuid or setgid", entry.path().display());
        *seen += 1;
        if meta.is_dir() {
            check_owner(&entry.path(), seen);
        }
    }
}
