"""Tells testbox of each test, where tests run in this very process."""

import pytest

from . import reports
from .channel import MAX_ID


class OneProcess:
    """Each test, where tests run in this very process."""

    def __init__(self, channel, session, timeouts, settings):
        self._channel = channel
        self._timeouts = timeouts
        self._settings = settings
        self._items = {item.nodeid: item for item in session.items}
        self._reports = {}
        self._phase = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid):
        self._reports[nodeid], self._phase = [], "setup"
        item = self._items.get(nodeid)
        # pytest-xdist's workers have collected what they run; here is nothing to ask.
        timeout_ms, teardown_ms = self._timeouts.of(item, self._settings.need_of(item)) if item else (None, None)
        told = {"timeout_ms": timeout_ms, "teardown_ms": teardown_ms}
        self._channel.send("start", w=0, id=nodeid[:MAX_ID], **told)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self):
        # Set up once more: a plugin runs the test again.
        if self._phase != "setup":
            self._tell("call")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self):
        self._tell("call")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self):
        self._tell("teardown")

    def _tell(self, phase):
        self._phase = phase
        self._channel.send("when", w=0, when=phase)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        self._reports.setdefault(report.nodeid, []).append(report)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid):
        found = self._reports.pop(nodeid, [])
        outcome, told = reports.outcome_of(found), reports.told(found)
        self._channel.send("done", w=0, id=nodeid[:MAX_ID], outcome=outcome, reports=told, usage={})
