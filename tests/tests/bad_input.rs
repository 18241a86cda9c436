//! Bad input of every kind: testbox names what is wrong and the fix, starts nothing, and leaves the old report alone.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use testbox_tests::{Finished, Need, Project, case};

const BOX: &[Need] = &[Need::Box];
const REAL_TIME: &[Need] = &[Need::Box, Need::Root, Need::Cgroup1];

fn main() {
    testbox_tests::run(vec![
        case("limits of zero, negative, absurd or larger than the machine", &[], limits),
        case("how tests are divided and limited, against all reason", &[], divisions),
        case("quotas that say nothing, too much or something unknown", &[], quotas),
        case("a guess for a limit is accepted", &[], guesses_are_accepted),
        case("unknown keys are named with file, line and the nearest", &[], unknown_keys),
        case("values of a wrong type or form are named with file and line", &[], wrong_types),
        case("a file that is not TOML is named with its line", &[], not_toml),
        case("settings in both project files", &[], both_files),
        case("a project file that is no file", &[], no_file),
        case("keys that do not belong in a project file", &[], misplaced_keys),
        case("a policy that contradicts itself", &[], contradictions),
        case("a policy that does not exist", &[], missing_policy),
        case("a seccomp profile that does not exist or is wrong", &[], bad_seccomp),
        case("variables may not change walls, and a typo in one is named", &[], variables),
        case("a testbox in a testbox", &[], nested),
        case("paths of --ro, --rw, --hide and --cwd that cannot be", &[], bad_paths),
        case("`/` and the home directory are no projects", &[], no_projects),
        case("a current folder that was deleted", &[], deleted_cwd),
        case("a project whose path is not UTF-8", &[], non_utf8),
        case("projects with strange names work", BOX, strange_names),
        case("a project that its own user may not read", &[Need::Box, Need::Root], unreadable_project),
        case("a project that the caller may not read", &[Need::User, Need::Root], foreign_project),
        case("no Python at all", &[], no_python),
        case("an environment without pytest", &[Need::Python3], no_pytest),
        case("VIRTUAL_ENV that names nothing, or something else", &[], bad_virtual_env),
        case("an interpreter whose symlink is broken or goes in a circle", &[Need::Python3], broken_interpreter),
        case("an interpreter that this user may not reach", &[Need::Root, Need::Python3], unreachable_interpreter),
        case("every wall that an ordinary user lacks is named at once", &[Need::Cgroup1], missing_walls),
        case("a CPU limit and real-time priority exclude each other on cgroup v1", REAL_TIME, real_time),
        case("an ordinary command needs no Python", BOX, no_python_needed),
        case("a small limit of open files", BOX, small_ulimit),
        case("an empty word as command", &[], empty_command),
    ]);
}

fn limits() {
    let project = Project::new();
    for (flag, value, words) in [
        ("--memory", "0", &["too small", "16.0 MiB", "did you mean `16M`"][..]),
        ("--memory", "512", &["too small", "did you mean `512M`"]),
        ("--memory", "900000G", &["too large", "this machine's memory"]),
        ("--swap", "900000G", &["too large", "this machine's swap"]),
        ("--pids", "0", &["too small", "8 to", "did you mean `8`"]),
        ("--pids", "18446744073709551615", &["too large", "pid_max"]),
        ("--cpus", "0", &["too small", "0.01"]),
        ("--cpus", "100000", &["too large", "this machine's CPUs"]),
        ("--nofile", "3", &["too small", "did you mean `32`"]),
        ("--nofile", "999999999", &["too large", "hard limit of open files"]),
        ("--tmp-size", "0", &["too small", "did you mean `1M`"]),
        ("--tmp-size", "900000G", &["too large", "the memory limit"]),
        ("--output-limit", "0", &["too small"]),
        ("--output-limit", "900000T", &["too large"]),
        ("--fsize", "0", &["too small", "`none`"]),
        ("--io-read", "0", &["too small", "`none`"]),
        ("--io-write", "1", &["too small"]),
    ] {
        let finished = project.refuses(&[flag, value], 125, words);
        assert!(finished.stderr.contains(&format!("`{flag} {value}`")), "{}", finished.stderr);
    }
    for (flag, value) in
        [("--memory", "-1"), ("--pids", "-5"), ("--timeout", "0s"), ("--timeout", "-1s"), ("--grace", "x")]
    {
        project.refuses(&[flag, value], 2, &[flag, value]);
    }
    project.refuses(&["--timeout", "1s", "--grace", "2s"], 125, &["`--grace 2s`", "`--timeout 1s`", "contradicts"]);
    project.refuses(&["--timeout", "1s", "--idle-timeout", "2s"], 125, &["`--idle-timeout 2s`", "`--timeout 1s`"]);
    project.refuses(&["--memory", "64M", "--tmp-size", "65M"], 125, &["`--tmp-size 65M`", "64.0 MiB"]);
}

fn divisions() {
    let project = Project::new();
    for (flag, value, words) in [
        ("--jobs", "0", &["too small", "1 to 64", "did you mean `1`"][..]),
        ("--jobs", "1000000", &["too large", "did you mean `64`"]),
        ("--test-memory", "0", &["too small", "16.0 MiB", "did you mean `16M`"]),
        ("--test-memory", "900000G", &["`memory = ", "a worker has no more than its box"]),
        ("--file-memory", "900000G", &["`memory = ", "a worker has no more than its box"]),
        ("--max-kills", "0", &["too small", "did you mean `1`"]),
        ("--retry-killed", "18446744073709551615", &["too large", "did you mean `100`"]),
        ("--memories", "10001", &["too large", "did you mean `10000`"]),
        ("--test-timeout", "300d", &["`timeout = 30m`", "the run would end before"]),
    ] {
        let finished = project.refuses(&[flag, value], 125, words);
        assert!(finished.stderr.contains(&format!("`{flag} {value}`")), "{}", finished.stderr);
    }
    for (flag, value, words) in [
        ("--isolate", "0", &["from 1 to 1000000", "did you mean `test`"][..]),
        ("--isolate", "-1", &["session, file, test, none"]),
        ("--isolate", "flie", &["did you mean `file`"]),
        ("--isolate", "1000001", &["did you mean `1000000`"]),
        ("--jobs", "-2", &["whole numbers", "or `auto`"]),
        ("--jobs", "atuo", &["did you mean `auto`"]),
        ("--test-memory", "1 gig", &["did you mean `1G`"]),
        ("--collect-timeout", "5", &["did you mean `5s`"]),
        ("--test-timeout", "0s", &["did you mean `1s`"]),
        ("--teardown-timeout", "nnoe", &["did you mean `none`"]),
        ("--max-kills", "ten", &["whole numbers"]),
    ] {
        project.refuses(&[flag, value], 2, words);
    }
    for (first, second) in [
        (["--test-memory", "1G"], ["--memory", "512M"]),
        (["--test-memory", "64M"], ["--isolate", "file"]),
        (["--file-memory", "64M"], ["--isolate", "session"]),
        (["--jobs", "2"], ["--isolate", "none"]),
        (["--test-timeout", "5s"], ["--isolate", "none"]),
        (["--collect-timeout", "5m"], ["--timeout", "1m"]),
    ] {
        let both = [first.join(" "), second.join(" ")].map(|stated| format!("`{stated}`"));
        project.refuses(&[first, second].concat(), 125, &[&both[0], &both[1], "contradicts"]);
    }
}

fn quotas() {
    let project = Project::new();
    for (text, words) in [
        ("\"t/**\" = { memroy = \"1G\" }", &["unknown key `memroy`", "did you mean `memory`?"][..]),
        ("\"t/**\" = { }", &["the quota of `t/**` has no limit"]),
        ("\"t/**\" = \"1G\"", &["`quota` is a value", "table"]),
        ("\"t/**\" = { memory = \"900000G\" }", &["`memory = 900000G`", "a worker has no more than its box"]),
        ("\"t/**\" = { memory = 1 }", &["`memory = 1`", "too small"]),
        ("marker.slow = { pids = 99999 }", &["`pids = 99999`", "`pids = 512`"]),
        ("marker.\"not one\" = { pids = 9 }", &["`not one` is not a marker"]),
        ("marker.slow = { timeout = 90 }", &["`timeout`", "did you mean `90s`?"]),
        ("\"/t/**\" = { pids = 9 }", &["`/t/**` is not a glob of tests"]),
        ("\"../a.py::x\" = { pids = 9 }", &["`../a.py::x` is not a node id"]),
        ("\"a.py::x\" = { isolate = \"none\" }", &["`isolate`", "did you mean `session`?"]),
    ] {
        project.write("testbox.toml", &format!("# mine\n[quota]\n{text}\n"));
        let finished = project.refuses(&[] as &[&str], 125, words);
        assert!(finished.stderr.contains("testbox.toml:3: "), "{}", finished.stderr);
    }
    project.write("testbox.toml", "[qouta]\n");
    project.refuses(&[] as &[&str], 125, &["testbox.toml:1: unknown key `qouta`", "did you mean `quota`?"]);
}

/// What stands in backticks behind `did you mean`.
fn guess(stderr: &str) -> Option<String> {
    Some(stderr.split_once("did you mean `")?.1.split_once('`')?.0.to_owned())
}

fn guesses_are_accepted() {
    let project = Project::new();
    for (flag, value) in [
        ("--memory", "0"),
        ("--memory", "900000G"),
        ("--swap", "900000G"),
        ("--pids", "1"),
        ("--pids", "99999999"),
        ("--cpus", "100000"),
        ("--cpus", "0"),
        ("--nofile", "1"),
        ("--nofile", "999999999"),
        ("--tmp-size", "0"),
        ("--tmp-size", "900000G"),
        ("--output-limit", "7"),
        ("--fsize", "1"),
        ("--io-read", "1"),
        ("--timeout", "0s"),
        ("--timeout", "5000d"),
        ("--memory", "1000%"),
        ("--jobs", "0"),
        ("--jobs", "999"),
        ("--isolate", "0"),
        ("--isolate", "9999999"),
        ("--test-memory", "5"),
        ("--max-kills", "0"),
        ("--retry-killed", "999"),
        ("--memories", "99999"),
    ] {
        let stderr = project.run(&["--dry-run", flag, value, "--", "true"]).stderr;
        let guess = guess(&stderr).unwrap_or_else(|| panic!("{flag} {value}: no guess in {stderr}"));
        project.run(&["--dry-run", flag, &guess, "--", "true"]).expect_code(0);
    }
}

fn unknown_keys() {
    let project = Project::new();
    project.write("testbox.toml", "# limits\n\nmemry = \"1G\"\n");
    project.refuses(&[] as &[&str], 125, &["testbox.toml:3", "unknown key `memry`", "did you mean `memory`?"]);
    project.write("testbox.toml", "zzzzzzzz = 1\n");
    project.refuses(&[] as &[&str], 125, &["testbox.toml:1", "`zzzzzzzz`", "testbox help policy"]);
    fs_err::remove_file(project.path().join("testbox.toml")).expect("removed");
    project.write("pyproject.toml", "[project]\nname = \"x\"\n[tool.testbox]\npids = 64\nidle_timeout = \"3s\"\n");
    project.refuses(&[] as &[&str], 125, &["pyproject.toml:5", "`idle_timeout`", "did you mean `idle-timeout`?"]);
    project.write("ci.toml", "\nsecomp = \"strict\"\n");
    fs_err::remove_file(project.path().join("pyproject.toml")).expect("removed");
    project.refuses(&["--policy", "./ci.toml"], 125, &["ci.toml:2", "did you mean `seccomp`?"]);
}

fn wrong_types() {
    let project = Project::new();
    for (text, words) in [
        ("pids = \"many\"", &["`pids`", "`many`", "whole numbers"][..]),
        ("pids = [3]", &["`pids`", "list", "single value"]),
        ("hide = \"x\"\npids = 1.5", &["`pids`", "`1.5`"]),
        ("write = \"yes\"", &["`write`", "`yes`", "did you mean `true`?"]),
        ("memory = true", &["`memory`", "`true`"]),
        ("ro = [1]", &["`ro`"]),
        ("memory = { max = 1 }", &["`memory`"]),
        ("timeout = 90", &["`timeout`", "`90`", "did you mean `90s`?"]),
        ("memory = 0", &["`memory = 0`", "too small"]),
        ("memory = -1", &["`memory`", "`-1`"]),
    ] {
        project.write("testbox.toml", &format!("{text}\n"));
        let finished = project.refuses(&[] as &[&str], 125, words);
        let line = format!("testbox.toml:{}", text.lines().count());
        assert!(finished.stderr.contains(&line), "no {line} in {}", finished.stderr);
    }
}

fn not_toml() {
    let project = Project::new();
    for text in ["pids = \n", "[limits\n", "pids = 3\npids = 4\n", "\u{0}\n", "= 3\n"] {
        project.write("testbox.toml", &format!("# comment\n{text}"));
        project.refuses(&[] as &[&str], 125, &["testbox.toml:"]);
    }
    fs_err::write(project.path().join("testbox.toml"), b"pids = 64 # \xff\n").expect("a file");
    project.refuses(&[] as &[&str], 125, &["testbox.toml", "UTF-8"]);
}

fn both_files() {
    let project = Project::new();
    project.write("testbox.toml", "pids = 64\n").write("pyproject.toml", "[tool.testbox]\npids = 65\n");
    project.refuses(&[] as &[&str], 125, &["both", "testbox.toml", "pyproject.toml", "keep the settings in one"]);
    project.write("pyproject.toml", "[tool.other]\npids = 65\n");
    project.run(&["--dry-run", "--", "true"]).expect_code(0);
}

fn no_file() {
    let project = Project::new();
    fs_err::create_dir(project.path().join("testbox.toml")).expect("a folder");
    project.refuses(&[] as &[&str], 125, &["testbox.toml", "not a regular file"]);
    fs_err::remove_dir(project.path().join("testbox.toml")).expect("removed");
    symlink("/dev/zero", project.path().join("testbox.toml")).expect("a symlink");
    project.refuses(&[] as &[&str], 125, &["testbox.toml"]);
}

fn misplaced_keys() {
    let project = Project::new();
    for key in ["tty = true", "raw-output = true", "no-project-file = true"] {
        project.write("testbox.toml", key);
        let name = key.split(' ').next().expect("a name");
        project.refuses(&[] as &[&str], 125, &["testbox.toml:1", &format!("`{name}`"), "not accepted"]);
    }
}

fn contradictions() {
    let project = Project::new();
    project.write("p.toml", "timeout = \"1s\"\ngrace = \"10s\"\n");
    project.refuses(
        &["--policy", "./p.toml"],
        125,
        &["p.toml:1", "p.toml:2", "`grace = 10s`", "`timeout = 1s`", "contradicts"],
    );
    project.write("p.toml", "ro = [\"/usr/share\"]\n\nrw = [\"/usr/share\"]\n");
    project.refuses(&["--policy", "./p.toml"], 125, &["p.toml:1", "p.toml:3", "/usr/share", "same path"]);
    project.write("p.toml", "memory = \"64M\"\ntmp-size = \"1G\"\n");
    project.refuses(&["--policy", "./p.toml"], 125, &["p.toml:2", "tmp-size = 1G", "memory limit"]);
}

fn missing_policy() {
    let project = Project::new();
    project.refuses(&["--policy", "./none.toml"], 125, &["`--policy`", "none.toml", "does not exist"]);
    project.refuses(&["--policy", "strct"], 125, &["`strct`", "default, strict, open", "did you mean `strict`?"]);
    project.refuses(&["--policy", "."], 125, &["`--policy`"]);
    project.refuses(&["--policy", ""], 2, &["--policy"]);
    project.write("testbox.toml", "\npolicy = \"./gone.toml\"\n");
    project.refuses(&[] as &[&str], 125, &["testbox.toml:2", "gone.toml", "does not exist"]);
}

fn bad_seccomp() {
    let project = Project::new();
    project.refuses(&["--seccomp", "./none.json"], 125, &["`--seccomp`", "none.json", "does not exist"]);
    project.refuses(&["--seccomp", "dfault"], 125, &["`dfault`", "did you mean `default`?"]);
    project.write("s.json", "{\n  \"default\": {\n    oops\n");
    project.refuses(&["--seccomp", "./s.json"], 125, &["s.json", "line 3"]);
    project.write("s.json", "[]");
    project.refuses(&["--seccomp", "./s.json"], 125, &["s.json"]);
    project.write("s.json", "");
    project.refuses(&["--seccomp", "./s.json"], 125, &["s.json"]);
}

fn variables() {
    let project = Project::new();
    let refused = |name: &str, value: &str, words: &[&str]| {
        let mut command = project.command(&["--", "echo", "STARTED"]);
        project.refused(command.env(name, value), 125, &[&[name], words].concat())
    };
    for (name, flag) in [
        ("TESTBOX_NET", "--net"),
        ("TESTBOX_POLICY", "--policy"),
        ("TESTBOX_SECCOMP", "--seccomp"),
        ("TESTBOX_ALLOW_DEGRADED", "--allow-degraded"),
        ("TESTBOX_RO", "--ro"),
        ("TESTBOX_RW", "--rw"),
        ("TESTBOX_HIDE", "--hide"),
        ("TESTBOX_WRITE", "--write"),
    ] {
        refused(name, "host", &["refused", flag]);
    }
    refused("TESTBOX_MEMRY", "1G", &["did you mean `TESTBOX_MEMORY`?"]);
    refused("TESTBOX_MEMORY", "lots", &["`lots`", "512M"]);
    refused("TESTBOX_PIDS", "1", &["`TESTBOX_PIDS=1`", "too small"]);
    let mut command = project.command(&["--", "echo", "STARTED"]);
    let binary = OsStr::from_bytes(b"1G\xff");
    project.refused(command.env("TESTBOX_MEMORY", binary), 125, &["TESTBOX_MEMORY", "UTF-8"]);
}

fn nested() {
    let project = Project::new();
    let mut command = project.command(&["--", "echo", "STARTED"]);
    project.refused(command.env("TESTBOX_BOX", "1"), 125, &["inside a box", "TESTBOX_BOX=1", "unset TESTBOX_BOX"]);
}

fn bad_paths() {
    let project = Project::new();
    for (flag, value, words) in [
        ("--ro", "/no/such/place", &["does not exist"][..]),
        ("--rw", "/no/such/place", &["does not exist"]),
        ("--ro", "/", &["the whole host"]),
        ("--rw", "/proc/self", &["/proc, /sys and /dev"]),
        ("--ro", ".", &["the project"]),
        ("--hide", ".", &["runs in it"]),
        ("--cwd", "none", &["does not exist"]),
        ("--cwd", "/dev/null", &["not a folder"]),
    ] {
        let finished = project.refuses(&[flag, value], 125, words);
        assert!(finished.stderr.contains(&format!("`{flag}`")), "{}", finished.stderr);
    }
    project.refuses(&["--ro", "/usr/share", "--hide", "/usr/share"], 125, &["same path"]);
    project.refuses(&["--output", "../x"], 2, &["../x", "globs inside the project"]);
}

fn no_projects() {
    let project = Project::new();
    let at = |folder: &std::path::Path| {
        let mut command = project.command(&["--", "echo", "STARTED"]);
        project.refused(
            command.current_dir(folder).env("HOME", project.path()),
            125,
            &["cannot be the project", "--cwd"],
        )
    };
    at(std::path::Path::new("/")).expect_stderr("`/`");
    at(project.path()).expect_stderr("home directory");
    for folder in ["/etc", "/usr", "/tmp", "/proc", "/dev"] {
        let mut command = project.command(&["--", "echo", "STARTED"]);
        command.current_dir(folder);
        project.refused(&mut command, 125, &[folder]);
    }
}

fn deleted_cwd() {
    let project = Project::new();
    let mut command = project.through_shell("mkdir gone; cd gone; rmdir ../gone", &["--", "echo", "STARTED"]);
    project.refused(&mut command, 125, &["current folder", "No such file or directory", "`cd`"]);
}

fn non_utf8() {
    let project = Project::named(OsStr::from_bytes(b"not-\xff-utf8"));
    project.refuses(&[] as &[&str], 125, &["UTF-8", "rename"]);
}

fn strange_names() {
    let long = "x".repeat(200);
    for name in
        ["a b", "a\nb", "it's \"quoted\"", "a:b", "a,b", "a\\b", "a=b", "-rf", "$HOME", "ünï", "a\tb", "%s#", &long]
    {
        let project = Project::named(name);
        project.write("file", "host\n");
        let script = "pwd; cat file; echo box > file; cat file; echo r > report.xml";
        let finished = project.run(&["-q", "--", "sh", "-c", script]).expect_code(0);
        let root = fs_err::canonicalize(project.path()).expect("a path");
        assert_eq!(finished.stdout, format!("{}\nhost\nbox\n", root.display()), "{name:?}");
        assert_eq!(fs_err::read_to_string(project.path().join("file")).expect("file"), "host\n", "{name:?}");
        assert_eq!(fs_err::read_to_string(project.path().join("report.xml")).expect("report"), "r\n", "{name:?}");
        assert_eq!(project.report()["project"], root.to_string_lossy().as_ref());
        project.run(&["-q", "--write", "--", "sh", "-c", "echo box > file"]).expect_code(0);
        assert_eq!(fs_err::read_to_string(project.path().join("file")).expect("file"), "box\n", "{name:?}");
    }
}

fn mode(path: &std::path::Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}

fn unreadable_project() {
    let project = Project::new();
    let name = project.path().to_string_lossy().into_owned();
    let mut command = project.command(&["--", "echo", "STARTED"]);
    project.write("x", "");
    mode(project.path(), 0o000);
    project.refused(&mut command, 125, &[&name, "chmod u+rx"]);
    mode(project.path(), 0o755);
}

fn foreign_project() {
    let project = Project::unprivileged();
    std::os::unix::fs::chown(project.path(), Some(0), Some(0)).expect("chown");
    mode(project.path(), 0o700);
    let mut command = testbox_tests::testbox();
    command.current_dir("/").args(["run", "--cwd"]).arg(project.path()).args(["--", "echo", "STARTED"]);
    let finished = Finished::of(testbox_tests::unprivileged(&mut command)).expect_code(125);
    assert!(finished.stderr.contains("Permission denied"), "{}", finished.stderr);
    assert!(finished.stderr.contains(&*project.path().to_string_lossy()), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
}

fn no_python() {
    let project = Project::new();
    for words in [&["pytest"][..], &["python3", "-c", "1"], &["python", "-m", "pytest"]] {
        let mut command = project.command(&["--"]);
        command.args(words).env("PATH", project.path()).env_remove("VIRTUAL_ENV");
        let finished = project.refused(&mut command, 125, &["hint:", ".venv"]);
        assert!(finished.stderr.contains("VIRTUAL_ENV") || finished.stderr.contains("PATH"), "{}", finished.stderr);
    }
}

fn venv(project: &Project) {
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(project.path().join(".venv")).status();
    assert!(made.expect("python3").success());
}

fn no_pytest() {
    let project = Project::new();
    venv(&project);
    for words in [&["pytest"][..], &["python", "-m", "pytest", "-x"], &[".venv/bin/python", "-m", "pytest"]] {
        let mut command = project.command(&["--"]);
        command.args(words).env_remove("VIRTUAL_ENV");
        project.refused(&mut command, 125, &["no pytest in", ".venv", "site-packages", "pip install pytest"]);
    }
}

fn bad_virtual_env() {
    let project = Project::new();
    project.write("folder/x", "");
    for value in ["/no/such/venv", &project.path().join("folder").to_string_lossy(), "/etc/passwd"] {
        let mut command = project.command(&["--", "pytest"]);
        project.refused(command.env("VIRTUAL_ENV", value), 125, &["VIRTUAL_ENV", value, "hint:"]);
    }
}

fn broken_interpreter() {
    for target in ["/no/such/python3", "python"] {
        let project = Project::new();
        venv(&project);
        for name in ["python", "python3"] {
            fs_err::remove_file(project.path().join(".venv/bin").join(name)).expect("removed");
            symlink(target, project.path().join(".venv/bin").join(name)).expect("a symlink");
        }
        let mut command = project.command(&["--", "python", "-c", "print('STARTED')"]);
        project.refused(command.env_remove("VIRTUAL_ENV"), 125, &[".venv/bin/python", "hint:"]);
    }
}

fn unreachable_interpreter() {
    let project = Project::unprivileged();
    venv(&project);
    let secret = tempfile::tempdir().expect("a folder of root");
    fs_err::write(secret.path().join("python"), "").expect("a file");
    fs_err::set_permissions(secret.path(), std::fs::Permissions::from_mode(0o700)).expect("closed");
    for name in ["python", "python3"] {
        fs_err::remove_file(project.path().join(".venv/bin").join(name)).expect("removed");
        symlink(secret.path().join("python"), project.path().join(".venv/bin").join(name)).expect("a symlink");
    }
    let mut command = project.command(&["--", "python", "-c", "print('STARTED')"]);
    let folder = secret.path().to_str().expect("text");
    project.refused(command.env_remove("VIRTUAL_ENV"), 125, &["cannot be reached", "let this user look into", folder]);
}

fn missing_walls() {
    let project = Project::unprivileged();
    let mut command = project.command(&["--", "echo", "STARTED"]);
    project.refused(
        &mut command,
        125,
        &["cannot build the walls `memory`, `pids`", "Permission denied", "--allow-degraded memory,pids"],
    );
}

/// Where the kernel divides real-time among groups as well: the box's group has none to give.
fn real_time() {
    let project = Project::new();
    let plain = project.command(&["--cpus", "1", "--", "echo", "STARTED"]);
    let mut command = testbox_tests::starter("chrt");
    command.args(["--fifo", "1"]).arg(plain.get_program()).args(plain.get_args()).current_dir(project.path());
    if std::path::Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
        project.refused(&mut command, 125, &["cannot join the cgroups", "real-time priority", "`--cpus`"]);
    } else {
        assert_eq!(Finished::of(&mut command).expect_code(0).stdout, "STARTED\n");
    }
}

fn no_python_needed() {
    let project = Project::new();
    let mut command = project.command(&["-q", "--", "/bin/echo", "fine"]);
    let finished = Finished::of(command.env_remove("VIRTUAL_ENV").env("PATH", "")).expect_code(0);
    assert_eq!(finished.stdout, "fine\n");
}

fn small_ulimit() {
    let project = Project::new();
    let mut command = project.through_shell("ulimit -n 20", &["--", "echo", "STARTED"]);
    project.refused(&mut command, 125, &["`nofile` needs at least 32", "is 20", "ulimit -n 4096"]);
    for number in [32, 40, 64, 100] {
        let mut command = project.through_shell(&format!("ulimit -n {number}"), &["-q", "--", "sh", "-c", "ulimit -n"]);
        assert_eq!(Finished::of(&mut command).expect_code(0).stdout, format!("{number}\n"));
    }
}

fn empty_command() {
    let project = Project::new();
    project.refused(&mut project.command(&["--", ""]), 125, &["no command", "testbox run -- pytest"]);
}
