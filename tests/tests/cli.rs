//! What people type and read: help, mistakes, topics, completions, man pages, and the plan that `--dry-run` prints.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

use testbox_tests::{Finished, Project, case, testbox};

const SUBCOMMANDS: [&str; 10] = ["run", "bundle", "doctor", "ps", "logs", "kill", "gc", "completions", "man", "help"];

fn main() {
    testbox_tests::run(vec![
        case("every subcommand has a help", &[], every_subcommand_has_a_help),
        case("every flag with a value shows an example and every limit its default", &[], flags_are_explained),
        case("a typo in any flag names the nearest flag", &[], typos_name_the_nearest),
        case("a wrong value names flag, value, accepted forms and the nearest", &[], wrong_values),
        case("a guess is never the wrong value itself", &[], guesses_are_valid),
        case("a mistyped subcommand or topic names the nearest", &[], mistyped_words),
        case("the help topics tell what they promise", &[], topics),
        case("completions parse in their shells", &[], completions_parse),
        case("man pages are written and render", &[], man_pages_render),
        case("without a command the usage is shown", &[], usage),
        case("a dry run names the origin of every value", &[], origins),
        case("flags beat environment beats project file beats policy", &[], precedence),
        case("a dry run shows how tests are divided and in which order quotas hold", &[], quotas),
        case("what nothing heeds is said, in a dry run as well", &[], unheeded),
        case("a dry run starts nothing and writes nothing", &[], dry_run_writes_nothing),
        case("a dry run as JSON is one JSON document", &[], dry_run_json),
        case("the version is printed", &[], version),
        case("a bundle is written once, and never into the project", &[], bundle),
    ]);
}

fn said(arguments: &[&str]) -> Finished {
    Finished::of(testbox().args(arguments))
}

fn every_subcommand_has_a_help() {
    for subcommand in SUBCOMMANDS {
        let long = said(&[subcommand, "--help"]).expect_code(0).stdout;
        let short = said(&[subcommand, "-h"]).expect_code(0).stdout;
        let topic = said(&["help", subcommand]).expect_code(0).stdout;
        assert!(long.contains(&format!("Usage: testbox {subcommand}")), "{long}");
        assert!(short.len() <= long.len(), "-h is longer than --help for {subcommand}");
        assert!(topic.contains(&format!("Usage: testbox {subcommand}")), "{topic}");
    }
}

/// The flags of a subcommand, each with its block of help.
fn blocks(subcommand: &str) -> Vec<(String, String)> {
    let help = said(&[subcommand, "--help"]).stdout;
    let mut blocks: Vec<(String, String)> = vec![];
    for line in help.lines() {
        let flag = line.split_whitespace().find(|word| word.starts_with("--")).filter(|_| line.starts_with("  "));
        match flag.filter(|_| !line.starts_with("          ")) {
            Some(flag) => {
                let name = flag.split(['=', '[']).next().unwrap_or(flag).trim_end_matches(['.', ',']);
                blocks.push((name.to_owned(), format!("{line}\n")));
            }
            None if line.starts_with("          ") || line.is_empty() => {
                if let Some((_, text)) = blocks.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
            None => {}
        }
    }
    blocks.retain(|(_, text)| text.starts_with("      -") || text.starts_with("  -"));
    blocks
}

fn flags_are_explained() {
    for subcommand in ["run", "bundle"] {
        let blocks = blocks(subcommand);
        assert!(blocks.len() > 25, "{blocks:?}");
        for (flag, text) in &blocks {
            let takes_a_value = text.lines().next().is_some_and(|line| line.contains('<') && !line.contains("[="));
            assert!(!takes_a_value || text.contains("Example:") || text.contains("[possible values"), "{text}");
            assert!(text.lines().count() > 1, "`{flag}` is not explained");
        }
        let defaults = ["memory", "pids", "cpus", "nofile", "timeout", "grace", "output-limit", "report-dir", "net"];
        for name in defaults {
            let (_, text) = blocks.iter().find(|(flag, _)| flag == &format!("--{name}")).expect(name);
            assert!(text.contains("[default: "), "{text}");
        }
    }
}

/// The flag with its last two letters exchanged, or the last one doubled where that changes nothing.
fn typo(flag: &str) -> String {
    let mut letters: Vec<char> = flag.chars().collect();
    let last = letters.len() - 1;
    letters.swap(last, last - 1);
    let swapped: String = letters.iter().collect();
    if swapped == flag || flag.len() < 6 { format!("{flag}{}", letters[last]) } else { swapped }
}

fn typos_name_the_nearest() {
    for subcommand in ["run", "bundle"] {
        for (flag, _) in blocks(subcommand) {
            let typed = typo(&flag);
            let error = said(&[subcommand, &typed, "--", "true"]).expect_code(2).stderr;
            assert!(error.contains(&format!("'{typed}'")), "{typed}: {error}");
            assert!(error.contains(&format!("'{flag}'")), "{typed} does not lead to {flag}: {error}");
        }
    }
}

fn wrong_values() {
    for (flag, value, parts) in [
        ("--memory", "2gigs", &["like 512M or 2GiB", "did you mean `2G`?"][..]),
        ("--memory", "-1", &["is not a size", "like 512M"]),
        ("--memory", "200%", &["a share", "did you mean `100%`?"]),
        ("--memory", "1P", &["K, M, G, T"]),
        ("--swap", "lots", &["is not a size"]),
        ("--pids", "many", &["whole numbers like 512"]),
        ("--pids", "64k", &["did you mean `64`?"]),
        ("--cpus", "nan", &["numbers like 2 or 1.5"]),
        ("--nofile", "1e3", &["whole numbers"]),
        ("--io-read", "fast", &["10M/s"]),
        ("--io-write", "10mb/s/s", &["10M/s"]),
        ("--tmp-size", "1 gig", &["did you mean `1G`?"]),
        ("--output-limit", "8megs", &["did you mean `8M`?"]),
        ("--fsize", "nonne", &["did you mean `none`?"]),
        ("--timeout", "90", &["1h30m", "did you mean `90s`?"]),
        ("--timeout", "1h30", &["did you mean `1h30m`?"]),
        ("--timeout", "0s", &["1ms", "365d"]),
        ("--timeout", "9000d", &["365d", "did you mean `365d`?"]),
        ("--idle-timeout", "1 hour", &["did you mean `1h`?"]),
        ("--grace", "soon", &["90s"]),
        ("--net", "hots", &["none, host", "'host'"]),
        ("--allow-degraded", "memry", &["'memory'"]),
        ("--json", "x", &["did you mean `-`?"]),
        ("--env", "=x", &["NAME=VALUE"]),
        ("--output", "/abs", &["globs inside the project"]),
    ] {
        let error = said(&["run", flag, value, "--", "true"]).expect_code(2).stderr;
        for part in [flag, value].iter().chain(parts) {
            assert!(error.contains(part), "{flag} {value}: no `{part}` in {error}");
        }
    }
}

fn guesses_are_valid() {
    for (flag, value) in [
        ("--memory", "99999999999999999999T"),
        ("--pids", "99999999999999999999"),
        ("--io-write", "99999999T"),
        ("--timeout", "1000000d"),
        ("--grace", "0.0001s"),
    ] {
        let error = said(&["run", flag, value, "--", "true"]).expect_code(2).stderr;
        assert!(!error.contains(&format!("did you mean `{value}`")), "{error}");
    }
}

fn mistyped_words() {
    said(&["rnu", "--", "true"]).expect_code(2).expect_stderr("'run'");
    said(&["help", "exit-code"]).expect_code(2).expect_stderr("did you mean `exit-codes`?");
    said(&["completions", "bsh"]).expect_code(2).expect_stderr("'bash'");
}

fn topics() {
    let codes = said(&["help", "exit-codes"]).expect_code(0).stdout;
    for (code, meaning) in testbox_model::ExitCode::TABLE {
        assert!(codes.contains(code) && codes.contains(meaning), "{code}: {codes}");
    }
    let policy = said(&["help", "policy"]).expect_code(0).stdout;
    for key in
        ["memory = \"auto\"", "pids = 512", "seccomp = \"default\"", "report-dir", "isolate = \"session\"", "[quota]"]
    {
        assert!(policy.contains(key), "{key}: {policy}");
    }
    assert!(said(&["help", "policy", "strict"]).expect_code(0).stdout.contains("seccomp = \"strict\""));
    let limits = said(&["help", "limits"]).expect_code(0).stdout;
    for flag in [
        "--memory",
        "--pids",
        "--cpus",
        "--tmp-size",
        "--output-limit",
        "--fsize",
        "--timeout",
        "--test-memory",
        "[quota]",
    ] {
        assert!(limits.contains(flag), "{flag}: {limits}");
    }
}

fn completions_parse() {
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("allow-degraded"), "{shell} does not know --allow-degraded");
        let mut parse = Command::new(shell);
        parse.arg("-n").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A shell that is not installed cannot read them either.
        let Ok(mut parser) = parse.spawn() else { continue };
        parser.stdin.take().expect("stdin").write_all(script.as_bytes()).expect("the script");
        let output = parser.wait_with_output().expect("the shell's end");
        assert!(output.status.success(), "{shell} -n: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn man_pages_render() {
    let project = Project::new();
    let dir = project.path().join("man");
    said(&["man", &dir.to_string_lossy()]).expect_code(0);
    for page in ["testbox.1", "testbox-run.1", "testbox-doctor.1", "testbox-gc.1"] {
        let text = fs_err::read_to_string(dir.join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
    let page = dir.join("testbox-run.1");
    let Ok(output) = Command::new("man").arg("-l").arg(&page).env("MANPAGER", "cat").env("LC_ALL", "C.UTF-8").output()
    else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("memory"), "{text}");
}

fn usage() {
    let nothing = said(&[]).expect_code(2).stderr;
    assert!(nothing.contains("Usage: testbox"), "{nothing}");
    for words in [&["run"][..], &["run", "--"], &["run", "--memory", "2G"]] {
        said(words).expect_code(2).expect_stderr("COMMAND");
    }
}

/// The line of a key in a plan.
#[track_caller]
fn line(plan: &str, key: &str) -> String {
    plan.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap_or_else(|| panic!("{key}: {plan}")).to_owned()
}

fn origins() {
    let project = Project::new();
    project.write("testbox.toml", "# limits\npids = 64\nhide = [\"secret\"]\n");
    project.write("ci.toml", "# a policy\n\nnofile = 128\n");
    let mut command = project.command(&["--dry-run", "--memory", "64M", "--hide", "other", "--policy", "./ci.toml"]);
    let plan = Finished::of(command.env("TESTBOX_TIMEOUT", "9s").args(["--", "true"])).expect_code(0).stdout;
    for (key, value, origin) in [
        ("memory", "64.0 MiB", "flag --memory"),
        ("pids", "64", "testbox.toml:2"),
        ("nofile", "128", "ci.toml:3"),
        ("timeout", "9 s", "environment TESTBOX_TIMEOUT"),
        ("grace", "2 s", "policy default"),
        ("tmp-size", "64.0 MiB", "machine: 1/4 of"),
        ("policy", "ci.toml", "flag --policy"),
    ] {
        let line = line(&plan, key);
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
    let hide = line(&plan, "hide");
    assert!(hide.contains("flag --hide + ") && hide.contains("testbox.toml:3"), "{hide}");
    let pyproject = Project::new();
    pyproject.write("pyproject.toml", "[project]\nname = \"x\"\n\n[tool.testbox]\npids = 99\n");
    let plan = pyproject.run(&["--dry-run", "--", "true"]).expect_code(0).stdout;
    assert!(line(&plan, "pids").contains("pyproject.toml:5"), "{plan}");
}

fn precedence() {
    let project = Project::new();
    let policy = project.path().join("p.toml");
    project.write("p.toml", "pids = 10\n");
    let pids = |file: bool, variable: bool, flag: bool| {
        project
            .write("testbox.toml", if file { "policy = \"./p.toml\"\npids = 20\n" } else { "policy = \"./p.toml\"\n" });
        let mut command = project.command(&["--dry-run"]);
        if variable {
            command.env("TESTBOX_PIDS", "30");
        }
        if flag {
            command.args(["--pids", "40"]);
        }
        line(&Finished::of(command.args(["--", "true"])).expect_code(0).stdout, "pids")
    };
    assert!(policy.exists());
    for (file, variable, flag, value, origin) in [
        (false, false, false, "10", "p.toml:1"),
        (true, false, false, "20", "testbox.toml:2"),
        (true, true, false, "30", "environment TESTBOX_PIDS"),
        (true, true, true, "40", "flag --pids"),
        (false, true, false, "30", "environment TESTBOX_PIDS"),
    ] {
        let line = pids(file, variable, flag);
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
}

const QUOTAS: &str = "[tool.pytest.ini_options]\n[tool.testbox]\n[tool.testbox.quota]\n\
    \"tests/**\" = { timeout = \"90s\" }\n\"tests/e3e/**\" = { pids = 20 }\nmarker.slow = { memory = \"64M\" }\n\
    \"tests/e2e/test_b.py::test_x\" = { isolate = \"test\", memory = \"96M\" }\n";

fn quotas() {
    let project = Project::new();
    for file in ["tests/test_a.py", "tests/e2e/test_b.py", "tests/__pycache__/test_a.pyc"] {
        project.write(file, "");
    }
    project.write("pyproject.toml", QUOTAS);
    let plan =
        project.run(&["--dry-run", "--memory", "128M", "--test-memory", "50M", "--", "pytest"]).expect_code(0).stdout;
    let isolate = line(&plan, "isolate");
    assert!(isolate.contains(" test ") && isolate.ends_with("(implied by flag --test-memory)"), "{isolate}");
    let lines: Vec<&str> = plan.lines().skip_while(|line| !line.starts_with("quota ")).take(4).collect();
    for (line, (words, number)) in lines.iter().zip([
        ("node tests/e2e/test_b.py::test_x: memory 96.0 MiB, isolate test", 7),
        ("marker slow: memory 64.0 MiB", 6),
        ("path tests/e3e/** (matches no file): pids 20", 5),
        ("path tests/** (2 files): timeout 1 min 30 s", 4),
    ]) {
        assert!(line.contains(words) && line.ends_with(&format!("pyproject.toml:{number})")), "{words} in {plan}");
    }
    let json = project.run(&["--dry-run", "--json", "-", "--", "pytest"]).expect_code(0).stdout;
    let quotas = &serde_json::from_str::<serde_json::Value>(&json).expect("JSON")["testing"]["quotas"]["value"];
    let path = &quotas[3];
    assert_eq!((&path["kind"], &path["pattern"], &path["files"]), (&"path".into(), &"tests/**".into(), &2.into()));
    assert_eq!((&quotas[0]["memory_bytes"], &quotas[0]["files"]), (&(96 << 20).into(), &serde_json::Value::Null));
}

fn unheeded() {
    let project = Project::new();
    for (flags, command, words) in [
        (
            &["--isolate", "file"][..],
            "make",
            &["`isolate` (flag --isolate) has no effect", "the command is not pytest"][..],
        ),
        (&["--no-plugin", "-j", "2"], "pytest", &["`jobs` (flag --jobs) has no effect", "`no-plugin`"]),
    ] {
        let arguments = [&["--dry-run"][..], flags, &["--", command]].concat();
        let said = project.run(&arguments).expect_code(0).stderr;
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let quiet = project.run(&["--dry-run", "--", "make"]).expect_code(0).stderr;
    assert!(quiet.is_empty(), "{quiet}");
}

fn dry_run_writes_nothing() {
    let project = Project::new();
    let plan = project.run(&["--dry-run", "--", "sh", "-c", "touch made"]).expect_code(0);
    assert!(plan.stdout.contains("command"), "{}", plan.stdout);
    assert_eq!(fs_err::read_dir(project.path()).expect("the project").count(), 0);
}

fn dry_run_json() {
    let project = Project::new();
    let plan = project.run(&["--dry-run", "--json", "-", "--pids", "77", "--", "true"]).expect_code(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("JSON");
    assert_eq!(plan["limits"]["pids"], serde_json::json!({"value": 77, "origin": "flag --pids"}));
}

fn version() {
    let text = said(&["--version"]).expect_code(0).stdout;
    assert!(text.starts_with("testbox "), "{text}");
}

fn bundle() {
    let (project, place) = (Project::new(), Project::new());
    let write = |dir: &std::path::Path| {
        let mut command = testbox();
        command.current_dir(project.path()).args(["bundle", "-o"]).arg(dir).args(["--", "true"]);
        Finished::of(&mut command)
    };
    let inside = write(std::path::Path::new("out")).expect_code(125);
    for word in ["out", "lies in the project", "outside of it"] {
        assert!(inside.stderr.contains(word), "no `{word}` in {}", inside.stderr);
    }
    assert_eq!(fs_err::read_dir(project.path()).expect("the project").count(), 0, "nothing is left of the attempt");
    let dir = place.path().join("bundle");
    let written = write(&dir).expect_code(0);
    assert_eq!(written.stdout.trim(), dir.join("config.json").to_string_lossy());
    assert!(dir.join("rootfs/etc/passwd").exists());
    write(&dir).expect_code(125).expect_stderr("not an empty folder");
}
