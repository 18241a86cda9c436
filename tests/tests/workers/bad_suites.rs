//! Suites that cannot be run, or not as they are: each is named, none is green, none takes testbox with it.

use testbox_tests::{Case, Project};

use crate::case;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("a_conftest_that_fails_is_pytests_own_error", a_conftest_that_fails_is_pytests_own_error),
        case("collection_errors_are_pytests_own", collection_errors_are_pytests_own),
        case("no_tests_are_no_success", no_tests_are_no_success),
        case("a_million_parameters_are_collected_or_named", a_million_parameters_are_collected_or_named),
        case("a_file_that_kills_the_controller_is_named", a_file_that_kills_the_controller_is_named),
    ]
}

fn a_conftest_that_fails_is_pytests_own_error() {
    let project = Project::new();
    project.write("conftest.py", "raise ValueError('no settings')\n").write("test_x.py", "def test_x(): pass\n");
    let run = project.pytest(&[], &[]).expect_code(4);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(told.contains("ValueError: no settings") && told.contains("conftest.py"), "{told}");
    assert_eq!(project.report()["verdict"], "failed");
}

fn collection_errors_are_pytests_own() {
    let project = Project::new();
    project.write("test_a.py", "def test_a(: pass\n").write("test_b.py", "import nothing_of_this_name\n");
    project.write("test_c.py", "def test_c(): pass\n");
    let run = project.pytest(&[], &[]).expect_code(2);
    for text in ["SyntaxError", "nothing_of_this_name", "ERROR test_a.py", "ERROR test_b.py", "2 errors"] {
        assert!(run.stdout.contains(text), "no `{text}` in {}", run.stdout);
    }
    let run = project.pytest(&["-j", "2"], &["--continue-on-collection-errors"]).expect_code(1);
    assert!(run.stdout.contains("1 passed, 2 errors"), "{}", run.stdout);
}

fn no_tests_are_no_success() {
    let project = Project::new();
    project.write("test_x.py", "HELPERS = []\n");
    for flags in [&[][..], &["--isolate", "test"], &["-j", "2"], &["--isolate", "none"]] {
        project.pytest(flags, &[]).expect_code(5);
        assert_eq!(project.report()["verdict"], "failed", "{flags:?}");
    }
}

/// pytest needs more than a GiB for so many: the file that takes the box's memory is named.
fn a_million_parameters_are_collected_or_named() {
    let project = Project::new();
    let text = "import pytest\n@pytest.mark.parametrize('n', range(1_000_000))\ndef test_n(n): pass\n";
    project.write("test_a.py", "def test_a(): pass\n").write("test_many.py", text);
    project.pytest(&["--memory", "256M"], &[]).expect_code(120).expect_stderr("collecting test_many.py");
    let run = project.pytest(&["--memory", "1500M", "--collect-timeout", "5s", "--grace", "500ms"], &[]);
    run.expect_code(124).expect_stderr("collecting test_many.py").expect_stderr("collection within 5 s");
}

fn a_file_that_kills_the_controller_is_named() {
    for (text, code, verdict) in [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", 137, "crashed"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", 139, "crashed"),
        ("import os\nos._exit(0)\n", 1, "lost"),
        ("import os\nos._exit(3)\n", 3, "failed"),
    ] {
        for flags in [&[][..], &["-j", "2"]] {
            let project = Project::new();
            project.write("test_a.py", "def test_a(): pass\n").write("test_b.py", text);
            project.pytest(flags, &[]).expect_code(code);
            let report = project.report();
            assert_eq!(report["verdict"], verdict, "{report}");
            if verdict != "failed" {
                let place = report["place"].as_str().unwrap_or_default();
                assert!(place.starts_with("collecting test_b.py"), "{text}: {place}");
            }
        }
    }
}
