"""Reports on their way from a worker to the controller: JSON that comes out as it went in, bounded; and what testbox is
told of them."""

import json

import pytest

from . import compat

#: Characters of one captured section or text of a report that a worker sends on.
MAX_SECTION = 2 << 20
#: What testbox is told of a test that did not pass, in characters.
MAX_MESSAGE = 1000
MAX_TEXT = 16 << 10
#: A node id is cut to this many characters.
MAX_ID = 4096
#: Reports of one test that testbox is told, and all their text.
MAX_REPORTS = 48
MAX_TEXTS = 64 << 10
#: Marks a tuple, or a mapping that is not plain JSON.
_TUPLE, _PAIRS = "\0tuple", "\0pairs"
_PLAIN = frozenset([type(None), bool, int, float, str])
_SIMPLE = _PLAIN | {list, tuple, dict}
#: Besides what is empty or text, what mostly is as in the report before, of another phase of the same test.
_REPEATED = ("location", "keywords")
#: Where pytest puts the kind of a report.
_TYPE = "$report_type"


class Unsendable(Exception):
    """A value that is not made of numbers, text, lists, tuples and mappings."""


def pack(value):
    """The same as plain JSON values; tuples and odd keys are marked."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (bool, int, float, str)):
        return _plain(value)
    if isinstance(value, list):
        return [pack(item) for item in value]
    if isinstance(value, tuple):
        return {_TUPLE: [pack(item) for item in value]}
    if isinstance(value, dict):
        if all(type(key) is str and key[:1] != "\0" for key in value):
            return {key: pack(item) for key, item in value.items()}
        return {_PAIRS: [[pack(key), pack(item)] for key, item in value.items()]}
    raise Unsendable(type(value).__name__)


def _plain(value):
    """Of a subclass (numpy's float, an enumeration's member) what JSON makes of it."""
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base.__str__(value) if base is str else base(value)
    raise Unsendable(type(value).__name__)


def unpack(value):
    """What `pack` was given."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if isinstance(value, dict):
        if _TUPLE in value:
            return tuple(unpack(item) for item in value[_TUPLE])
        if _PAIRS in value:
            return {unpack(key): unpack(item) for key, item in value[_PAIRS]}
        return {key: unpack(item) for key, item in value.items()}
    return value


def to_message(report, config, said, ours):
    """A report as a frame, and the names of its attributes that could not be made JSON.

    `said` is what this worker's last report said: what is the same again is left out. `ours`: nobody but pytest makes
    reports serializable, and what it does is known for one that has nothing to explain.
    """
    data, packed, left_out = _data_of(report, config, ours), {}, []
    gone = [name for name in said if name not in data]
    for name, value in data.items():
        if name in said and _is_same(name, value, said[name]):
            continue
        try:
            packed[name] = pack(value)
            said[name] = dict(value) if type(value) is dict else value
        except (Unsendable, RecursionError):
            left_out.append(f"{name} ({type(value).__name__})")
            gone.extend([name] if name in said else ())
    message = {"k": "report", "data": packed}
    if gone:
        message["gone"] = gone
        for name in gone:
            del said[name]
    subtests = compat.failed_subtests(config, report)
    if subtests is not None:
        message["subtests"] = subtests
    extras = compat.junit_extras(config, report)
    if extras is not None:
        message["junit"] = pack(extras)
    if isinstance(packed.get("longrepr"), str) and not isinstance(report.longrepr, str):
        message["rendered"] = True
    return message, left_out


def _data_of(report, config, ours):
    if ours and _explains_nothing(report):
        data = dict(report.__dict__, **{_TYPE: "TestReport"})
    else:
        data = config.hook.pytest_report_to_serializable(config=config, report=report)
    if data.get("sections"):
        data["sections"] = [(str(name), _middle_cut(str(text), MAX_SECTION)) for name, text in data["sections"]]
    if data.get("user_properties"):
        data["user_properties"] = [(str(name), _property(value)) for name, value in data["user_properties"]]
    if isinstance(data.get("longrepr"), str):
        data["longrepr"] = _middle_cut(data["longrepr"], MAX_SECTION)
    return data


def _explains_nothing(report):
    attributes = report.__dict__
    simple = type(report) is pytest.TestReport and attributes.get("longrepr") is None and "result" not in attributes
    return simple and all(type(value) in _SIMPLE for value in attributes.values())


def _is_same(name, value, before):
    """Whether the other side knows this value. Of numbers and of what is deep it is not asked."""
    repeats = not value or type(value) is str or name in _REPEATED
    return repeats and type(value) is type(before) and value == before


def shortened(message):
    """The same without what makes a report too long: its text, never its outcome."""
    data = dict(message["data"], sections=[], longrepr="the report's text was too long to be sent")
    if len(json.dumps(data)) > MAX_SECTION:
        data["user_properties"] = []
    return dict(message, data=data)


def _property(value):
    try:
        pack(value)
        return value
    except (Unsendable, RecursionError):
        return str(value)


def _middle_cut(text, most):
    if len(text) <= most:
        return text
    half = most // 2
    return "%s\n... %d characters left out ...\n%s" % (text[:half], len(text) - 2 * half, text[-half:])


def from_message(message, config, said, ours):
    """The report again. `said` is what its worker's last report said; `ours` as in `to_message`."""
    for name in message.get("gone", ()):
        del said[name]
    said.update(unpack(message["data"]))
    data = {name: value.copy() if type(value) in (dict, list) else value for name, value in said.items()}
    if ours and data.get(_TYPE) == "TestReport" and data["longrepr"] is None:
        report = pytest.TestReport(**{name: value for name, value in data.items() if name != _TYPE})
    else:
        report = config.hook.pytest_report_from_serializable(config=config, data=dict(data))
    compat.restore_subtest(config, report, data, message.get("subtests"))
    if message.get("junit"):
        report.testbox_junit = unpack(message["junit"])
    if message.get("rendered"):
        report.longrepr = Rendered(report.longrepr)
    return report


class Rendered:
    """What a worker had as an object and could send as text only."""

    def __init__(self, text):
        self._text = text

    def __str__(self):
        return self._text

    def toterminal(self, tw):
        for line in self._text.splitlines():
            tw.line(line)


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
