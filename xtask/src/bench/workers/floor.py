"""The floor of a process for each test: fork, run the test, exit, wait; nothing is reported, limited or seen."""

import gc
import os

from _pytest.runner import runtestprotocol


def pytest_collection_finish():
    gc.freeze()


def pytest_runtest_protocol(item):
    pid = os.fork()
    if pid == 0:
        try:
            reports = runtestprotocol(item, log=False, nextitem=None)
            os._exit(any(report.failed for report in reports))
        finally:
            os._exit(3)
    if os.waitpid(pid, 0)[1] != 0:
        raise RuntimeError("a test of the floor failed")
    return True
