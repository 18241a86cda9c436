"""Threads of this process, also those that Python does not know."""

import os
import threading


def task_count():
    """Threads of this process, as the kernel counts them: links to the folder, apart from its own two."""
    return os.stat("/proc/self/task").st_nlink - 2


def native_threads():
    """Threads of this process that Python does not know; without OpenBLAS', which ends and restarts them at a fork."""
    tasks = task_count()
    if tasks == 1:
        return 0
    with open("/proc/self/maps", "rb") as file:
        pools = {line.split()[-1] for line in file if b"openblas" in line.rpartition(b"/")[2]}
    threads_per_pool = len(os.sched_getaffinity(0)) - 1
    return max(tasks - threading.active_count() - len(pools) * threads_per_pool, 0)
