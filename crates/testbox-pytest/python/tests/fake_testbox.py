"""Plays testbox: starts a real pytest with the plugin, and answers its frames as the supervisor would."""

import array
import atexit
import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

PYTHON = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Longer than anything takes on a machine that is busy with other things.
SECONDS = 120
#: Each session removes folders and links that other sessions made beside its own.
TEMPORARY = tempfile.mkdtemp(prefix="testbox-plugin-")
atexit.register(shutil.rmtree, TEMPORARY, ignore_errors=True)
#: When the first file of a project was written.
OLD = 1_700_000_000
#: What the caller's environment would change of a pytest's output: colours, width, and what it adds in CI.
CHANGING = ("CI", "BUILD_NUMBER", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "PYTHONHASHSEED", "PYTHONWARNINGS")
#: The same for every pytest: the order of what is written past its capture depends on buffers.
SAME = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "TERM": "dumb", "PYTEST_DEBUG_TEMPROOT": TEMPORARY}


class Run:
    """One pytest. `settings`: what testbox wants; without isolation all is in one process.

    `typed`: what comes from its stdin. `ordinary`: root's right to look into any process is taken from it.
    `terminal`: its output goes to one. `never`: orders that testbox does not give.
    """

    def __init__(
        self,
        folder,
        files,
        *arguments,
        environment=None,
        leave_after=None,
        command=None,
        typed=None,
        ordinary=False,
        terminal=False,
        never=(),
        **settings,
    ):
        write(folder, files)
        ours, theirs = socket.socketpair()
        self._reader, self._writer = os.pipe()
        os.set_inheritable(theirs.fileno(), True)
        env = surroundings(environment, PYTHONPATH=PYTHON, TESTBOX_CHANNEL=str(theirs.fileno()))
        command = command or [sys.executable, "-m", "pytest"]
        if ordinary and os.geteuid() == 0:
            command = ["setpriv", "--bounding-set", "-sys_ptrace", *command]
        self._master, slave = pty.openpty() if terminal else (None, subprocess.PIPE)
        self.process = subprocess.Popen(
            [*command, "-p", "testbox_plugin", *arguments],
            cwd=folder,
            env=env,
            pass_fds=[theirs.fileno()],
            stdin=None if typed is None else subprocess.PIPE,
            stdout=slave,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if terminal:
            os.close(slave)
        theirs.close()
        self._typed = typed
        self.frames = []
        self.joined = tempfile.TemporaryFile()  # noqa: SIM115
        self._settings = dict({"isolate": "none", "jobs": 1, "max_kills": 10, "retry_killed": 0}, **settings)
        self._leave_after = leave_after
        self._never = never
        #: Who waits for whom, and who has joined and waits.
        self._after, self._ready = {}, set()
        self._socket = ours
        self._heard = threading.Condition()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self):
        data = b""
        with self._socket, open(os.devnull, "r+b") as null:
            while True:
                try:
                    chunk = self._socket.recv(65536)
                except ConnectionResetError:
                    return
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
                    if frame["t"] == self._leave_after:
                        return
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        self._answer(frame, null.fileno())

    def _answer(self, frame, null):
        worker = frame.get("w", 0)
        if frame["t"] == "hello":
            self._send({"t": "welcome", "settings": self._settings}, self._writer)
        elif frame["t"] == "want":
            self._after[worker] = frame.get("after")
            order = {"t": "slot", "w": worker, "join": 1, "gauges": ["peak", "stat"], "memory": frame["memory"]}
            with open("/proc/self/statm", "rb") as stat:
                self._send(order, self.joined.fileno(), self._writer, null, stat.fileno())
        elif frame["t"] == "joined":
            self._ready.add(worker)
            self._begin()
        elif frame["t"] == "ended":
            kind, summary = diagnosis(frame)
            stack = ["/p/data.py:41 in load"] if kind != "none" else []
            order = {"t": "diagnosis", "w": worker, "kind": kind, "summary": summary, "stack": stack}
            self._send(dict(order, left=self._settings.get("left", [])))
            self._after = {w: before for w, before in self._after.items() if w != worker}
            self._ready.discard(worker)
            self._begin()

    def _begin(self):
        """Those begin who have joined and have nobody to wait for any more."""
        for worker in [worker for worker in self._ready if self._after[worker] not in self._after]:
            self._ready.remove(worker)
            self._send({"t": "go", "w": worker})

    def _send(self, order, *descriptors):
        if order["t"] in self._never:
            return
        if descriptors:
            order["fds"] = len(descriptors)
        body = json.dumps(order).encode()
        data = struct.pack("<I", len(body)) + body
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        sent = self._socket.sendmsg([data], ancillary)
        self._socket.sendall(data[sent:])

    def wait_for(self, kind, **fields):
        """Waits until such a frame has come."""

        def has_come():
            return any(f["t"] == kind and all(f.get(name) == fields[name] for name in fields) for f in self.frames)

        with self._heard:
            assert self._heard.wait_for(has_come, SECONDS), self.frames

    def stacks(self, *functions, pid=None):
        """Dumps, asked for again until one has all these functions."""
        text, end = "", time.monotonic() + SECONDS
        while not all(f"in {name}" in text for name in functions):
            assert time.monotonic() < end, text
            os.kill(pid or self.process.pid, signal.SIGRTMAX - 3)
            text += self.dumped()
        return text

    def dumped(self):
        """What has come through the pipe for stacks."""
        text = ""
        while select.select([self._reader], [], [], 0.1)[0]:
            text += os.read(self._reader, 65536).decode()
        return text

    def finish(self):
        """Waits for the end."""
        shown = self._screen() if self._master is not None else None
        try:
            self.output, _ = self.process.communicate(self._typed, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.output = self.output if shown is None else shown
        self.exit = self.process.returncode
        self._thread.join(SECONDS)
        os.close(self._reader)
        os.close(self._writer)
        return self

    def _screen(self):
        """All that was written to the terminal, until nobody holds it any more."""
        shown = b""
        with open(self._master, "rb", buffering=0) as master, contextlib.suppress(OSError):
            while True:
                shown += master.read(65536)
        return shown.decode()

    def kinds(self):
        return [frame["t"] for frame in self.frames]

    def of(self, kind):
        return [frame for frame in self.frames if frame["t"] == kind]

    def outcomes(self):
        """Outcome by node id, as testbox was told; a test that was told twice is a list."""
        told = {}
        for frame in self.of("done"):
            told.setdefault(frame["id"].split("::", 1)[1], []).append(frame["outcome"])
        return {name: found[0] if len(found) == 1 else found for name, found in told.items()}


def diagnosis(ended):
    """What the supervisor would say, from the wait status alone."""
    status = ended["status"]
    if os.WIFSIGNALED(status):
        return "memory", f"peak 512.0 MiB of 512 MiB, signal {os.WTERMSIG(status)}"
    if not ended["clean"]:
        return "silent", f"exit code {os.WEXITSTATUS(status)} without a word"
    return "none", ""


def surroundings(environment, **variables):
    """The environment of a pytest."""
    kept = {
        name: value for name, value in os.environ.items() if name not in CHANGING and not name.startswith("PYTEST_")
    }
    return {**kept, **SAME, **variables, **(environment or {})}


def wait_until(holds):
    """Waits for a condition; whether it holds."""
    end = time.monotonic() + SECONDS
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def write(folder, files):
    """Writes files below a folder, each newer than the one before: pytest can order tests by that."""
    for number, (name, text) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (OLD + number, OLD + number))


def bare(folder, *arguments, command=None, environment=None):
    """The same without testbox: exit code and output."""
    command = command or [sys.executable, "-m", "pytest"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env=surroundings(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout


def normal(output):
    """Output without what differs from run to run: times, addresses, process numbers."""
    output = re.sub(r"\b\d+\.\d+s\b( \(0:\d+:\d+\))?", "_s", output)
    output = re.sub(r"0x[0-9a-f]+", "0x_", output)
    output = re.sub(r"pytest-\d+/", "pytest-_/", output)
    # Rules are as long as the times in them leave room.
    return re.sub(r"={2,}", "==", output)
