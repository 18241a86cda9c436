"""Whether tests run in workers; else why they cannot."""

import pytest

from . import compat, own_modules, threads

#: The oldest pytest whose tests run in workers.
OLDEST = (7, 0)
#: Threads that one note names.
MAX_THREADS = 8


def decide(session, channel, settings, profile):
    """The settings for workers, None if there are none; tells testbox."""
    config = session.config
    if config.option.collectonly or (session.testsfailed and not config.option.continue_on_collection_errors):
        # No test will run: pytest's own loop ends the session, as always.
        return None
    others = _others_run_them(session)
    reason = _too_old() or others or _why_not(session)
    if reason or settings.isolate == "none":
        _stay(session, channel, settings, reason, "other" if others else "none")
        return None
    if not session.items:
        return None
    _warn_of_quotas(session, channel, settings)
    channel.send("workers", mode=str(settings.isolate), jobs=settings.jobs)
    return settings._replace(fresh=_has_threads(session, channel, profile))


def _stay(session, channel, settings, reason, mode):
    """All in one process: testbox only hears of it."""
    if reason and settings.isolate != "none":
        channel.send("note", text="tests run in one process: " + reason)
    channel.send("workers", mode=mode, jobs=1)
    with own_modules():
        from .oneprocess import OneProcess
        from .timeouts import Timeouts
    witness = OneProcess(channel, session, Timeouts(session.config, settings), settings)
    session.config.pluginmanager.register(witness, "testbox-one-process")


def _others_run_them(session):
    """Somebody else does, and may run each as often as it likes."""
    config = session.config
    if config.getoption("numprocesses", None) or config.pluginmanager.hasplugin("dsession"):
        return "pytest-xdist (-n) runs them in processes of its own"
    if config.getoption("forked", False):
        return "pytest-forked (--forked) runs each in a process of its own"
    loop = compat.other_test_loop(config)
    if loop is not None:
        return f"the plugin {loop} runs them in a loop of its own"
    return None


def _why_not(session):
    """pytest's own loop runs them, for this reason."""
    config = session.config
    if config.getoption("usepdb", False) or config.getoption("trace", False):
        return "a debugger (--pdb, --trace) needs the terminal"
    benchmarks = any("benchmark" in getattr(item, "fixturenames", ()) for item in session.items)
    if benchmarks and config.pluginmanager.hasplugin("benchmark") and not config.getoption("benchmark_disable"):
        return "pytest-benchmark keeps its measurements in this process (--benchmark-disable)"
    return None


def _has_threads(session, channel, profile):
    """Whether there are threads, which no fork has; tells whose."""
    told = [
        f"`{thread.name}` of {_module_of(thread)} in {where}" for thread, where in profile.threads if thread.is_alive()
    ]
    if threads.native_threads():
        told += [f"{count} of a C library in {where}" for count, where in profile.native_threads]
    if told:
        text = (
            f"threads began during the collection: {', '.join(told[:MAX_THREADS])}; no fork has them, so each worker "
            "collects its tests once more: threads that begin in a fixture spare that"
        )
        channel.send("note", text=text)
    return bool(told)


def _warn_of_quotas(session, channel, settings):
    """What is probably misspelt."""
    registered = compat.registered_markers(session.config)
    for name in settings.unknown_markers(session.items, registered):
        text = "the quota for marker `%s` holds for no test: no collected test has it, and it is not registered"
        channel.send("note", text=text % name)


def _too_old():
    if compat.PYTEST < OLDEST:
        return "workers need pytest %d.%d, and this is %s" % (*OLDEST, pytest.__version__)
    return None


def _module_of(thread):
    """Where the function is from that a thread runs."""
    return getattr(getattr(thread, "_target", None) or thread, "__module__", "?")
