//! Every mistake is an error of its own that names place, value, accepted forms and the nearest valid spelling.

use super::*;

fn message(case: &Case) -> String {
    let error = case.error();
    format!("{error} | {}", error.hint().unwrap_or_default())
}

#[test]
fn values_out_of_range() {
    for (key, value, parts) in [
        ("memory", "0", ["`--memory 0` is too small", "16.0 MiB to 16.0 GiB (this machine's memory)", "`16M`"]),
        ("memory", "512", ["`--memory 512` is too small", "16.0 MiB", "`512M`"]),
        ("memory", "64G", ["`--memory 64G` is too large", "this machine's memory", "`16G`"]),
        ("memory", "999999T", ["`--memory 999999T` is too large", "this machine's memory", "`16G`"]),
        ("swap", "3G", ["`--swap 3G` is too large", "this machine's swap", "`2G`"]),
        ("pids", "0", ["`--pids 0` is too small", "8 to 32768", "`8`"]),
        ("pids", "7", ["`--pids 7` is too small", "8 to 32768", "`8`"]),
        ("pids", "99999999", ["`--pids 99999999` is too large", "pid_max", "`32768`"]),
        ("cpus", "0", ["`--cpus 0` is too small", "0.01 to 4 (this machine's CPUs)", "`0.01`"]),
        ("cpus", "5", ["`--cpus 5` is too large", "or `all`", "`4`"]),
        ("nofile", "3", ["`--nofile 3` is too small", "32 to 65536", "`32`"]),
        ("nofile", "1000000", ["`--nofile 1000000` is too large", "hard limit", "`65536`"]),
        ("io-read", "0", ["`--io-read 0` is too small", "4.0 KiB/s", "`4K`"]),
        ("io-write", "1", ["`--io-write 1` is too small", "or `none`", "`1M`"]),
        ("tmp-size", "0", ["`--tmp-size 0` is too small", "1.0 MiB to 6.0 GiB (the memory limit", "`1M`"]),
        ("tmp-size", "7G", ["`--tmp-size 7G` is too large", "charged", "`6G`"]),
        ("output-limit", "0", ["`--output-limit 0` is too small", "1.0 KiB", "`1K`"]),
        ("fsize", "0", ["`--fsize 0` is too small", "or `none`", "`4K`"]),
        ("jobs", "0", ["`--jobs 0` is too small", "1 to 64", "`1`"]),
        ("jobs", "65", ["`--jobs 65` is too large", "1 to 64", "`64`"]),
        ("test-memory", "0", ["`--test-memory 0` is too small", "16.0 MiB to 6.0 GiB (the memory limit)", "`16M`"]),
        ("file-memory", "64", ["`--file-memory 64` is too small", "the memory limit", "`64M`"]),
        ("max-kills", "0", ["`--max-kills 0` is too small", "1 to 1000000", "`1`"]),
        ("max-kills", "18446744073709551615", ["is too large", "1 to 1000000", "`1000000`"]),
        ("retry-killed", "101", ["`--retry-killed 101` is too large", "0 to 100", "`100`"]),
        ("memories", "10001", ["`--memories 10001` is too large", "0 to 10000", "`10000`"]),
    ] {
        let message = message(&Case::new().flag(key, value));
        for part in parts {
            assert!(message.contains(part), "{key} {value}: `{part}` in {message}");
        }
    }
}

#[test]
fn values_that_contradict_each_other() {
    let policy = "timeout = \"1m\"\ngrace = \"2m\"\n";
    for (case, first, second) in [
        (Case::new().flag("grace", "1h"), "`--grace 1h`", "policy `default`: `timeout = 30m`"),
        (Case::new().flag("idle-timeout", "1h"), "`--idle-timeout 1h`", "`timeout = 30m`"),
        (Case::new().flag("timeout", "5s").flag("grace", "6s"), "`--grace 6s`", "`--timeout 5s`"),
        (Case::new().flag("test-memory", "7G"), "`--test-memory 7G`", "`memory = 6.0 GiB` (machine: 3/4 of 8.0 GiB"),
        (Case::new().flag("memory", "1G").flag("file-memory", "50%"), "`--file-memory 50%`", "`--memory 1G`"),
        (Case::new().flag("test-timeout", "1h"), "`--test-timeout 1h`", "`timeout = 30m`"),
        (Case::new().flag("teardown-timeout", "1h"), "`--teardown-timeout 1h`", "`timeout = 30m`"),
        (Case::new().flag("collect-timeout", "1h"), "`--collect-timeout 1h`", "`timeout = 30m`"),
        (Case::new().flag("isolate", "file").flag("test-memory", "1G"), "`--test-memory 1G`", "`--isolate file`"),
        (Case::new().flag("isolate", "none").flag("file-memory", "1G"), "`--file-memory 1G`", "`--isolate none`"),
        (Case::new().flag("isolate", "none").flag("jobs", "auto"), "`--jobs auto`", "`--isolate none`"),
        (Case::new().flag("file-memory", "1G").flag("test-memory", "1G"), "`--file-memory 1G`", "`--test-memory 1G`"),
        (Case::new().flag("ro", "sub").flag("rw", "sub"), "`--ro sub`", "`--rw sub`"),
        (Case::new().flag("rw", "sub").flag("hide", "./sub/"), "`--rw sub`", "`--hide ./sub/`"),
        (Case::new().file("project/p.toml", policy).flag("policy", "p.toml"), "`grace = 2m`", "`timeout = 1m`"),
    ] {
        let error = case.error();
        assert!(matches!(error, ConfigError::Contradiction { .. }), "{error:?}");
        let message = message(&case);
        assert!(message.contains(first) && message.contains(second), "{message}");
    }
}

#[test]
fn quotas_that_cannot_hold() {
    for (quota, parts) in [
        (
            "\"t/**\" = { memory = \"7G\" }",
            ["testbox.toml:3: `memory = 7G` contradicts", "`memory = 6.0 GiB` (machine"],
        ),
        ("\"t/**\" = { memory = 0 }", ["testbox.toml:3: `memory = 0` is too small", "did you mean `16M`?"]),
        ("\"t/**\" = { pids = 513 }", ["testbox.toml:3: `pids = 513` contradicts", "policy `default`: `pids = 512`"]),
        ("\"t/**\" = { pids = 0 }", ["testbox.toml:3: `pids = 0` is too small", "did you mean `1`?"]),
        ("marker.slow = { timeout = \"2h\" }", ["testbox.toml:3: `timeout = 2h` contradicts", "`timeout = 30m`"]),
        (
            "\"a.py::b\" = { isolate = \"none\" }",
            ["testbox.toml:3: `isolate`: `none` is not", "did you mean `session`?"],
        ),
        ("\"t/**\" = {}", ["testbox.toml:3: `quota`: the quota of `t/**` has no limit", "isolate"]),
    ] {
        let message = message(&Case::new().file("project/testbox.toml", &format!("# mine\n[quota]\n{quota}\n")));
        for part in parts {
            assert!(message.contains(part), "{quota}: `{part}` in {message}");
        }
    }
}

#[test]
fn no_command() {
    for words in [&[][..], &[""]] {
        assert!(matches!(Case::new().command(words).error(), ConfigError::NoCommand));
    }
}

#[test]
fn unknown_names() {
    let message = message(&Case::new().flag("policy", "stict"));
    assert!(message.contains("`--policy`: `stict` is not a policy: accepted are default, strict, open"), "{message}");
    assert!(message.contains("did you mean `strict`?"), "{message}");
    let error = Case::new().flag("seccomp", "defualt").error().to_string();
    assert!(error.contains("is not a seccomp profile") && error.contains("did you mean `default`?"), "{error}");
    assert!(matches!(Case::new().flag("policy", "./no.toml").error(), ConfigError::PathMissing { .. }));
    assert!(matches!(Case::new().flag("seccomp", "./no.json").error(), ConfigError::PathMissing { .. }));
}

#[test]
fn two_project_files_in_one_folder() {
    let case = Case::new()
        .file("project/testbox.toml", "pids = 9\n")
        .file("project/pyproject.toml", "[tool.testbox]\npids = 10\n");
    let message = message(&case);
    assert!(message.contains("testbox.toml") && message.contains("pyproject.toml"), "{message}");
}

#[test]
fn broken_files() {
    let case = Case::new().file("project/testbox.toml", "pids = 9\nmemory\n");
    assert!(case.error().to_string().contains("testbox.toml:2: "), "{}", case.error());
    let case = Case::new().file("project/pyproject.toml", "broken without our name");
    assert_eq!(case.plan().limits.pids.value, 512);
    let case = Case::new().file("project/pyproject.toml", "[tool.testbox\n");
    assert!(matches!(case.error(), ConfigError::Toml { .. }));
    let case = Case::new();
    fs::create_dir(case.path("project/testbox.toml")).unwrap();
    assert!(matches!(case.error(), ConfigError::NotAFile { .. }));
}

#[test]
fn a_policy_must_not_name_a_policy() {
    let case = Case::new().file("project/p.toml", "policy = \"open\"\n").flag("policy", "./p.toml");
    assert!(case.error().to_string().contains("p.toml:1: `policy` is not accepted in a policy"), "{}", case.error());
}

#[test]
fn a_variable_with_bytes_that_are_no_text() {
    use std::os::unix::ffi::OsStringExt;
    let mut case = Case::new();
    case.request.environment.push(("TESTBOX_MEMORY".into(), OsString::from_vec(vec![0xff])));
    assert!(matches!(case.error(), ConfigError::NonUtf8Variable { .. }));
    let mut case = Case::new();
    case.request.environment.push(("OTHER".into(), OsString::from_vec(vec![0xff])));
    case.plan();
}
