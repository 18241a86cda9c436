"""Workers of a collection that began threads: interpreters of their own, in which these threads are."""

import pytest
from fake_testbox import Run, bare, normal

#: A thread that the tests need: without it they wait for ever.
SERVER = """
import queue, threading
asked, answered = queue.Queue(), queue.Queue()
def serve():
    while True:
        answered.put(2 * asked.get())
threading.Thread(target=serve, daemon=True, name="early").start()
def ask(number):
    asked.put(number)
    return answered.get(timeout=30)
"""
#: What is collected in which process.
COUNTED = "import os\nwith open('collected', 'a') as file: file.write(f'{os.path.basename(__file__)} ')\n"


def collected(folder):
    return (folder / "collected").read_text().split()


@pytest.mark.parametrize("settings", [{"isolate": "session"}, {"isolate": "file"}, {"isolate": "session", "jobs": 2}])
def test_a_thread_of_the_collection_is_there_in_the_tests(tmp_path, settings):
    files = {
        "server.py": SERVER,
        "test_x.py": "from server import ask\ndef test_a(): assert ask(1) == 2\ndef test_b(): assert ask(2) == 4\n",
        "test_y.py": "from server import ask\ndef test_c(): assert ask(3) == 7\n",
        # As plugins do that look ahead.
        "conftest.py": "def pytest_runtest_setup(item): assert None not in item.session.items\n",
    }
    run = Run(tmp_path, files, **settings).finish()
    assert run.exit == 1, run.output
    assert run.outcomes() == {"test_a": "passed", "test_b": "passed", "test_c": "failed"}
    (note,) = run.of("note")
    assert "`early` of server in test_x.py by importing server; no fork has them" in note["text"]
    assert all(frame["clean"] for frame in run.of("ended"))


def test_what_is_shown_is_what_plain_pytest_shows(tmp_path):
    text = (
        "import os, sys, pytest\n"
        "from server import ask\n"
        "print('collected')\n"
        "def test_a(tmp_path, capsys):\n    print('one')\n    assert capsys.readouterr().out == 'one\\n'\n"
        "def test_b(tmp_path): print('two', tmp_path.name); sys.stderr.write('three'); assert ask(1) == 3\n"
        "@pytest.mark.skip(reason='later')\ndef test_c(): pass\n"
        "@pytest.mark.xfail\ndef test_d(): assert 0\n"
        "@pytest.mark.parametrize('n', [1, 1, 'a b'])\ndef test_e(n): assert os.getcwd() == os.environ['WHERE']\n"
        "def test_f(record_property): record_property('a', 1); import warnings; warnings.warn('w')\n"
    )
    conftest = "import os\nos.environ['WHERE'] = os.getcwd()\n"
    files = {"server.py": SERVER, "conftest.py": conftest, "test_x.py": text}
    for arguments in (["-v", "-ra"], ["-s"], ["--capture=sys", "--durations=0"], ["-q", "-k", "test_b or test_e"]):
        arguments += ["-p", "no:cacheprovider", "-p", "no:randomly"]
        run = Run(tmp_path, files, *arguments, isolate="session").finish()
        code, shown = bare(tmp_path, *arguments)
        if "--durations=0" not in arguments:
            assert normal(run.output) == normal(shown)
        assert run.exit == code


def test_after_a_kill_only_the_files_are_collected_that_are_still_needed(tmp_path):
    files = {
        "server.py": SERVER,
        "test_1.py": COUNTED + "import os, server\ndef test_a(): os.kill(os.getpid(), 9)\ndef test_b(): pass\n",
        "test_2.py": COUNTED + "from server import ask\ndef test_c(): assert ask(1) == 2\n",
    }
    run = Run(tmp_path, files, "-p", "no:randomly", isolate="session").finish()
    assert run.exit == 1, run.output
    assert run.outcomes() == {"test_a": "failed", "test_b": "passed", "test_c": "passed"}
    # By the controller, by the first worker, and by those that go on file by file.
    assert collected(tmp_path) == ["test_1.py", "test_2.py", "test_1.py", "test_2.py", "test_1.py", "test_2.py"]


def test_a_worker_runs_nothing_of_the_project_before_it_may_begin(tmp_path):
    conftest = "import os, time\nwith open('began', 'a') as file: file.write(f'{os.getpid()} ')\n"
    files = {"server.py": SERVER, "conftest.py": conftest, "test_x.py": "import server\ndef test_a(): pass\n"}
    run = Run(tmp_path, files, isolate="session", never=["go"])
    run.wait_for("joined")
    assert len((tmp_path / "began").read_text().split()) == 1
    run.process.kill()
    run.finish()


def test_a_worker_has_no_way_to_testbox(tmp_path):
    text = (
        "import os, server\n"
        "def test_a():\n"
        "    assert 'TESTBOX_CHANNEL' not in os.environ and 'TESTBOX_WORKER' not in os.environ\n"
        "    with open('/proc/self/environ') as file: assert 'TESTBOX_CHANNEL' not in file.read()\n"
        "    assert 'testbox_plugin' not in os.environ.get('PYTHONPATH', '')\n"
    )
    run = Run(tmp_path, {"server.py": SERVER, "test_x.py": text}, isolate="session").finish()
    assert run.exit == 0, run.output


def test_names_that_differ_from_process_to_process_are_an_error(tmp_path):
    text = "import os, pytest, server\n@pytest.mark.parametrize('n', [os.getpid()])\ndef test_a(n): pass\n"
    run = Run(tmp_path, {"server.py": SERVER, "test_x.py": text}, isolate="session").finish()
    assert run.exit == 3, run.output
    assert "1 of 1 tests are not there when they are collected once more: test_x.py::test_a[" in run.output
    assert "--isolate none" in run.output


def test_a_collection_that_fails_the_second_time_is_told(tmp_path):
    text = "import os, server\nopen('once', 'x')\ndef test_a(): pass\n"
    run = Run(tmp_path, {"server.py": SERVER, "test_x.py": text}, isolate="session").finish()
    assert run.exit == 3, run.output
    assert "FileExistsError" in run.output


def test_a_session_that_ends_before_its_tests_is_told(tmp_path):
    conftest = (
        "import os, pytest, server\n"
        "def pytest_collection(session):\n"
        "    if os.path.exists('second'): pytest.exit('not again', 5)\n"
        "    open('second', 'x')\n"
    )
    run = Run(tmp_path, {"server.py": SERVER, "conftest.py": conftest, "test_x.py": "def test_a(): pass\n"}).finish()
    assert run.exit == 0, run.output
    (tmp_path / "second").unlink()
    run = Run(tmp_path, {}, isolate="session").finish()
    assert run.exit == 3, run.output
    assert "it ended before its tests" in run.output
