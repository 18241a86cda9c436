//! Reports, output streams and the report folder, in good times and bad.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use testbox_tests::{Finished, Need, Project, case};

const BOX: &[Need] = &[Need::Box];
const ROOT: &[Need] = &[Need::Box, Need::Root];

fn main() {
    testbox_tests::run(vec![
        case("testbox.json keeps to the published schema, however the run ends", BOX, schema),
        case("the report tells plan, walls, limits, peaks and timeline", BOX, content),
        case("the journal is one JSON object a line, from begin to end", BOX, journal),
        case("the report folder ignores itself in git", BOX, gitignore),
        case("--json - prints the report alone on stdout, and the output on stderr", BOX, json_to_stdout),
        case("quiet says nothing of a run that passed", BOX, quiet),
        case("verbose says more", BOX, verbose),
        case("no colours without a terminal", BOX, no_colours),
        case("a report folder that is no folder, or behind a symlink, is refused", BOX, bad_folders),
        case("a symlink in the report's place is replaced, not followed", BOX, planted_link),
        case("a read-only report folder is refused before anything starts", ROOT, read_only_folder),
        case("a full report folder: the results are on stdout, the old report stays", ROOT, full_folder),
        case("two runs at once in one project: the second is refused and knows the first", BOX, two_runs),
        case("the order of stdout and stderr in one pipe holds", BOX, order),
        case("the first line arrives before the end", BOX, streaming),
        case("control sequences are made harmless, --raw-output leaves them", BOX, filter),
        case("an unfinished last line stays as it is", BOX, unfinished_line),
        case("ten megabytes pass through stdin and stdout unchanged", BOX, large_pipes),
        case("a reader that goes away does not hang the run", BOX, gone_reader),
        case("a full stdout is told, not hidden", BOX, full_stdout),
        case("closed standard streams are as good as /dev/null", BOX, closed_streams),
        case("as root, reports belong to the owner of the project", ROOT, owner_of_reports),
    ]);
}

fn sh(project: &Project, options: &[&str], script: &str) -> Finished {
    let mut command = project.command(options);
    Finished::of(command.args(["--", "sh", "-c", script]))
}

const SCHEMA: &str = include_str!("../../crates/testbox-report/schema/testbox-v2.schema.json");

/// The part of JSON Schema that the published schema uses for shapes; values are the report crate's own tests' matter.
fn keeps_to(root: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
        return keeps_to(root, target, value, place);
    }
    if let Some(allowed) = schema["enum"].as_array() {
        assert!(allowed.contains(value), "{place}: {value} is not one of {allowed:?}");
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.is_null() || value.get(name).is_some(), "{place} lacks {name}");
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let known = schema["properties"].get(name);
        assert!(known.is_some() || schema["additionalProperties"] != false, "{place}.{name} is not in the schema");
        if let Some(known) = known {
            keeps_to(root, known, inner, &format!("{place}.{name}"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        keeps_to(root, &schema["items"], item, &format!("{place}[{index}]"));
    }
}

fn schema() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema");
    for (options, script) in [
        (&[][..], "exit 0"),
        (&["--cpus", "1", "--fsize", "1M", "--io-write", "none"], "exit 3"),
        (&["--timeout", "300ms"], "sleep 600 & sleep 600"),
        (&["--output-limit", "1K"], "yes"),
        (&["--net", "host", "--write"], "kill -SEGV $$"),
        (&["--tmp-size", "1M"], "head -c 2M /dev/zero > x"),
    ] {
        let project = Project::new();
        let finished = sh(&project, options, script);
        let report = project.report();
        keeps_to(&schema, &schema, &report, "report");
        assert_eq!(report["exit_code"], finished.code);
    }
}

fn content() {
    let project = Project::new();
    sh(&project, &["--memory", "256M", "--cpus", "1"], "echo hello; sleep 1").expect_code(0);
    let report = project.report();
    assert_eq!(report["command"], serde_json::json!(["sh", "-c", "echo hello; sleep 1"]));
    assert_eq!(report["limits"]["memory_bytes"], 256 << 20);
    assert_eq!(report["plan"]["limits"]["memory_bytes"]["origin"], "flag --memory");
    assert_eq!(report["peaks"]["output_bytes"], 6);
    assert!(report["peaks"]["memory_bytes"].as_u64().is_some_and(|peak| peak > 0 && peak <= 256 << 20));
    // Ten are due.
    assert!(report["timeline"]["samples"].as_array().is_some_and(|samples| samples.len() > 2), "{report:#}");
    let walls: Vec<&str> =
        report["walls"].as_array().into_iter().flatten().filter_map(|w| w["wall"].as_str()).collect();
    let all = ["namespaces", "capabilities", "seccomp", "memory", "pids", "cpu", "io", "disk", "network"];
    assert_eq!(walls, all);
    assert!(report["duration_ms"].as_u64().is_some_and(|ms| ms >= 1000));
}

fn journal() {
    let project = Project::new();
    sh(&project, &[], "exit 3").expect_code(3);
    let text = fs_err::read_to_string(project.path().join(".testbox/last/journal.jsonl")).expect("the journal");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(names.first(), Some(&"begin"), "{text}");
    assert!(names.contains(&"started") && names.contains(&"ended"), "{text}");
}

fn gitignore() {
    let project = Project::new();
    sh(&project, &[], "true").expect_code(0);
    assert_eq!(fs_err::read_to_string(project.path().join(".testbox/.gitignore")).expect("a .gitignore").trim(), "*");
}

fn json_to_stdout() {
    let project = Project::new();
    let finished = sh(&project, &["--json", "-"], "echo out; echo err >&2; exit 4").expect_code(4);
    let report: Value = serde_json::from_str(&finished.stdout).expect("JSON and nothing else on stdout");
    assert_eq!(report, project.report(), "stdout and file say the same");
    assert!(finished.stderr.contains("out\nerr\n"), "{}", finished.stderr);
}

fn quiet() {
    let project = Project::new();
    let finished = sh(&project, &["-q"], "echo out; echo err >&2").expect_code(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
    sh(&project, &["-q"], "exit 1").expect_code(1).expect_stderr("testbox: FAILED");
}

fn verbose() {
    let project = Project::new();
    let said = [&[][..], &["-v"], &["-vv"]].map(|options| sh(&project, options, "true").expect_code(0).stderr);
    // A short run may end before a sample saw its processes.
    let is_sure = |line: &&str| !line.starts_with("  at the peak: ");
    let [plain, verbose, more] = said.each_ref().map(|said| said.lines().filter(is_sure).count());
    assert!(plain < verbose && verbose <= more, "{said:#?}");
}

fn no_colours() {
    let project = Project::new();
    let finished = sh(&project, &[], "exit 1").expect_code(1);
    assert!(!finished.stderr.contains('\u{1b}'), "{:?}", finished.stderr);
}

fn bad_folders() {
    let elsewhere = Project::new();
    for place in [".testbox", ".testbox/last"] {
        let project = Project::new();
        let path = project.path().join(place);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::os::unix::fs::symlink(elsewhere.path(), &path).expect("a symlink");
        let finished = sh(&project, &[], "echo STARTED").expect_code(125).expect_stderr("is a symbolic link");
        assert_eq!(finished.stdout, "");
    }
    assert_eq!(fs_err::read_dir(elsewhere.path()).expect("the folder").count(), 0);
    let project = Project::new();
    project.write("file", "x");
    project.refuses(&["--report-dir", "file"], 125, &["`--report-dir`", "file", "not a folder"]);
    project.refuses(&["--report-dir", "."], 125, &["`--report-dir`", "holds the project"]);
    project.refuses(&["--report-dir", "/dev/null/x"], 125, &["/dev/null"]);
    project.refuses(&["--report-dir", "/proc/x"], 125, &["/proc/x"]);
    project.refuses(&["--report-dir", ""], 2, &["--report-dir"]);
}

fn planted_link() {
    let project = Project::new();
    project.write("canary", "canary\n").write(".testbox/last/x", "");
    for name in ["testbox.json", "journal.jsonl"] {
        let link = project.path().join(".testbox/last").join(name);
        std::os::unix::fs::symlink("../../canary", link).expect("a symlink");
    }
    sh(&project, &[], "true").expect_code(0);
    assert_eq!(fs_err::read_to_string(project.path().join("canary")).expect("the canary"), "canary\n");
    assert_eq!(project.report()["verdict"], "passed");
}

/// Runs testbox with a file system of its own mounted at `reports`, in a private mount namespace.
fn with_mount(project: &Project, prelude: &str, script: &str) -> Finished {
    let plain = project.command(&["--report-dir", "reports", "--", "sh", "-c", script]);
    fs_err::create_dir_all(project.path().join("reports")).expect("a folder");
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        &format!("{prelude} && \"$0\" \"$@\"; code=$?; cat reports/testbox.json; exit $code"),
    ]);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(project.path()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    Finished::of(&mut command)
}

fn read_only_folder() {
    let project = Project::new();
    let finished = with_mount(&project, "mount -t tmpfs -o ro none reports", "echo STARTED").expect_code(125);
    assert!(finished.stderr.contains("Read-only file system") && finished.stderr.contains("--report-dir"));
    assert!(!finished.stdout.contains("STARTED"));
}

fn full_folder() {
    let project = Project::new();
    let full = |size: &str| format!("mount -t tmpfs -o size={size} none reports && echo OLD > reports/testbox.json");
    let at_once = with_mount(&project, &full("8k"), "echo STARTED").expect_code(125);
    assert_eq!(at_once.stdout, "OLD\n", "no room for the journal: nothing is started");
    let finished = with_mount(&project, &full("12k"), "echo ran; exit 3").expect_code(125);
    assert!(finished.stderr.contains("No space left on device"), "{}", finished.stderr);
    let report = finished.stdout.strip_prefix("ran\n").and_then(|rest| rest.strip_suffix("OLD\n")).expect("old report");
    let report: Value = serde_json::from_str(report).expect("the results as JSON on stdout");
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"failed".into(), &3.into()));
}

/// Starts a command that prints a line and then waits for its stdin to end; returns once it runs.
fn waiting(project: &Project, options: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = project.command(options);
    command.args(["--", "sh", "-c", "echo begun; cat; echo done"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testbox");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert_eq!(line, "begun\n");
    (child, stdout)
}

fn end(mut child: Child, mut stdout: BufReader<std::process::ChildStdout>) -> String {
    drop(child.stdin.take());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("the rest");
    assert_eq!(child.wait().expect("its end").code(), Some(0));
    rest
}

fn two_runs() {
    let project = Project::new();
    let (first, stdout) = waiting(&project, &[]);
    let second = sh(&project, &[], "echo STARTED").expect_code(125);
    assert_eq!(second.stdout, "");
    for word in [&format!("(pid {})", first.id()), "--report-dir", ".testbox/last"] {
        assert!(second.stderr.contains(word), "no `{word}` in {}", second.stderr);
    }
    let other = sh(&project, &["--report-dir", "other"], "echo beside").expect_code(0);
    assert_eq!(other.stdout, "beside\n");
    assert_eq!(end(first, stdout), "done\n");
    assert_eq!(
        (project.report()["verdict"].clone(), project.report_in("other")["verdict"].clone()),
        ("passed".into(), "passed".into())
    );
    sh(&project, &[], "true").expect_code(0);
}

fn order() {
    let project = Project::new();
    let script = "i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    let plain = project.command(&["-q", "--", "sh", "-c", script]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec 2>&1; exec \"$0\" \"$@\""]).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(project.path()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let expected: String = (0..200).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(Finished::of(&mut command).expect_code(0).stdout, expected);
}

fn streaming() {
    let project = Project::new();
    let (mut child, mut stdout) = waiting(&project, &[]);
    let mut stdin = child.stdin.take().expect("stdin");
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).expect("a line");
        let mut echoed = String::new();
        stdout.read_line(&mut echoed).expect("its echo");
        assert_eq!(echoed, line);
    }
    drop(stdin);
    assert_eq!(end(child, stdout), "done\n");
}

fn filter() {
    let project = Project::new();
    let script =
        r"printf '\033[2J\033]0;title\007\033[31mred\033[0m\n::error::fake\n##vso[task.complete]x\n'; printf 'a\tb\n'";
    let filtered = sh(&project, &["-q"], script).expect_code(0).stdout;
    assert!(
        !filtered.contains("\u{1b}[2J") && !filtered.contains("\u{1b}]0;") && !filtered.contains('\u{7}'),
        "{filtered:?}"
    );
    assert!(filtered.contains("\u{1b}[31mred\u{1b}[0m\n"), "colours stay: {filtered:?}");
    assert!(!filtered.contains("\n::error::") && !filtered.contains("\n##vso["), "{filtered:?}");
    assert!(filtered.ends_with("a\tb\n"), "{filtered:?}");
    let raw = sh(&project, &["-q", "--raw-output"], script).expect_code(0).stdout;
    let expected = "\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[31mred\u{1b}[0m\n::error::fake\n##vso[task.complete]x\na\tb\n";
    assert_eq!(raw, expected);
}

fn unfinished_line() {
    let project = Project::new();
    assert_eq!(sh(&project, &["-q"], "printf 'no newline'").expect_code(0).stdout, "no newline");
    assert_eq!(sh(&project, &["-q"], "printf 'first\\r\\nlast\\r\\n'").expect_code(0).stdout, "first\r\nlast\r\n");
}

fn large_pipes() {
    let project = Project::new();
    let (line, count) = ("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n", 160_000);
    project.write("input", &line.repeat(count));
    let input = fs_err::File::open(project.path().join("input")).expect("the input").into_parts().0;
    let mut command = project.command(&["-q", "--", "cat"]);
    let output = command.stdin(input).output().expect("testbox");
    assert_eq!(output.stdout.len(), line.len() * count);
    assert!(output.stdout.chunks(line.len()).all(|chunk| chunk == line.as_bytes()), "the bytes changed");
    let raw: Vec<u8> = (0..=255u8).cycle().take(1 << 20).collect();
    fs_err::write(project.path().join("input"), &raw).expect("the input");
    let input = fs_err::File::open(project.path().join("input")).expect("the input").into_parts().0;
    let mut command = project.command(&["-q", "--raw-output", "--", "cat"]);
    assert!(command.stdin(input).output().expect("testbox").stdout == raw, "--raw-output changed bytes");
}

fn gone_reader() {
    let project = Project::new();
    let mut command = project.command(&["-q", "--output-limit", "1M", "--", "sh", "-c", "echo first; yes"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testbox");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
    stdout.read_line(&mut String::new()).expect("a line");
    drop(stdout);
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(123), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(project.report()["evidence"]["output"]["truncated"], true);
}

fn full_stdout() {
    let project = Project::new();
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let finished = Finished::of(project.command(&["-q", "--", "echo", "lost"]).stdout(full())).expect_code(0);
    let finished = finished.expect_stderr("cannot write to stdout any more: No space left on device");
    assert!(!finished.stderr.contains("cut at"), "{}", finished.stderr);
    let asked = Finished::of(project.command(&["-q", "--json", "-", "--", "true"]).stdout(full())).expect_code(125);
    asked.expect_stderr("cannot write to stdout").expect_stderr("No space left on device");
    let unheard = Finished::of(project.command(&["--", "sh", "-c", "echo x; exit 3"]).stderr(full()));
    assert_eq!((unheard.code, unheard.stdout.as_str()), (3, "x\n"));
}

fn closed_streams() {
    let project = Project::new();
    for (closed, shown) in [(">&-", ""), ("2>&-", "out\n"), ("<&-", "out\n"), ("<&- >&- 2>&-", "")] {
        let mut command = project.through_shell(&format!("exec {closed}"), &["-q", "--", "sh", "-c", "echo out; cat"]);
        let finished = Finished::of(&mut command).expect_code(0);
        assert_eq!(finished.stdout, shown, "{closed}");
        assert_eq!(project.report()["verdict"], "passed");
    }
}

fn owner_of_reports() {
    use std::os::unix::fs::MetadataExt;
    let project = Project::unprivileged();
    let owner = fs_err::metadata(project.path()).expect("the project").uid();
    let mut command = testbox_tests::testbox();
    command.current_dir(project.path()).args(["run", "--", "sh", "-c", "id -u; echo x > .coverage"]);
    let finished = Finished::of(&mut command).expect_code(0);
    assert_eq!(finished.stdout, format!("{owner}\n"), "root's box runs as the project's owner");
    for path in [".testbox", ".testbox/.gitignore", ".testbox/last", ".testbox/last/testbox.json", ".coverage"] {
        assert_eq!(fs_err::metadata(project.path().join(path)).expect(path).uid(), owner, "{path}");
    }
}
