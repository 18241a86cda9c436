"""What collecting costs: time and memory of each file, and of each heavy import on the way."""

import builtins
import importlib
import os
import sys
import threading
import time

from . import threads

#: An import is told if it took so much memory (bytes) or time.
HEAVY_BYTES = 8 << 20
HEAVY_MS = 100
#: Heavy imports below one that is heavy itself, told at most.
MAX_CHILDREN = 16


class _Import:
    """A module being imported; `heavy` are the heavy ones below it that are done."""

    def __init__(self, module, resident):
        self.module = module
        self.is_new = module not in sys.modules
        self.resident = resident
        self.since = time.perf_counter()
        self.heavy = []


class Profile:
    """Watches imports while it is entered, by standing in for `__import__` and `importlib.import_module`."""

    def __init__(self, channel):
        self._channel = channel
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._import = builtins.__import__
        self._import_module = importlib.import_module
        self._stack = []
        self._files = []
        self._seen = set()
        self._native = self._tasks = 0
        #: Threads that began while this was entered, and where that was.
        self.threads = []
        #: The same of threads that Python does not know: how many.
        self.native_threads = []

    def __enter__(self):
        self._import = builtins.__import__
        self._import_module = importlib.import_module
        builtins.__import__ = self._watched_import
        importlib.import_module = self._watched_import_module
        self._seen = set(threading.enumerate())
        self._native, self._tasks = threads.native_threads(), threads.task_count()
        return self

    def __exit__(self, *error):
        # Somebody else may have put another function in between; then it stays, and ours only passes on.
        if builtins.__import__ == self._watched_import:
            builtins.__import__ = self._import
        if importlib.import_module == self._watched_import_module:
            importlib.import_module = self._import_module
        self._note_threads("a conftest")

    def begin(self, file):
        """A file begins to be collected."""
        self._channel.send("collect", id=file)
        self._files.append((file, time.perf_counter(), self._resident()))

    def end(self, file):
        """The collection of a node is over; told if it is the file that has begun last."""
        if not self._files or self._files[-1][0] != file:
            return
        file, since, resident = self._files.pop()
        self._note_threads(file)
        growth = max(self._resident() - resident, 0)
        # With what is told next: the next file, or the end of the collection.
        self._channel.hold("profile", id=file, wall_ms=_ms(since), growth=growth)

    def _note_threads(self, where):
        started = [thread for thread in threading.enumerate() if thread not in self._seen]
        self.threads.extend((thread, where) for thread in started)
        self._seen.update(started)
        tasks = threads.task_count()
        if tasks == self._tasks:
            return
        native, self._tasks = threads.native_threads(), tasks
        if native > self._native:
            self.native_threads.append((native - self._native, where))
        self._native = native

    def _resident(self):
        return int(os.pread(self._statm, 128, 0).split()[1]) * self._page

    def _watched_import(self, name, globals=None, locals=None, fromlist=(), level=0):
        __tracebackhide__ = True
        shown = name
        if level:
            package = (globals or {}).get("__package__") or ""
            shown = ".".join(filter(None, [package.rsplit(".", level - 1)[0] if level > 1 else package, name]))
        # Most imports find what is there: they cost nothing, and must not cost more than that here.
        there = getattr(sys.modules.get(shown), "__dict__", None)
        if there is not None and (not fromlist or all(each in there for each in fromlist)):
            return self._import(name, globals, locals, fromlist, level)
        return self._watch(shown, self._import, name, globals, locals, fromlist, level)

    def _watched_import_module(self, name, package=None):
        __tracebackhide__ = True
        if name.split(".")[-1] != "conftest" or name in sys.modules:
            return self._watch(name, self._import_module, name, package)
        file = _conftest(name)
        self.begin(file)
        try:
            return self._watch(name, self._import_module, name, package)
        finally:
            self.end(file)

    def _watch(self, shown, function, *arguments):
        __tracebackhide__ = True
        if threading.current_thread() is not threading.main_thread():
            return function(*arguments)
        current = _Import(shown, self._resident())
        self._stack.append(current)
        try:
            return function(*arguments)
        finally:
            self._stack.pop()
            self._done(current)

    def _done(self, current):
        growth, wall_ms = max(self._resident() - current.resident, 0), _ms(current.since)
        # Importing a test file or a conftest is what `profile` tells of.
        own = current.module.split(".")[-1]
        is_told = own != "conftest" and not own.startswith("test_")
        if is_told and current.is_new and threads.task_count() != self._tasks:
            file = self._files[-1][0] if self._files else "a conftest"
            self._note_threads(f"{file} by importing {current.module}")
        is_heavy = growth >= HEAVY_BYTES or wall_ms >= HEAVY_MS
        heavy = current.heavy
        if is_heavy and is_told:
            heavy = [(current.module, growth, wall_ms, [line[:3] for line in heavy][:MAX_CHILDREN])]
        if self._stack:
            self._stack[-1].heavy.extend(heavy)
            return
        for module, bytes_, millis, below in heavy:
            for line in [*below, (module, bytes_, millis)]:
                self._channel.send("import", module=line[0], growth=line[1], wall_ms=line[2])


def _conftest(name):
    """The path of a conftest that is about to be imported, relative to the current folder where it is below it."""
    tail = name.replace(".", os.sep) + ".py"
    path = next((place for place in (os.path.join(entry, tail) for entry in sys.path) if os.path.exists(place)), tail)
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _ms(since):
    return int((time.perf_counter() - since) * 1000)
