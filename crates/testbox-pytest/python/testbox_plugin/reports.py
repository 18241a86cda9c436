"""Reports of tests: those of killed ones, and what testbox is told of each."""

import pytest

#: What testbox is told of a test that did not pass, in characters.
MAX_MESSAGE = 1000
MAX_TEXT = 16 << 10
#: Reports of one test that testbox is told, and all their text.
MAX_REPORTS = 48
MAX_TEXTS = 64 << 10


class Diagnosis:
    """What a killed test's report shows instead of a traceback."""

    def __init__(self, summary, stack, place):
        self.summary = summary
        self.stack = stack
        self.reprcrash = Place(place[0], place[1], summary)

    def __str__(self):
        return "\n".join([self.summary, *("    " + call for call in self.stack)])

    def toterminal(self, tw):
        tw.line("E   " + self.summary, red=True, bold=True)
        for call in self.stack:
            tw.line("      " + call)


class Place:
    """Where it happened, as pytest's short summary and JUnit file ask for it."""

    def __init__(self, path, lineno, message):
        self.path, self.lineno, self.message = path, lineno, message

    def __str__(self):
        return f"{self.path}:{self.lineno}: {self.message}"

    def toterminal(self, tw):
        tw.line(str(self))


def of_kill(item, when, summary, stack, sections, seconds):
    """The failed report of a test whose worker was killed."""
    path, line = item.location[0], (item.location[1] or 0) + 1
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=Diagnosis(summary, stack, (path, line)),
        when=when,
        sections=sections,
        duration=seconds,
        user_properties=list(item.user_properties),
    )


def of_unseen_teardown(item):
    """Closes a killed test for those who wait for the report of its teardown, as JUnit's writer does."""
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="passed",
        longrepr=None,
        when="teardown",
        user_properties=list(item.user_properties),
    )


def outcome_of(reports):
    """One word for a test, as pytest's summary would count it: the gravest of its reports'."""
    words = {_word(report) for report in reports}
    for word in ("failed", "error", "xfailed", "xpassed", "skipped"):
        if word in words:
            return word
    return "passed"


def _word(report):
    if report.outcome == "failed":
        return "failed" if report.when == "call" else "error"
    if hasattr(report, "wasxfail"):
        return {"skipped": "xfailed", "passed": "xpassed"}.get(report.outcome, report.outcome)
    return report.outcome


def told(reports):
    """What testbox is told of a test's reports: all that did not pass first, no more than is read."""
    gravest = sorted(range(len(reports)), key=lambda index: reports[index].outcome == "passed")
    room, lines = MAX_TEXTS, []
    for report in [reports[index] for index in sorted(gravest[:MAX_REPORTS])]:
        line = {"when": str(report.when), "outcome": str(report.outcome), "ms": int(report.duration * 1000)}
        if report.outcome != "passed":
            text = _text(report)[: min(MAX_TEXT, room)]
            room -= len(text)
            line.update(message=_message(report)[:MAX_MESSAGE], text=text)
        lines.append(line)
    return lines


def _message(report):
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return str(report.longrepr[-1])
    crash = getattr(report.longrepr, "reprcrash", None)
    text = getattr(crash, "message", None) or getattr(report, "wasxfail", None) or str(report.longrepr or "")
    return str(text)


def _text(report):
    return "" if report.longrepr is None else str(report.longreprtext)
