"""Takes over pytest's test loop, where tests can run in workers."""

import pytest

from . import own_modules, traces


class Takeover:
    """The loop itself. `Decision` says whether it is used."""

    def __init__(self, channel):
        self._channel = channel
        #: testbox's settings, if it is used.
        self.settings = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if self.settings is None:
            return None
        with own_modules():
            from .controller import Controller
        traces.forget_own_lines()
        Controller(session, self._channel, self.settings).run()
        return True


class Decision:
    """Comes before every test loop, whoever's it is."""

    def __init__(self, channel, settings, profile, ahead, takeover):
        self._channel = channel
        #: As testbox told them.
        self._settings = settings
        self._profile = profile
        self._ahead = ahead
        self._takeover = takeover

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session):
        self._channel.send("phase", name="tests")
        with own_modules(self._ahead):
            from .decision import decide
            from .settings import Settings
        settings = Settings.of(self._settings)
        self._takeover.settings = decide(session, self._channel, settings, self._profile)
        yield
