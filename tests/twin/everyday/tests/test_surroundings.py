"""Language, time zone, terminal types, environment, modules."""

import curses
import datetime
import importlib.metadata
import json
import locale
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig
import tempfile
import time
import zoneinfo

import pytest


def test_text_is_utf_8():
    assert sys.getfilesystemencoding() == "utf-8"
    assert locale.getpreferredencoding().upper() == "UTF-8"
    assert subprocess.check_output(["printf", "\u2603"], text=True) == "\u2603"


def test_the_locale_can_be_set():
    assert locale.setlocale(locale.LC_ALL, "")
    assert locale.setlocale(locale.LC_ALL, "C.UTF-8")
    locale.setlocale(locale.LC_ALL, "C")


def test_time_zones():
    zone = zoneinfo.ZoneInfo("Europe/Berlin")
    assert datetime.datetime(2024, 7, 1, tzinfo=zone).utcoffset() == datetime.timedelta(hours=2)


def test_the_time_zone_can_be_changed():
    before = os.environ.get("TZ")
    os.environ["TZ"] = "America/New_York"
    time.tzset()
    assert time.tzname == ("EST", "EDT")
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_local_time_has_a_zone():
    assert datetime.datetime.now().astimezone().tzinfo is not None


@pytest.mark.parametrize("terminal", ["xterm", "xterm-256color", "vt100", "dumb", "linux", "screen"])
def test_terminal_types(terminal):
    master, slave = os.openpty()
    try:
        curses.setupterm(terminal, slave)
    finally:
        os.close(master)
        os.close(slave)


def test_the_working_directory_is_the_project():
    assert pathlib.Path.cwd() == pathlib.Path(__file__).parent.parent
    assert os.path.samefile(os.getcwd(), ".")


def test_paths_of_the_project_are_those_outside():
    assert os.path.realpath(__file__) == os.path.abspath(__file__)


def test_metadata_of_packages():
    assert importlib.metadata.version("pytest")
    assert any(entry.name == "pytest" for entry in importlib.metadata.entry_points(group="console_scripts"))


def test_the_standard_library_is_whole():
    for module in ["ssl", "sqlite3", "ctypes", "lzma", "bz2", "zlib", "hashlib", "uuid", "decimal", "venv", "zipfile"]:
        __import__(module)


def test_platform():
    assert platform.system() == "Linux"
    assert platform.release() and platform.machine() and platform.node()
    assert platform.freedesktop_os_release()["ID"]


def test_build_settings_can_be_read():
    assert os.path.exists(sysconfig.get_path("stdlib"))
    assert os.path.exists(sysconfig.get_path("purelib"))


def test_variables_can_be_set_for_children(monkeypatch):
    monkeypatch.setenv("EVERYDAY", "1")
    assert subprocess.check_output("echo $EVERYDAY", shell=True, text=True) == "1\n"


def test_the_temporary_folder_is_sticky_or_private():
    mode = os.stat(tempfile.gettempdir()).st_mode
    assert mode & 0o1000 or mode & 0o077 == 0 or os.stat(tempfile.gettempdir()).st_uid == os.getuid()


def test_a_virtual_environment_can_be_made(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    code = "import sys; print(sys.prefix)"
    output = subprocess.check_output([tmp_path / "venv/bin/python", "-c", code], text=True)
    assert output.strip() == str(tmp_path / "venv")


def test_isolated_mode():
    code = "import json, sys; print(json.dumps(sys.flags.isolated))"
    assert json.loads(subprocess.check_output([sys.executable, "-I", "-c", code])) == 1


def test_modules_of_the_project_come_first(tmp_path, monkeypatch):
    (tmp_path / "everyday_module.py").write_text("value = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    import everyday_module

    assert everyday_module.value == 42


def test_nested_pytest(tmp_path):
    (tmp_path / "test_inner.py").write_text("def test(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:twin_outcomes", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_git_or_its_absence(tmp_path):
    try:
        subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no git here")
    assert (tmp_path / ".git").is_dir()
