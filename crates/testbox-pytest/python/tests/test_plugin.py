"""The plugin against a socket of its own: real pytest runs in a subprocess, this side plays testbox."""

import array
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading

import pytest

PLUGIN = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Run:
    def __init__(self, folder, files, *arguments, environment=None, leave_after=None):
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        ours, theirs = socket.socketpair()
        self._reader, writer = os.pipe()
        os.set_inheritable(theirs.fileno(), True)
        env = dict(os.environ, PYTHONPATH=PLUGIN, TESTBOX_CHANNEL=str(theirs.fileno()))
        env.update(environment or {})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "testbox_plugin", "-p", "no:cacheprovider", *arguments],
            cwd=folder,
            env=env,
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        theirs.close()
        self.frames = []
        self._heard = threading.Condition()
        self._thread = threading.Thread(target=self._listen, args=(ours, writer, leave_after))
        self._thread.start()

    def _listen(self, ours, writer, leave_after):
        data = b""
        while True:
            chunk = ours.recv(65536)
            if not chunk:
                return
            data += chunk
            while len(data) >= 4:
                (length,) = struct.unpack("<I", data[:4])
                if len(data) < 4 + length:
                    break
                frame = json.loads(data[4 : 4 + length])
                data = data[4 + length :]
                with self._heard:
                    self.frames.append(frame)
                    self._heard.notify_all()
                if frame["t"] == leave_after:
                    ours.close()
                    return
                if frame["t"] == "hello":
                    fds = array.array("i", [writer])
                    ours.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
                    os.close(writer)

    def wait_for(self, kind):
        with self._heard:
            assert self._heard.wait_for(lambda: any(f["t"] == kind for f in self.frames), 30), self.frames

    def stacks(self, until):
        """Dumps, asked for again until one was taken in that function."""
        text = ""
        for _ in range(100):
            os.kill(self.process.pid, signal.SIGRTMAX - 3)
            while select.select([self._reader], [], [], 0.1)[0]:
                text += os.read(self._reader, 65536).decode()
            if until in text:
                break
        return text

    def finish(self):
        self.output, _ = self.process.communicate(timeout=60)
        self._thread.join(30)
        return self

    def kinds(self):
        return [frame["t"] for frame in self.frames]

    def of(self, kind):
        return [frame for frame in self.frames if frame["t"] == kind]


def test_a_session_is_told_from_hello_to_finish(tmp_path):
    run = Run(tmp_path, {"test_x.py": "def test_a(): pass\ndef test_b(): assert 0\n"}).finish()
    assert run.kinds()[0] == "hello" and run.kinds()[-2:] == ["finish", "goodbye"]
    assert run.of("hello")[0]["pytest"] == pytest.__version__
    assert [f["name"] for f in run.of("phase")] == ["configuration", "collection", "tests"]
    assert run.of("collect")[0]["id"] == "test_x.py"
    assert run.of("collected")[0]["total"] == 2
    assert [f["id"] for f in run.of("start")] == ["test_x.py::test_a", "test_x.py::test_b"]
    assert [f["when"] for f in run.of("when")] == ["call", "teardown"] * 2
    outcomes = [[[report["when"], report["outcome"]] for report in f["reports"]] for f in run.of("done")]
    assert outcomes[0] == [["setup", "passed"], ["call", "passed"], ["teardown", "passed"]]
    assert outcomes[1][1] == ["call", "failed"]
    assert run.of("finish")[0]["exit"] == 1
    assert [f["s"] for f in run.frames] == list(range(1, len(run.frames) + 1))


def test_the_environment_is_as_without_the_plugin(tmp_path):
    text = (
        "import os, sys\n"
        "def test_env():\n"
        "    assert 'TESTBOX_CHANNEL' not in os.environ\n"
        "    assert os.environ.get('PYTHONPATH') == '/elsewhere'\n"
        "    assert not any('testbox-pytest' in entry for entry in sys.path)\n"
    )
    both = os.pathsep.join([PLUGIN, "/elsewhere"])
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
        "import os\n"
        "def test_fork():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        return\n"
        "    os.waitpid(pid, 0)\n"
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
    run.wait_for("collected")
    while not any(f.get("when") == "call" for f in list(run.frames)):
        run.wait_for("when")
    stacks = run.stacks(until="in test_spins")
    run.process.kill()
    run.finish()
    assert "line 3 in spin" in stacks, stacks
    assert "line 5 in test_spins" in stacks


def test_without_a_channel_tests_run_as_ever(tmp_path):
    (tmp_path / "test_x.py").write_text("def test_a(): pass\n")
    env = dict(os.environ, PYTHONPATH=PLUGIN)
    env.pop("TESTBOX_CHANNEL", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "testbox_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stdout


def test_a_listener_that_goes_away_is_no_reason_to_fail(tmp_path):
    run = Run(tmp_path, {"test_x.py": "def test_a(): pass\n"}, leave_after="collected").finish()
    assert run.process.returncode == 0, run.output
    assert not run.of("finish")
