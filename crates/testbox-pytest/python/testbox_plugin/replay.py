"""What workers tell, told to pytest's hooks: batch by batch in the order of their tests, the foremost one live."""

import collections
import heapq


class Script:
    """The events of one batch that are still to be told."""

    def __init__(self):
        self.is_over = False
        self._events = collections.deque()
        # With a second try ahead, a test is told when it is certain that it needs none.
        self._held = None

    def add(self, event):
        """One more event: a hook's name, the test's index, the hook's arguments."""
        (self._events if self._held is None else self._held).append(event)

    def hold(self):
        """From now on events wait for `release` or `drop`."""
        if self._held is None:
            self._held = collections.deque()

    def release(self):
        """What was held is told after all."""
        held, self._held = self._held, None
        self._events.extend(held or ())

    def drop(self):
        """What was held never happened."""
        self._held = None

    def has_events(self):
        """Whether there is something to tell."""
        return bool(self._events)

    def take(self):
        """The next event, or None."""
        return self._events.popleft() if self._events else None


class Stage:
    """The scripts of all batches that are not yet told, in order."""

    def __init__(self, session):
        self._session = session
        #: A heap of first test, number and script: what was opened later for the same test is told later.
        self._scripts = []
        self._opened = 0

    def open(self, first):
        """The script of a batch whose first test this is."""
        script = Script()
        self._opened += 1
        heapq.heappush(self._scripts, (first, self._opened, script))
        return script

    def is_front(self, script):
        """Whether its events are told as they come."""
        return bool(self._scripts) and self._scripts[0][2] is script

    def has_more(self):
        """Whether there is anything that is due."""
        return bool(self._scripts) and (self._scripts[0][2].is_over or self._scripts[0][2].has_events())

    def play(self):
        """Tells what is due."""
        while self._scripts:
            script = self._scripts[0][2]
            event = script.take()
            while event is not None:
                self._tell(*event)
                event = script.take()
            if not script.is_over:
                return
            heapq.heappop(self._scripts)

    def play_all(self):
        """The session ends early: what has come is told, what has not is not waited for."""
        for _, _, script in self._scripts:
            script.is_over = True
        self.play()

    def _tell(self, name, test, arguments):
        hook = getattr(self._session.items[test].ihook, name)
        if name == "pytest_warning_recorded":
            hook.call_historic(kwargs=arguments)
            return
        hook(**arguments)
