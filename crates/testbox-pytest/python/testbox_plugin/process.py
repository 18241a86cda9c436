"""What Python's standard library has no function for: whether others may look into this process; its threads."""

import ctypes
import functools
import os
import threading

_PR_SET_DUMPABLE = 4


def set_dumpable(allowed):
    """Whether processes of the same user may read this one's memory and descriptors.

    False for the controller: a test must not reach testbox's socket through /proc.
    """
    if _libc().prctl(_PR_SET_DUMPABLE, int(allowed), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE, %d)" % allowed)


@functools.lru_cache(maxsize=None)
def _libc():
    return ctypes.CDLL(None, use_errno=True)


def thread_count():
    """Threads of this process, those of C libraries included."""
    return len(os.listdir("/proc/self/task"))


def python_threads():
    """Names of the threads that Python knows, but for the main one."""
    return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
