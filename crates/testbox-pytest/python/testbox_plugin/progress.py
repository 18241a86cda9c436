"""One line below pytest's own, on a terminal with several workers: how far the run is, what is running, how long it
will take."""

import os
import time

from . import compat

#: The line is drawn anew this often.
SECONDS = 0.5
#: A test is named when it has run for so long.
NAMED_SECONDS = 1.0
#: The end is foretold when so much is known.
FORETOLD_TESTS, FORETOLD_SECONDS = 5, 2.0
#: Running tests that are named.
MAX_NAMED = 4


def line(done, failed, total, elapsed, running):
    """How far it is. `elapsed`: seconds since the first test; `running`: seconds and node id of each running test."""
    parts = ["%d of %d" % (done, total)]
    if failed:
        parts.append("%d failed" % failed)
    if FORETOLD_TESTS <= done < total and elapsed >= FORETOLD_SECONDS:
        parts.append(f"about {span(elapsed / done * (total - done))} left")
    text = ", ".join(parts)
    named = sorted((pair for pair in running if pair[0] >= NAMED_SECONDS), reverse=True)
    if named:
        text += "; " + ", ".join(f"{nodeid} {span(seconds)}" for seconds, nodeid in named[:MAX_NAMED])
    if len(named) > MAX_NAMED:
        text += ", %d more" % (len(named) - MAX_NAMED)
    return text


def span(seconds):
    """A time as people say it: `7 s`, `3 min 20 s`."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return "%d s" % rest if not minutes else "%d min %d s" % (minutes, rest)


class Progress:
    """Draws the line below what pytest has written, and takes it away before pytest writes again."""

    def __init__(self, writer, file, total):
        self._writer = writer
        self._file = file
        self._total = total
        self._is_drawn = False
        self._since = time.monotonic()
        self._due = self._since + SECONDS

    @classmethod
    def on(cls, config, total, jobs):
        """Where it is of use: with several workers, on a terminal that can move its cursor, for who wants output."""
        if jobs < 2 or not config.pluginmanager.hasplugin("terminalreporter"):
            return None
        writer = config.get_terminal_writer()
        # What is written through pytest's writer would count as pytest's own line.
        file = getattr(writer, "_file", None)
        terminal = getattr(file, "isatty", lambda: False)() and os.environ.get("TERM", "dumb") != "dumb"
        if not terminal or config.getoption("verbose", 0) < 0 or compat.writes_to_terminal(config):
            return None
        return cls(writer, file, total)

    def draw(self, done, failed, running):
        """Draws it, if that is due. `running`: begin and node id of each running test."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + SECONDS
        self.hide()
        running = [(now - since, nodeid) for since, nodeid in running]
        text = _plain(line(done, failed, self._total, now - self._since, running))[: max(self._writer.fullwidth - 1, 0)]
        self._file.write("\n" + text)
        self._file.flush()
        self._is_drawn = True

    def hide(self):
        """The terminal is as pytest left it."""
        if not self._is_drawn:
            return
        self._is_drawn = False
        column = self._writer.width_of_current_line % max(self._writer.fullwidth, 1)
        self._file.write("\r\x1b[K\x1b[A" + ("\x1b[%dC" % column if column else ""))
        self._file.flush()


def _plain(text):
    """Names of tests can hold anything; on this line they are shown, not obeyed."""
    return "".join(char if char.isprintable() and char.isascii() else "?" for char in text)
