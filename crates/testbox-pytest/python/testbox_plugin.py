"""Tells testbox what pytest is doing, so that a killed run can name the guilty test, its phase and its line.

testbox puts this file on PYTHONPATH and adds `-p testbox_plugin` to the command; the user's venv is not touched. It speaks
over one inherited socket (its number is in TESTBOX_CHANNEL): frames of a length (four bytes, little endian) and a JSON
object. It changes nothing about how tests run, and does nothing at all without the socket: in pytest-xdist's workers, in
nested runs and outside of a box.

Plain Python 3.8 and later, pytest 7 to 9.
"""

import array
import atexit
import faulthandler
import json
import os
import signal
import socket
import struct
import sys

import pytest

CHANNEL = "TESTBOX_CHANNEL"
PROTOCOL = 2
#: A frame is never longer; testbox takes a longer one for an attack.
MAX_FRAME = 1 << 20
#: A node id is cut to this many characters.
MAX_ID = 4096
#: testbox asks for the stacks of all threads by this signal.
DUMP_SIGNAL = signal.SIGRTMAX - 3
#: How long to wait for testbox's answer to the first frame.
ANSWER_SECONDS = 5.0


class Channel:
    """testbox's socket. After the first failure it is silent: tests must not suffer for their witness."""

    def __init__(self, sock):
        self._socket = sock
        self._owner = os.getpid()
        self._sequence = 0

    def send(self, kind, **fields):
        # A forked child has the same hooks and the same socket, but no say.
        if self._socket is None or os.getpid() != self._owner:
            return
        self._sequence += 1
        body = json.dumps(dict(fields, t=kind, s=self._sequence)).encode()
        if len(body) > MAX_FRAME:
            return
        try:
            self._socket.sendall(struct.pack("<I", len(body)) + body)
        except OSError:
            self._socket = None

    def receive_descriptor(self):
        """The descriptor in testbox's answer, or None."""
        if self._socket is None:
            return None
        self._socket.settimeout(ANSWER_SECONDS)
        try:
            fds = array.array("i")
            _, ancillary, _, _ = self._socket.recvmsg(64, socket.CMSG_SPACE(fds.itemsize))
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[: fds.itemsize])
                    os.set_inheritable(fds[0], False)
                    return fds[0]
        except OSError:
            pass
        finally:
            self._socket.settimeout(None)
        return None


def take_channel():
    """testbox's socket, if there is one; leaves the environment as the user's tests expect it."""
    number = os.environ.pop(CHANNEL, "")
    own = os.path.dirname(os.path.abspath(__file__))
    before, _, rest = os.environ.get("PYTHONPATH", "").partition(os.pathsep)
    if os.path.abspath(before) == own:
        if rest:
            os.environ["PYTHONPATH"] = rest
        else:
            del os.environ["PYTHONPATH"]
        sys.path[:] = [entry for entry in sys.path if entry != before]
    if not number:
        return None
    descriptor = int(number)
    os.set_inheritable(descriptor, False)
    return Channel(socket.socket(fileno=descriptor))


def outcome_of(reports):
    """One test's reports in one word: a failed call is `failed`, a failed setup or teardown `error`."""
    failed = [report.when for report in reports if report.outcome == "failed"]
    if failed:
        return "failed" if "call" in failed else "error"
    if any(hasattr(report, "wasxfail") for report in reports):
        return "xfailed" if any(report.outcome == "skipped" for report in reports) else "xpassed"
    return "skipped" if any(report.outcome == "skipped" for report in reports) else "passed"


class Witness:
    """The hooks: each says what begins or has ended."""

    def __init__(self, channel):
        self._channel = channel
        self._reports = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self):
        self._channel.send("phase", name="collection")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectstart(self, collector):
        if isinstance(collector, pytest.File):
            self._channel.send("collect", id=collector.nodeid[:MAX_ID])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        self._channel.send("collected", total=len(session.items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self):
        self._channel.send("phase", name="tests")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid):
        self._reports[nodeid] = []
        self._channel.send("start", id=nodeid[:MAX_ID])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self):
        self._channel.send("when", when="call")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self):
        self._channel.send("when", when="teardown")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        told = self._reports.setdefault(report.nodeid, [])
        told.append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid):
        reports = self._reports.pop(nodeid, [])
        told = [{"when": r.when, "outcome": r.outcome, "ms": int(r.duration * 1000)} for r in reports]
        self._channel.send("done", id=nodeid[:MAX_ID], outcome=outcome_of(reports), reports=told)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus):
        self._channel.send("finish", exit=int(exitstatus))


def dump_stacks_on_request(channel):
    """From now on the dump signal writes the stacks of all threads to testbox, also with the interpreter's lock held."""
    descriptor = channel.receive_descriptor()
    if descriptor is not None:
        faulthandler.register(DUMP_SIGNAL, file=descriptor, all_threads=True, chain=False)


_channel = take_channel()
if _channel is not None:
    _channel.send(
        "hello",
        protocol=PROTOCOL,
        python="%d.%d.%d" % sys.version_info[:3],
        pytest=pytest.__version__,
        dump_signal=int(DUMP_SIGNAL),
    )
    dump_stacks_on_request(_channel)
    # Handlers run last in, first out: what ends the process from a handler of its own ends it before this one.
    atexit.register(_channel.send, "goodbye")


def pytest_configure(config):
    if _channel is not None:
        config.pluginmanager.register(Witness(_channel), "testbox-witness")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests():
    if _channel is not None:
        _channel.send("phase", name="configuration")
