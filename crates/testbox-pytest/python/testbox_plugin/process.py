"""What Python's standard library has no function for: whether others may look into this process, whom it may signal,
and threads that Python does not know."""

import ctypes
import functools
import os
import struct
import threading

_PR_SET_DUMPABLE = 4
#: linux/landlock.h; the numbers of these system calls are the same on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_SCOPE_SIGNAL = 1 << 1
_LANDLOCK_ABI_WITH_SCOPES = 6


def set_dumpable(allowed):
    """Whether processes of the same user may read this one's memory and descriptors.

    False for the controller: a test must not reach testbox's socket through /proc.
    """
    if _libc().prctl(_PR_SET_DUMPABLE, int(allowed), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE, %d)" % allowed)


def keep_signals_inside():
    """From now on this process and its descendants can signal and trace only each other, where the kernel can see to it
    (Landlock ABI 6, Linux 6.12): a test must not end the controller, nor another worker.

    Returns whether the kernel does.
    """
    version = _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    if version < _LANDLOCK_ABI_WITH_SCOPES:
        return False
    attributes = struct.pack("=QQQ", 0, 0, _LANDLOCK_SCOPE_SIGNAL)
    ruleset = _syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        if _syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return True


def _syscall(number, first, second, third):
    return _libc().syscall(ctypes.c_long(number), first, ctypes.c_size_t(second), ctypes.c_uint32(third))


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
