"""What tests took in earlier runs, in pytest's own cache folder: only workers side by side ask for it."""

#: The file's place in the cache.
KEY = "testbox/peaks"
#: Tests that are remembered, at most.
MAX_TESTS = 100_000


def read(config):
    """Peaks in bytes by node id. Anybody may have written the file: only numbers count."""
    cache = getattr(config, "cache", None)
    told = None if cache is None else cache.get(KEY, None)
    if not isinstance(told, dict):
        return {}
    return {nodeid: peak for nodeid, peak in told.items() if type(peak) is int and peak > 0}


def write(config, history, peaks):
    """Adds the peaks of this run; what is not run any more is forgotten when there are too many."""
    cache = getattr(config, "cache", None)
    if cache is not None and peaks:
        known = {**{nodeid: peak for nodeid, peak in history.items() if nodeid not in peaks}, **peaks}
        cache.set(KEY, dict(list(known.items())[-MAX_TESTS:]))
