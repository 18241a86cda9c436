"""Numbers of a test, from the files of its worker's cgroup: peak, growth, page cache, CPU time, processes."""

import os
import re

#: What is read of memory.stat; these lines are among its first on v1 and on v2.
_STAT_BYTES = 512
_STAT_LINES = re.compile(rb"^(anon|rss|shmem|file|cache) (\d+)\n", re.MULTILINE)


class Gauges:
    """Open files of a cgroup by name; any may be absent, then its numbers are."""

    def __init__(self, descriptors):
        self._files = dict(descriptors)
        self._held, _ = self._memory()
        self._used_ns = self._cpu_ns()

    def begin(self):
        """A test begins: the peak starts anew. What it holds and has used counts from the end of the one before."""
        if "peak" in self._files:
            try:
                os.pwrite(self._files["peak"], b"0", 0)
            except OSError:
                # This kernel cannot start it anew; what it counts is no number of one test.
                del self._files["peak"]

    def end(self):
        """The numbers of the test that is over. Bytes, milliseconds."""
        held, cache = self._memory()
        cpu_ns = self._cpu_ns()
        usage = {"peak": self._number("peak"), "cache": cache, "pids": self._number("pids")}
        if held is not None and self._held is not None:
            usage["growth"] = held - self._held
        if cpu_ns is not None and self._used_ns is not None:
            usage["cpu_ms"] = (cpu_ns - self._used_ns) // 1_000_000
        self._held, self._used_ns = held, cpu_ns
        return {name: value for name, value in usage.items() if value is not None}

    def _read(self, name):
        try:
            return os.pread(self._files[name], _STAT_BYTES, 0)
        except (KeyError, OSError):
            return None

    def _number(self, name):
        text = self._read(name)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def _memory(self):
        """Anonymous and shared memory, and the page cache: the cache of one test is no burden of the next."""
        text = self._read("stat")
        if text is None:
            return None, None
        values = dict(_STAT_LINES.findall(text))
        shared = int(values.get(b"shmem", 0))
        if b"anon" in values:
            anonymous, cache = int(values[b"anon"]), int(values.get(b"file", 0))
        elif b"rss" in values:
            anonymous, cache = int(values[b"rss"]), int(values.get(b"cache", 0))
        else:
            return None, None
        return anonymous + shared, max(cache - shared, 0)

    def _cpu_ns(self):
        text = self._read("cpu")
        if text is None:
            return None
        if text.strip().isdigit():
            return int(text)
        for line in text.splitlines():
            if line.startswith(b"usage_usec "):
                return int(line.split()[1]) * 1000
        return None
