"""Takes over pytest's test loop, where tests can run in workers; else says why they cannot."""

import pytest

from . import compat, own_modules, threads

#: The oldest pytest whose tests run in workers.
OLDEST = (7, 0)
#: Threads that one note names.
MAX_THREADS = 8


class Takeover:
    """The loop itself. `Decision` says whether it is used."""

    def __init__(self, channel, settings):
        self._channel = channel
        self._settings = settings
        self.is_used = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if not self.is_used:
            return None
        with own_modules():
            from .controller import Controller
        compat.forget_own_lines()
        Controller(session, self._channel, self._settings).run()
        return True


class Decision:
    """Comes before every test loop, whoever's it is."""

    def __init__(self, channel, settings, profile, takeover):
        self._channel = channel
        self._settings = settings
        self._profile = profile
        self._takeover = takeover

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session):
        self._channel.send("phase", name="tests")
        self._decide(session)
        yield

    def _decide(self, session):
        config, settings = session.config, self._settings
        if config.option.collectonly or (session.testsfailed and not config.option.continue_on_collection_errors):
            # No test will run: pytest's own loop ends the session, as always.
            return
        reason = _too_old() or self._why_not(session)
        if reason or settings.isolate == "none":
            self._stay(session, reason)
        elif session.items:
            self._warn(session)
            self._channel.send("workers", mode=str(settings.isolate), jobs=settings.jobs)
            self._takeover.is_used = True

    def _stay(self, session, reason):
        """All in one process: testbox only hears of it."""
        if reason and self._settings.isolate != "none":
            self._channel.send("note", text="tests run in one process: " + reason)
        self._channel.send("workers", mode="none", jobs=1)
        with own_modules():
            from .oneprocess import OneProcess
            from .timeouts import Timeouts
        timeouts = Timeouts(session.config, self._settings)
        witness = OneProcess(self._channel, session, timeouts, self._settings)
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
        told = [
            f"`{thread.name}` of {_module_of(thread)} in {where}"
            for thread, where in self._profile.threads
            if thread.is_alive()
        ]
        if threads.native_threads():
            told += [f"{count} of a C library in {where}" for count, where in self._profile.native_threads]
        if told:
            self._channel.send(
                "note",
                text=f"threads began during the collection: {', '.join(told[:MAX_THREADS])}; workers do not have "
                "them, and a lock that one of them holds stays locked there: start them in a fixture",
            )
        registered = compat.registered_markers(session.config)
        for name in self._settings.unknown_markers(session.items, registered):
            text = "the quota for marker `%s` holds for no test: no collected test has it, and it is not registered"
            self._channel.send("note", text=text % name)


def _too_old():
    if compat.PYTEST < OLDEST:
        return "workers need pytest %d.%d, and this is %s" % (*OLDEST, pytest.__version__)
    return None


def _module_of(thread):
    """Where the function is from that a thread runs."""
    return getattr(getattr(thread, "_target", None) or thread, "__module__", "?")
