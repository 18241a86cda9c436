"""What Python's standard library has no function for: whether others may look into this process, and whom it may
signal."""

import contextlib
import ctypes
import functools
import os
import struct

#: When memory is out, the box's or the host's, the kernel takes workers first, then the controller, then others.
WORKER_OOM_SCORE, CONTROLLER_OOM_SCORE = 1000, 500
_PR_SET_DUMPABLE = 4
#: linux/landlock.h; the numbers of these system calls are the same on every architecture.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_SCOPE_SIGNAL = 1 << 1
_LANDLOCK_ABI_WITH_SCOPES = 6


def set_oom_score(score):
    """How gladly the kernel ends this process when memory is out. Without it the largest process goes first: in a box
    without namespaces, where proc is read-only, and where who started testbox has forbidden so low a score."""
    with contextlib.suppress(PermissionError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(b"%d" % score)


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
