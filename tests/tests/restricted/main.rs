//! Hosts that take something away: each is recognised by doing, and named with one cause and one remedy; and containers
//! in which testbox works all the same.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::os::unix::fs::chown;

use serde_json::Value;
use testbox_tests::{Finished, Need, Project, case, run, starter, testbox_bin};

const NEEDS: &[Need] = &[Need::Root, Need::User];
/// The user that starts testbox here.
const USER: u32 = 65_439;

fn main() {
    run(vec![
        case(
            "a container's seccomp filter is named, and how to start without it",
            &[Need::Root, Need::User, Need::Python3],
            seccomp,
        ),
        case("a read-only /proc/sys is named", NEEDS, read_only_proc_sys),
        case("root of a user namespace with one user learns to be an ordinary one", NEEDS, lonely_root),
        case("a missing /dev/shm is no matter", NEEDS, no_shm),
        case("read-only cgroups are named wall by wall", &[Need::Root, Need::Enforced], read_only_cgroups),
        case("in an unprivileged container a user gets a box", NEEDS, container_of_a_user),
        case("under bubblewrap a user gets a box", &[Need::Root, Need::User, Need::Bwrap], under_bubblewrap),
        case("--fix prints the command of root and runs nothing", NEEDS, fix_is_printed),
        case("--fix --yes runs the command, and the finding is gone", NEEDS, fix_is_run),
        case("--yes is for root", NEEDS, fix_needs_root),
    ])
}

/// The words with which `setpriv` becomes [`USER`].
fn as_user() -> String {
    format!("setpriv --reuid {USER} --regid {USER} --clear-groups")
}

/// `script` in a mount namespace of its own, in a project of [`USER`]; `$0` is testbox.
fn in_shell(script: &str) -> (Project, Finished) {
    let project = Project::new();
    chown(project.path(), Some(USER), Some(USER)).expect("chown");
    let mut command = starter("unshare");
    command.args(["--mount", "sh", "-c", &format!("set -e; {script}")]).arg(testbox_bin());
    let finished = Finished::of(command.env("HOME", "/nonexistent").current_dir(project.path()));
    (project, finished)
}

/// The finding about namespaces of the doctor that this script ends with.
#[track_caller]
fn namespaces(script: &str) -> Value {
    let (_, finished) = in_shell(script);
    finding(&finished.expect_code(1), "namespaces")
}

#[track_caller]
fn finding(finished: &Finished, subject: &str) -> Value {
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["subject"] == subject).expect("the finding").clone()
}

/// A missing wall with this as its last cause, and this in its remedy.
#[track_caller]
fn assert_named(finding: &Value, cause: &str, remedy: &str) {
    assert_eq!(finding["state"], "missing", "{finding:#}");
    let last = finding["because"].as_array().and_then(|causes| causes.last()).and_then(Value::as_str);
    assert_eq!(last, Some(cause), "{finding:#}");
    assert!(finding["fix"].as_str().is_some_and(|fix| fix.contains(remedy)), "{finding:#}");
}

fn seccomp() {
    let project = Project::new();
    project.write("refuse.py", include_str!("refuse_namespaces.py"));
    chown(project.path(), Some(USER), Some(USER)).expect("chown");
    let mut command = starter("setpriv");
    command.args(as_user().split(' ').skip(1)).args(["/usr/bin/python3", "refuse.py"]).arg(testbox_bin());
    let finished =
        Finished::of(command.args(["doctor", "--json"]).env("HOME", "/nonexistent").current_dir(project.path()));
    assert_named(
        &finding(&finished.expect_code(1), "namespaces"),
        "a seccomp filter lies on testbox itself, as container engines put it, and it refuses new namespaces",
        "--security-opt seccomp=unconfined",
    );
}

fn read_only_proc_sys() {
    let script = format!("mount --bind -o ro /proc/sys /proc/sys; exec {} \"$0\" doctor --json", as_user());
    assert_named(
        &namespaces(&script),
        "/proc/sys is mounted read-only, as container engines do",
        "--security-opt systempaths=unconfined",
    );
}

fn lonely_root() {
    let script = format!("exec {} unshare --user --map-root-user --mount \"$0\" doctor --json", as_user());
    assert_named(
        &namespaces(&script),
        "testbox is root of a user namespace that maps too few users to give a box one of its own",
        "as an ordinary user of that container",
    );
}

/// A /dev with the usual devices and nothing else; the box has a /dev of its own.
fn no_shm() {
    let script = format!(
        "mkdir dev; mount -t tmpfs none dev; for d in null zero full random urandom tty; do \
         touch dev/$d; mount --bind /dev/$d dev/$d; done; mount --rbind dev /dev; test ! -e /dev/shm; cd /; cd - > /dev/null; \
         umount -R dev; {} \"$0\" run -q --allow-degraded memory,pids -- /bin/sh -c 'echo x > /dev/shm/x; cat /dev/shm/x'",
        as_user()
    );
    let (_, finished) = in_shell(&script);
    assert_eq!(finished.expect_code(0).stdout, "x\n");
}

fn read_only_cgroups() {
    let script = "for group in /sys/fs/cgroup /sys/fs/cgroup/*; do mountpoint -q \"$group\" || continue; mount -o remount,bind,ro \"$group\"; done; \
                  exec \"$0\" doctor --json";
    let (_, finished) = in_shell(script);
    let finished = finished.expect_code(1);
    for wall in ["memory", "pids"] {
        let finding = finding(&finished, wall);
        assert_eq!(finding["state"], "missing", "{finding:#}");
        assert!(finding["text"].as_str().is_some_and(|text| text.ends_with("on a read-only mount")), "{finding:#}");
        let fix = finding["fix"].as_str().expect("a fix");
        assert!(fix.contains("writable /sys/fs/cgroup") && fix.contains("--allow-degraded"), "{fix}");
    }
    assert_eq!(finding(&finished, "namespaces")["state"], "ok");
}

/// testbox as a user who is mapped to the same number: a rootless container that keeps ids.
fn container_of_a_user() {
    let script = format!(
        "exec {} unshare --user --map-user={USER} --map-group={USER} --mount --pid --fork --mount-proc \
         \"$0\" run -q --allow-degraded memory,pids -- /bin/sh -c 'id -u'",
        as_user()
    );
    let (project, finished) = in_shell(&script);
    assert_eq!(finished.expect_code(0).stdout, format!("{USER}\n"));
    assert_eq!(project.report()["verdict"], "passed");
}

fn under_bubblewrap() {
    let script = format!(
        "exec {} bwrap --dev-bind / / --unshare-user --unshare-pid --proc /proc \"$0\" run -q \
         --allow-degraded memory,pids -- /bin/sh -c 'id -u'",
        as_user()
    );
    let (_, finished) = in_shell(&script);
    assert_eq!(finished.expect_code(0).stdout, format!("{USER}\n"));
}

const COMMAND: &str = "sysctl -w user.max_user_namespaces=10000";
const SWITCH: &str = "/proc/sys/user/max_user_namespaces";

/// Root of a user namespace in which no further one may be made.
fn forbidden(flags: &str) -> Finished {
    let inner = format!("echo 0 > {SWITCH}; \"$0\" doctor {flags}; code=$?; cat {SWITCH}; exit $code");
    let script = format!("exec {} unshare --user --map-root-user --mount sh -c '{inner}' \"$0\"", as_user());
    in_shell(&script).1
}

fn fix_is_printed() {
    let finished = forbidden("--fix").expect_code(1);
    assert!(finished.stdout.ends_with(&format!("\ncommands for root:\n  {COMMAND}\n0\n")), "{finished:?}");
    // On a host that lacks nothing that a command could give, none is printed.
    let script = format!("exec {} \"$0\" doctor --fix", as_user());
    let (_, finished) = in_shell(&script);
    let end = match Need::Systemd.missing() {
        Some(_) => "\nno command fixes what was found; read the lines with `fix:`\n".to_owned(),
        None => format!("\ncommands for root:\n  loginctl enable-linger {USER}\n"),
    };
    assert!(finished.stdout.ends_with(&end), "{finished:?}");
}

fn fix_is_run() {
    let finished = forbidden("--fix --yes");
    let (before, after) = finished.stdout.split_once("\nafter these commands:\n").expect("a second look");
    assert!(before.contains("max_user_namespaces is 0"), "{before}");
    assert!(!after.contains("max_user_namespaces is 0") && after.ends_with("\n10000\n"), "{after}");
}

fn fix_needs_root() {
    let inner = format!("echo 0 > {SWITCH}; exec setpriv --inh-caps=-all \"$0\" doctor --fix --yes");
    let script =
        format!("exec {} unshare --user --map-user={USER} --keep-caps --mount sh -c '{inner}' \"$0\"", as_user());
    let (_, finished) = in_shell(&script);
    finished.expect_code(125).expect_stderr("`--yes` runs commands of root").expect_stderr("sudo testbox doctor");
}
