//! What leaves the box: files, reports, output. All of it is hostile.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Stdio;

use testbox_tests::{Canaries, Finished, Project, note, starter};

fn sh(project: &Project, flags: &[&str], script: &str) -> Finished {
    let command = ["-q", "--timeout", "120s", "--", "/bin/sh", "-c", script];
    project.run(&flags.iter().chain(&command).copied().collect::<Vec<_>>())
}

fn names(project: &Project, folder: &str) -> Vec<String> {
    let entries = fs_err::read_dir(project.path().join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub(crate) fn r10_planted_outputs_stay_in_the_box() {
    let (project, canaries) = (Project::new(), Canaries::plant());
    let script = "mkdir -p out/deep; echo good > out/good; echo deep > out/deep/good; ln -s /etc/shadow out/link;\
        ln -s / out/root; mkfifo out/fifo; echo twice > out/one; ln out/one out/two; ln -s ../.. out/deep/up;\
        mknod out/device c 0 0 2>/dev/null; echo s > out/setuid; chmod 755 out/setuid; chmod 4755 out/setuid 2>/dev/null;\
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out/socket\")'";
    let finished = sh(&project, &["--output", "out"], script).expect_code(0);
    canaries.assert_unharmed();
    assert_eq!(names(&project, "out"), ["deep", "good", "setuid"], "{finished:?}");
    assert_eq!(names(&project, "out/deep"), ["good"]);
    assert_eq!(fs_err::metadata(project.path().join("out/setuid")).expect("the file").mode() & 0o7000, 0);
    let warnings = project.report()["warnings"].to_string();
    for left in ["out/link", "out/fifo", "out/one", "out/two", "out/socket"] {
        assert!(warnings.contains(left), "{left} is not told in {warnings}");
    }
}

pub(crate) fn r10_links_of_the_project_are_not_followed_outwards() {
    let (project, canaries) = (Project::new(), Canaries::plant());
    symlink(canaries.dir(), project.path().join("folder")).expect("a link");
    symlink(canaries.dir().join("open"), project.path().join("file")).expect("a link");
    let script = "rm folder file; mkdir folder; echo harm > folder/open; echo harm > folder/new; echo harm > file";
    sh(&project, &["--output", "folder", "--output", "file"], script).expect_code(0);
    canaries.assert_unharmed();
    assert!(project.path().join("file").is_symlink());
}

/// A file that the host runs or obeys next must not come out of the box, whatever the globs say.
pub(crate) fn r10_what_the_host_obeys_is_not_carried_out() {
    let project = Project::new();
    fs_err::create_dir_all(project.path().join(".git/hooks")).expect("folders");
    let script = "mkdir -p .git/hooks sub/.git/hooks; for f in .git/hooks/pre-commit sub/.git/hooks/post-checkout .git/config \
        testbox.toml pyproject.toml plain; do echo 'write = true' > $f; done";
    let finished = sh(&project, &["--output", "**"], script);
    assert_eq!(names(&project, ".git"), ["hooks"], "{finished:?}");
    assert_eq!(names(&project, ".git/hooks"), Vec::<String>::new());
    assert!(!project.path().join("sub").join(".git").exists());
    assert!(!project.path().join("testbox.toml").exists(), "testbox.toml decides the next run's walls");
    assert!(!project.path().join("pyproject.toml").exists(), "pyproject.toml can hold the same");
    assert!(project.path().join("plain").exists());
}

pub(crate) fn r10_a_writable_project_keeps_what_the_host_obeys() {
    let (project, canaries) = (Project::new(), Canaries::plant());
    fs_err::create_dir_all(project.path().join(".git/hooks")).expect("folders");
    project.write("testbox.toml", "pids = 64\n").write(".git/config", "[core]\n");
    let script = format!(
        "echo x > written; echo 'write = true' > testbox.toml; echo 'write = true' > .testbox.toml; rm -f testbox.toml;\
         mv testbox.toml other; echo evil > .git/hooks/pre-commit; echo evil >> .git/config; mv .git elsewhere;\
         rm -rf .testbox; mv .testbox away; ln -s {} .testbox; ln -sfn {} .testbox/last; true",
        canaries.dir().display(),
        canaries.dir().display()
    );
    sh(&project, &["--write"], &script).expect_code(0);
    canaries.assert_unharmed();
    assert!(project.path().join("written").exists());
    assert_eq!(fs_err::read_to_string(project.path().join("testbox.toml")).expect("the file"), "pids = 64\n");
    assert_eq!(fs_err::read_to_string(project.path().join(".git/config")).expect("the file"), "[core]\n");
    assert_eq!(names(&project, ".git/hooks"), Vec::<String>::new());
    assert_eq!(project.report()["verdict"], "passed");
}

pub(crate) fn r10_a_planted_report_folder_is_refused() {
    for place in [".testbox", ".testbox/last", ".testbox/last/testbox.json", ".testbox/.gitignore"] {
        let (project, canaries) = (Project::new(), Canaries::plant());
        let link = project.path().join(place);
        fs_err::create_dir_all(link.parent().expect("a parent")).expect("folders");
        let target = if place.contains("json") { canaries.dir().join("open") } else { canaries.dir().to_owned() };
        symlink(target, &link).expect("a link");
        let finished = sh(&project, &[], "exit 0");
        canaries.assert_unharmed();
        assert!(finished.code == 125 || finished.code == 0, "{place}: {finished:?}");
    }
}

/// XML of the box is carried as bytes; what testbox writes of the box's words stays text in it.
pub(crate) fn r12_xml_is_written_and_never_read() {
    let project = Project::new();
    let bomb = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><testsuite>&b;</testsuite>";
    let text = r#"import os, pytest
HARM = ["]]><!DOCTYPE x>", "&b;", "</testcase><testcase name='forged'/>", "\x00\x1b[2J\ufffe", "\udcff", "<!--"]
@pytest.mark.parametrize("harm", HARM)
def test_says(harm):
    print(harm.encode("utf-8", "replace").decode())
    assert not harm, harm
def test_is_killed(): os._exit(7)
def test_plants(): open("planted.xml", "w").write(BOMB)
"#;
    project.write("test_x.py", &format!("BOMB = \"{bomb}\"\n{text}"));
    project.pytest(&["--output", "planted.xml"], &["--junitxml=own.xml"]).expect_code(1);
    assert_eq!(fs_err::read_to_string(project.path().join("planted.xml")).expect("the file"), bomb);
    let count = "import sys, xml.etree.ElementTree as tree; \
        print(sorted(case.get('name') == 'forged' for case in tree.parse(sys.argv[1]).iter('testcase')))";
    let mut reader = starter("python3");
    reader.args(["-c", count, ".testbox/last/junit.xml"]).current_dir(project.path());
    let read = Finished::of(&mut reader).expect_code(0);
    assert_eq!(read.stdout.trim(), format!("[{}]", ["False"; 8].join(", ")));
}

/// Everything but newline, tab and colours is made visible or dropped.
pub(crate) fn r13_the_terminal_gets_no_control_sequences() {
    let project = Project::new();
    let script = r"printf '\033]0;title\007\033[2J\033[31mred\033[0m\033P1;2q\033\\\033[6n\b\b\b\0\177\233 5n\r\nend\033c\n'; \
        printf '\033]52;c;Y2FuYXJ5\007' >&2; printf '\302\233'; printf '\033'";
    let finished = sh(&project, &[], script).expect_code(0);
    for (name, text) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
        let harmless = text.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "").replace("\u{1b}[m", "");
        let bad: Vec<char> = harmless.chars().filter(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')).collect();
        assert!(bad.is_empty(), "{name} holds {bad:?} in {text:?}");
    }
    assert!(finished.stdout.contains("red") && finished.stdout.contains("end"), "{finished:?}");
}

pub(crate) fn r13_a_ci_system_gets_no_commands() {
    let project = Project::new();
    let script = "echo '::add-mask::x'; echo '  ::set-output name=a::b'; echo '##vso[task.setvariable]x'; \
        printf 'a\\r::error::x\\n'; printf '::war'; printf 'ning::split\\n' >&2; echo '##[command]x'";
    let mut command = project.command(&["-q", "--", "/bin/sh", "-c", script]);
    let finished = Finished::of(command.env("GITHUB_ACTIONS", "true").env("CI", "true")).expect_code(0);
    for line in finished.stdout.split(['\n', '\r']).chain(finished.stderr.split(['\n', '\r'])) {
        let start = line.trim_start();
        assert!(!start.starts_with("::") && !start.starts_with("##vso["), "a command for CI: {line:?}");
    }
}

pub(crate) fn r13_names_of_processes_are_harmless_in_the_verdict() {
    let project = Project::new();
    let bomb = "import os, sys\nif len(sys.argv) == 1:\n    os.execv(sys.executable, ['\\x1b]0;evil\\x07\\n::error::x', __file__, 'x'])\n\
        hold = []\nwhile True: hold.append(b'x' * (1 << 20))\n";
    project.write("bomb.py", bomb);
    let finished = project.run(&["--memory", "64M", "--", "/usr/bin/python3", "bomb.py"]).expect_code(120);
    let bad = finished.stderr.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(bad, None, "{:?}", finished.stderr);
    assert!(!finished.stderr.lines().any(|line| line.trim_start().starts_with("::")), "{:?}", finished.stderr);
    let finished = project.run(&["--", "no\u{1b}]0;x\u{7}such\n::error::program"]).expect_code(127);
    assert!(!finished.stderr.contains('\u{1b}'), "{:?}", finished.stderr);
}

pub(crate) fn r14_output_is_cut_at_its_limit() {
    let project = Project::new();
    let finished = sh(&project, &["--output-limit", "1M"], "while :; do echo 0123456789abcdef; done").expect_code(123);
    let report = project.report();
    assert_eq!(report["evidence"]["output"]["truncated"], true);
    assert_eq!(report["verdict"], "output");
    assert!(finished.stdout.len() <= (1 << 20) + 4096, "{} bytes", finished.stdout.len());
    let twin = sh(&project, &["--output-limit", "1M"], "head -c 900000 /dev/zero | tr '\\0' x; echo").expect_code(0);
    assert_eq!(twin.stdout.len(), 900_001);
    assert_eq!(project.report()["evidence"]["output"]["truncated"], false);
}

pub(crate) fn r14_p15_a_gibibyte_of_output_takes_no_memory() {
    flood("yes \"$(head -c 200 /dev/zero | tr '\\0' 'x')\" | head -c 1G", 1 << 30);
}

pub(crate) fn r14_p15_long_lines_and_garbage_take_no_memory() {
    flood(
        "head -c 100M /dev/zero | tr '\\0' 'x'; head -c 100M /dev/zero | tr '\\0' '\\033'; head -c 60M /dev/urandom",
        100 << 20,
    );
}

/// The output arrives, and testbox's own peak stays below 64 MiB (P15).
#[track_caller]
fn flood(script: &str, at_least: u64) {
    let project = Project::new();
    let flags = ["-q", "--output-limit", "4G", "--timeout", "15m", "--", "/bin/sh", "-c"];
    let mut command = project.command(&flags.iter().chain(&[script]).copied().collect::<Vec<_>>());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("testbox");
    let mut stdout = child.stdout.take().expect("stdout");
    let (mut buffer, mut total, mut peak) = (vec![0; 1 << 20], 0, 0);
    loop {
        let length = stdout.read(&mut buffer).expect("output");
        if length == 0 {
            break;
        }
        total += length as u64;
        peak = peak.max(resident_peak_kib(child.id()));
    }
    let status = child.wait().expect("an end");
    assert!(status.success(), "{status}");
    assert!(total >= at_least, "only {total} bytes arrived");
    note(&format!("P15: testbox took {} MiB for {} MiB of output", peak >> 10, total >> 20));
    assert!(peak > 0 && peak < 64 << 10, "testbox took {peak} KiB");
}

/// `VmHWM` of testbox, in KiB.
fn resident_peak_kib(pid: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.unwrap_or(0)
}
