"""A worker as the controller sees it: its slot, its process, its socket, its files, the test that it runs."""

import collections
import faulthandler
import os
import random
import socket
import tempfile
import time
import warnings

from . import compat, worker
from .channel import MAX_REPORT_FRAME, MAX_TEST_BYTES, Lost, Stream

#: A worker is forked so long before it can begin: a fork and what the fresh process does first take about that.
AHEAD_SECONDS = 0.03
#: Captured output of a killed test that is shown: this much of its beginning and of its end.
SHOWN_OUTPUT = 512 << 10


class Slot:
    """testbox's answer to `want`: descriptors of a cgroup."""

    def __init__(self, order):
        descriptors = order.get("descriptors", [])
        joins = order.get("join", 0)
        self.join = descriptors[:joins]
        self.dump = descriptors[joins] if len(descriptors) > joins else None
        self.memory = order.get("memory")
        self.gauges = list(zip(order.get("gauges", []), descriptors[joins + 1 :]))
        self._all = descriptors

    def close(self):
        """Closes all descriptors."""
        for descriptor in self._all:
            os.close(descriptor)


class Running:
    """The test that a worker runs."""

    def __init__(self, test):
        self.test = test
        self.when = "setup"
        #: The phase that testbox knows of.
        self.told = "setup"
        self.since = time.monotonic()
        self.reports = []
        #: What pytest_runtest_logstart was told.
        self.log = None
        #: The keywords of its reports, where they are told in short.
        self.keywords = ()


class Forked:
    """One worker, from the wish for a slot to testbox's diagnosis."""

    def __init__(self, number, batch, script, before=None):
        self.number = number
        #: The worker that must have ended before this one begins.
        self.before = before
        self.has_begun = False
        self.batch = batch
        self.script = script
        #: All that it has taken, the batch that it is at among them; those with their scripts that are still to come.
        self.batches = [batch]
        self._following = collections.deque()
        #: Whether it may take another batch.
        self.goes_on = False
        self.rest = collections.deque(batch.tests)
        self._began = None
        self.running = None
        self.last = None
        self.slot = None
        self.pid = None
        self.pidfd = None
        self.link = None
        #: What it had told when its last test began, in bytes.
        self._told_before = 0
        #: Readable when the worker wants to be heard.
        self.bell = None
        self.status = None
        self.is_reported = False
        self.said_over = False
        #: Nothing more is heard from it.
        self.is_mute = False
        self.was_stopped = False
        self.broken = None
        self.files = self.fixture_files = {}

    def fork(self, shipper, slot, coverage_file, close_private):
        """Starts the process; in it, this never returns. `close_private` closes what no worker may have."""
        ours, theirs, clapper = self._equip(shipper.session, slot)
        shipper.prepare(self.batch.first)
        state = random.getstate()
        # Its thread would be missing in the child, where the next call of this kind would wait for it for ever.
        faulthandler.cancel_dump_traceback_later()
        with warnings.catch_warnings():
            # Python 3.12 warns of threads at a fork; testbox tells of them itself, by name.
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            try:
                close_private()
                ours.close()
                self.bell.close()
                link = Stream(theirs, MAX_REPORT_FRAME, bell=clapper)
                compat.keep_captured_by_fixtures(self.fixture_files)
                worker.serve(shipper, self.batch.tests, self.goes_on, link, slot, self.files, coverage_file, state)
            finally:
                os._exit(1)
        self._started(pid, ours, theirs, clapper)

    def start_fresh(self, command, session, slot, coverage_file):
        """Starts the process as an interpreter of its own."""
        ours, theirs, clapper = self._equip(session, slot)
        pid = command.start(self, theirs, clapper, coverage_file)
        self._started(pid, ours, theirs, clapper)

    def _equip(self, session, slot):
        """Its files and sockets: our end of its link, and what is its own."""
        self.slot = slot
        (ours, theirs), (self.bell, clapper) = socket.socketpair(), socket.socketpair()
        self.files = _files()
        if any(compat.uses_capture_fixture(session.items[test]) for test in self.rest):
            self.fixture_files = _files()
        return ours, theirs, clapper

    def _started(self, pid, ours, theirs, clapper):
        theirs.close()
        clapper.close()
        self.pid = pid
        self.link = Stream(ours, MAX_REPORT_FRAME)
        self.pidfd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None

    def take(self, batch, script):
        """It goes on with one more batch."""
        self.batches.append(batch)
        self._following.append((batch, script))
        self.rest.extend(batch.tests)

    def hear(self):
        """The frames that have come. Raises Lost, also when it has told more of one test than is kept."""
        for message in self.link.frames():
            if self.link.received - self._told_before > MAX_TEST_BYTES:
                raise Lost("more than %d MiB about one test" % (MAX_TEST_BYTES >> 20))
            yield message

    def begin(self):
        """The next test begins."""
        self._told_before = self.link.received
        self.running = Running(self.rest.popleft())
        self.last = self.running.test
        self._began = self._began or self.running.since
        if self._following and self._following[0][0].first == self.last:
            self.script.is_over = True
            self.batch, self.script = self._following.popleft()

    def end(self):
        """Nothing more comes of any batch."""
        for script in [self.script, *(script for _, script in self._following)]:
            script.is_over = True

    def finish(self):
        """The running test is over."""
        self.running = None

    def seconds_per_test(self):
        """So far; None when no test is over."""
        done = sum(len(batch.tests) for batch in self.batches) - len(self.rest) - (self.running is not None)
        return (time.monotonic() - self._began) / done if done else None

    def is_nearly_done(self, pace):
        """Whether the end of its last test is near, at so many seconds a test (None: nobody knows)."""
        if not self.has_begun or self.goes_on:
            return False
        return len(self.rest) * (self.seconds_per_test() or pace or AHEAD_SECONDS) < AHEAD_SECONDS

    def current(self):
        """The test that events belong to: the running one, else the last one, else the first one."""
        return self.batch.first if self.last is None else self.last

    def is_alive(self):
        """Whether the process was forked and not yet reaped."""
        return self.pid is not None and self.status is None

    def reap(self):
        """Takes the wait status if the process has ended; says whether it has."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def ends_within(self, seconds):
        """Whether the process has ended, now or within that time."""
        deadline = time.monotonic() + seconds
        while not self.reap() and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.status is not None

    def kill(self, signal):
        """Sends a signal; the process is ours and not reaped, so its number is its own."""
        if self.is_alive():
            os.kill(self.pid, signal)

    def captured(self):
        """The output that the test had not yet handed over, by stream."""
        found = {}
        for name, file in [*self.files.items(), *self.fixture_files.items()]:
            found[name] = found.get(name, "") + _both_ends(file.fileno())
        return [(name, text) for name, text in found.items() if text]

    def descriptors(self):
        """All that no other worker may have."""
        files = [file.fileno() for file in [*self.files.values(), *self.fixture_files.values()]]
        return [self.link.fileno(), self.bell.fileno(), *files, *([] if self.pidfd is None else [self.pidfd])]

    def close(self):
        """Gives back every descriptor."""
        for file in [*self.files.values(), *self.fixture_files.values()]:
            file.close()
        if self.pidfd is not None:
            os.close(self.pidfd)
        if self.link is not None:
            self.link.close()
            self.bell.close()
        if self.slot is not None:
            self.slot.close()


def _files():
    return {name: tempfile.TemporaryFile() for name in ("stdout", "stderr")}


def _both_ends(descriptor):
    size = os.fstat(descriptor).st_size
    if size <= 2 * SHOWN_OUTPUT:
        data = os.pread(descriptor, size, 0)
    else:
        data = os.pread(descriptor, SHOWN_OUTPUT, 0)
        data += b"\n... %d bytes left out ...\n" % (size - 2 * SHOWN_OUTPUT)
        data += os.pread(descriptor, SHOWN_OUTPUT, size - SHOWN_OUTPUT)
    return data.decode("utf-8", "replace")
