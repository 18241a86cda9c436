"""What Python's standard library has no function for: whether others may look into this process; threads
that Python does not know."""

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


def task_count():
    """Threads of this process, as the kernel counts them."""
    return len(os.listdir("/proc/self/task"))


def native_threads():
    """Threads of this process that Python does not know; without OpenBLAS', which ends and restarts them at a fork."""
    tasks = task_count()
    if tasks == 1:
        return 0
    with open("/proc/self/maps", "rb") as file:
        pools = {line.split()[-1] for line in file if b"openblas" in line.rpartition(b"/")[2]}
    threads_per_pool = len(os.sched_getaffinity(0)) - 1
    return max(tasks - threading.active_count() - len(pools) * threads_per_pool, 0)
