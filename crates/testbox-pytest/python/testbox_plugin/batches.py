"""Which tests share a worker. Pure."""


class Batch:
    """Tests, as indices into the session's items, that one worker runs in this order."""

    def __init__(self, tests, isolate, memory, pids):
        self.tests = tests
        self.isolate = isolate
        self.memory = memory
        self.pids = pids
        #: How often its test was killed before.
        self.attempt = 0
        #: What its tests took in earlier runs, at most; None: nobody has looked yet.
        self.known_peak = None

    @property
    def is_shared(self):
        """Whether a worker that has run another such batch may go on with this one."""
        return self.isolate == "session" and self.memory is None and self.pids is None

    @property
    def first(self):
        """Batches are told in the order of their first tests."""
        return self.tests[0]


def file_of(nodeid):
    """The file in which a test is."""
    return nodeid.split("::")[0]


def make(tests, nodeids, needs, settings):
    """The batches of these tests, in the order of their first tests; never tests of different limits in one."""
    groups, runs = {}, {}
    for test in tests:
        need = needs[test]
        if need.isolate == "session":
            # Workers side by side take file after file.
            key = ("session", need.limits, file_of(nodeids[test]) if settings.jobs > 1 else None)
        elif need.isolate == "file":
            key = ("file", need.limits, file_of(nodeids[test]))
        elif need.isolate == "test":
            key = ("test", test)
        else:
            key = _run_of(runs, need, groups)
        groups.setdefault(key, []).append(test)
    batches = [_batch(group, nodeids, needs, settings) for group in groups.values()]
    return sorted(batches, key=lambda batch: batch.first)


def _run_of(runs, need, groups):
    """The group that is being filled with N consecutive tests of these limits."""
    number = runs.get(need, 0)
    if len(groups.get(("run", need, number), ())) >= need.isolate:
        number = runs[need] = number + 1
    return ("run", need, number)


def _batch(group, nodeids, needs, settings):
    need = needs[group[0]]
    memory = need.memory
    if memory is None and len(group) == 1:
        memory = settings.test_memory
    if memory is None and len({file_of(nodeids[test]) for test in group}) == 1:
        memory = settings.file_memory
    return Batch(group, need.isolate, memory, need.pids)


def after_a_kill(batch, rest, nodeids, needs, settings):
    """The batches in which the tests go on that had not begun: after a whole session's worker was killed, by file."""
    if batch.isolate == "session":
        return _by_file(rest, nodeids, needs, settings)
    return [_batch(rest, nodeids, needs, settings)] if rest else []


def _by_file(rest, nodeids, needs, settings):
    groups = {}
    for test in rest:
        groups.setdefault(file_of(nodeids[test]), []).append(test)
    batches = [_batch(group, nodeids, needs, settings) for group in groups.values()]
    for batch in batches:
        batch.isolate = "file"
    return batches


def once_more(test, batch, nodeids, needs, settings):
    """A killed test, alone."""
    again = _batch([test], nodeids, needs, settings)
    again.isolate, again.attempt = "test", batch.attempt + 1
    return again
