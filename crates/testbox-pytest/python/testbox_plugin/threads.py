"""Threads of this process, also those that Python does not know."""

import contextlib
import os
import threading

#: What its thread in the background is called.
JEMALLOC = b"jemalloc_bg_thd\n"


def task_count():
    """Threads of this process, as the kernel counts them: links to the folder, apart from its own two."""
    return os.stat("/proc/self/task").st_nlink - 2


def native_threads():
    """Threads of this process that Python does not know; without those that a fork does not miss: OpenBLAS ends and
    restarts its own, jemalloc goes on without."""
    tasks = task_count()
    if tasks == 1:
        return 0
    tasks -= sum(name == JEMALLOC for name in _names())
    with open("/proc/self/maps", "rb") as file:
        pools = {line.split()[-1] for line in file if b"openblas" in line.rpartition(b"/")[2]}
    threads_per_pool = len(os.sched_getaffinity(0)) - 1
    return max(tasks - threading.active_count() - len(pools) * threads_per_pool, 0)


def _names():
    """Of the threads, as the kernel has them; of some that has ended meanwhile none."""
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/comm", "rb") as file:
            yield file.read()
