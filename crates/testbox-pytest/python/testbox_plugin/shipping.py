"""Reports on their way from a worker to the controller: JSON that comes out as it went in, bounded."""

import json

import pytest

from . import compat

#: Characters of one captured section or text of a report that a worker sends on.
MAX_SECTION = 2 << 20
#: Marks a tuple, or a mapping that is not plain JSON.
_TUPLE, _PAIRS = "\0tuple", "\0pairs"
_PLAIN = frozenset([type(None), bool, int, float, str])
#: What all reports of a test share, under pytest's names, and what is different in each. Then the rest of one that has
#: passed with nothing to show.
_OF_TEST = frozenset(["nodeid", "_id", "location", "keywords"])
_OF_PHASE = ("when", "duration", "start", "stop")
_PASSED = {"outcome": "passed", "longrepr": None, "sections": [], "user_properties": []}
#: What stands for a part of a report or a warning that is too long to be sent.
_IN_PLACE = {
    "longrepr": "the report's text was too long to be sent",
    "text": "the warning's text was too long to be sent",
    "keywords": {},
    "sections": [],
    "user_properties": [],
}


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


class Packer:
    """A worker's side: reports as frames."""

    def __init__(self, config):
        self._config = config
        # What pytest does to make a report serializable is known; others have not been asked about a short one.
        self._only_pytest = compat.only_pytest_serializes(config)
        self._keywords = None

    def begin(self):
        """A test begins: of it the controller knows nothing yet."""
        self._keywords = None

    def message(self, report, log):
        """A report as a frame, and the names of its attributes that could not be made JSON.

        `log` is what was last told by pytest_runtest_logstart. What passed and has nothing to show is told in short.
        """
        subtests = compat.failed_subtests(self._config, report)
        extras = compat.junit_extras(self._config, report)
        if subtests is None and extras is None and self._only_pytest:
            short = self._in_short(report, log)
            if short is not None:
                return short, []
        message, left_out = self._in_full(report)
        if subtests is not None:
            message["subtests"] = subtests
        if extras is not None:
            message["junit"] = pack(extras)
        return message, left_out

    def _in_short(self, report, log):
        if type(report) is not pytest.TestReport or (report.nodeid, report.location) != log:
            return None
        rest = {name: value for name, value in report.__dict__.items() if name not in _OF_TEST}
        own = {name: rest.pop(name) for name in _OF_PHASE if name in rest}
        if rest != _PASSED or not _PLAIN.issuperset(map(type, own.values())):
            return None
        message = {"k": "passed", "own": own}
        keywords = report.keywords
        if keywords != self._keywords:
            if any(type(name) is not str or value != 1 for name, value in keywords.items()):
                return None
            message["keywords"] = list(keywords)
            self._keywords = keywords
        return message

    def _in_full(self, report):
        packed, left_out = {}, []
        for name, value in self._data_of(report).items():
            try:
                packed[name] = pack(value)
            except (Unsendable, RecursionError):
                left_out.append(f"{name} ({type(value).__name__})")
        message = {"k": "report", "data": packed}
        if isinstance(packed.get("longrepr"), str) and not isinstance(report.longrepr, str):
            message["rendered"] = True
        return message, left_out

    def _data_of(self, report):
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        if data.get("sections"):
            data["sections"] = [(str(name), _middle_cut(str(text), MAX_SECTION)) for name, text in data["sections"]]
        if data.get("user_properties"):
            data["user_properties"] = [(str(name), _property(value)) for name, value in data["user_properties"]]
        if isinstance(data.get("longrepr"), str):
            data["longrepr"] = _middle_cut(data["longrepr"], MAX_SECTION)
        return data


def shortened(message):
    """A report or a warning without the parts that make it too long; an outcome always stays."""
    short = {name: value for name, value in message.items() if name == "data" or _is_short(value)}
    data = message["data"]
    short["data"] = {name: value for name, value in data.items() if _is_short(value)}
    for name, stand_in in _IN_PLACE.items():
        if name in data:
            short["data"].setdefault(name, stand_in)
    return short


def _is_short(value):
    return len(json.dumps(value)) <= MAX_SECTION


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


def from_short(message, running):
    """A report that was told in short, of the running test."""
    if "keywords" in message:
        running.keywords = message["keywords"]
    nodeid, location = running.log
    passed = {name: value.copy() if type(value) is list else value for name, value in _PASSED.items()}
    keywords = dict.fromkeys(running.keywords, 1)
    return pytest.TestReport(nodeid=nodeid, location=location, keywords=keywords, **passed, **message["own"])


def from_full(message, config):
    """A report that was told in full."""
    data = unpack(message["data"])
    report = _checked(config.hook.pytest_report_from_serializable(config=config, data=dict(data)))
    compat.restore_subtest(config, report, data, message.get("subtests"))
    if message.get("junit"):
        report.testbox_junit = unpack(message["junit"])
    if message.get("rendered"):
        report.longrepr = Rendered(report.longrepr)
    return report


def _checked(report):
    """Whoever hears of it may rely on its being a report, whatever a test has sent in its worker's name."""
    texts = (report.nodeid, report.when, report.outcome, *(part for section in report.sections for part in section))
    path, line, domain = report.location
    if not all(isinstance(text, str) for text in (*texts, path, domain, *report.keywords)):
        raise TypeError("a report's names, words and sections are text")
    if not all(isinstance(number, (int, float)) for number in (report.duration, line or 0)):
        raise TypeError("a report's duration and line are numbers")
    if not all(len(pair) == 2 for pair in (*report.sections, *report.user_properties)):
        raise ValueError("a report's sections and properties are pairs")
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
