"""Everything that is private to pytest or its plugins, named and guarded: where it is missing, its use is left out and
the rest works."""

import contextlib
import io
import os
import pathlib
import sys
import warnings

import pytest

from .traces import measuring

#: pytest's version, as far as it is compared.
PYTEST = tuple(int(part) for part in pytest.__version__.split(".")[:2])
#: Hooks that speak of a test's result: in a worker the shipper alone hears them.
RESULT_HOOKS = (
    "pytest_runtest_logstart",
    "pytest_runtest_logreport",
    "pytest_runtest_logfinish",
    "pytest_warning_recorded",
)
#: Keeps its own state of a test's log in the process that runs the test.
LOGGING_PLUGIN = "logging-plugin"
#: Fixtures by which a test may write past the capture.
CAPTURE_FIXTURES = frozenset(["capsys", "capfd", "capsysbinary", "capfdbinary", "capteesys"])


def make_base_folder(config):
    """Makes tmp_path's base folder before the first fork, so that all workers number their folders in the same one."""
    factory = getattr(config, "_tmp_path_factory", None)
    if factory is not None:
        # The tests that want one say themselves why there is none.
        with contextlib.suppress(OSError, ValueError):
            factory.getbasetemp()


def base_folder(config):
    """tmp_path's base folder, if it was made; None: it is not known."""
    made = getattr(getattr(config, "_tmp_path_factory", None), "_basetemp", None)
    return None if made is None else str(made)


def take_base_folder(config, folder):
    """In a worker that is no fork: the base folder that all others have."""
    factory = getattr(config, "_tmp_path_factory", None)
    if folder is not None and hasattr(factory, "_basetemp"):
        factory._basetemp = pathlib.Path(folder)


def random_seed(config):
    """The number that pytest-randomly has drawn, or None."""
    seed = config.getoption("randomly_seed", None)
    return seed if isinstance(seed, int) else None


def take_random_seed(config, seed):
    """In a worker that is no fork: the number that the controller's pytest-randomly has shown."""
    if seed is not None:
        config.option.randomly_seed = seed


def show_in(config, stream):
    """What pytest writes of its session goes to this stream from now on; gives the one before."""
    writer = getattr(config.pluginmanager.getplugin("terminalreporter"), "_tw", None)
    before = getattr(writer, "_file", None)
    if before is not None:
        writer._file = stream
    return before


def let_output_through(config, number, leads_to):
    """In a worker that is no fork: output that is not captured leads there from now on. `number`: 1 or 2."""
    capturing = getattr(config.pluginmanager.getplugin("capturemanager"), "_global_capturing", None)
    capture = getattr(capturing, {1: "out", 2: "err"}[number], None)
    kept = getattr(capture, "targetfd_save", None)
    if isinstance(kept, int):
        os.dup2(leads_to, kept, inheritable=False)
    if kept is None or getattr(capture, "_state", None) == "suspended":
        os.dup2(leads_to, number)


def file_of_crashes(config):
    """What pytest lets faulthandler write to when the interpreter crashes; None if it cannot be known."""
    module = sys.modules.get("_pytest.faulthandler")
    for name in ("fault_handler_stderr_fd_key", "fault_handler_stderr_key"):
        if hasattr(module, name):
            return config.stash.get(getattr(module, name), None)
    return None


def _text_in_file(kind, descriptor):
    """What `--capture=sys` collects text in, but in a file, which outlives the process. pytest asks for its kind."""

    class TextInFile(kind):
        def __init__(self):
            file = os.fdopen(os.dup(descriptor), "r+b", buffering=0)
            io.TextIOWrapper.__init__(self, file, encoding="utf-8", newline="", write_through=True)

        def getvalue(self):
            return os.pread(self.fileno(), os.fstat(self.fileno()).st_size, 0).decode("utf-8")

    return TextInFile()


def keep_captured(config, files):
    """In a worker: what is captured from now on goes to these files, by stream, from which a killed test's output is
    taken."""
    capturing = getattr(config.pluginmanager.getplugin("capturemanager"), "_global_capturing", None)
    for name, file in files.items():
        _divert(getattr(capturing, name[3:], None), name, file)


def keep_captured_by_fixtures(files):
    """The same of what tests capture themselves (capsys, capfd) and have not yet read."""
    fixture = getattr(sys.modules.get("_pytest.capture"), "CaptureFixture", None)
    start = getattr(fixture, "_start", None)
    if start is None or not files:
        return

    def start_in_files(self):
        start(self)
        for name, file in files.items():
            capture = getattr(getattr(self, "_capture", None), name[3:], None)
            if hasattr(capture, "suspend") and hasattr(capture, "resume"):
                os.ftruncate(file.fileno(), 0)
                capture.suspend()
                _divert(capture, name, file)
                capture.resume()

    fixture._start = start_in_files


def _divert(capture, name, file):
    """What this part of a capture keeps, it keeps in that file."""
    kept = getattr(capture, "tmpfile", None)
    if kept is None:
        return
    try:
        os.dup2(file.fileno(), kept.fileno(), inheritable=False)
    except (AttributeError, OSError, ValueError):
        if type(kept).__name__ == "CaptureIO":
            capture.tmpfile = _text_in_file(type(kept), file.fileno())
            if getattr(sys, name) is kept:
                setattr(sys, name, capture.tmpfile)


def junit_extras(config, report):
    """In a worker: what `record_xml_attribute` and `record_testsuite_property` have said, or None."""
    xml = _junit_writer(config)
    if xml is None:
        return None
    reporter = xml.node_reporters.get((getattr(report, "id", report.nodeid), None))
    extras = {"attributes": dict(getattr(reporter, "attrs", ())), "properties": list(xml.global_properties)}
    return extras if any(extras.values()) else None


def restore_junit_extras(config, report):
    """In the controller, before its writer hears of the report. What several workers say of the suite is said once."""
    extras = report.__dict__.pop("testbox_junit", None)
    xml = _junit_writer(config)
    if extras is None or xml is None:
        return
    if extras["attributes"]:
        xml.node_reporter(report).attrs.update(extras["attributes"])
    xml.global_properties.extend(pair for pair in extras["properties"] if pair not in xml.global_properties)


def _junit_writer(config):
    """What writes --junitxml, where it is as it is known."""
    key = getattr(sys.modules.get("_pytest.junitxml"), "xml_key", None)
    xml = None if key is None else config.stash.get(key, None)
    return xml if hasattr(xml, "node_reporters") and hasattr(xml, "global_properties") else None


def tear_down_all(session):
    """Ends every fixture that is still set up, as pytest does at the end of a session."""
    state = getattr(session, "_setupstate", None)
    if state is not None and hasattr(state, "teardown_exact"):
        state.teardown_exact(None)


def failed_subtests(config, report):
    """How many subtests of this report's test have failed: pytest 9 counts them where they run, and asks for the number
    where they are told. None: this pytest does not count."""
    stash_key = getattr(sys.modules.get("_pytest.subtests"), "failed_subtests_key", None)
    return None if stash_key is None else config.stash[stash_key].get(getattr(report, "id", report.nodeid))


def restore_subtest(config, report, data, failed):
    """What a worker knew of subtests, and what pytest 9 changes on the way: it quotes a subtest's values twice."""
    module = sys.modules.get("_pytest.subtests")
    if module is None:
        return
    if failed is not None:
        config.stash[module.failed_subtests_key][getattr(report, "id", report.nodeid)] = failed
    if isinstance(report, module.SubtestReport):
        object.__setattr__(report.context, "kwargs", data["_subtest.context"]["kwargs"])


def result_hooks_of_others(config, shipper):
    """Who hears of results besides the shipper."""
    keeps_own_state = config.pluginmanager.getplugin(LOGGING_PLUGIN)
    spared = [shipper, *([] if keeps_own_state is None else [keeps_own_state])]
    found = [each for name in RESULT_HOOKS for each in getattr(config.hook, name).get_hookimpls()]
    return [each for each in found if not any(each.plugin is one for one in spared)]


def mute(implementations):
    """In a worker: nobody but the shipper hears of results; the controller tells all others."""
    for implementation in implementations:
        implementation.function = _nothing
        implementation.argnames = implementation.kwargnames = ()
        implementation.hookwrapper = implementation.wrapper = False


def _nothing():
    return None


def others_hear_results(config):
    """Whether anything but pytest itself hears of results: it may end the session at any of them."""
    for name in RESULT_HOOKS[:3]:
        for implementation in getattr(config.hook, name).get_hookimpls():
            module = getattr(implementation.function, "__module__", None) or ""
            if not module.startswith(("_pytest.", "testbox_plugin")):
                return True
    return False


def only_pytest_serializes(config):
    """Whether nobody but pytest itself turns reports into plain data and back."""
    hooks = (config.hook.pytest_report_to_serializable, config.hook.pytest_report_from_serializable)
    found = [implementation.function for hook in hooks for implementation in hook.get_hookimpls()]
    return all((getattr(function, "__module__", None) or "").startswith("_pytest.") for function in found)


def others_run_tests(config):
    """Whether anything but pytest itself has a part in running a test, before its setup or instead of it."""
    for implementation in config.hook.pytest_runtest_protocol.get_hookimpls():
        if not (getattr(implementation.function, "__module__", None) or "").startswith("_pytest."):
            return True
    return False


def other_test_loop(config):
    """The name of a plugin that runs the tests itself, or None."""
    for implementation in config.hook.pytest_runtestloop.get_hookimpls():
        module = getattr(implementation.function, "__module__", None) or ""
        is_wrapper = implementation.hookwrapper or getattr(implementation, "wrapper", False)
        if not is_wrapper and module != "_pytest.main" and not module.startswith("testbox_plugin"):
            return module
    return None


def timeout_settings(config):
    """pytest-timeout's general value in seconds (None: not set), and whether pytest-timeout itself is there."""
    present = config.pluginmanager.hasplugin("timeout") or config.pluginmanager.hasplugin("pytest_timeout")
    for value in (config.getoption("timeout", None), os.environ.get("PYTEST_TIMEOUT"), _ini(config, "timeout")):
        seconds = _seconds(value)
        if seconds is not None:
            return seconds, present
    return None, present


def _ini(config, name):
    """A value of the ini file, also if no plugin has announced it."""
    try:
        return config.getini(name)
    except (KeyError, ValueError):
        # pytest 9 warns of the public name.
        lines = getattr(config, "_inicfg", None)
        value = (config.inicfg if lines is None else lines).get(name)
        return getattr(value, "value", value)


def marked_timeout(item):
    """Seconds of the `timeout` marker; None without one."""
    mark = item.get_closest_marker("timeout")
    if mark is None:
        return None
    return _seconds(mark.kwargs.get("timeout", mark.args[0] if mark.args else None))


def _seconds(value):
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        # pytest-timeout itself refuses it, by name.
        return None


class Measured:
    """coverage.py in workers: each writes a data file of its own, and the controller adds them to its own data."""

    def __init__(self, folder):
        self._folder = folder
        self._files = []

    def next_file(self):
        """Where the next worker writes; None if nothing is measured."""
        if measuring() is None:
            return None
        self._files.append(os.path.join(self._folder, "coverage.%d" % len(self._files)))
        return self._files[-1]

    @classmethod
    def divert(cls, path):
        """In a worker: what is measured from now on goes to this file. Gives what writes it."""
        current = measuring()
        if current is None or path is None:
            return lambda: None
        current._data = sys.modules["coverage"].CoverageData(basename=path)
        current._collector.use_data(current._data, current._collector.static_context)

        def write():
            current._collector.flush_data()
            current._data.write()

        return write

    def add_all(self):
        """In the controller: the workers' data joins its own. Gives the files that cannot be read."""
        current = measuring()
        broken = []
        for path in [path for path in self._files if current is not None and os.path.exists(path)]:
            data = sys.modules["coverage"].CoverageData(basename=path)
            try:
                data.read()
                current.get_data().update(data)
            except Exception as error:  # noqa: BLE001 - sqlite3's and coverage's own
                broken.append(f"{os.path.basename(path)}: {error}")
            finally:
                data.close()
        self._files.clear()
        return broken


def warning_to_message(warning_message, when, nodeid):
    """A recorded warning as JSON."""
    category = warning_message.category
    return {
        "text": str(warning_message.message),
        "category": [category.__module__, category.__qualname__],
        "filename": str(warning_message.filename),
        "lineno": int(warning_message.lineno),
        "line": warning_message.line,
        "source": warning_message.source is not None,
        "when": when,
        "nodeid": nodeid,
    }


def warning_from_message(message):
    """The arguments of pytest_warning_recorded. The category is looked up, never imported."""
    module, name = message["category"]
    category = sys.modules.get(module)
    for part in name.split("."):
        category = getattr(category, part, None)
    if not (isinstance(category, type) and issubclass(category, Warning)):
        category = type(name, (Warning,), {"__module__": module})
    text = message["text"]
    said = type(category.__name__, (Warning,), {"__module__": module, "__str__": lambda self: text})
    recorded = warnings.WarningMessage(
        message=said(text),
        category=category,
        filename=message["filename"],
        lineno=message["lineno"],
        line=message["line"],
        source=_Gone() if message["source"] else None,
    )
    return {"warning_message": recorded, "when": message["when"], "nodeid": message["nodeid"], "location": None}


class _Gone:
    """Stands for an object that stayed in the worker."""


def know_location(item):
    """pytest asks where a test is when it runs it, and keeps the answer: here it is asked before. Only where it is
    pytest's own code that says it; what others wrote runs when its turn has come."""
    reports_itself = getattr(type(item).reportinfo, "__module__", None) or ""
    if reports_itself.startswith("_pytest."):
        with contextlib.suppress(Exception):
            _known = item.location


def uses_capture_fixture(item):
    """Whether the test may write past the capture, so that the order of its output matters."""
    return not CAPTURE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def writes_to_terminal(config):
    """Whether tests write to the terminal themselves: without capture, with live logs, with shown fixtures."""
    live = config.getoption("log_cli", None) or _ini(config, "log_cli") or config.getoption("log_cli_level", None)
    shown = config.getoption("setupshow", False) or config.getoption("setuponly", False)
    return bool(config.getoption("capture", "fd") in ("no", "tee-sys") or live is True or live == "true" or shown)


def registered_markers(config):
    """Names of the markers that somebody has announced."""
    return {line.split(":")[0].split("(")[0].strip() for line in config.getini("markers")}


def exit_exception(reason, returncode):
    """pytest.exit's exception."""
    return pytest.exit.Exception(reason, returncode)
