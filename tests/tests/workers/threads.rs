//! Threads that began in the collection: no fork has them, so each worker is an interpreter of its own.

use testbox_tests::{Case, Project};

use crate::{case, expect_verdicts, grouped, row};

/// Tests wait for ever for the thread of a module that is not there; `_thread` knows nothing of forks.
const SERVER: &str = "\
import _thread, queue
asked, answered = queue.Queue(), queue.Queue()

def serve():
    while True:
        answered.put(2 * asked.get())

_thread.start_new_thread(serve, ())

def ask(number):
    asked.put(number)
    return answered.get(timeout=60)
";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case("tests_have_the_threads_of_their_modules", tests_have_the_threads_of_their_modules),
        grouped("a_killed_test_among_them_is_named_and_the_others_run", a_killed_test_is_named),
        grouped("a_collection_that_is_too_large_for_a_worker_is_its_first_tests", a_collection_that_is_too_large),
    ]
}

fn project() -> Project {
    let project = Project::new();
    project
        .write("server.py", SERVER)
        .write(
            "test_a.py",
            "from server import ask\ndef test_a1(): assert ask(1) == 2\ndef test_a2(): assert ask(2) == 4\n",
        )
        .write("test_b.py", "from server import ask\ndef test_b1(): assert ask(3) == 6\n");
    project
}

fn tests_have_the_threads_of_their_modules() {
    for flags in [&["--isolate", "session"][..], &["--isolate", "test"], &["-j", "2"], &["--isolate", "none"]] {
        let project = project();
        let run = project.pytest(flags, &[]).expect_code(0);
        assert!(run.stdout.contains("3 passed"), "{flags:?}:\n{}", run.stdout);
        let told = run.stderr.contains("1 of a C library in test_a.py by importing server; no fork has them");
        assert_eq!(told, flags != ["--isolate", "none"], "{flags:?}:\n{}", run.stderr);
    }
}

fn a_killed_test_is_named() {
    let project = project();
    let bomb = "\
from server import ask

def take():
    kept = []
    while True:
        kept.append(bytearray(8 << 20))

def test_bomb():
    assert ask(1) == 2
    take()

def test_after():
    assert ask(2) == 4
";
    project.write("test_0.py", bomb);
    let run = project.pytest(&["--memory", "300M"], &[]).expect_code(1);
    expect_verdicts(
        &project,
        &[
            ("test_bomb", "memory"),
            ("test_after", "passed"),
            ("test_a1", "passed"),
            ("test_a2", "passed"),
            ("test_b1", "passed"),
        ],
    );
    let bomb = row(&project, "test_0.py::test_bomb");
    assert_eq!((&bomb["phase"], &bomb["outcome"]), (&"call".into(), &"failed".into()), "{bomb:#}");
    assert!(run.stdout.contains("1 failed, 4 passed"), "{}", run.stdout);
}

/// What a worker's imports take counts as its own here, and is not copied from the controller.
fn a_collection_that_is_too_large() {
    let project = project();
    project.write("test_c.py", "import server\nKEPT = b'x' * (128 << 20)\ndef test_c1(): pass\n");
    let run = project.pytest(&["--isolate", "file", "--file-memory", "64M"], &[]).expect_code(1);
    expect_verdicts(
        &project,
        &[("test_a1", "passed"), ("test_a2", "passed"), ("test_b1", "passed"), ("test_c1", "memory")],
    );
    assert!(run.stdout.contains("1 error") || run.stdout.contains("1 failed"), "{}", run.stdout);
}
