"""Which batch may begin beside those that run: the sum of their reservations stays within the box's memory. Pure."""

#: A batch without a limit is expected to need what the biggest test so far needed, and this much more.
HEADROOM = 1.3
#: A batch that did not fit is passed over this often, then the others wait for it.
PATIENCE = 8


class Admission:
    """Reservations: a batch's own limit, else what was seen, else an equal share."""

    def __init__(self, settings):
        self._limit = settings.memory_limit
        self._jobs = settings.jobs
        self._biggest = 0
        self._passed_over = 0

    def learn(self, peak):
        """A test's peak, in bytes."""
        if isinstance(peak, int):
            self._biggest = max(self._biggest, peak)

    def reservation(self, batch):
        """Bytes that a batch is expected to need, never more than there is."""
        wanted = batch.memory or int(self._biggest * HEADROOM) or self._limit // self._jobs
        return min(wanted, self._limit)

    def choose(self, waiting, running):
        """The index of the batch that may begin now; None if none may. Alone, every batch may."""
        if not running or self._limit is None:
            return 0
        room = self._limit - sum(self.reservation(batch) for batch in running)
        for index, batch in enumerate(waiting):
            if self.reservation(batch) <= room:
                self._passed_over = self._passed_over + 1 if index else 0
                return index
            if self._passed_over >= PATIENCE:
                return None
        return None
