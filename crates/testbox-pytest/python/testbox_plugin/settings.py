"""What testbox wants of this session, and which quota holds for which test."""

import functools
import re
from typing import Any, NamedTuple, Optional, Tuple

#: Rising: a quota by node id overrules one by marker, which overrules one by path.
_RANKS = {"path": 0, "marker": 1, "node": 2}


class Quota(NamedTuple):
    """One line of `[tool.testbox.quota]`."""

    kind: str
    pattern: str
    memory: Optional[int] = None
    timeout_ms: Optional[int] = None
    pids: Optional[int] = None
    isolate: Any = None

    def holds_for(self, item):
        """Whether it is about this test."""
        if self.kind == "path":
            return path_pattern(self.pattern).match(item.nodeid.split("::")[0]) is not None
        if self.kind == "marker":
            return item.get_closest_marker(self.pattern) is not None
        return item.nodeid == self.pattern or item.nodeid.startswith((self.pattern + "::", self.pattern + "["))


class Need(NamedTuple):
    """What holds for one test. None: nothing was said. `isolate`: "session", "file", "test" or a number of tests."""

    isolate: Any
    memory: Optional[int] = None
    pids: Optional[int] = None
    timeout_ms: Optional[int] = None

    @property
    def limits(self):
        """Tests share a worker only if these are the same."""
        return (self.memory, self.pids)


class Settings(NamedTuple):
    """testbox's `settings`. Bytes and milliseconds; None: no such limit."""

    isolate: Any = "none"
    jobs: int = 1
    test_memory: Optional[int] = None
    file_memory: Optional[int] = None
    memory_limit: Optional[int] = None
    pids_limit: Optional[int] = None
    test_timeout_ms: Optional[int] = None
    teardown_timeout_ms: Optional[int] = None
    max_kills: int = 10
    retry_killed: int = 0
    grouped: bool = False
    #: A worker is no fork, but an interpreter of its own that collects for itself.
    fresh: bool = False
    quotas: Tuple[Quota, ...] = ()

    @classmethod
    def of(cls, told):
        """From testbox's words; what it does not say, and what this plugin does not know, keeps its default."""
        known = {name: told[name] for name in cls._fields if told.get(name) is not None}
        known["quotas"] = tuple(
            Quota(**{name: quota[name] for name in Quota._fields if name in quota})
            for quota in told.get("quotas") or ()
        )
        return cls(**known)

    def need_of(self, item):
        """The most specific quota wins, value by value: node id, marker, path; among equals the longer pattern."""
        values = {"isolate": self.isolate}
        for quota in sorted(self.quotas, key=lambda quota: (_RANKS[quota.kind], len(quota.pattern))):
            if quota.holds_for(item):
                for name in ("isolate", "memory", "pids", "timeout_ms"):
                    if getattr(quota, name) is not None:
                        values[name] = getattr(quota, name)
        return Need(**values)

    def unknown_markers(self, items, registered):
        """Markers of quotas that no test carries and nobody has registered: probably misspelt."""
        names = [quota.pattern for quota in self.quotas if quota.kind == "marker" and quota.pattern not in registered]
        return [name for name in names if not any(item.get_closest_marker(name) for item in items)]


@functools.lru_cache(maxsize=None)
def path_pattern(pattern):
    """A glob on paths below the root: `*` and `?` stay within a name, `**` does not; a folder means all in it."""
    wild = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = ""
    for token in re.findall(r"\*\*/|\*\*|\[!?[^]]+\]|.", pattern, re.DOTALL):
        if len(token) > 1 and token[0] == "[":
            text += "[^" + token[2:] if token[1] == "!" else token
        else:
            text += wild.get(token) or re.escape(token)
    return re.compile(text + r"(?:/.*)?\Z", re.DOTALL)
