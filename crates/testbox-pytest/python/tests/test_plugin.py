"""The plugin where tests run in one process: it is a witness and nothing else."""

import os
import subprocess
import sys

import pytest
from fake_testbox import PYTHON, Run, surroundings


def test_a_session_is_told_from_hello_to_finish(tmp_path):
    run = Run(tmp_path, {"test_x.py": "def test_a(): pass\ndef test_b(): assert 0\n"}).finish()
    assert run.kinds()[0] == "hello" and run.kinds()[-2:] == ["finish", "goodbye"]
    assert run.of("hello")[0]["pytest"] == pytest.__version__
    assert [f["name"] for f in run.of("phase")] == ["configuration", "collection", "tests"]
    assert run.of("collect")[0]["id"] == "test_x.py"
    assert run.of("collected")[0]["total"] == 2
    assert [f["id"] for f in run.of("profile")] == [f["id"] for f in run.of("collect")]
    assert [f["id"] for f in run.of("start")] == ["test_x.py::test_a", "test_x.py::test_b"]
    assert [f["when"] for f in run.of("when")] == ["call", "teardown"] * 2
    reports = [[(report["when"], report["outcome"]) for report in f["reports"]] for f in run.of("done")]
    assert reports[0] == [("setup", "passed"), ("call", "passed"), ("teardown", "passed")]
    assert reports[1][1] == ("call", "failed")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed"}
    assert "assert 0" in run.of("done")[1]["reports"][1]["text"]
    assert run.of("finish")[0]["exit"] == 1
    assert [f["s"] for f in run.frames] == list(range(1, len(run.frames) + 1))


def test_the_environment_is_as_without_the_plugin(tmp_path):
    text = (
        "import os, sys\n"
        "def test_env():\n"
        "    assert 'TESTBOX_CHANNEL' not in os.environ\n"
        "    assert os.environ.get('PYTHONPATH') == '/elsewhere'\n"
        "    assert not any('testbox-pytest/python' == entry[-21:] for entry in sys.path)\n"
    )
    both = os.pathsep.join([PYTHON, "/elsewhere"])
    run = Run(tmp_path, {"test_x.py": text}, environment={"PYTHONPATH": both}).finish()
    assert run.process.returncode == 0, run.output


def test_a_hard_exit_leaves_the_test_open(tmp_path):
    run = Run(tmp_path, {"test_x.py": "import os\ndef test_gone(): os._exit(0)\n"}).finish()
    assert run.process.returncode == 0
    assert run.frames[-1]["t"] == "when" and run.frames[-1]["when"] == "call"
    assert not run.of("finish")


def test_an_exit_from_an_exit_handler_is_no_goodbye(tmp_path):
    text = "import atexit, os\ndef test_flip(): atexit.register(os._exit, 0); assert 0\n"
    run = Run(tmp_path, {"test_x.py": text}).finish()
    assert run.process.returncode == 0
    assert run.of("finish")[0]["exit"] == 1
    assert not run.of("goodbye")


def test_help_and_version_say_goodbye_without_a_session(tmp_path):
    for option in ["--help", "--version", "--markers"]:
        run = Run(tmp_path, {}, option).finish()
        assert run.process.returncode == 0
        # `--version` alone ends before plugins are loaded.
        assert run.kinds()[-1:] in ([], ["goodbye"]), run.kinds()
        assert not [f for f in run.of("phase") if f["name"] in ("collection", "tests")]


def test_a_forked_child_has_no_say(tmp_path):
    text = (
        "import os\ndef test_fork():\n    pid = os.fork()\n    if pid == 0:\n        return\n    os.waitpid(pid, 0)\n"
    )
    run = Run(tmp_path, {"test_x.py": text}).finish()
    assert len(run.of("finish")) == 1
    assert [f["s"] for f in run.frames] == list(range(1, len(run.frames) + 1))


def test_stacks_are_dumped_with_the_interpreters_lock_held(tmp_path):
    text = (
        "import collections, itertools\n"
        "def spin():\n"
        "    collections.deque(itertools.repeat(None), maxlen=0)\n"
        "def test_spins():\n"
        "    spin()\n"
    )
    run = Run(tmp_path, {"test_x.py": text})
    run.wait_for("when", when="call")
    stacks = run.stacks("spin", "test_spins")
    run.process.kill()
    run.finish()
    assert "line 3 in spin" in stacks, stacks
    assert "line 5 in test_spins" in stacks


def test_without_a_channel_tests_run_as_ever(tmp_path):
    (tmp_path / "test_x.py").write_text("def test_a(): pass\n")
    env = surroundings({}, PYTHONPATH=PYTHON)
    env.pop("TESTBOX_CHANNEL", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "testbox_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_listener_that_goes_away_is_no_reason_to_fail(tmp_path):
    run = Run(tmp_path, {"test_x.py": "def test_a(): pass\n"}, leave_after="collected").finish()
    assert run.process.returncode == 0, run.output
    assert not run.of("finish")


def test_every_file_of_the_collection_is_told_with_its_end(tmp_path):
    files = {
        "conftest.py": "import json\n",
        "pkg/__init__.py": "",
        "pkg/conftest.py": "import decimal\n",
        "pkg/test_x.py": "def test_a(): pass\n",
        "test_y.py": "raise ValueError\n",
    }
    run = Run(tmp_path, files).finish()
    told, begun = [sorted(frame["id"] for frame in run.of(kind)) for kind in ("profile", "collect")]
    assert told == begun
    # pytest 7 collects the file of a package as well.
    assert [id for id in told if "__init__" not in id] == [
        "conftest.py",
        "pkg/conftest.py",
        "pkg/test_x.py",
        "test_y.py",
    ]
