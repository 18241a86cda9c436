"""The hooks that only tell testbox what pytest is doing, so that a killed run can name the guilty file or test."""

import pytest

from .channel import MAX_ID


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
            self._profile.begin(collector.nodeid[:MAX_ID])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report):
        self._profile.end(report.nodeid[:MAX_ID])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        self._channel.send("collected", total=len(session.items))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus):
        self._channel.send("finish", exit=int(exitstatus))
