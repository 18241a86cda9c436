"""A worker: forked from the controller, in a cgroup of its own, runs one batch and ships what happens to it.

It holds no end of testbox's socket. Nothing in here returns to the controller's code: a worker ends by `os._exit`.
"""

import atexit
import collections
import contextlib
import faulthandler
import os
import random
import signal
import sys
import threading
import time
import traceback

import pytest

from . import compat, reports
from .channel import DUMP_SIGNAL, Lost, TooLong
from .gauges import Gauges
from .process import WORKER_OOM_SCORE, keep_signals_inside, set_dumpable, set_oom_score
from .shipping import Packer, pack, shortened

#: What coverage has measured is written at the end of a test, at most this often.
COVERAGE_SECONDS = 1.0
#: The end of a worker's threads and exit handlers is waited for so long.
EXIT_SECONDS = 20


def serve(shipper, tests, goes_on, link, slot, files, coverage_file, random_state):
    """In a fork: runs these tests and ends the process. `goes_on`: before the last one it asks for more.

    `slot` is testbox's order; `files` are the files that take the captured output, by the name of the stream.
    """

    def work():
        config = shipper.session.config
        compat.keep_captured(config, files)
        join(slot.join, slot.dump, link)
        _tell_crashes(config, slot.dump)
        link.send({"k": "joined"})
        # While testbox looks where this process is:
        random.setstate(random_state)
        # Only what is registered from here on runs at the end of this process.
        atexit._clear()
        shipper.take_over(link, Gauges(slot.gauges), compat.Measured.divert(coverage_file))
        if may_begin(link):
            # From here on the tests may look at this process.
            set_dumpable(True)
            _run(shipper.session, tests, goes_on, shipper)
        shipper.close()

    _work(work, link)


def serve_fresh(session, items, link, order):
    """In an interpreter of its own that has joined its slot and collected: runs its tests and ends the process. `items`
    are in the order of the controller, whose `order` it is."""

    def work():
        tests = order["tests"]
        compat.keep_captured(session.config, order["files"])
        compat.keep_captured_by_fixtures(order["fixture_files"])
        _tell_crashes(session.config, order["dump"])
        shipper = Shipper(session, items)
        shipper.prepare(tests[0])
        shipper.take_over(link, Gauges(order["gauges"]), compat.Measured.divert(order["coverage"]))
        _run(session, tests, order["goes_on"], shipper)
        shipper.close()

    _work(work, link)


def _work(work, link):
    """Does it, and ends the process; whatever stops it, the controller hears of it."""
    status = 1
    try:
        work()
        status = 0
    except Lost:
        # The controller is gone: there is nobody to work for.
        pass
    except BaseException:  # noqa: BLE001 - the controller must hear of it
        link.send({"k": "broken", "text": traceback.format_exc()[-reports.MAX_TEXT :]})
    finally:
        os._exit(status)


def may_begin(link):
    """Waits for the word whether the tests begin."""
    while True:
        try:
            word = link.receive().get("k")
        except KeyboardInterrupt:
            # The controller has heard it as well, and says what follows.
            continue
        if word in ("go", "halt"):
            return word == "go"


def join(members, dump, link):
    """Joins the cgroup whose files of members these are, and takes the powers over others away; testbox asks for the
    stacks, which go to `dump`. `go` answers when testbox has seen this process where it must be."""
    try:
        for descriptor in members:
            os.write(descriptor, b"0")
        # Only who may be looked into may write this; the tests of other workers may not yet look.
        set_dumpable(True)
        set_oom_score(WORKER_OOM_SCORE)
        set_dumpable(False)
        keep_signals_inside()
    except OSError as error:
        link.send({"k": "outside", "why": str(error)})
        os._exit(1)
    for descriptor in members:
        os.close(descriptor)
    faulthandler.register(DUMP_SIGNAL, file=dump, all_threads=True, chain=False)


def _tell_crashes(config, descriptor):
    """Where this process crashes is told to testbox, which shows it with the test; where a child of it crashes is the
    project's own affair, as ever."""
    usual = compat.file_of_crashes(config) if faulthandler.is_enabled() else None
    if usual is not None:
        faulthandler.enable(file=descriptor, all_threads=True)
        os.register_at_fork(after_in_child=lambda: faulthandler.enable(file=usual))


def _run(session, tests, goes_on, shipper):
    tests = collections.deque(tests)
    try:
        while tests:
            test = tests.popleft()
            if not tests and goes_on:
                tests.extend(shipper.more_tests())
                goes_on = bool(tests)
            item = shipper.items[test]
            shipper.begin(test, item)
            nextitem = shipper.items[tests[0]] if tests else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
            shipper.end(test)
            if session.shouldfail or session.shouldstop or shipper.is_halted():
                shipper.flush()
                compat.tear_down_all(session)
                break
        shipper.flush()
    except (KeyboardInterrupt, pytest.exit.Exception) as error:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        shipper.interrupted(error)
        compat.tear_down_all(session)
    _run_exit_handlers(shipper)


def _run_exit_handlers(shipper):
    """What the tests have registered for the end of their process; the controller's own handlers are not run here.

    All results are told by now, and no test's clock runs: a thread or a handler that never ends is not waited for.
    """
    if _may_never_end():
        last = threading.Timer(EXIT_SECONDS, shipper.leave)
        last.daemon = True
        last.start()
    # As the interpreter does it: threads first, with what executors have registered for this moment; then the others.
    threading._shutdown()
    exit_multiprocessing = getattr(sys.modules.get("multiprocessing.util"), "_exit_function", None)
    if exit_multiprocessing is not None:
        exit_multiprocessing()
    atexit._run_exitfuncs()
    flush_output()


def flush_output():
    """What was printed goes to where it leads by now."""
    for stream in (sys.stdout, sys.stderr):
        # A test may have closed or replaced it.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()


def _may_never_end():
    """Whether there is a thread, a process or a handler to wait for."""
    processes = sys.modules.get("multiprocessing.process")
    children = processes.active_children() if processes is not None else ()
    return bool(threading.active_count() > 1 or children or atexit._ncallbacks())


class Shipper:
    """The only plugin of a worker that hears of results: it sends them to the controller.

    It is registered in the controller, once for all workers: registering costs more than a short test. There it has no
    owner, and says nothing.
    """

    def __init__(self, session, items=None):
        self.session = session
        #: By the numbers that the controller gives them.
        self.items = session.items if items is None else items
        self._config = session.config
        self._always_asks = compat.writes_to_terminal(self._config)
        self._asks_at_end = self._always_asks or compat.others_hear_results(self._config)
        # Where a test cannot end between its begin and its setup, its begin is told with its setup.
        self._holds_start = not compat.others_run_tests(self._config)
        self._asks_now = False
        self._owner = self._link = self._gauges = self._write_coverage = None
        self._written_at = 0.0
        self._phase = None
        self._halted = False
        self._left_out = set()
        #: Hooks of others that hear of results; None: they changed.
        self._others = None
        #: What pytest_runtest_logstart said last.
        self._log = None
        self._packer = Packer(self._config)
        #: What travels with what is told next.
        self._held = []
        self._config.pluginmanager.register(self, "testbox-shipper")

    def prepare(self, first):
        """In the controller, before a fork: what every worker would find out anew, and copy memory for."""
        self._others = self._heard_by_others() if self._others is None else self._others
        compat.know_location(self.items[first])

    def _heard_by_others(self):
        return compat.result_hooks_of_others(self._config, self)

    def take_over(self, link, gauges, write_coverage):
        """In a fresh worker: silences everybody else who hears of results."""
        self._link, self._gauges, self._write_coverage = link, gauges, write_coverage
        self._written_at = time.monotonic()
        compat.mute(self._others)
        self._owner = os.getpid()

    def more_tests(self):
        """What the controller gives this worker besides."""
        self._ship({"k": "next"})
        self._link.ring()
        return self._hear("more")["tests"]

    def begin(self, test, item):
        """A test begins."""
        self._phase = "setup"
        self._asks_now = self._always_asks or compat.uses_capture_fixture(item)
        self._packer.begin()
        self._gauges.begin()
        self._ship({"k": "start", "i": test}, hold=self._holds_start)

    def end(self, test):
        """The test is over, with all its reports."""
        message = {"k": "finish", "i": test, "usage": self._gauges.end()}
        for name in ("shouldfail", "shouldstop"):
            if getattr(self.session, name):
                message[name] = str(getattr(self.session, name))
        if time.monotonic() - self._written_at >= COVERAGE_SECONDS:
            self._write_coverage()
            self._written_at = time.monotonic()
        self._ship(message, ask=self._asks_at_end, hold=True)

    def interrupted(self, error):
        """pytest.exit or Ctrl-C in a test: the controller stops the session as it would have stopped here."""
        frame = _place_of(error)
        message = {"k": "interrupted", "file": frame[0], "line": frame[1]}
        if isinstance(error, pytest.exit.Exception):
            message.update(reason=str(error.msg), returncode=error.returncode)
        self._ship(message)
        self._link.ring()

    def close(self):
        """The batch is over."""
        if os.getpid() == self._owner:
            self._write_coverage()
            self._ship({"k": "over"})
            self._link.ring()

    def leave(self):
        """The batch is over, although the process does not come to its end."""
        text = "a worker had run its tests, but its threads or exit handlers did not end within %d s"
        self._ship({"k": "note", "text": text % EXIT_SECONDS})
        self.close()
        os._exit(0)

    def is_halted(self):
        """Whether the controller wants no more tests."""
        while not self._halted and os.getpid() == self._owner:
            message = self._link.receive(wait=False)
            if message is None:
                break
            self._halted = message.get("k") == "halt"
        return self._halted

    def flush(self):
        """Tells what is held."""
        if os.getpid() == self._owner:
            self._send()

    def _ship(self, message, ask=False, hold=False):
        """With `hold` it travels with what is told next; nothing is held while a test's own code runs."""
        # The controller, and a process that a test forked, have the same hooks, but no say.
        if os.getpid() != self._owner:
            return
        if self._always_asks:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        if ask:
            message["ask"] = True
        self._held.append(message)
        if ask or not hold:
            self._send()
        if ask:
            self._link.ring()
            self._heed(self._hear("word"))

    def _send(self):
        """All that is held, in one frame if it is not too long for one."""
        held, self._held = self._held, []
        try:
            if held:
                self._link.hold({"k": "several", "of": held})
        except TooLong:
            for message in held:
                try:
                    self._link.hold(message)
                except TooLong:
                    self._link.hold(shortened(message))
        self._link.flush()

    def _hear(self, kind):
        """Waits for the controller's answer."""
        while True:
            answer = self._link.receive()
            if answer.get("k") == "halt":
                self._halted = True
            elif answer.get("k") == kind:
                return answer

    def _heed(self, word):
        """Whether the session goes on."""
        for name in ("shouldfail", "shouldstop"):
            if word.get(name) and not getattr(self.session, name):
                setattr(self.session, name, word[name])
        self.session.testsfailed = word.get("testsfailed", self.session.testsfailed)

    @pytest.hookimpl(trylast=True)
    def pytest_plugin_registered(self):
        self._others = None
        if self._owner is not None:
            compat.mute(self._heard_by_others())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self):
        # Set up once more: a plugin runs the test again.
        if self._phase != "setup":
            self._ship({"k": "when", "when": "call"})
        self.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self):
        self._phase = "call"
        self._ship({"k": "when", "when": "call"})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self):
        self._phase = "teardown"
        self._ship({"k": "when", "when": "teardown"})

    def pytest_runtest_logstart(self, nodeid, location):
        if os.getpid() == self._owner:
            self._log = (nodeid, tuple(location))
            self._ship(self._log_message("logstart"), ask=self._asks_now, hold=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        if self._owner is None:
            compat.restore_junit_extras(self._config, report)
        if os.getpid() != self._owner:
            return
        message, left_out = self._packer.message(report, self._log)
        for name in set(left_out) - self._left_out:
            self._left_out.add(name)
            self._ship({"k": "note", "text": f"a report's attribute stays in the worker: {name} is no JSON"})
        self._ship(message, ask=self._always_asks or report.outcome == "failed", hold=True)

    def pytest_runtest_logfinish(self, nodeid, location):
        if os.getpid() == self._owner:
            is_same = self._log == (nodeid, tuple(location))
            self._log = (nodeid, tuple(location))
            self._ship({"k": "logfinish"} if is_same else self._log_message("logfinish"), hold=True)

    def _log_message(self, kind):
        nodeid, location = self._log
        return {"k": kind, "nodeid": nodeid, "location": pack(location)}

    def pytest_warning_recorded(self, warning_message, when, nodeid):
        if os.getpid() == self._owner:
            message = compat.warning_to_message(warning_message, when, nodeid)
            self._ship({"k": "warning", "data": message}, ask=self._always_asks, hold=True)


def _place_of(error):
    """File and line where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ("?", 1)
