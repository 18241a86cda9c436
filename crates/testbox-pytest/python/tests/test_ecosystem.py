"""The plugins that most projects use, in workers: all must come out as under bare pytest."""

import re
import sys

import pytest
from fake_testbox import Run, bare, normal, write

ISOLATIONS = [{"isolate": "session"}, {"isolate": "test"}, {"isolate": "session", "jobs": 2}]
COMMON = ["-p", "no:cacheprovider", "-p", "no:randomly"]
#: Begins a thread, so that no worker is a fork.
THREAD = "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
COVERED = {
    "mod.py": "def f(x):\n    if x:\n        return 1\n    return 2\ndef g():\n    return 3\n",
    "test_a.py": "import mod\ndef test_a(): assert mod.f(1) == 1\n",
    "test_b.py": "import mod\ndef test_b(): assert mod.f(0) == 2\n",
}
CASES = {
    "cov": (COVERED, ["--cov=.", "--cov-report=term-missing"]),
    "cov-contexts": (COVERED, ["--cov=mod", "--cov-branch", "--cov-report=term-missing", "--cov-context=test"]),
    "timeout": (
        {
            "test_a.py": "import pytest, time\n@pytest.mark.timeout(1)\ndef test_a(): time.sleep(60)\n"
            "def test_b(): pass\n"
        },
        ["-p", "no:rerunfailures"],
    ),
    "rerunfailures": (
        {
            "test_a.py": "import pytest\nn = []\n@pytest.mark.flaky(reruns=2)\ndef test_a():\n"
            "    n.append(1)\n    assert len(n) > 2\ndef test_b(): assert 0\n"
        },
        ["--reruns=1", "-v"],
    ),
    "randomly": (
        {
            "test_a.py": "import random\ndef test_a(): print(random.random())\ndef test_b(): print(random.random())\n",
            "test_b.py": "import random\ndef test_c(): print(random.random())\n",
        },
        ["-rP", "-p", "no:cacheprovider", "-p", "no:rerunfailures", "--randomly-seed=5"],
    ),
    "asyncio": (
        {
            "test_a.py": "import asyncio, pytest\n@pytest.fixture\nasync def v():\n    await asyncio.sleep(0)\n"
            "    yield 4\n"
            "async def test_a(v):\n    await asyncio.sleep(0)\n    assert v == 4\n"
        },
        ["--asyncio-mode=auto"],
    ),
    "anyio": (
        {"test_a.py": "import anyio, pytest\n@pytest.mark.anyio\nasync def test_a(): await anyio.sleep(0)\n"},
        [],
    ),
    "hypothesis": (
        {
            # An example may take its time on a busy machine.
            "test_a.py": "from hypothesis import HealthCheck, given, settings, strategies as st\n"
            "settings.register_profile('slow', deadline=None, suppress_health_check=list(HealthCheck))\n"
            "settings.load_profile('slow')\n@given(st.integers())\n"
            "def test_a(x): assert x + 0 == x\n@settings(database=None, derandomize=True)\n@given(st.integers())\n"
            "def test_f(x): assert x < 100\n"
        },
        [],
    ),
    "mock": (
        {
            "test_a.py": "import os\ndef test_a(mocker):\n    mocker.patch('os.getcwd', return_value='x')\n"
            "    assert os.getcwd() == 'x'\n"
        },
        [],
    ),
}


def as_bare(output):
    """pytest-timeout's rule is as long as the terminal is wide for it; it names threads by their numbers."""
    return re.sub(r" +\[", " [", re.sub(r"\(\d{9,}\)", "(_)", normal(output)))


@pytest.mark.parametrize("name", CASES)
def test_it_comes_out_as_bare(tmp_path, name):
    files, options = CASES[name]
    write(tmp_path, files)
    common = COMMON if name != "randomly" else []
    code, output = bare(tmp_path, *common, *options)
    for settings in ISOLATIONS:
        run = Run(tmp_path, {}, *common, *options, **settings).finish()
        assert as_bare(run.output) == as_bare(output), settings
        assert run.exit == code
        assert not run.of("note")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("isolate", ["session", "file"])
def test_it_comes_out_as_bare_from_interpreters_of_their_own(tmp_path, name, isolate):
    files, options = CASES[name]
    write(tmp_path, {**files, "conftest.py": THREAD})
    common = COMMON if name != "randomly" else []
    code, output = bare(tmp_path, *common, *options)
    run = Run(tmp_path, {}, *common, *options, isolate=isolate).finish()
    assert as_bare(run.output) == as_bare(output)
    assert run.exit == code
    assert [frame["text"].split(":")[0] for frame in run.of("note")] == ["threads began during the collection"]


def test_what_hypothesis_has_found_is_kept_for_the_next_run(tmp_path):
    text = (
        "from hypothesis import Phase, given, settings, strategies as st\n"
        "import os\n"
        "settings.load_profile('default')  # in CI, hypothesis keeps nothing\n"
        "@settings(phases=[Phase.reuse] if 'REUSE' in os.environ else list(Phase), deadline=None)\n"
        "@given(st.integers())\n"
        "def test_f(x): assert x < 100\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, *COMMON, environment={"REUSE": "1"}, isolate="test").finish()
    assert run.outcomes() == {"test_f": "skipped"}, "nothing is known yet"
    for environment in ({}, {"REUSE": "1"}):
        run = Run(tmp_path, {}, *COMMON, environment=environment, isolate="test").finish()
        assert run.outcomes() == {"test_f": "failed"}, run.output


def test_coverage_itself_measures_workers(tmp_path):
    write(tmp_path, COVERED)
    measured = [sys.executable, "-m", "coverage", "run", "--branch", "-m", "pytest"]
    report = [sys.executable, "-m", "coverage", "report", "-m"]
    assert bare(tmp_path, *COMMON, command=measured)[0] == 0
    expected = bare(tmp_path, command=report)[1]
    for settings in [*ISOLATIONS, {"isolate": "file", "own_interpreters": True}]:
        (tmp_path / ".coverage").unlink()
        begun = {"pytest.ini": "[pytest]\naddopts = -p begun\n", "begun.py": THREAD}
        begun = begun if settings.pop("own_interpreters", False) else {}
        run = Run(tmp_path, begun, *COMMON, command=measured, **settings).finish()
        assert run.exit == 0, run.output
        shown = bare(tmp_path, command=[*report, "--omit", "begun.py"] if begun else report)[1]
        assert shown == expected


def test_what_was_measured_before_a_kill_is_kept(tmp_path):
    files = dict(COVERED)
    files["test_c.py"] = "import os, mod\ndef test_c(): os.kill(os.getpid(), 9)\n"
    files["test_a.py"] += "import time\ndef test_slow(): time.sleep(1.1)\n"
    run = Run(tmp_path, files, *COMMON, "--cov=mod", "--cov-report=term-missing", isolate="session").finish()
    assert re.search(r"mod\.py +6 +1 +83% +6|mod\.py +6 +2 +67% +4, 6", run.output), run.output


def test_xdist_and_benchmarks_stay_in_their_own_processes(tmp_path):
    files = {"test_a.py": "def test_a(): pass\n"}
    run = Run(tmp_path / "x", files, *COMMON, "-n", "2", isolate="session").finish()
    assert "pytest-xdist" in run.of("note")[0]["text"]
    assert (run.exit, run.of("want"), run.of("workers")[0]["mode"]) == (0, [], "other")
    files = {"test_a.py": "def test_a(benchmark): benchmark(int)\n"}
    run = Run(tmp_path / "b", files, *COMMON, isolate="session").finish()
    assert "pytest-benchmark" in run.of("note")[0]["text"]
    assert "1 passed" in run.output and not run.of("want")
    run = Run(tmp_path / "d", files, *COMMON, "--benchmark-disable", isolate="session").finish()
    assert run.exit == 0 and len(run.of("want")) == 1


def test_timeouts_are_told(tmp_path):
    text = (
        "import pytest\n"
        "@pytest.mark.timeout(3)\ndef test_a(): pass\n"
        "@pytest.mark.timeout(0)\ndef test_b(): pass\n"
        "def test_c(): pass\n"
    )
    files = {"test_x.py": text, "pytest.ini": "[pytest]\ntimeout = 7\n"}
    settings = {"test_timeout_ms": 60_000, "teardown_timeout_ms": 500}
    run = Run(tmp_path, files, *COMMON, isolate="session", **settings).finish()
    assert [f["timeout_ms"] for f in run.of("start")] == [4000, None, 8000]
    assert [f["teardown_ms"] for f in run.of("start")] == [500] * 3
