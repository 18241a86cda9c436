//! `testbox doctor`: what it finds, how it says so, and that it changes nothing.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::Value;
use testbox_tests::{Finished, Need, Project, case, run, testbox, testbox_bin, unprivileged};

fn main() {
    run(vec![
        case("a host that enforces every wall is found so, with exit code 0", &[Need::Enforced], everything_stands),
        case(
            "an ordinary user without delegated cgroups learns what is missing and how to fix it",
            &[Need::Root, Need::Cgroup1, Need::User],
            missing_walls,
        ),
        case("the flag that the conclusion names makes a run possible", &[Need::Degraded], named_flag),
        case("the JSON says the same as the lines", &[Need::Enforced], json),
        case("the project and the temporary folder are as before", &[Need::Enforced], nothing_written),
        case(
            "a project that no run would take is named, and the walls are probed all the same",
            &[Need::Enforced],
            home,
        ),
        case("a project whose settings are wrong is told with the line", &[Need::Enforced], wrong_settings),
        case(
            "a project of which there can be no overlay is told with the reason",
            &[Need::Root, Need::User],
            mount_inside,
        ),
        case(
            "a temporary folder that cannot be written ends the doctor with 125",
            &[Need::Enforced],
            no_temporary_folder,
        ),
        case(
            "a read-only cgroup hierarchy is a missing wall, and the others are probed all the same",
            &[Need::Root, Need::Cgroup1, Need::Enforced],
            read_only_hierarchy,
        ),
        case(
            "where no user namespace can be made, the switch is named that forbids it",
            &[Need::Root, Need::User],
            no_user_namespaces,
        ),
        case("inside a box there is nothing to probe and nothing to run", &[Need::Enforced], nested),
        case("the Python of the project and its pytest are named", &[Need::Enforced, Need::Pytest], python),
        case("no colour is needed, and none is given to a file", &[Need::Enforced], no_colour),
        case("the words for this place are the reviewed ones", &[Need::Place], words_of_this_place),
        case(
            "the commands that it prints make the finding disappear",
            &[Need::Root, Need::Systemd, Need::Place],
            remedies,
        ),
    ])
}

fn doctor(project: &Project) -> Command {
    let mut command = testbox();
    command.current_dir(project.path()).env("HOME", "/nonexistent").arg("doctor");
    command
}

/// The doctor as an ordinary user, in a folder of that user.
fn as_user(project: &Project) -> Command {
    let mut command = doctor(project);
    unprivileged(&mut command);
    command
}

/// The findings of `--json`, by subject.
fn finding<'a>(report: &'a Value, subject: &str) -> &'a Value {
    let findings = report["findings"].as_array().expect("findings");
    findings.iter().find(|finding| finding["subject"] == subject).unwrap_or_else(|| panic!("no {subject}: {report:#}"))
}

fn parsed(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
}

fn everything_stands() {
    let finished = Finished::of(&mut doctor(&Project::new())).expect_code(0);
    for wall in ["memory", "pids", "namespaces", "capabilities", "seccomp", "network", "disk", "overlay", "project"] {
        assert!(
            finished.stdout.lines().any(|line| line.starts_with(&format!("ok      {wall} "))),
            "{}",
            finished.stdout
        );
    }
    assert!(finished.stdout.ends_with("\na default run is fully enforced here\n"), "{}", finished.stdout);
    assert_eq!(finished.stderr, "");
}

fn missing_walls() {
    let finished = Finished::of(&mut as_user(&Project::unprivileged())).expect_code(1);
    for wall in ["memory", "pids"] {
        let (_, block) = finished.stdout.split_once(&format!("MISSING {wall} ")).expect("a missing wall");
        let fix = block.lines().find_map(|line| line.trim().strip_prefix("fix: ")).expect("a fix");
        assert!(fix.contains("as root") && fix.contains(&format!("--allow-degraded {wall}")), "{fix}");
    }
    // What this user can build is found to stand, although the box has no cgroups.
    for wall in ["namespaces", "capabilities", "seccomp", "network", "disk", "overlay", "project"] {
        assert!(finished.stdout.contains(&format!("ok      {wall} ")), "{}", finished.stdout);
    }
    assert!(
        finished.stdout.contains("\n2 walls are missing (memory, pids): a default run refuses"),
        "{}",
        finished.stdout
    );
}

fn named_flag() {
    let project = Project::unprivileged().strict();
    let finished = Finished::of(&mut as_user(&project)).expect_code(1);
    let (_, flag) = finished.stdout.rsplit_once("with `--allow-degraded ").expect("a flag");
    let walls = flag.split('`').next().expect("its value");
    project.run(&["-q", "--", "/bin/true"]).expect_code(125);
    project.run(&["-q", "--allow-degraded", walls, "--", "/bin/true"]).expect_code(0);
}

fn json() {
    let project = Project::unprivileged();
    let lines = Finished::of(&mut as_user(&project));
    let json = Finished::of(as_user(&project).arg("--json"));
    assert_eq!(json.code, lines.code);
    let report = parsed(&json);
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["fully_enforced"], lines.code == 0);
    let conclusion = report["conclusion"].as_str().expect("a conclusion");
    assert_eq!(lines.stdout.lines().last(), Some(conclusion));
    for entry in report["findings"].as_array().expect("findings") {
        let subject = entry["subject"].as_str().expect("a subject");
        let line = lines.stdout.lines().find(|line| line[8..].starts_with(&format!("{subject} "))).expect(subject);
        let word = line[..8].trim().to_lowercase();
        assert_eq!(entry["state"], word.as_str(), "{line}");
        assert!(entry["because"].is_array() && (entry["fix"].is_null() || entry["fix"].is_string()), "{entry:#}");
        if entry["state"] == "missing" {
            assert!(entry["fix"].is_string(), "{entry:#}");
        }
    }
    let missing: Vec<_> = report["missing"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(missing.is_empty(), lines.code == 0);
}

fn nothing_written() {
    let (project, temporary) = (Project::new(), Project::new());
    project.write("tests/test_x.py", "def test(): pass\n");
    Finished::of(doctor(&project).env("TMPDIR", temporary.path())).expect_code(0);
    let names = |project: &Project| -> Vec<_> {
        fs_err::read_dir(project.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect()
    };
    assert_eq!(names(&project), ["tests"]);
    assert!(names(&temporary).is_empty(), "{:?}", names(&temporary));
}

fn home() {
    let project = Project::new();
    let finished = Finished::of(doctor(&project).env("HOME", project.path()).arg("--json")).expect_code(0);
    let report = parsed(&finished);
    assert_eq!(finding(&report, "project")["state"], "note");
    assert!(finding(&report, "project")["text"].as_str().is_some_and(|text| text.contains("home directory")));
    assert_eq!(finding(&report, "overlay")["state"], "ok");
}

fn wrong_settings() {
    let project = Project::new();
    project.write("testbox.toml", "pids = 64\nmemroy = \"1G\"\n");
    let report = parsed(&Finished::of(doctor(&project).arg("--json")));
    let text = finding(&report, "project")["text"].as_str().expect("a text").to_owned();
    assert!(text.contains("testbox.toml:2") && text.contains("memory"), "{text}");
}

/// An unprivileged overlay cannot have a lower layer that holds mounts.
fn mount_inside() {
    let project = Project::unprivileged();
    fs_err::create_dir(project.path().join("mounted")).expect("a folder");
    let owner = fs_err::metadata(project.path()).expect("a folder").uid();
    let script = format!(
        "mount -t tmpfs none mounted && exec setpriv --reuid {owner} --regid {owner} --clear-groups \"$0\" doctor --json"
    );
    let report = unshared(&project, &["--mount"], &script);
    assert_eq!(finding(&report, "overlay")["state"], "ok");
    let project = finding(&report, "project");
    assert_eq!(project["state"], "ok");
    let because = project["because"].to_string();
    assert!(because.contains("the box got a copy") && because.contains("something is mounted inside"), "{because}");
}

/// `script` with `$0` as testbox, in the project, under `unshare OPTIONS`.
fn unshared(project: &Project, options: &[&str], script: &str) -> Value {
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/nonexistent");
    command.args(options).args(["sh", "-c", script]).arg(testbox_bin()).current_dir(project.path());
    parsed(&Finished::of(&mut command).expect_code(1))
}

fn read_only_hierarchy() {
    let script = "mount -o remount,bind,ro /sys/fs/cgroup/memory && exec \"$0\" doctor --json";
    let report = unshared(&Project::new(), &["--mount"], script);
    assert_eq!(report["missing"], serde_json::json!(["memory"]));
    assert!(finding(&report, "memory")["text"].as_str().is_some_and(|text| text.contains("on a read-only mount")));
    for wall in ["pids", "namespaces", "disk", "overlay"] {
        assert_eq!(finding(&report, wall)["state"], "ok", "{wall}");
    }
}

/// A user in a user namespace of its own, in which no further one may be made.
fn no_user_namespaces() {
    let project = Project::unprivileged();
    let owner = fs_err::metadata(project.path()).expect("a folder").uid();
    let inner = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" doctor --json";
    let script = format!(
        "exec setpriv --reuid {owner} --regid {owner} --clear-groups \
         unshare --user --map-user={owner} --keep-caps sh -c '{inner}' \"$0\""
    );
    let report = unshared(&project, &["--mount"], &script);
    let namespaces = finding(&report, "namespaces");
    assert_eq!(namespaces["state"], "missing");
    let because = namespaces["because"].to_string();
    assert!(because.contains("/proc/sys/user/max_user_namespaces is 0"), "{because}");
    let fix = namespaces["fix"].as_str().expect("a fix");
    assert!(fix.contains("sysctl -w user.max_user_namespaces="), "{fix}");
    assert_eq!(finding(&report, "seccomp")["state"], "unknown");
    let weaker = Need::Landlock.missing().is_none();
    assert_eq!(fix.contains("or accept a weaker box with `--allow-degraded namespaces`"), weaker, "{fix}");
    let conclusion = report["conclusion"].as_str().expect("a conclusion");
    assert_eq!(conclusion.contains("no run is possible here"), !weaker, "{conclusion}");
}

fn no_temporary_folder() {
    let finished = Finished::of(doctor(&Project::new()).env("TMPDIR", "/nonexistent/folder")).expect_code(125);
    finished.expect_stderr("/nonexistent/folder/testbox-doctor-").expect_stderr("TMPDIR");
}

/// A box says of itself that it is one; who hides that finds the namespaces refused.
fn nested() {
    let finished = Finished::of(doctor(&Project::new()).env("TESTBOX_BOX", "1"));
    finished.expect_code(125).expect_stderr("inside a box");
    let (project, program) = (Project::new(), testbox_bin().to_string_lossy().into_owned());
    let inside = |hidden: &[&str], words: &[&str]| {
        let boxed = [&["-q", "--ro", &program, "--", "/usr/bin/env"], hidden, &[&program], words].concat();
        project.run(&boxed)
    };
    for words in [&["doctor"][..], &["run", "--", "/bin/echo", "STARTED"]] {
        let finished = inside(&[], words).expect_code(125);
        assert_eq!(finished.stdout, "");
        finished.expect_stderr("testbox does not run inside a box").expect_stderr("it is contained already");
    }
    let hidden = ["-u", "TESTBOX_BOX"];
    let finished = inside(&hidden, &["run", "--allow-degraded", "memory,pids", "--", "/bin/echo", "STARTED"]);
    assert_eq!(finished.expect_code(125).expect_stderr("namespaces").stdout, "");
    let report = parsed(&inside(&hidden, &["doctor", "--json"]).expect_code(1));
    let because = finding(&report, "namespaces")["because"].to_string();
    assert!(because.contains("a seccomp filter lies on testbox itself"), "{because}");
}

fn python() {
    let venv = std::env::var("TESTBOX_TEST_VENV").expect("a venv");
    let finished = Finished::of(doctor(&Project::new()).env("VIRTUAL_ENV", &venv)).expect_code(0);
    let line = finished.stdout.lines().find(|line| line.starts_with("note    python ")).expect("a line");
    assert!(line.contains(&venv) && line.contains("VIRTUAL_ENV") && line.contains("pytest "), "{line}");
}

fn no_colour() {
    let finished = Finished::of(doctor(&Project::new()).env("TERM", "xterm-256color"));
    assert!(!finished.stdout.contains('\x1b'), "{}", finished.stdout);
}

fn words_of_this_place() {
    let place = std::env::var("TESTBOX_TEST_PLACE").expect("a place");
    let reviewed = match place.as_str() {
        "root" => include_str!("places/root.txt"),
        "tester" => include_str!("places/tester.txt"),
        "plain" => include_str!("places/plain.txt"),
        "container" => include_str!("places/container.txt"),
        other => panic!("nothing is reviewed for {other}"),
    };
    let project = Project::on_a_disk();
    let said = Finished::of(&mut doctor(&project)).stdout.replace(&*project.path().to_string_lossy(), "PROJECT");
    assert_eq!(neutral(&said), reviewed, "{said}");
}

/// Without the notes and the names of boxes, which differ from machine to machine.
fn neutral(said: &str) -> String {
    let (mut text, mut in_note) = (String::new(), false);
    for line in said.lines() {
        in_note = line.starts_with("note ") || in_note && line.starts_with(' ');
        if !in_note {
            let mut parts = line.split("/testbox-");
            text += parts.next().unwrap_or_default();
            for part in parts {
                text += "/testbox-ID`";
                text += part.split_once('`').map_or("", |(_, rest)| rest);
            }
            text.push('\n');
        }
    }
    text
}

/// As users of the guest learn them, and as root runs them.
fn remedies() {
    for (user, subject) in [("plain", "memory"), ("plain", "pids"), ("tester", "io")] {
        let project = Project::on_a_disk();
        Finished::of(Command::new("chown").arg(user).arg(project.path())).expect_code(0);
        let look = || {
            let mut command = testbox_tests::starter("runuser");
            command.args(["-u", user, "--"]).arg(testbox_bin()).args(["doctor", "--fix"]);
            Finished::of(command.env("HOME", "/nonexistent").current_dir(project.path())).stdout
        };
        let stands = |said: &str| said.lines().any(|line| line.starts_with(&format!("ok      {subject} ")));
        let before = look();
        if stands(&before) {
            assert_eq!(subject, "pids", "the command for memory brings pids as well, and nothing else: {before}");
            continue;
        }
        let (_, commands) = before.split_once("\ncommands for root:\n").unwrap_or_else(|| panic!("{before}"));
        for command in commands.lines() {
            Finished::of(Command::new("sh").args(["-c", command])).expect_code(0);
        }
        let mut said = String::new();
        let is_gone = testbox_tests::wait_until(std::time::Duration::from_secs(20), || {
            said = look();
            stands(&said)
        });
        assert!(is_gone, "{subject} of {user} after {commands}: {said}");
    }
}
