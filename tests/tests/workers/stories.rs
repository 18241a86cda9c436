//! Whole stories: a suite whose guilty tests nobody knows, the sample project with its runaways, and how often the line is
//! known in which a test took the last of its memory.

use testbox_tests::{Case, Finished, Project, checked_in, note};

use crate::{grouped, row, rows, verdicts};

/// Kills of each kind.
const KILLS: usize = 10;
/// An alarm must reach the interpreter before the kernel ends it: this many of them must come first.
const ENOUGH: usize = 8;
/// Between the alarm and the end of a burst lie ten milliseconds, no more than another process may have the CPU.
const ENOUGH_BURSTS: usize = 5;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        grouped(
            "one_run_names_the_bomb_and_the_leak_among_60_tests",
            one_run_names_the_bomb_and_the_leak_among_60_tests,
        ),
        grouped("the_sample_projects_runaways_are_named_in_one_run", the_sample_projects_runaways_are_named_in_one_run),
        grouped("stacks_come_before_the_kill_for_memory", stacks_come_before_the_kill_for_memory),
    ]
}

fn one_run_names_the_bomb_and_the_leak_among_60_tests() {
    let project = Project::new();
    let fast = |number: usize| (0..number).map(|n| format!("def test_fast_{n}(): pass\n")).collect::<String>();
    let bomb = "\
def build(): return bytearray(b'x') * (3 << 29)
def test_export(): assert build()
";
    let leak = "\
import pytest
SESSIONS = []

@pytest.mark.parametrize('user', range(40))
def test_login(user): SESSIONS.append(bytearray(b'x') * (3 << 20))
";
    project.write("tests/test_model.py", &fast(9));
    project.write("tests/test_report.py", &format!("{bomb}{}", fast(5)));
    // The leak comes last: a test after it would have as high a peak.
    project.write("tests/test_user.py", &format!("{}{leak}", fast(5)));
    let run = project.pytest(&["--memory", "1G"], &[]).expect_code(1);
    assert!(run.stdout.contains("1 failed, 59 passed"), "{}", run.stdout);
    let run = run
        .expect_stderr("killed: tests/test_report.py::test_export (call): memory: used all of its ")
        .expect_stderr("; at tests/test_report.py:1 in build\n")
        .expect_stderr("leak: memory grew by 1");
    let leak = run.stderr.lines().find(|line| line.contains("leak: ")).unwrap_or_default();
    assert!(leak.ends_with(" % in tests/test_user.py::test_login"), "{leak}");
    let run = project.pytest(&["--memory", "1G", "--memories", "2"], &[]).expect_code(1);
    let (_, table) = run.stderr.split_once("highest memory: 2 of 60 tests\n").expect("the table");
    let named: Vec<&str> = table.lines().skip(1).take(2).filter_map(|line| line.rsplit("::").next()).collect();
    assert_eq!(named[0], "test_export", "{table}");
    assert!(named[1].starts_with("test_login["), "{table}");
}

/// Those that end their worker; what README.md shows of the run is what it says.
fn the_sample_projects_runaways_are_named_in_one_run() {
    let project = Project::sample();
    let files = [
        "tests/test_cli.py",
        "tests/test_count.py",
        "tests/test_server.py",
        "tests/test_stats.py",
        "tests/runaway/fork_bomb.py",
        "tests/runaway/hang_in_c.py",
        "tests/runaway/memory_in_test.py",
    ];
    let flags = ["--memory", "256M", "--pids", "32", "--test-timeout", "10s"];
    let run = project.pytest(&flags, &files).expect_code(1);
    let limit_words = [
        ("fork_bomb.py::test_forks_for_ever", "pids", "reached its ", "fork_bomb.py:13 in "),
        ("hang_in_c.py::test_spins_in_c", "timeout", "setup and call took longer than 10 s", "hang_in_c.py:14 in "),
        ("memory_in_test.py::test_takes_all_memory", "memory", "used all of its ", "memory_in_test.py:19 in "),
    ];
    let xml = fs_err::read_to_string(project.path().join(".testbox/last/junit.xml")).expect("junit.xml");
    for (name, verdict, limit, line) in limit_words {
        let row = row(&project, &format!("tests/runaway/{name}"));
        assert_eq!((&row["verdict"], &row["phase"]), (&verdict.into(), &"call".into()), "{row}");
        assert!(row["peak_bytes"].as_u64() > Some(1 << 20), "{row}");
        let killed = format!("killed: tests/runaway/{name} (call): {verdict}: {limit}");
        let told = run.stderr.lines().find(|told| told.contains(&killed)).unwrap_or_default();
        assert!(told.contains(&format!("; at tests/runaway/{line}")), "no `{killed}` with its line in {}", run.stderr);
        let (_, test) = name.split_once("::").expect("a node id");
        let (_, case) = xml.split_once(&format!("name=\"{test}\"")).unwrap_or_else(|| panic!("no {test} in {xml}"));
        let (case, _) = case.split_once("</testcase>").expect("its end");
        assert!(case.contains(&format!("type=\"testbox.{verdict}\"")) && case.contains(limit), "{case}");
        assert!(case.contains(line), "{case}");
    }
    let others = verdicts(&project).into_iter().filter(|(_, verdict)| verdict == "passed").count();
    assert_eq!(others + 3, rows(&project).len());
    shown_in_readme(&run);
}

/// Each line that the README's first example shows of the output is one of this run, apart from its numbers.
fn shown_in_readme(run: &Finished) {
    let readme = fs_err::read_to_string(checked_in("README.md")).expect("README.md");
    let (_, example) = readme.split_once("    $ testbox run ").expect("an example");
    let (example, _) = example.split_once("    $ echo $?\n    1\n").expect("its end");
    let without_numbers = |line: &str| {
        let words = line.split(|char: char| char.is_ascii_digit() || "=_.".contains(char));
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("#")
    };
    let said: Vec<String> = run.stdout.lines().chain(run.stderr.lines()).map(without_numbers).collect();
    let missing: Vec<&str> = example
        .lines()
        .skip(2)
        .map(|line| line.strip_prefix("    ").unwrap_or(line))
        .filter(|line| *line != "[...]" && !said.contains(&without_numbers(line)))
        .collect();
    assert!(missing.is_empty(), "README.md shows {missing:#?}\nwhich is not said:\n{}\n{}", run.stdout, run.stderr);
}

/// The prototype's figure was 80 of 80.
fn stacks_come_before_the_kill_for_memory() {
    let project = Project::new();
    let text = "\
import multiprocessing, os, pytest, time
KILLS = range(NUMBER)

@pytest.mark.parametrize('number', KILLS)
def test_slow_growth(number):
    taken = []
    while True:
        taken.append(b'x' * (1 << 20))
        time.sleep(0.002)

@pytest.mark.parametrize('number', KILLS)
def test_one_burst(number):
    assert b'x' * (1 << 30)

def hold(reader, writer):
    os.close(writer)
    taken = b'x' * (8 << 20)
    os.read(reader, 1)

@pytest.mark.parametrize('number', KILLS)
def test_many_processes(number):
    fork = multiprocessing.get_context('fork')
    reader, writer = os.pipe()
    children = [fork.Process(target=hold, args=(reader, writer)) for _ in range(40)]
    for child in children: child.start()
    time.sleep(0.5)
    os.close(writer)
    for child in children: child.join()
";
    project.write("test_x.py", &text.replace("NUMBER", &KILLS.to_string()));
    let flags = ["--memory", "512M", "--isolate", "test", "--test-memory", "160M", "--max-kills", "1000"];
    project.pytest(&flags, &["-p", "no:randomly"]).expect_code(1);
    for (name, enough) in [("test_slow_growth", ENOUGH), ("test_one_burst", ENOUGH_BURSTS), ("test_many_processes", 0)]
    {
        let own = format!("in {name}");
        let kills: Vec<_> = rows(&project)
            .into_iter()
            .filter(|row| row["nodeid"].as_str().is_some_and(|id| id.contains(&format!("::{name}["))))
            .collect();
        assert!(kills.iter().all(|row| row["verdict"] == "memory"), "{kills:#?}");
        let is_there = |row: &&serde_json::Value| {
            row["stack"]
                .as_array()
                .is_some_and(|stack| stack.iter().any(|call| call.as_str().is_some_and(|call| call.ends_with(&own))))
        };
        let came = kills.iter().filter(is_there).count();
        note(&format!("{name}: the stacks came before the kill in {came} of {KILLS}"));
        assert_eq!(kills.len(), KILLS);
        assert!(came >= enough, "{name}: {came} of {KILLS}");
    }
}
