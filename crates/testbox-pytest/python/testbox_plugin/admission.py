"""Which batch may begin beside those that run: the sum of their reservations stays within the box's memory. Pure."""

import itertools

#: A batch without a limit is expected to need what its tests needed before, or the biggest test so far, and this more.
HEADROOM = 1.3
#: A batch that did not fit is passed over this often, then the others wait for it.
PATIENCE = 8
#: Of those that wait only so many are looked at: with very many, each look at all of them would cost.
LOOK_AHEAD = 256


class Admission:
    """Reservations: a batch's own limit, else what its tests took before, else what others took, else an equal share.

    `history`: peaks of earlier runs in bytes, by node id. Whoever wrote them down, they are a guess and limit nothing.
    """

    def __init__(self, settings, nodeids, history):
        self._limit = settings.memory_limit
        self._jobs = settings.jobs
        self._nodeids = nodeids
        self._history = history
        self._biggest = 0
        self._passed_over = 0
        #: Peaks of this run in bytes, by node id.
        self.peaks = {}

    def learn(self, test, peak):
        """A test's peak, in bytes; of one that was killed for memory, its limit."""
        if isinstance(peak, int):
            self._biggest = max(self._biggest, peak)
            self.peaks[self._nodeids[test]] = peak

    def reservation(self, batch):
        """Bytes that a batch is expected to need, never more than there is."""
        if batch.known_peak is None:
            batch.known_peak = max(self._history.get(self._nodeids[test], 0) for test in batch.tests)
        expected = min(batch.known_peak or self._biggest, self._limit) * HEADROOM
        return min(batch.memory or int(expected) or self._limit // self._jobs, self._limit)

    def choose(self, waiting, running):
        """The key of the batch that may begin now; None if none may. Alone, every batch may.

        `waiting`: pairs of key and batch. `running`: what each worker has run, as a process may keep what it once had.
        """
        if not running or self._limit is None:
            return next((key for key, _ in waiting), None)
        room = self._limit - sum(max(map(self.reservation, batches)) for batches in running)
        for passed, (key, batch) in enumerate(itertools.islice(waiting, LOOK_AHEAD)):
            if self.reservation(batch) <= room:
                self._passed_over = self._passed_over + 1 if passed else 0
                return key
            if self._passed_over >= PATIENCE:
                return None
        return None
