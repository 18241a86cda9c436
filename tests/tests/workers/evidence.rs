//! What each test used, and what the reports make of it.

use serde_json::Value;
use testbox_tests::{Case, Project};

use crate::{case, row};

const MIB: u64 = 1 << 20;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("peak_growth_and_cpu_of_each_test_are_known", peak_growth_and_cpu_of_each_test_are_known),
        case("a_leak_is_named", a_leak_is_named),
        case("the_collection_is_profiled", the_collection_is_profiled),
        case("junit_names_and_counts_tests_as_pytest_does", junit_names_and_counts_tests_as_pytest_does),
        case("junit_holds_the_killed_tests_too", junit_holds_the_killed_tests_too),
        case("junit_is_written_when_the_run_is_ended", junit_is_written_when_the_run_is_ended),
        case("the_table_of_memories_is_asked_for", the_table_of_memories_is_asked_for),
    ]
}

fn peak_growth_and_cpu_of_each_test_are_known() {
    let project = Project::new();
    let text = "\
import time
KEPT = []

def test_takes_and_frees(): assert len(b'x' * (100 << 20))
def test_keeps(): KEPT.append(b'x' * (40 << 20))
def test_small(): pass
def test_computes():
    end = time.process_time() + 0.4
    while time.process_time() < end: pass
";
    project.write("test_x.py", text);
    project.pytest(&["--memory", "1G"], &[]).expect_code(0);
    let number = |name: &str, key: &str| row(&project, &format!("test_x.py::{name}"))[key].as_i64().expect("a number");
    let mib = |name: &str, key: &str| number(name, key) / MIB as i64;
    assert!(
        (100..180).contains(&mib("test_takes_and_frees", "peak_bytes")),
        "{}",
        mib("test_takes_and_frees", "peak_bytes")
    );
    assert!(mib("test_takes_and_frees", "growth_bytes") < 8);
    assert!((38..48).contains(&mib("test_keeps", "growth_bytes")), "{}", mib("test_keeps", "growth_bytes"));
    assert!(mib("test_small", "growth_bytes").abs() < 4);
    assert!(mib("test_small", "peak_bytes") < mib("test_takes_and_frees", "peak_bytes"));
    assert!((350..1500).contains(&number("test_computes", "cpu_ms")), "{}", number("test_computes", "cpu_ms"));
    assert!(number("test_computes", "wall_ms") >= 390);
}

fn a_leak_is_named() {
    let project = Project::new();
    let text = "\
import pytest
KEPT = []

@pytest.mark.parametrize('number', range(40))
def test_leaks(number): KEPT.append(b'x' * (4 << 20))
";
    project.write("test_leaky.py", text).write("test_fine.py", "def test_fine(): pass\n");
    project.pytest(&["--memory", "1G"], &[]).expect_code(0).expect_stderr("leak: ").expect_stderr("test_leaky.py");
}

fn the_collection_is_profiled() {
    let project = Project::new();
    project.write("heavy.py", "TABLE = b'x' * (60 << 20)\n");
    project
        .write("test_a.py", "import heavy\ndef test_a(): assert heavy.TABLE\n")
        .write("test_b.py", "def test_b(): pass\n");
    let run = project.pytest(&["--memory", "200M"], &[]).expect_code(0);
    let collection = project.report()["collection"].as_array().cloned().unwrap_or_default();
    let file = |name: &str| collection.iter().find(|file| file["nodeid"] == name).cloned().unwrap_or(Value::Null);
    assert!(file("test_a.py")["growth_bytes"].as_u64() > Some(55 * MIB), "{collection:#?}");
    assert!(file("test_b.py")["growth_bytes"].as_i64() < Some(8 * MIB as i64), "{collection:#?}");
    // Others may have taken long on a busy machine.
    let imports = file("test_a.py")["imports"].as_array().cloned().unwrap_or_default();
    let import = imports.iter().find(|import| import["module"] == "heavy").expect("the import");
    assert!(import["growth_bytes"].as_u64() > Some(55 * MIB));
    run.expect_stderr("test_a.py +60.").expect_stderr("of which heavy +60.");
}

/// pytest's own file has an element more for each failed subtest, testbox's one for each test.
fn junit_names_and_counts_tests_as_pytest_does() {
    let project = Project::new();
    let text = "\
import pytest, unittest

@pytest.mark.parametrize('value', ['a/b', 'x::y', '[z]', 'ü', ' ', '<&>', 'a.b', '\"', '\\x1b', '', 'x' * 99])
def test_odd(value): assert value != 'ü'

class TestClass:
    class TestInner:
        def test_deep(self): pass
    def test_fails(self): assert 0

class Old(unittest.TestCase):
    def test_old(self): self.assertEqual(1, 1)
    @unittest.skip('old skip')
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()

def test_subtests(subtests):
    for number in range(3):
        with subtests.test('half', number=number): assert number != 1

@pytest.fixture
def broken(): raise ValueError('set up in vain')
@pytest.fixture
def sour():
    yield
    raise ValueError('torn down in vain')

def test_setup_error(broken): pass
def test_teardown_error(sour): pass
def test_skips(): pytest.skip('not today')
@pytest.mark.skip(reason='never')
def test_marked(): pass
@pytest.mark.xfail(reason='known')
def test_xfails(): assert 0
@pytest.mark.xfail(strict=True)
def test_xpasses(): pass
";
    project.write("tests/deep/test_x.py", text).write("tests/test_doc.txt", ">>> 1 + 1\n2\n>>> 1 + 1\n3\n");
    project.write("mod.py", "def f():\n    \"\"\"\n    >>> f()\n    1\n    \"\"\"\n    return 1\n");
    let options = ["--doctest-modules", "--doctest-glob=*.txt", "--junitxml=own.xml", "-o", "junit_family=xunit2"];
    for flags in [&[][..], &["--isolate", "test"], &["-j", "2"]] {
        project.pytest(flags, &options).expect_code(1);
        let [ours, own] = [".testbox/last/junit.xml", "own.xml"].map(|path| cases_of(&project, path));
        assert!(own.len() >= 25, "{own:#?}");
        assert_eq!(ours, own, "{flags:?}");
    }
}

/// The cases, sorted: class, name, and what kinds of elements say why it did not pass.
fn cases_of(project: &Project, path: &str) -> Vec<String> {
    let program = "\
import sys, xml.etree.ElementTree
for case in xml.etree.ElementTree.parse(sys.argv[1]).iter('testcase'):
    why = sorted({element.tag for element in case if element.tag in ('failure', 'error', 'skipped')})
    print(ascii((case.get('classname'), case.get('name'), why)))
";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", program]).arg(project.path().join(path));
    let run = testbox_tests::Finished::of(&mut command).expect_code(0);
    let mut cases: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
    cases.sort();
    cases
}

fn junit_holds_the_killed_tests_too() {
    let project = Project::new();
    let text = "\
import os, pytest
def test_fine(): pass
def test_fails(): assert 1 == 2
def test_dies(): os.abort()
def test_skips(): pytest.skip('so')
";
    project.write("test_x.py", text);
    project.pytest(&[], &[]).expect_code(1);
    let xml = fs_err::read_to_string(project.path().join(".testbox/last/junit.xml")).expect("a report");
    for text in
        ["tests=\"4\"", "name=\"test_dies\"", "type=\"testbox.crashed\"", "SIGABRT", "<skipped", "assert 1 == 2"]
    {
        assert!(xml.contains(text), "no `{text}` in\n{xml}");
    }
}

fn junit_is_written_when_the_run_is_ended() {
    let text = "\
import time
def test_fine(): pass
def test_hangs(): time.sleep(1000)
def test_never(): pass
";
    let too_much = "TAKEN = []\nwhile True: TAKEN.append(b'x' * (4 << 20))\n";
    // Long enough for pytest to start, also on a busy machine.
    for (flags, text, code, words) in [
        (&["--timeout", "10s", "--grace", "500ms"][..], text, 124, &["test_fine", "test_hangs", "timeout"][..]),
        (&["--timeout", "10s", "--grace", "500ms", "--isolate", "none"], text, 124, &["test_fine", "test_hangs"]),
        (&["--memory", "128M"], too_much, 120, &["testbox.memory", "collecting test_x.py"]),
    ] {
        let project = Project::new();
        project.write("test_x.py", text);
        project.pytest(flags, &[]).expect_code(code);
        let xml = fs_err::read_to_string(project.path().join(".testbox/last/junit.xml")).expect("a report");
        for word in words {
            assert!(xml.contains(word), "no `{word}` in\n{xml}");
        }
        assert!(!xml.contains("test_never"), "{xml}");
        cases_of(&project, ".testbox/last/junit.xml");
    }
}

fn the_table_of_memories_is_asked_for() {
    let project = Project::new();
    let text = "def test_large(): assert len(b'x' * (80 << 20))\ndef test_small(): pass\ndef test_other(): pass\n";
    project.write("test_x.py", text);
    let run = project.pytest(&["--memories", "2"], &[]).expect_code(0);
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("test_x.py::")).collect();
    assert_eq!(lines.len(), 2, "{}", run.stderr);
    assert!(lines[0].contains("test_large"), "{}", run.stderr);
}
