//! `junit.xml`: what it holds, also of killed tests and ended runs, and that others can read it.

use std::process::Command;

use testbox_tests::{Case, Finished, Need, Project};

use crate::case;

pub(crate) fn cases() -> Vec<Case> {
    const SCHEMA: &[Need] = &[Need::Box, Need::Pytest, Need::Twins];
    vec![
        case("junit_names_and_counts_tests_as_pytest_does", junit_names_and_counts_tests_as_pytest_does),
        case("junit_holds_the_killed_tests_too", junit_holds_the_killed_tests_too),
        case("junit_is_written_when_the_run_is_ended", junit_is_written_when_the_run_is_ended),
        testbox_tests::case("junit_keeps_to_the_common_schema", SCHEMA, junit_keeps_to_the_common_schema),
    ]
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
    let mut command = Command::new("python3");
    command.args(["-c", program]).arg(project.path().join(path));
    let run = Finished::of(&mut command).expect_code(0);
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

/// The schema is the one that pytest's tests hold its own files to, that of Jenkins' xUnit plugin; so is the reader of it
/// somebody else's.
fn junit_keeps_to_the_common_schema() {
    let places = std::env::var_os("TESTBOX_TEST_TWINS").expect("TESTBOX_TEST_TWINS");
    let text = fs_err::read_to_string(places).expect("the file of `cargo xtask setup`");
    let places: serde_json::Value = serde_json::from_str(&text).expect("the file of `cargo xtask setup` as JSON");
    let path = |value: &serde_json::Value| std::path::PathBuf::from(value.as_str().expect("a path"));
    let schema = path(&places["twins"]["pytest"]).join("testing/example_scripts/junit-10.xsd");
    let python = path(&places["twin_venv"]).join("bin/python");
    let is_valid = |file: &std::path::Path| {
        let program = "import sys, xmlschema; xmlschema.validate(sys.argv[2], sys.argv[1])";
        Finished::of(Command::new(&python).args(["-c", program]).arg(&schema).arg(file))
    };

    let outcomes = "\
import os, pytest, subprocess, time, unittest
@pytest.mark.parametrize('value', ['a/b', '<&>', '\"', '\\x1b', '\\ud800', '', 'x' * 99])
def test_odd(value): pass
def test_fails(): assert '\\x00\\x1b]0;title\\x07' == 2
@pytest.fixture
def sour():
    yield
    raise ValueError('torn down in vain')
def test_fails_twice(sour): assert 0
def test_skips(): pytest.skip('so')
@pytest.mark.xfail
def test_xfails(): assert 0
def test_says(record_property, capsys): record_property('key <', 'value &'); print('said')
def test_subtests(subtests):
    for number in range(3):
        with subtests.test('half', number=number): assert number != 1
def test_dies(): os.abort()
def test_takes_all(): b'x' * (1 << 30)
def test_hangs(): time.sleep(1000)
";
    let suite: &[&str] = &["--memory", "512M", "--test-memory", "96M", "--test-timeout", "5s", "--retry-killed", "1"];
    for (flags, text, code) in [
        (suite, outcomes, 1),
        (&["--timeout", "10s", "--grace", "500ms"][..], "import time\ndef test_hangs(): time.sleep(1000)\n", 124),
        (&[][..], "import nothing_of_this_name\n", 2),
        (&[][..], "", 5),
    ] {
        let project = Project::new();
        project.write("test_x.py", text);
        project.pytest(flags, &[]).expect_code(code);
        let file = project.path().join(".testbox/last/junit.xml");
        is_valid(&file).expect_code(0);
        let broken = project.path().join("broken.xml");
        let text =
            fs_err::read_to_string(&file).expect("a report").replace("<testsuite ", "<testsuite nonsense=\"1\" ");
        fs_err::write(&broken, text).expect("a copy");
        is_valid(&broken).expect_code(1).expect_stderr("nonsense");
    }
}
