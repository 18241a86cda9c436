"""The hooks that only tell testbox what pytest is doing, so that a killed run can name the guilty file or test."""

import pytest

from . import compat, reports


class Witness:
    """Stages, collected files, the end."""

    def __init__(self, channel, profile):
        self._channel = channel
        self._profile = profile

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self):
        self._channel.send("phase", name="collection")
        with self._profile:
            yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectstart(self, collector):
        if isinstance(collector, pytest.File):
            self._profile.begin(collector.nodeid[: reports.MAX_ID])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report):
        self._profile.end(report.nodeid[: reports.MAX_ID])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        self._channel.send("collected", total=len(session.items))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus):
        compat.forget_own_lines()
        self._channel.send("finish", exit=int(exitstatus))


class OneProcess:
    """Each test, where tests run in this very process."""

    def __init__(self, channel, session, timeouts, needs):
        self._channel = channel
        self._timeouts = timeouts
        self._needs = {item: need for item, need in zip(session.items, needs)}
        self._reports = []
        self._phase = None

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        nodeid = item.nodeid[: reports.MAX_ID]
        timeout_ms, teardown_ms = self._timeouts.of(item, self._needs[item])
        self._reports, self._phase = [], "setup"
        self._channel.send("start", w=0, id=nodeid, timeout_ms=timeout_ms, teardown_ms=teardown_ms)
        yield
        outcome = reports.outcome_of(self._reports)
        self._channel.send("done", w=0, id=nodeid, outcome=outcome, reports=reports.told(self._reports), usage={})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self):
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
        self._reports.append(report)
