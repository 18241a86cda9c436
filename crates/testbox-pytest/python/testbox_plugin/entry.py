"""Where pytest enters: takes testbox's socket, says hello, registers the hooks."""

import atexit
import faulthandler
import os
import socket
import sys

import pytest

from . import traces
from .ahead import Ahead
from .channel import DUMP_SIGNAL, Channel
from .loop import Decision, Takeover
from .profile import Profile
from .witness import Witness

CHANNEL = "TESTBOX_CHANNEL"
#: Says to a worker that is no fork where its order is.
WORKER = "TESTBOX_WORKER"
PROTOCOL = 2


def take_channel():
    """testbox's socket, if there is one; leaves the environment as the user's tests expect it."""
    number = os.environ.pop(CHANNEL, "")
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    before, _, rest = os.environ.get("PYTHONPATH", "").partition(os.pathsep)
    if before and os.path.abspath(before) == own:
        if rest:
            os.environ["PYTHONPATH"] = rest
        else:
            del os.environ["PYTHONPATH"]
        sys.path[:] = [entry for entry in sys.path if entry != before]
    if not number:
        return None
    descriptor = int(number)
    os.set_inheritable(descriptor, False)
    return Channel(socket.socket(fileno=descriptor))


def greet(channel):
    """Says hello; the answer brings testbox's settings, which are given, and a pipe for the stacks of all threads."""
    channel.send(
        "hello",
        protocol=PROTOCOL,
        python="%d.%d.%d" % sys.version_info[:3],
        pytest=pytest.__version__,
        dump_signal=int(DUMP_SIGNAL),
    )
    welcome = channel.wait_for_welcome()
    if welcome is None:
        return {}
    for descriptor in welcome.get("descriptors", [])[:1]:
        # Works also with the interpreter's lock held.
        faulthandler.register(DUMP_SIGNAL, file=descriptor, all_threads=True, chain=False)
    return welcome.get("settings") or {}


_channel = take_channel()
_fresh = None
if WORKER in os.environ:
    from .fresh import Fresh

    _fresh = Fresh(os.environ.pop(WORKER))
    _fresh.join()
if _channel is not None:
    _settings = greet(_channel)
    _ahead = None if _settings.get("isolate", "none") == "none" else Ahead(os.path.dirname(os.path.abspath(__file__)))
    _profile = Profile(_channel)
    # Handlers run last in, first out: what ends the process from a handler of its own ends it before this one.
    atexit.register(_channel.send, "goodbye")


def pytest_configure(config):
    if _fresh is not None:
        config.pluginmanager.register(_fresh, "testbox-fresh")
        traces.forget_own_option(config)
        traces.forget_own_lines()
    if _channel is not None:
        config.pluginmanager.register(Witness(_channel, _profile), "testbox-witness")
        takeover = Takeover(_channel)
        config.pluginmanager.register(takeover, "testbox-takeover")
        config.pluginmanager.register(Decision(_channel, _settings, _profile, _ahead, takeover), "testbox-decision")
        traces.forget_own_option(config)
        traces.forget_own_lines()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_load_initial_conftests():
    if _channel is None:
        yield
        return
    _channel.send("phase", name="configuration")
    with _profile:
        yield
