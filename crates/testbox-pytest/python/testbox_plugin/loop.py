"""Takes over pytest's test loop, where tests can run in workers; else says why they cannot."""

import pytest

from . import compat, process
from .controller import Controller
from .timeouts import Timeouts
from .witness import OneProcess


class Loop:
    """The hook, and the decision."""

    def __init__(self, channel, settings, profile):
        self._channel = channel
        self._settings = settings
        self._profile = profile

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        self._channel.send("phase", name="tests")
        config = session.config
        if session.testsfailed and not config.option.continue_on_collection_errors:
            # pytest's own loop ends the session, as always.
            return None
        if config.option.collectonly or not session.items:
            return None
        reason = self._why_not(session)
        if reason or self._settings.isolate == "none":
            self._stay(session, reason)
            return None
        self._warn(session)
        settings = self._settings
        mode = "file" if settings.isolate == "session" and settings.jobs > 1 else settings.isolate
        self._channel.send("workers", mode=str(mode), jobs=settings.jobs)
        Controller(session, self._channel, settings).run()
        return True

    def _stay(self, session, reason):
        """All in one process: testbox only hears of it."""
        if reason and self._settings.isolate != "none":
            self._channel.send("note", text="tests run in one process: " + reason)
        self._channel.send("workers", mode="none", jobs=1)
        needs = [self._settings.need_of(item) for item in session.items]
        timeouts = Timeouts(session.config, self._settings)
        witness = OneProcess(self._channel, session, timeouts, needs)
        session.config.pluginmanager.register(witness, "testbox-one-process")

    def _why_not(self, session):
        config = session.config
        if config.getoption("usepdb", False) or config.getoption("trace", False):
            return "a debugger (--pdb, --trace) needs the terminal"
        if config.getoption("numprocesses", None) or config.pluginmanager.hasplugin("dsession"):
            return "pytest-xdist (-n) runs them in processes of its own"
        if config.getoption("forked", False):
            return "pytest-forked (--forked) runs each in a process of its own"
        loop = compat.other_test_loop(config)
        if loop is not None:
            return f"the plugin {loop} runs them in a loop of its own"
        benchmarks = any("benchmark" in getattr(item, "fixturenames", ()) for item in session.items)
        if benchmarks and config.pluginmanager.hasplugin("benchmark") and not config.getoption("benchmark_disable"):
            return "pytest-benchmark keeps its measurements in this process (--benchmark-disable)"
        return None

    def _warn(self, session):
        """What a fork does not copy, and what is probably misspelt."""
        threads = process.python_threads()
        if threads:
            files = ", ".join(file for file, _ in self._profile.started_threads) or "a conftest or a plugin"
            self._channel.send(
                "note",
                text="threads that began while collecting ({}, in {}) do not exist in the forked workers, and a lock that "
                "one of them holds stays locked there: start them in a fixture".format(", ".join(threads[:8]), files),
            )
        registered = compat.registered_markers(session.config)
        for name in self._settings.unknown_markers(session.items, registered):
            text = "the quota for marker `%s` holds for no test: no collected test has it, and it is not registered"
            self._channel.send("note", text=text % name)
