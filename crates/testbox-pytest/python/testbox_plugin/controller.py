"""The controller: collects once, runs no test itself. It forks workers, tells pytest's hooks what they report, and
goes on with the rest when one was killed.

One loop waits for testbox's orders, for workers' frames and for their ends. A worker's way: `want` a slot, fork,
`joined`, `go`, its tests, its end, `ended`, testbox's `diagnosis`. While a worker is at its last test the next one is
already forked, and waits for its `go`, which testbox gives it when the other has been diagnosed.
"""

import collections
import contextlib
import gc
import itertools
import os
import selectors
import shutil
import signal
import tempfile
import time
import types

import pytest

from . import admission, batches, compat, fresh, history, process, relay, timeouts
from .channel import Lost
from .forked import Forked, Slot
from .progress import SECONDS, Progress
from .replay import Stage
from .worker import Shipper

#: Where a process cannot be waited for by a descriptor (Python 3.8), it is looked at this often.
POLL_SECONDS = 0.02
#: Who has just spoken will soon say more, and each time that somebody wakes up costs. So a worker that has spoken is
#: heard again after this time, or at once when it rings; and what testbox must be told of short tests is told together.
TICK_SECONDS = 0.005
#: A worker whose socket is closed is about to end; one that does not within this time has lost its socket to a test.
CLOSING_SECONDS = 1.0
#: Characters of what a worker wants noted; a line number is smaller.
MAX_NOTE = 4096
MAX_LINE = 1 << 31
#: pytest's exit code for a session that could not go on.
EXIT_INTERNAL = 3


class WorkerBroke(Exception):
    """An error in a worker, outside of any test."""


class Controller:
    """Runs a session's tests in workers."""

    def __init__(self, session, channel, settings):
        self._session = session
        self._config = session.config
        self._channel = channel
        self._settings = settings
        self._nodeids = [item.nodeid for item in session.items]
        self._needs = [settings.need_of(item) for item in session.items]
        self._stage = Stage(session)
        self._relay = relay.Relay(
            session, channel, timeouts.Timeouts(self._config, settings), self._needs, holds=settings.retry_killed > 0
        )
        self._pending = collections.deque()
        #: Workers that have spoken a moment ago, and when they are heard again.
        self._resting = set()
        self._tick_at = None
        self._crew = {}
        self._history = history.read(self._config) if settings.jobs > 1 else {}
        self._admission = admission.Admission(settings, self._nodeids, self._history)
        #: Seconds that tests take, as last seen.
        self._pace = None
        self._kills = 0
        self._ending = None
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._folder = tempfile.mkdtemp(prefix="testbox-")
        self._progress = Progress.on(self._config, len(self._nodeids), settings.jobs)
        self._measured = compat.Measured(self._folder)
        self._shipper = Shipper(session)
        #: How workers start that are no forks.
        self._command = fresh.Command(self._config, self._nodeids) if settings.fresh else None
        # They may take their time, which the clocks of the tests do not have.
        self._others_hear = compat.others_hear_results(self._config)

    def run(self):
        """Runs all tests; raises what bare pytest would raise."""
        self._enqueue(batches.make(range(len(self._nodeids)), self._nodeids, self._needs, self._settings))
        compat.make_base_folder(self._config)
        process.set_oom_score(process.CONTROLLER_OOM_SCORE)
        process.set_dumpable(False)
        self._selector.register(self._channel, selectors.EVENT_READ, self._on_orders)
        # No worker's garbage collection touches, and so copies, what was here before. Nothing is collected first: that
        # takes longer than the garbage is worth, and fills pages with holes that every worker would copy to fill. It
        # stays so: at the end of this process the walk over all of it would take longer than many a suite.
        gc.freeze()
        try:
            self._loop()
            self._hide_progress()
            self._stage.play_all()
            if self._settings.jobs > 1:
                history.write(self._config, self._history, self._admission.peaks)
        finally:
            self._end()
        self._raise_ending()

    def _enqueue(self, more):
        pending = [*self._pending, *((batch, self._stage.open(batch.first)) for batch in more)]
        self._pending = collections.deque(sorted(pending, key=lambda pair: pair[0].first))

    def _loop(self):
        while self._crew or (self._pending and not self._stopping):
            self._want_slots()
            polls = any(worker.is_alive() and worker.pidfd is None for worker in self._crew.values())
            try:
                for key, _ in self._select(POLL_SECONDS if polls else None):
                    key.data()
                if self._tick_at is not None and time.monotonic() >= self._tick_at:
                    self._tick()
                self._look_for_ended()
            except KeyboardInterrupt as error:
                self._interrupt(error)
            if self._channel.lost is not None:
                self._fail(f"testbox is gone ({self._channel.lost}): no test runs without its limits")
            if self._others_hear:
                self._flush()
            self._tell()
            self._check_stop()

    def _tell(self):
        """pytest's hooks hear what is due."""
        if self._progress is None:
            self._stage.play()
            return
        if self._stage.has_more():
            self._hide_progress()
            self._stage.play()
        running = [worker.running for worker in self._crew.values() if worker.running is not None]
        running = [(each.since, self._nodeids[each.test]) for each in running]
        self._progress.draw(len(self._relay.done), self._relay.failures, running)

    def _hide_progress(self):
        if self._progress is not None:
            self._progress.hide()

    def _select(self, seconds):
        """What there is to do, now or after a while."""
        if self._tick_at is not None:
            seconds = max(self._tick_at - time.monotonic(), 0)
        elif self._progress is not None:
            seconds = min(seconds or SECONDS, SECONDS)
        return self._selector.select(seconds)

    def _tick(self):
        """Hears those who rest; whoever has nothing to say is waited for."""
        self._tick_at = None
        for worker in list(self._resting):
            self._resting.discard(worker)
            self._on_frames(worker)
            if worker not in self._resting and not worker.is_mute:
                self._listen(worker)
        self._flush()

    def _listen(self, worker):
        self._selector.register(worker.link, selectors.EVENT_READ, lambda: self._on_frames(worker))

    def _rest(self, worker):
        """It has spoken."""
        if worker.link in self._selector.get_map():
            self._selector.unregister(worker.link)
        self._resting.add(worker)
        self._tick_at = self._tick_at or time.monotonic() + TICK_SECONDS

    def _flush(self):
        """testbox hears what is held, and in which phase the tests are by now."""
        self._relay.tell_phases(self._crew.values())
        self._channel.flush()

    # Slots and forks

    def _want_slots(self):
        if self._stopping or not self._pending:
            return
        heads = [worker for worker in self._crew.values() if worker.before is None]
        for _ in range(self._settings.jobs - len(heads)):
            self._want(None)
        followed = [worker.before for worker in self._crew.values()]
        for worker in heads:
            if worker not in followed and worker.is_nearly_done(self._pace):
                self._want(worker)

    def _want(self, before):
        """The next batch gets a worker, if there is room for it once `before` has ended."""
        chosen = self._take_pending(before)
        if chosen is None:
            return
        batch, script = chosen
        number = next(number for number in itertools.count() if number not in self._crew)
        self._crew[number] = worker = Forked(number, batch, script, before)
        worker.goes_on = batch.is_shared and self._settings.jobs > 1
        after = None if before is None else before.number
        self._channel.send("want", w=number, memory=batch.memory, pids=batch.pids, after=after)

    def _take_pending(self, instead_of, only=lambda batch: True):
        """The next batch and its script, if there is room for it without `instead_of`; None if there is none."""
        waiting = ((place, batch) for place, (batch, _) in enumerate(self._pending) if only(batch))
        others = [worker.batches for worker in self._crew.values() if worker is not instead_of]
        chosen = self._admission.choose(waiting, others)
        if chosen is None:
            return None
        taken = self._pending[chosen]
        del self._pending[chosen]
        return taken

    def _on_orders(self):
        order = self._channel.receive()
        while order is not None:
            handle = {
                "slot": self._on_slot,
                "go": self._on_go,
                "refused": self._on_refused,
                "signal": self._on_signal,
                "diagnosis": self._on_diagnosis,
            }.get(order.get("t"))
            worker = self._crew.get(order.get("w", 0))
            if handle is not None and worker is not None:
                handle(worker, order)
            else:
                Slot(order).close()
            order = self._channel.receive()

    def _on_slot(self, worker, order):
        slot = Slot(order)
        coverage_file = self._measured.next_file()
        if self._command is None:
            worker.fork(self._shipper, slot, coverage_file, self._close_private)
        else:
            worker.start_fresh(self._command, self._session, slot, coverage_file)
        self._listen(worker)
        self._selector.register(worker.bell, selectors.EVENT_READ, lambda: self._on_bell(worker))
        if worker.pidfd is not None:
            self._selector.register(worker.pidfd, selectors.EVENT_READ, lambda: None)

    def _close_private(self):
        """In a fresh worker: gives up all that is the controller's."""
        for other in self._crew.values():
            for descriptor in other.descriptors() if other.pid is not None else ():
                os.close(descriptor)
        self._selector.close()
        self._channel.close()

    def _on_go(self, worker, _order):
        worker.has_begun = True
        self._answer(worker, {"k": "go"})

    def _on_refused(self, _worker, order):
        self._fail(str(order.get("why", "testbox refused a worker's group")))

    def _on_signal(self, worker, order):
        worker.kill(order["signal"])

    def _fail(self, why):
        raise compat.exit_exception("testbox: " + why, EXIT_INTERNAL)

    # What workers say

    def _on_bell(self, worker):
        try:
            rings = worker.bell.recv(4096)
        except OSError:
            rings = b""
        if not rings:
            self._selector.unregister(worker.bell)
        self._on_frames(worker)

    def _on_frames(self, worker):
        if worker.is_mute:
            return
        try:
            for message in worker.hear():
                if worker not in self._resting:
                    self._rest(worker)
                self._on_message(worker, message)
        except Lost as error:
            self._hear_no_more(worker)
            if not worker.said_over and not worker.ends_within(CLOSING_SECONDS):
                # The test has closed the socket, or speaks with the worker's voice: it has no say any more.
                worker.broken = f"its worker's socket is of no use any more: {error}"
                worker.kill(signal.SIGKILL)

    def _on_message(self, worker, message):
        kind = message.get("k")
        if worker.said_over:
            raise Lost("a frame after the last")
        if kind == "several":
            for each in _several(message):
                self._on_message(worker, each)
        elif kind == "joined":
            self._channel.send("joined", w=worker.number, pid=worker.pid)
        elif kind == "outside":
            self._fail("a worker cannot join its group: {}".format(message.get("why")))
        elif kind == "over":
            worker.said_over = True
        elif kind == "interrupted":
            # The test that it was at has no result, as under bare pytest.
            worker.finish()
            worker.was_stopped = True
            self._stop(_raised_again(message))
        elif kind == "broken":
            worker.was_stopped = True
            self._stop(WorkerBroke("in a worker:\n{}".format(message.get("text"))))
        elif kind == "note":
            self._channel.send("note", text=str(message.get("text"))[:MAX_NOTE])
        elif kind == "next":
            self._on_next(worker)
        else:
            self._on_test(worker, message)

    def _on_test(self, worker, message):
        self._relay.take(worker, message)
        if message["k"] == "finish":
            self._on_finish(worker, message)
        if message.get("ask"):
            self._give_word(worker)

    def _on_next(self, worker):
        """A worker that goes on asks, before its last test: that test's teardown depends on what follows."""
        if not worker.goes_on:
            raise Lost("a wish for more tests")
        taken = None if self._stopping else self._take_pending(worker, only=lambda batch: batch.is_shared)
        if taken is None:
            worker.goes_on = False
        else:
            worker.take(*taken)
        self._answer(worker, {"k": "more", "tests": [] if taken is None else taken[0].tests})

    def _on_finish(self, worker, message):
        self._pace = worker.seconds_per_test()
        self._admission.learn(worker.last, relay.usage(message.get("usage")).get("peak"))
        for name in ("shouldfail", "shouldstop"):
            if message.get(name):
                worker.was_stopped = True
                if not getattr(self._session, name):
                    setattr(self._session, name, str(message[name]))

    def _give_word(self, worker):
        """After a failure a worker waits to hear whether the session goes on."""
        if self._stage.is_front(worker.script):
            self._tell()
            self._check_stop()
        elif self._relay.too_many_failures():
            self._stop(None)
        word = {"k": "word", "testsfailed": self._session.testsfailed}
        for name in ("shouldfail", "shouldstop"):
            if getattr(self._session, name):
                word[name] = str(getattr(self._session, name))
        if self._stopping and len(word) == 2:
            self._answer(worker, {"k": "halt"})
        self._answer(worker, word)

    def _answer(self, worker, message):
        # If it is dead, its end is seen in its own time.
        with contextlib.suppress(Lost):
            worker.link.send(message)

    # Stopping

    def _check_stop(self):
        if (self._session.shouldfail or self._session.shouldstop) and not self._stopping:
            self._stop(None)

    def _stop(self, ending):
        """No more tests; the workers end after the one that they are at, at once if the session was interrupted."""
        if self._ending is None:
            self._ending = ending
        if not self._stopping:
            self._stopping = True
            # Wanted, not yet forked: such a slot stays unused.
            self._crew = {number: worker for number, worker in self._crew.items() if worker.pid is not None}
            for worker in self._crew.values():
                worker.was_stopped = True
                if not worker.is_alive():
                    continue
                self._answer(worker, {"k": "halt"})
                if ending is not None and not worker.said_over:
                    worker.kill(signal.SIGINT)

    def _interrupt(self, error):
        """Ctrl-C here: the workers hear of it as well, and the one that runs a test knows the place."""
        if self._stopping and isinstance(self._ending, KeyboardInterrupt):
            raise error
        self._stop(None)
        self._ending = self._ending or error
        for worker in self._crew.values():
            worker.kill(signal.SIGINT)

    def _raise_ending(self):
        if self._ending is not None:
            raise self._ending
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    # Ends of workers

    def _look_for_ended(self):
        for worker in list(self._crew.values()):
            if worker.pid is not None and not worker.is_reported and worker.reap():
                self._on_end(worker)

    def _on_end(self, worker):
        self._on_frames(worker)
        self._hear_no_more(worker)
        for each in (worker.bell, worker.pidfd):
            if each is not None and each in self._selector.get_map():
                self._selector.unregister(each)
        worker.is_reported = True
        if worker.has_begun and worker.last is None and not self._is_clean(worker):
            self._relay.blame_first(worker)
        self._relay.tell_phases([worker])
        self._channel.send("ended", w=worker.number, status=worker.status, clean=self._is_clean(worker))

    def _hear_no_more(self, worker):
        worker.is_mute = True
        self._resting.discard(worker)
        if worker.link in self._selector.get_map():
            self._selector.unregister(worker.link)

    def _is_clean(self, worker):
        done = not worker.rest or worker.was_stopped
        return worker.said_over and worker.running is None and done and worker.broken is None

    def _on_diagnosis(self, worker, diagnosis):
        if not worker.is_reported:
            return
        del self._crew[worker.number]
        for other in self._crew.values():
            other.before = None if other.before is worker else other.before
        kind = diagnosis.get("kind", "none")
        if not self._is_clean(worker) or kind != "none":
            self._on_kill(worker, kind, diagnosis)
        self._relay.left_behind(worker, diagnosis.get("left") or [])
        worker.end()
        worker.close()

    def _on_kill(self, worker, kind, diagnosis):
        self._kills += 1
        summary = str(diagnosis.get("summary") or "its worker ended without a word")
        if kind == "none":
            kind = "silent"
        if worker.broken is not None:
            summary += "; " + worker.broken
        verdict = f"testbox: {kind}: {summary}" if not summary.startswith(kind) else "testbox: " + summary
        test = worker.running.test if worker.running else None
        if kind == "memory" and test is not None:
            self._admission.learn(test, worker.slot.memory)
        again = test is not None and worker.batch.attempt < self._settings.retry_killed
        again = again and not any(report.outcome == "failed" for report in worker.running.reports)
        stack = [str(call) for call in diagnosis.get("stack") or []]
        if again and not self._stopping:
            self._relay.try_again(worker, verdict)
            self._enqueue([batches.once_more(test, worker.batch, self._nodeids, self._needs, self._settings)])
        else:
            self._relay.killed(worker, verdict, stack)
        rest = list(worker.rest)
        if not self._stopping and self._kills >= self._settings.max_kills:
            told = "1 worker was killed" if self._kills == 1 else "%d workers were killed" % self._kills
            self._session.shouldstop = told + " (--max-kills)"
            self._check_stop()
        self._enqueue(batches.after_a_kill(worker.batch, rest, self._nodeids, self._needs, self._settings))

    def _end(self):
        """Whatever happened: no worker stays, and what they have measured is kept."""
        self._hide_progress()
        for worker in self._crew.values():
            if worker.is_alive():
                worker.kill(signal.SIGKILL)
                os.waitpid(worker.pid, 0)
            worker.close()
        self._crew.clear()
        self._selector.close()
        for broken in self._measured.add_all():
            self._channel.send("note", text=f"coverage of a killed worker cannot be read: {broken}")
        shutil.rmtree(self._folder, ignore_errors=True)
        self._channel.flush()


def _several(message):
    """The frames that came as one."""
    frames = message.get("of")
    if not isinstance(frames, list) or not all(
        isinstance(each, dict) and each.get("k") != "several" for each in frames
    ):
        raise Lost("a frame 'several' that no worker sends")
    return frames


def _raised_again(message):
    """The exception that interrupted a test, as if it were raised at its place again."""
    if "reason" in message:
        error = compat.exit_exception(str(message["reason"]), message.get("returncode"))
    else:
        error = KeyboardInterrupt()
    line = message.get("line")
    before = line - 1 if type(line) is int and 1 < line < MAX_LINE else 1
    code = _raise.__code__.replace(co_filename=str(message.get("file")), co_firstlineno=before)
    try:
        types.FunctionType(code, {})(error)
    except (KeyboardInterrupt, pytest.exit.Exception) as raised:
        return raised
    return error


def _raise(error):
    raise error
