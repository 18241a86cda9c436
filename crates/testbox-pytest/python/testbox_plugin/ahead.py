"""Compiles what is needed after the collection while the collection goes on, on another core.

A fresh interpreter does it, which reads only this package's files and ends at once: nothing that a box has written is
ever loaded. Where there is none, everything is compiled where it is needed.
"""

import atexit
import contextlib
import marshal
import os
import signal
import sys

#: What is needed from the decision how tests run.
MODULES = (
    "admission",
    "batches",
    "compat",
    "controller",
    "decision",
    "forked",
    "fresh",
    "gauges",
    "history",
    "process",
    "progress",
    "relay",
    "replay",
    "reports",
    "settings",
    "shipping",
    "timeouts",
    "worker",
)

_COMPILE = """
import marshal, sys
folder, *names = sys.argv[1:]
code = {}
for name in names:
    with open(folder + "/" + name + ".py", encoding="utf-8") as file:
        code[name] = compile(file.read(), "<testbox " + name + ">", "exec")
sys.stdout.buffer.write(marshal.dumps([sys.version, code]))
"""


class Ahead:
    """Code of modules, by their names, from an interpreter beside this one."""

    def __init__(self, folder, names=MODULES):
        self._pid = None
        # Without its settings and the user's packages it starts in a moment.
        command = [sys.executable, "-I", "-S", "-c", _COMPILE, folder, *names]
        with contextlib.suppress(OSError, TypeError, ValueError):
            self._written = os.memfd_create("testbox-ahead")
            null = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
            files = [(os.POSIX_SPAWN_DUP2, self._written, 1), null]
            self._pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=files)
            atexit.register(self._end)

    def take(self):
        """Waits until it is there; empty if there is none, or if another kind of interpreter has made it."""
        try:
            if self._pid is None or self._reap() != 0:
                return {}
            version, code = marshal.loads(os.pread(self._written, os.fstat(self._written).st_size, 0))
            os.close(self._written)
            return code if version == sys.version else {}
        except (EOFError, ValueError, TypeError):
            return {}

    def _reap(self):
        pid, self._pid = self._pid, None
        # Somebody may have waited for any child, and so for this one.
        with contextlib.suppress(ChildProcessError):
            return os.waitpid(pid, 0)[1]
        return None

    def _end(self):
        """Nobody needs it any more."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._reap()
