"""What workers say of tests: testbox hears it at once, pytest's hooks when it is the batch's turn."""

import time
import warnings

import pytest

from . import compat, reports, shipping
from .channel import MAX_ID, Lost
from .forked import Running


class Relay:
    """Turns workers' frames into frames for testbox and events for the stage."""

    def __init__(self, session, channel, timeouts, needs, holds):
        self._session = session
        self._config = session.config
        self._channel = channel
        self._timeouts = timeouts
        self._needs = needs
        self._holds = holds
        self._handlers = {
            "start": self._on_start,
            "when": self._on_when,
            "logstart": self._on_logstart,
            "passed": self._on_passed,
            "report": self._on_report,
            "warning": self._on_warning,
            "logfinish": self._on_logfinish,
            "finish": self._on_finish,
        }
        #: Reports that failed, and tests that are over: also those that pytest has not yet been told of.
        self.failures = 0
        self.done = set()
        self._verdicts = {}
        #: Of all tests, once somebody asks.
        self._nodeids = None

    def too_many_failures(self):
        """Whether --maxfail is reached, counting what pytest has not yet been told."""
        most = self._config.getoption("maxfail", 0)
        return bool(most) and self.failures >= most

    def take(self, worker, message):
        """One frame about a test. Raises Lost if no worker of ours would send it now."""
        handle = self._handlers.get(message.get("k"))
        if handle is None:
            raise Lost("a frame {!r}".format(message.get("k")))
        try:
            handle(worker, message)
        except (
            ArithmeticError,
            AssertionError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise Lost("a frame {!r} that no worker sends: {!r}".format(message["k"], error)) from error

    def _on_start(self, worker, message):
        if worker.running is not None or not worker.rest or worker.rest[0] != message["i"]:
            raise ValueError("test {!r} out of turn".format(message["i"]))
        worker.begin()
        item = self._session.items[message["i"]]
        timeout_ms, teardown_ms = self._timeouts.of(item, self._needs[message["i"]])
        self._channel.hold(
            "start", w=worker.number, id=item.nodeid[:MAX_ID], timeout_ms=timeout_ms, teardown_ms=teardown_ms
        )

    def blame_first(self, worker):
        """It died on the way to its first test, in which it is said to have been: nothing nearer is known."""
        worker.begin()
        self._channel.hold("start", w=worker.number, id=self._session.items[worker.last].nodeid[:MAX_ID])

    def _on_when(self, worker, message):
        worker.running.when = "teardown" if message["when"] == "teardown" else "call"

    def tell_phases(self, workers):
        """Of a test that goes on testbox hears its phase; of one that is over by now its end is enough."""
        for worker in workers:
            running = worker.running
            if running is not None and running.told != running.when:
                running.told = running.when
                self._channel.hold("when", w=worker.number, when=running.when)

    def _on_logstart(self, worker, message):
        self._check_name(worker, message["nodeid"])
        self._tell_start(worker, message["nodeid"], shipping.unpack(message["location"]))

    def _tell_start(self, worker, nodeid, location):
        running = worker.running
        running.log = (nodeid, location)
        self._tell(worker, "pytest_runtest_logstart", nodeid=nodeid, location=location)
        if self._holds:
            worker.script.hold()

    def _on_report(self, worker, message):
        self._take_report(worker, shipping.from_full(message, self._config))

    def _on_passed(self, worker, message):
        self._take_report(worker, shipping.from_short(message, worker.running))

    def _take_report(self, worker, report):
        running = worker.running
        self._check_name(worker, report.nodeid)
        running.reports.append(report)
        if running.test in self._verdicts and report.when == "call":
            report.sections.append(("testbox", self._both_verdicts(running.test, report.outcome)))
        self._tell(worker, "pytest_runtest_logreport", report=report)
        if report.outcome == "failed":
            self.failures += 1
            worker.script.release()

    def _check_name(self, worker, nodeid):
        """A test may be called what a project likes, but not as another one."""
        if nodeid != self._session.items[worker.running.test].nodeid:
            self._nodeids = self._nodeids or frozenset(item.nodeid for item in self._session.items)
            if nodeid in self._nodeids:
                raise ValueError(f"a result of {nodeid!r}, which is another test")

    def _on_warning(self, worker, message):
        arguments = compat.warning_from_message(message["data"])
        self._tell(worker, "pytest_warning_recorded", **arguments)

    def _on_logfinish(self, worker, message):
        worker.script.release()
        nodeid, location = worker.running.log
        if "nodeid" in message:
            nodeid, location = message["nodeid"], shipping.unpack(message["location"])
            self._check_name(worker, nodeid)
        self._tell(worker, "pytest_runtest_logfinish", nodeid=nodeid, location=location)

    def _on_finish(self, worker, message):
        running = worker.running
        if running is None or running.test != message["i"]:
            raise ValueError("the end of test {!r}, which does not run".format(message["i"]))
        worker.script.release()
        worker.finish()
        self._done(worker, running, reports.outcome_of(running.reports), usage(message.get("usage")))

    def _done(self, worker, running, outcome, numbers):
        self.done.add(running.test)
        self._channel.hold(
            "done",
            w=worker.number,
            id=self._session.items[running.test].nodeid[:MAX_ID],
            outcome=outcome,
            reports=reports.told(running.reports),
            usage=numbers,
        )

    def _tell(self, worker, hook, **arguments):
        worker.script.add((hook, worker.current(), arguments))

    # Killed workers

    def try_again(self, worker, verdict):
        """The attempt does not count: what was held of it is never told."""
        test = worker.running.test
        self._verdicts.setdefault(test, []).append(verdict)
        worker.script.drop()
        self._channel.hold("retry", w=worker.number, id=self._session.items[test].nodeid[:MAX_ID])

    def killed(self, worker, verdict, stack):
        """The running test failed; if none was running, the last one's teardown, or the first one's setup."""
        if worker.running is None:
            self._killed_between(worker, verdict, stack)
            return
        running = worker.running
        item = self._session.items[running.test]
        if running.log is None:
            self._tell_start(worker, item.nodeid, item.location)
        worker.script.release()
        sections = [(f"Captured {name} {running.when}", text) for name, text in worker.captured()]
        if running.test in self._verdicts:
            sections.append(("testbox", self._both_verdicts(running.test, verdict)))
        seconds = time.monotonic() - running.since
        report = reports.of_kill(item, running.when, verdict, stack, sections, seconds)
        running.reports.append(report)
        self._tell(worker, "pytest_runtest_logreport", report=report)
        if running.when != "teardown":
            self._tell(worker, "pytest_runtest_logreport", report=reports.of_unseen_teardown(item))
        self._tell(worker, "pytest_runtest_logfinish", nodeid=item.nodeid, location=item.location)
        self.failures += 1
        worker.finish()
        self._done(worker, running, reports.outcome_of(running.reports), {})

    def _killed_between(self, worker, verdict, stack):
        """No test was running: the fixtures of the last one, or of the first one, are the nearest that is known."""
        if worker.last is None:
            worker.begin()
            self.killed(worker, verdict, stack)
            return
        item = self._session.items[worker.last]
        sections = [(f"Captured {name} teardown", text) for name, text in worker.captured()]
        verdict += " (after the test, when no other had begun)"
        report = reports.of_kill(item, "teardown", verdict, stack, sections, 0.0)
        self._tell(worker, "pytest_runtest_logreport", report=report)
        self.failures += 1
        numbered = Running(worker.last)
        numbered.reports.append(report)
        self._done(worker, numbered, "error", {})

    def _both_verdicts(self, test, last):
        lines = ["attempt %d: %s" % (number, text) for number, text in enumerate(self._verdicts[test], 1)]
        return "\n".join([*lines, "attempt %d: %s" % (len(lines) + 1, last)])

    def left_behind(self, worker, processes):
        """Processes that a batch did not end: a warning, no failure."""
        if not processes or worker.last is None:
            return
        item = self._session.items[worker.last]
        text = "testbox ended processes that the tests left behind: " + ", ".join(str(name) for name in processes)
        path, line = item.location[0], (item.location[1] or 0) + 1
        warning = warnings.WarningMessage(pytest.PytestWarning(text), pytest.PytestWarning, path, line)
        arguments = {"warning_message": warning, "when": "runtest", "nodeid": item.nodeid, "location": None}
        self._tell(worker, "pytest_warning_recorded", **arguments)


def usage(numbers):
    """Only what testbox knows, and only numbers: a worker may be a test's puppet."""
    if not isinstance(numbers, dict):
        return {}
    known = ("peak", "growth", "cache", "cpu_ms", "pids")
    return {name: numbers[name] for name in known if type(numbers.get(name)) is int}
