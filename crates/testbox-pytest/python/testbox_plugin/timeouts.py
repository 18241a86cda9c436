"""How long a test may take: quotas and markers first, then what holds for all."""

from . import compat

#: pytest-timeout's own report comes first, when it is there.
GRACE_MS = 1000


class Timeouts:
    """Milliseconds for setup and call, and for the teardown; None: no limit."""

    def __init__(self, config, settings):
        self._settings = settings
        seconds, self._is_present = compat.timeout_settings(config)
        self._general = _least(self._of_seconds(seconds), settings.test_timeout_ms)

    def of(self, item, need):
        """Setup and call, and the teardown. Of a marker and a quota the shorter one holds; a marker of 0 lifts all."""
        seconds = compat.marked_timeout(item)
        if seconds is None and need.timeout_ms is None:
            return self._general, self._settings.teardown_timeout_ms
        return _least(self._of_seconds(seconds), need.timeout_ms), self._settings.teardown_timeout_ms

    def _of_seconds(self, seconds):
        if seconds is None or seconds <= 0:
            return None
        return int(seconds * 1000) + (GRACE_MS if self._is_present else 0)


def _least(*values):
    return min((value for value in values if value is not None), default=None)
