"""A pytest plugin that writes down how every test came out: one line `PHASE OUTCOME NODEID` for each report.

The same plugin is in the plain run and in the box. Lines are sorted by nobody and escaped by nothing but JSON.
"""

import json
import os
import sys

import pytest

# Tests change the working directory; the file belongs to where pytest was started.
_PATH = os.path.join(os.getcwd(), "twin-outcomes.json")
_PID = os.getpid()
_lines = []


@pytest.hookimpl(trylast=True)
def pytest_sessionstart():
    # How long an example of hypothesis takes depends on what else the machine does, in a box or not.
    hypothesis = sys.modules.get("hypothesis")
    if hypothesis is not None:
        hypothesis.settings.register_profile("twin", hypothesis.settings(deadline=None))
        hypothesis.settings.load_profile("twin")


def _outcome(report):
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return report.outcome


def _why(report):
    return "" if report.passed else str(report.longrepr)[-300:]


def pytest_runtest_logreport(report):
    context = getattr(report, "context", None)
    subtest = "" if context is None else " [%s] %r" % (context.msg, sorted(context.kwargs.items()))
    _lines.append([report.when, _outcome(report), report.nodeid + subtest, _why(report)])


def pytest_collectreport(report):
    if not report.passed:
        _lines.append(["collect", report.outcome, report.nodeid, _why(report)])


def pytest_sessionfinish(session, exitstatus):
    # A test may fork, and its child may run into the end of the session.
    if os.getpid() == _PID:
        with open(_PATH, "w", encoding="utf-8") as file:
            json.dump({"exit": int(exitstatus), "lines": _lines}, file)
