"""Workers that are no forks: the same command in an interpreter of its own, which collects for itself.

A fork has none of the threads that the collection began, and a lock that one of them held stays locked there for ever.
"""

import collections
import contextlib
import io
import json
import os
import socket
import subprocess
import sys

import pytest

from . import compat, reports, worker
from .channel import MAX_REPORT_FRAME, Lost, Stream


class Command:
    """In the controller: what an interpreter of its own needs to come to the same tests."""

    def __init__(self, config, nodeids):
        """To be made while this process may look into itself."""
        # As it was started: the tests' own code may have changed what Python knows of it.
        self._argv = [os.fsencode(sys.executable), *_strings("cmdline")[1:]]
        self._environment = dict(pair.split(b"=", 1) for pair in _strings("environ") if b"=" in pair)
        # testbox's socket is the controller's alone.
        self._environment.pop(b"TESTBOX_CHANNEL", None)
        self._folder = str(config.invocation_params.dir)
        self._config = config
        self._nodeids = nodeids
        self._files = [nodeid.split("::")[0] for nodeid in nodeids]

    def start(self, forked, link, bell, coverage_file):
        """Starts a worker, with these ends of its sockets; its pid."""
        told = {
            "link": link.fileno(),
            "bell": bell.fileno(),
            "join": forked.slot.join,
            "dump": forked.slot.dump,
            "gauges": forked.slot.gauges,
            "files": {name: file.fileno() for name, file in forked.files.items()},
            "fixture_files": {name: file.fileno() for name, file in forked.fixture_files.items()},
            "nodeids": self._nodeids,
            "tests": list(forked.batch.tests),
            "goes_on": forked.goes_on,
            "collected": None if forked.goes_on else self._files_of(forked.batch.tests),
            "coverage": coverage_file,
            "base": compat.base_folder(self._config),
            "seed": compat.random_seed(self._config),
        }
        kept = [told["link"], told["bell"], told["dump"], *told["join"], *(number for _, number in told["gauges"])]
        kept += [*told["files"].values(), *told["fixture_files"].values()]
        order = os.memfd_create("testbox-worker")
        try:
            with open(order, "w", encoding="utf-8", closefd=False) as file:
                json.dump(told, file)
            environment = {**self._environment, b"TESTBOX_WORKER": str(order).encode()}
            process = subprocess.Popen(self._argv, cwd=self._folder, env=environment, pass_fds=[order, *kept])
        finally:
            os.close(order)
        # The controller itself waits for it.
        process.returncode = 0
        return process.pid

    def _files_of(self, tests):
        """The only files that must be collected for these tests; None: what the command says."""
        files = {self._files[test]: None for test in tests}
        paths = [str(self._config.rootpath / file) for file in files]
        return paths if len(files) < len(set(self._files)) and all(map(os.path.isfile, paths)) else None


class Fresh:
    """In a worker: it joins its slot before anything of the project is loaded, and takes over pytest's test loop."""

    def __init__(self, number):
        """`number` of the descriptor of its order."""
        with open(int(number), encoding="utf-8") as file:
            file.seek(0)
            self._order = order = json.load(file)
        for name in ("files", "fixture_files"):
            order[name] = {
                stream: os.fdopen(_own(number), "r+b", buffering=0) for stream, number in order[name].items()
            }
        order["gauges"] = [(name, _own(number)) for name, number in order["gauges"]]
        self._link = Stream(_socket(order["link"]), MAX_REPORT_FRAME, bell=_socket(order["bell"]))
        #: What pytest would have shown, and what went wrong in the collection.
        self._shown, self._errors = io.StringIO(), []
        self._terminal = None
        #: Descriptors of the output, and where they led to.
        self._output = {1: None, 2: None}

    def join(self):
        """Returns when testbox has seen this process alone in its slot."""
        try:
            worker.join(self._order["join"], _own(self._order["dump"]), self._link)
            self._link.send({"k": "joined"})
            if not worker.may_begin(self._link):
                os._exit(0)
        except Lost:
            os._exit(1)
        worker.set_dumpable(True)
        self._mute()

    def _mute(self):
        """What is written until the tests begin was seen when the controller came so far."""
        null = os.open(os.devnull, os.O_WRONLY)
        for number in self._output:
            self._output[number] = os.dup(number)
            os.dup2(null, number)
        os.close(null)

    def _unmute(self, config):
        worker.flush_output()
        for number, kept in self._output.items():
            compat.let_output_through(config, number, kept)
            os.close(kept)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session):
        # What pytest shows of its session, the controller shows of its own.
        self._terminal = compat.show_in(session.config, self._shown)
        compat.take_base_folder(session.config, self._order["base"])
        compat.take_random_seed(session.config, self._order["seed"])
        if self._order["collected"]:
            session.config.args = self._order["collected"]

    def pytest_collectreport(self, report):
        if report.failed:
            self._errors.append(str(report.longrepr))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        self._unmute(session.config)
        compat.show_in(session.config, self._terminal)
        order = self._order
        items = _in_order(order["nodeids"], session.items)
        self._end_without(items, range(len(items)) if order["goes_on"] else order["tests"])
        worker.serve_fresh(session, items, self._link, order)

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self):
        """The loop does not return: it was not reached."""
        self._tell_broken("it ended before its tests:\n" + self._shown.getvalue()[-reports.MAX_TEXT // 2 :])

    def _end_without(self, items, tests):
        """Ends the process if one of these tests is not there."""
        missing = [self._order["nodeids"][test] for test in tests if items[test] is None]
        if missing:
            told = f"{len(missing)} of {len(tests)} tests are not there when they are collected once more"
            errors = "".join("\n" + error for error in self._errors)[: reports.MAX_TEXT // 2]
            self._tell_broken(
                f"{told}: {missing[0]}. With `--isolate none` they run where they were collected.{errors}"
            )
            os._exit(1)

    def _tell_broken(self, text):
        with contextlib.suppress(Lost):
            self._link.send({"k": "broken", "text": text})


def _strings(name):
    """Of a file in /proc/self that holds strings, each with a NUL behind it."""
    with open("/proc/self/" + name, "rb") as file:
        return file.read().split(b"\0")[:-1]


def _own(number):
    """A descriptor that no process of the tests inherits."""
    os.set_inheritable(number, False)
    return number


def _socket(number):
    return socket.socket(fileno=_own(number))


def _in_order(nodeids, items):
    """The items in this order; None for those that are not there. Of the same name, the first one comes first."""
    found = collections.defaultdict(collections.deque)
    for item in items:
        found[item.nodeid].append(item)
    return [found[nodeid].popleft() if found[nodeid] else None for nodeid in nodeids]
