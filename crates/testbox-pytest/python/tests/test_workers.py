"""Tests in workers: batches, kills, and all that must be as under bare pytest."""

import os
import re

import pytest
from fake_testbox import Run, bare, normal, wait_until, write

#: One of each that a report can be.
EVERYTHING = {
    "conftest.py": (
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def shared():\n"
        "    print('shared is set up')\n"
        "    yield 1\n"
        "    print('shared is torn down')\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError('set up in vain')\n"
        "@pytest.fixture\n"
        "def sour():\n"
        "    yield\n"
        "    raise ValueError('torn down in vain')\n"
    ),
    "test_a.py": (
        "import pytest, sys, warnings\n"
        "def test_passes(shared): print('out'); print('err', file=sys.stderr)\n"
        "def test_fails(shared):\n"
        "    print('before it failed')\n"
        "    value = {'a': [1, 2]}\n"
        "    assert value == {'a': [1, 3]}\n"
        "def test_skips(): pytest.skip('not today')\n"
        "@pytest.mark.skip(reason='never')\n"
        "def test_marked(): pass\n"
        "@pytest.mark.xfail(reason='known')\n"
        "def test_xfails(): assert 0\n"
        "@pytest.mark.xfail\n"
        "def test_xpasses(): pass\n"
        "@pytest.mark.xfail(strict=True, reason='strictly')\n"
        "def test_xpasses_strictly(): pass\n"
        "def test_setup_error(broken): pass\n"
        "def test_teardown_error(sour): pass\n"
        "def test_fails_and_teardown_error(sour): assert 0\n"
        "def test_warns(): warnings.warn('mind this'); warnings.warn('old', DeprecationWarning)\n"
        "def test_chain():\n"
        "    try:\n"
        "        {}['a']\n"
        "    except KeyError as error:\n"
        "        raise RuntimeError('caused') from error\n"
    ),
    "sub/test_b.py": (
        "import pytest, unittest\n"
        "@pytest.mark.parametrize('value', ['a/b', 'x::y', '[z]', 'ü', ' '])\n"
        "def test_odd(value): assert value != 'ü'\n"
        "class TestClass:\n"
        "    def test_in_class(self, tmp_path, record_property): record_property('key', 7)\n"
        "class Old(unittest.TestCase):\n"
        "    def test_old(self): self.assertEqual(1, 1)\n"
        "    @unittest.skip('old skip')\n"
        "    def test_old_skip(self): pass\n"
        "    @unittest.expectedFailure\n"
        "    def test_old_expected(self): self.fail()\n"
        "def test_capsys(capsys):\n"
        "    print('shown')\n"
        "    with capsys.disabled(): print('PAST THE CAPTURE')\n"
        "    assert capsys.readouterr().out == 'shown\\n'\n"
    ),
    "test_c.txt": ">>> 1 + 1\n2\n>>> 1 + 1\n3\n",
    "pytest.ini": "[pytest]\naddopts = --doctest-glob=*.txt\n",
}
KILLS = (
    "import os, signal\n"
    "def test_before(): pass\n"
    "def test_killed():\n"
    "    print('so far')\n"
    "    os.kill(os.getpid(), signal.SIGKILL)\n"
    "def test_after(): pass\n"
)
ISOLATIONS = ["session", "file", 3, "test"]


def without_shared(output):
    """A fixture of the session is set up in each worker: its output is in another place."""
    return re.sub(r"(-+ Captured stdout (setup|teardown) -+\n)?shared is [a-z ]+\n", "", output)


@pytest.mark.parametrize(
    ("isolate", "options"),
    [
        ("session", ["-q"]),
        ("session", []),
        ("session", ["-v", "-rA"]),
        ("session", ["-vv", "--tb=short"]),
        ("file", []),
        (3, ["-v"]),
        ("test", ["-q", "-rA"]),
    ],
    ids=str,
)
def test_output_and_exit_code_are_as_bare(tmp_path, isolate, options):
    write(tmp_path, EVERYTHING)
    options = ["-p", "no:cacheprovider", "-p", "no:randomly", *options]
    code, output = bare(tmp_path, *options)
    run = Run(tmp_path, {}, *options, isolate=isolate).finish()
    told, expected = normal(run.output), normal(output)
    if isolate != "session":
        told, expected = without_shared(told), without_shared(expected)
    assert told == expected
    assert run.exit == code == 1
    total = run.of("collected")[0]["total"]
    assert len(run.of("start")) == len(run.of("done")) == total
    assert len(run.of("ended")) == {"session": 1, "file": 3, 3: (total + 2) // 3, "test": total}[isolate]
    assert all(frame["clean"] for frame in run.of("ended"))
    assert [f["s"] for f in run.frames] == list(range(1, len(run.frames) + 1))


@pytest.mark.parametrize("isolate", ISOLATIONS)
def test_a_killed_test_fails_and_the_others_run(tmp_path, isolate):
    run = Run(tmp_path, {"test_x.py": KILLS, "test_y.py": "def test_other(): pass\n"}, isolate=isolate).finish()
    outcomes = {"test_before": "passed", "test_killed": "failed", "test_after": "passed", "test_other": "passed"}
    assert run.outcomes() == outcomes
    assert run.exit == 1
    assert "1 failed, 3 passed" in run.output
    assert "testbox: memory: peak 512.0 MiB of 512 MiB" in run.output
    assert "/p/data.py:41 in load" in run.output
    assert "so far" in run.output
    assert "FAILED test_x.py::test_killed - testbox: memory: peak" in run.output
    assert [frame["clean"] for frame in run.of("ended")].count(False) == 1


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [("setup", "error"), ("teardown", "error"), ("module", "error"), ("session", "error")],
)
def test_a_kill_in_a_fixture_is_an_error(tmp_path, phase, outcome):
    where = {"setup": ("KILL", "pass"), "teardown": ("pass", "KILL")}.get(phase, ("pass", "KILL"))
    scope = phase if phase in ("module", "session") else "function"
    text = (
        "import os, pytest\n"
        f"@pytest.fixture(scope='{scope}')\n"
        f"def deadly():\n    {where[0]}\n    yield\n    {where[1]}\n"
        "def test_it(deadly): pass\n"
    ).replace("KILL", "os.kill(os.getpid(), 9)")
    run = Run(tmp_path, {"test_x.py": text}, isolate="session").finish()
    assert run.outcomes() == {"test_it": outcome}
    assert run.exit == 1
    counts = "1 error" if phase == "setup" else "1 passed, 1 error"
    assert counts in run.output


def test_a_silent_exit_is_no_success(tmp_path):
    text = "import os\ndef test_gone(): os._exit(0)\ndef test_after(): pass\n"
    run = Run(tmp_path, {"test_x.py": text}, isolate="session").finish()
    assert run.outcomes() == {"test_gone": "failed", "test_after": "passed"}
    assert "testbox: silent: exit code 0 without a word" in run.output
    assert run.exit == 1


def test_an_exit_handler_cannot_flip_the_last_test(tmp_path):
    text = "import atexit, os\ndef test_flip(): atexit.register(os._exit, 0)\n"
    run = Run(tmp_path, {"test_x.py": text}, isolate="session").finish()
    assert run.outcomes() == {"test_flip": ["passed", "error"]}
    assert run.exit == 1


def test_after_a_kill_a_session_goes_on_file_by_file(tmp_path):
    files = {"test_a.py": KILLS, "test_b.py": "def test_b(): pass\n", "test_c.py": "def test_c(): pass\n"}
    run = Run(tmp_path, files, isolate="session").finish()
    assert len(run.of("ended")) == 4
    assert run.outcomes()["test_c"] == "passed"


def test_max_kills_ends_the_session(tmp_path):
    text = "import os, pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_x(n): os.kill(os.getpid(), 9)\n"
    run = Run(tmp_path, {"test_x.py": text}, isolate="session", max_kills=2).finish()
    assert run.outcomes() == {"test_x[0]": "failed", "test_x[1]": "failed"}
    assert run.exit == 2
    assert "2 workers were killed (--max-kills)" in run.output


def test_a_killed_test_is_tried_again(tmp_path):
    text = (
        "import os, pathlib\n"
        "def test_once(request):\n"
        "    flag = pathlib.Path(__file__).with_name('flag')\n"
        "    print('here')\n"
        "    if not flag.exists():\n"
        "        flag.touch()\n"
        "        os.kill(os.getpid(), 9)\n"
        "def test_always(): os.kill(os.getpid(), 9)\n"
        "def test_after(): pass\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, "-v", "-rA", isolate="session", retry_killed=1).finish()
    assert run.outcomes() == {"test_once": "passed", "test_always": "failed", "test_after": "passed"}
    assert [frame["id"] for frame in run.of("retry")] == ["test_x.py::test_once", "test_x.py::test_always"]
    assert "attempt 1: testbox: memory: peak" in run.output
    assert "attempt 2: passed" in run.output
    assert run.output.count("attempt 2: testbox: memory") == 1
    assert "1 failed, 2 passed" in run.output


@pytest.mark.parametrize(
    ("isolate", "option"),
    [("session", "-x"), ("session", "--maxfail=2"), ("session", "--stepwise"), ("file", "-x"), ("test", "--maxfail=2")],
)
def test_the_first_failures_end_the_session_as_bare(tmp_path, isolate, option):
    text = (
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def deep():\n    yield\n    print('TORN DOWN')\n"
        "def test_a(deep): pass\n"
        "def test_b(deep): assert 0\n"
        "def test_c(deep): assert 0\n"
        "def test_d(deep): pass\n"
    )
    write(tmp_path / "bare", {"test_x.py": text})
    code, output = bare(tmp_path / "bare", option, "-p", "no:randomly")
    run = Run(tmp_path / "box", {"test_x.py": text}, option, "-p", "no:randomly", isolate=isolate).finish()
    if isolate == "session":
        assert normal(run.output).replace("/box", "/bare") == normal(output)
    assert run.exit == code
    assert run.output.splitlines()[-1].split(" in ")[0] == output.splitlines()[-1].split(" in ")[0]


@pytest.mark.parametrize(
    "body",
    [
        "pytest.exit('enough', 7)",
        "raise KeyboardInterrupt",
        "request.session.shouldstop = 'tired'",
        "request.session.shouldfail = 'angry'",
        "raise SystemExit(3)",
    ],
)
def test_what_ends_the_session_from_inside_ends_it_as_bare(tmp_path, body):
    text = f"import pytest\ndef test_a(request):\n    {body}\ndef test_b(): pass\n"
    write(tmp_path, {"test_x.py": text})
    options = ["-p", "no:cacheprovider", "-p", "no:randomly"]
    code, output = bare(tmp_path, *options)
    run = Run(tmp_path, {}, *options, isolate="session").finish()
    assert normal(run.output) == normal(output)
    assert run.exit == code


def test_a_plugin_that_hears_results_can_stop_the_session_at_any(tmp_path):
    files = {
        "conftest.py": (
            "import pytest\n"
            "class Stop:\n"
            "    def pytest_runtest_logfinish(self, nodeid):\n"
            "        if 'test_b' in nodeid: self.session.shouldstop = 'b was enough'\n"
            "def pytest_sessionstart(session):\n"
            "    stop = Stop(); stop.session = session; session.config.pluginmanager.register(stop)\n"
        ),
        "test_x.py": "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n",
    }
    run = Run(tmp_path, files, isolate="session").finish()
    assert run.outcomes() == {"test_a": "passed", "test_b": "passed"}
    assert "b was enough" in run.output
    assert run.exit == 2


def test_hooks_of_results_are_heard_by_the_controller_alone(tmp_path):
    files = {
        "conftest.py": (
            "import os\n"
            "main = os.getpid()\n"
            "def say(*words): os.write(2, (' '.join(map(str, words)) + '\\n').encode())\n"
            "def pytest_runtest_logstart(nodeid): say('START', os.getpid() == main)\n"
            "def pytest_runtest_logreport(report): say('REPORT', report.when, os.getpid() == main)\n"
            "def pytest_runtest_logfinish(nodeid): say('FINISH', os.getpid() == main)\n"
            "def pytest_warning_recorded(warning_message): say('WARNING', os.getpid() == main)\n"
            "def pytest_runtest_makereport(): say('MAKE', os.getpid() == main)\n"
        ),
        "test_x.py": "import warnings\ndef test_a(): warnings.warn('x')\n",
    }
    run = Run(tmp_path, files, "-s", isolate="session").finish()
    said = list(re.findall("(?:START|MAKE|REPORT|FINISH|WARNING) .*", run.output))
    lines = ["START True", "MAKE False", "REPORT setup True", "MAKE False", "REPORT call True"]
    lines += ["MAKE False", "REPORT teardown True", "FINISH True", "WARNING True"]
    assert said == lines, run.output


def test_without_capture_the_order_of_output_is_as_bare(tmp_path):
    write(tmp_path, EVERYTHING)
    for options in (["-s", "-v"], ["--capture=tee-sys"], ["--setup-show"], ["-v", "-o", "log_cli=true"]):
        options = [*options, "-p", "no:cacheprovider", "-p", "no:randomly"]
        code, output = bare(tmp_path, *options)
        run = Run(tmp_path, {}, *options, isolate="session").finish()
        assert normal(run.output) == normal(output)
        assert run.exit == code


def test_random_numbers_are_as_bare(tmp_path):
    text = "import random\nrandom.seed(5)\ndef test_a(): assert random.random() == 0.6229016948897019\n"
    run = Run(tmp_path, {"test_x.py": text}, "-p", "no:randomly", isolate="test").finish()
    assert run.exit == 0, run.output


def test_folders_of_tmp_path_are_numbered_as_bare(tmp_path):
    text = "def test_a(tmp_path): print(tmp_path.name)\n"
    files = {"a/test_x.py": text, "b/test_y.py": text}
    base = tmp_path / "base"
    run = Run(tmp_path / "p", files, "-rP", f"--basetemp={base}", isolate="test").finish()
    assert run.exit == 0, run.output
    assert sorted(path.name for path in base.iterdir() if not path.is_symlink()) == ["test_a0", "test_a1"]


def test_the_cache_and_junit_are_as_bare(tmp_path):
    write(tmp_path, EVERYTHING)
    bare(tmp_path, "--junitxml=bare.xml", "-p", "no:cacheprovider", "-p", "no:randomly")
    Run(tmp_path, {}, "--junitxml=box.xml", "-p", "no:randomly", isolate="file").finish()
    first, second = ((tmp_path / name).read_text() for name in ("bare.xml", "box.xml"))

    def without_times(text):
        text = re.sub(r'(time|timestamp|hostname)="[^"]*"', "", text)
        return re.sub(r"0x[0-9a-f]+|shared is [a-z ]+", "", text)

    assert without_times(first).split() == without_times(second).split()
    again = Run(tmp_path, {}, "--lf", isolate="session").finish()
    assert again.of("collected")[0]["total"] == bare_failures(first)


def bare_failures(junit):
    return len(set(re.findall(r'<testcase classname="([^"]+" name="[^"]+)"[^>]*><(?:failure|error)', junit)))


def test_a_killed_test_is_in_the_junit_file(tmp_path):
    run = Run(tmp_path, {"test_x.py": KILLS}, "--junitxml=x.xml", isolate="session").finish()
    assert run.exit == 1
    text = (tmp_path / "x.xml").read_text()
    assert 'failures="1"' in text and 'tests="3"' in text
    assert 'message="testbox: memory: peak 512.0 MiB of 512 MiB, signal 9"' in text


@pytest.mark.parametrize("capture", ["fd", "sys"])
def test_the_output_of_a_killed_test_is_kept(tmp_path, capture):
    text = (
        "import os, sys\n"
        "def test_before(): print('of another test')\n"
        "def test_killed():\n"
        "    print('so far \u00fc')\n"
        "    print('and errors', file=sys.stderr)\n"
        "    os.kill(os.getpid(), 9)\n"
        "def test_fails():\n    print('usual')\n    assert 0\n"
    )
    options = [f"--capture={capture}", "-p", "no:randomly"]
    run = Run(tmp_path, {"test_x.py": text}, *options, isolate="session").finish()
    shown = run.output.split("test_killed ___")[1].split("___ test_fails")[0]
    assert "Captured stdout call" in shown and "so far \u00fc" in shown
    assert "Captured stderr call" in shown and "and errors" in shown
    assert "of another test" not in run.output
    assert "usual" in run.output.split("___ test_fails")[1]


@pytest.mark.parametrize("fixture", ["capsys", "capfd", "capsysbinary", "capfdbinary"])
@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_what_a_killed_test_captured_itself_is_kept(tmp_path, capture, fixture):
    text = (
        "import os, sys\n"
        f"def test_reads({fixture}):\n"
        "    for line in ('one', 'two'):\n"
        "        print(line)\n"
        f"        out, err = {fixture}.readouterr()\n"
        "        assert (out if isinstance(out, str) else out.decode()) == line + '\\n'\n"
        "        assert not err\n"
        "    print('of another test')\n"
        f"def test_killed({fixture}):\n"
        "    print('already read')\n"
        f"    {fixture}.readouterr()\n"
        "    print('so far \u00fc')\n"
        "    print('and errors', file=sys.stderr)\n"
        "    os.kill(os.getpid(), 9)\n"
        f"def test_after({fixture}):\n"
        "    print('usual')\n"
        f"    assert {fixture}.readouterr().out in ('usual\\n', b'usual\\n')\n"
    )
    options = [f"--capture={capture}", "-p", "no:randomly"]
    run = Run(tmp_path, {"test_x.py": text}, *options, isolate="session").finish()
    assert run.outcomes() == {"test_reads": "passed", "test_killed": "failed", "test_after": "passed"}, run.output
    shown = run.output.split("test_killed ___")[1]
    assert "Captured stdout call" in shown and "so far \u00fc" in shown
    assert "Captured stderr call" in shown and "and errors" in shown
    assert "already read" not in shown and "of another test" not in shown


@pytest.mark.parametrize("isolate", ["session", "test"])
def test_what_tests_say_for_the_junit_file_is_in_it(tmp_path, isolate):
    text = (
        "import pytest\n"
        "def test_a(record_property, record_xml_attribute, record_testsuite_property):\n"
        "    record_property('key', 'value')\n"
        "    record_xml_attribute('assertions', 'REQ-1234')\n"
        "    record_testsuite_property('ARCH', 'PPC')\n"
        "@pytest.mark.parametrize('n', range(2))\n"
        "def test_b(n, record_xml_attribute):\n"
        "    record_xml_attribute('n', n)\n"
        "    assert n == 0\n"
        "def test_c(record_testsuite_property): record_testsuite_property('STORAGE', 'CEPH')\n"
    )
    write(tmp_path, {"test_x.py": text})
    options = ["-p", "no:randomly", "-o", "junit_family=xunit1"]
    bare(tmp_path, "--junitxml=bare.xml", *options)
    Run(tmp_path, {}, "--junitxml=box.xml", *options, isolate=isolate).finish()
    first, second = ((tmp_path / name).read_text() for name in ("bare.xml", "box.xml"))
    assert 'assertions="REQ-1234"' in first and 'name="STORAGE"' in first
    varying = r'(time|timestamp|hostname)="[^"]*"|0x[0-9a-f]+'
    assert re.sub(varying, "", first) == re.sub(varying, "", second)


ENDINGS = {
    "none": [[]],
    "broken": [[], ["--continue-on-collection-errors"], ["--collect-only"]],
    "conftest": [[]],
}


def test_endings_without_tests_are_as_bare(tmp_path):
    cases = {
        "none": {"test_x.py": "\n"},
        "broken": {"test_x.py": "def test_a(: pass\n", "test_y.py": "def test_b(): pass\n"},
        "conftest": {"conftest.py": "raise ValueError('no')\n", "test_x.py": "def test_a(): pass\n"},
    }
    for name, files in cases.items():
        for options in ENDINGS[name]:
            write(tmp_path / name, files)
            code, output = bare(tmp_path / name, "-p", "no:cacheprovider", *options)
            run = Run(tmp_path / name, {}, "-p", "no:cacheprovider", *options, isolate="session").finish()
            assert run.exit == code
            assert normal(run.output).replace("-_/", "") == normal(output).replace("-_/", "")


@pytest.mark.parametrize("isolate", ["file", "session"])
def test_workers_side_by_side_are_told_in_order(tmp_path, isolate):
    text = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n): pass\n"
    files = {f"test_{number}.py": text for number in range(1, 4)}
    # The first test passes only if somebody else runs the second file meanwhile; under bare pytest it does not wait.
    files["test_0.py"] = (
        "import os, pathlib, pytest, time\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_it(n):\n"
        "    end = time.monotonic() + 60\n"
        "    while 'BESIDE' in os.environ and not pathlib.Path('over').exists():\n"
        "        assert time.monotonic() < end\n"
        "        time.sleep(0.01)\n"
    )
    files["test_1.py"] += "def test_last(): open('over', 'w').close()\n"
    write(tmp_path, files)
    options = ["-v", "-p", "no:cacheprovider", "-p", "no:randomly"]
    code, output = bare(tmp_path, *options)
    (tmp_path / "over").unlink()
    run = Run(tmp_path, {}, *options, environment={"BESIDE": "1"}, isolate=isolate, jobs=2).finish()
    assert (normal(run.output), run.exit) == (normal(output), code)
    assert len(run.of("want")) == (4 if isolate == "file" else 2)


@pytest.mark.parametrize("isolate", ["file", "session"])
def test_workers_side_by_side_survive_kills_and_stop_early(tmp_path, isolate):
    files = {f"test_{number}.py": KILLS for number in range(5)}
    run = Run(tmp_path, files, isolate=isolate, jobs=3).finish()
    assert "5 failed, 10 passed" in run.output
    files = {f"test_{number}.py": "def test_a(): pass\ndef test_b(): assert 0\n" for number in range(30)}
    run = Run(tmp_path / "x", files, "-x", isolate=isolate, jobs=2).finish()
    assert run.exit == 1
    # The first failure stops both: the other worker may be at its own second test then, no file begins any more.
    assert re.search("stopping after [12] failures", run.output)
    assert {frame["id"].split("::")[0] for frame in run.of("start")} <= {"test_0.py", "test_1.py"}
    assert 1 <= [frame["outcome"] for frame in run.of("done")].count("failed") <= 2
    assert all(frame["clean"] for frame in run.of("ended"))


def test_workers_of_a_session_take_file_after_file_and_keep_their_fixtures(tmp_path):
    files = {
        "conftest.py": (
            "import os, pytest\n"
            "def tell(*words):\n"
            "    with open('told', 'a') as file: file.write(' '.join(map(str, words)) + '\\n')\n"
            "@pytest.fixture(scope='session', autouse=True)\n"
            "def base():\n"
            "    tell('base', os.getpid())\n"
            "    yield\n"
            "    tell('gone', os.getpid())\n"
            "@pytest.fixture(scope='module', autouse=True)\n"
            "def module(request):\n"
            "    tell('module', request.module.__name__)\n"
            "    yield\n"
            "    tell('over', request.module.__name__)\n"
        )
    }
    files.update({f"test_{number}.py": "def test_a(): pass\ndef test_b(): pass\n" for number in range(7)})
    meets = "import pathlib\ndef test_a():\n    open('{}', 'w')\n    while not pathlib.Path('{}').exists(): pass\n"
    files["test_0.py"], files["test_1.py"] = meets.format("zero", "one"), meets.format("one", "zero")
    run = Run(tmp_path, files, "-p", "no:randomly", isolate="session", jobs=2).finish()
    assert run.exit == 0, run.output
    assert len(run.of("done")) == 12 and all(frame["clean"] for frame in run.of("ended"))
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    pids = [pid for word, pid in told if word == "base"]
    assert len(pids) == 2 == len(set(pids)) == len(run.of("want"))
    assert sorted(pid for word, pid in told if word == "gone") == sorted(pids)
    for word in ("module", "over"):
        assert sorted(name for each, name in told if each == word) == [f"test_{number}" for number in range(7)]


def test_progress_is_one_line_on_a_terminal_and_leaves_no_trace(tmp_path):
    text = (
        "import pytest, time\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_it(n): time.sleep({})\n"
        "def test_fails(): assert 0\n"
    )
    # The last ones take longer than it takes to be named, and to be seen then.
    write(tmp_path, {"test_0.py": text.format(0.7), "test_1.py": text.format(0.1), "test_2.py": text.format(1.8)})
    options = ["-p", "no:cacheprovider", "-p", "no:randomly", "--color=no"]
    environment = {"TERM": "xterm", "COLUMNS": "100"}
    code, output = bare(tmp_path, *options, environment=environment)
    run = Run(tmp_path, {}, *options, environment=environment, terminal=True, isolate="file", jobs=2).finish()
    assert run.exit == code == 1
    drawn = re.compile(r"\r\n([^\r\n]*)\r\x1b\[K\x1b\[A(?:\x1b\[\d+C)?")
    lines = drawn.findall(run.output)
    assert len(lines) >= 4, run.output
    assert all(re.match(r"\d+ of 15($|; |, )", line) for line in lines), lines
    assert any(re.match(r"\d+ of 15, 1 failed", line) for line in lines), lines
    assert any(re.search(r"test_2.py::test_it\[\d\] \d+ s", line) for line in lines), lines
    assert any("about" in line and " s left" in line for line in lines), lines
    rest = drawn.sub("", run.output).replace("\r\n", "\n")
    # A collection that takes longer is counted on the way.
    rest = re.sub(r"(collecting (\.\.\.|\d+ items?)\s*)+(collected 15 items) *", r"\3", rest)
    assert "\x1b" not in rest
    assert normal(rest) == normal(output)
    plain = Run(tmp_path, {}, *options, isolate="file", jobs=2).finish()
    assert "\x1b" not in plain.output and "of 15" not in plain.output


#: In a test file: the worker's socket, found among its descriptors, and a frame on it.
CHANNEL = (
    "import json, os, socket, struct\n"
    "def channel():\n"
    "    for number in range(3, 200):\n"
    "        try: sock = socket.socket(fileno=os.dup(number))\n"
    "        except OSError: continue\n"
    "        if sock.family == socket.AF_UNIX: return number, sock\n"
    "def send(frame):\n"
    "    body = json.dumps(frame).encode()\n"
    "    channel()[1].sendall(struct.pack('<I', len(body)) + body)\n"
)
#: In a conftest: the report of a phase is `outcome.get_result()`.
MAKEREPORT = (
    "import pytest\n"
    "@pytest.hookimpl(hookwrapper=True)\n"
    "def pytest_runtest_makereport(item, call):\n"
    "    outcome = yield\n"
)


def test_a_test_that_closes_or_abuses_its_socket_fails(tmp_path):
    text = CHANNEL + (
        "def test_closes(): number, sock = channel(); sock.shutdown(2)\n"
        "def test_noise(): channel()[1].sendall(b'\\xff' * 64)\n"
        "def test_forged(): send({'k': 'finish', 'i': 4}); os._exit(0)\n"
        "def test_over(): send({'k': 'over'}); os._exit(0)\n"
        "def test_fine(): pass\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, "-p", "no:randomly", isolate="session").finish()
    outcomes = run.outcomes()
    assert outcomes.pop("test_fine") == "passed"
    assert set(outcomes) == {"test_closes", "test_noise", "test_forged", "test_over"}
    assert set(outcomes.values()) == {"failed"}, run.output
    assert run.exit == 1


REPORT = {
    "$report_type": "TestReport",
    "nodeid": "test_x.py::test_bad",
    "location": ["test_x.py", 1, "test_bad"],
    "keywords": {},
    "outcome": "passed",
    "longrepr": None,
    "when": "call",
    "sections": [],
    "duration": 0.1,
    "user_properties": [],
}
#: Frames that no worker sends, and what the test is then that has sent them.
ABUSES = {
    "deep": ({"k": "report", "data": {"x": [[[]]] * 3}}, "failed"),
    "kind": ({"k": "report", "data": {"$report_type": "x"}}, "failed"),
    "collect": ({"k": "report", "data": dict(REPORT, **{"$report_type": "CollectReport", "result": []})}, "failed"),
    "outcome": ({"k": "report", "data": dict(REPORT, outcome=5)}, "failed"),
    "when": ({"k": "report", "data": dict(REPORT, when=None)}, "failed"),
    "nodeid": ({"k": "report", "data": dict(REPORT, nodeid=["x"])}, "failed"),
    "another": ({"k": "report", "data": dict(REPORT, nodeid="test_x.py::test_after")}, "failed"),
    "begin": ({"k": "logstart", "nodeid": "test_x.py::test_before", "location": []}, "failed"),
    "location": ({"k": "report", "data": dict(REPORT, location=[1])}, "failed"),
    "sections": ({"k": "report", "data": dict(REPORT, sections=[["a"]])}, "failed"),
    "duration": ({"k": "report", "data": dict(REPORT, duration="x")}, "failed"),
    "properties": ({"k": "report", "data": dict(REPORT, user_properties=[[1]])}, "failed"),
    "short": ({"k": "passed", "own": {"outcome": "failed"}}, "failed"),
    "keywords": ({"k": "passed", "own": {"when": "call"}, "keywords": [[]]}, "failed"),
    "nested": ({"k": "several", "of": [{"k": "several", "of": []}]}, "failed"),
    "next": ({"k": "next"}, "failed"),
    "note": ({"k": "note", "text": "x" * (2 << 20)}, "failed"),
    "line": ({"k": "interrupted", "file": "x", "line": 10**30}, "error"),
    "code": ({"k": "interrupted", "reason": "x", "returncode": 0}, "error"),
}


@pytest.mark.parametrize("name", ABUSES)
def test_a_frame_that_no_worker_sends_costs_its_test_only(tmp_path, name):
    frame, outcome = ABUSES[name]
    text = CHANNEL + (
        f"def test_before(): pass\ndef test_bad():\n    send({frame!r})\n    os._exit(0)\ndef test_after(): pass\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, "-p", "no:randomly", isolate="session").finish()
    assert "INTERNALERROR" not in run.output, run.output
    # A test may end the session, as by pytest.exit; then those after it have no result, and testbox says so.
    rest = {} if frame["k"] == "interrupted" else {"test_after": "passed"}
    assert run.outcomes() == {"test_before": "passed", "test_bad": outcome, **rest}, run.output
    assert run.exit == {"line": 2, "code": 0}.get(name, 1)


def test_what_is_too_long_is_left_out_of_a_report(tmp_path):
    files = {
        "conftest.py": MAKEREPORT + "    outcome.get_result().extra = 'x' * (33 << 20)\n",
        "test_x.py": (
            "import warnings\n"
            "def test_a(): pass\n"
            "def test_b(): warnings.warn('y' * (33 << 20))\n"
            "def test_c(): assert False, 'seen'\n"
        ),
    }
    run = Run(tmp_path, files, "-p", "no:randomly", isolate="session").finish()
    assert run.outcomes() == {"test_a": "passed", "test_b": "passed", "test_c": "failed"}, run.output[-4000:]
    assert "the warning's text was too long to be sent" in run.output
    assert "AssertionError: seen" in run.output


def test_a_test_that_tells_without_end_is_ended(tmp_path):
    text = CHANNEL + (
        "def test_a():\n"
        "    while True: send({'k': 'several', 'of': [], 'padding': 'x' * (24 << 20)})\n"
        "def test_b(): pass\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, "-p", "no:randomly", isolate="session").finish()
    assert run.outcomes() == {"test_a": "failed", "test_b": "passed"}, run.output[-4000:]
    assert "more than 256 MiB about one test" in run.output


def test_a_forked_child_has_no_say_in_a_worker(tmp_path):
    text = (
        "import os\n"
        "def test_fork():\n"
        "    pid = os.fork()\n"
        "    if pid:\n"
        "        os.waitpid(pid, 0)\n"
        "def test_after(): pass\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, "-p", "no:randomly", isolate="session").finish()
    assert run.outcomes() == {"test_fork": "passed", "test_after": "passed"}
    assert "2 passed" in run.output


def test_workers_cannot_reach_the_controller(tmp_path):
    text = (
        "import os, pytest, subprocess\n"
        "def test_reach():\n"
        "    with pytest.raises(PermissionError): os.readlink(f'/proc/{os.getppid()}/fd/0')\n"
        "    with pytest.raises(PermissionError): open(f'/proc/{os.getppid()}/mem', 'rb')\n"
        "def test_reach_others():\n"
        "    child = subprocess.Popen(['sleep', '60'])\n"
        "    os.readlink(f'/proc/{child.pid}/fd/0')\n"
        "    open(f'/proc/{child.pid}/mem', 'rb').close()\n"
        "    child.kill()\n"
        "    child.wait()\n"
        "def test_first_to_go():\n"
        "    scores = [open(f'/proc/{pid}/oom_score_adj').read() for pid in ('self', os.getppid())]\n"
        "    assert scores == ['1000\\n', '500\\n']\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, isolate="session", ordinary=True).finish()
    assert run.exit == 0, run.output
    assert "3 passed" in run.output


def test_without_testbox_no_test_runs_in_a_worker(tmp_path):
    for leave_after in ("want", "joined", "start"):
        run = Run(tmp_path, {"test_x.py": "def test_a(): pass\n"}, isolate="session", leave_after=leave_after).finish()
        assert run.exit == 3, run.output
        assert "testbox is gone" in run.output


def test_left_processes_are_a_warning(tmp_path):
    text = "def test_a(): pass\n"
    run = Run(tmp_path, {"test_x.py": text}, isolate="session", left=["sleep (77)"]).finish()
    assert run.exit == 0
    assert "processes that the tests left behind: sleep (77)" in run.output


def test_usage_comes_from_the_gauges(tmp_path):
    run = Run(tmp_path, {"test_x.py": "def test_a(): pass\n"}, isolate="session").finish()
    assert run.of("done")[0]["usage"] == {}
    run.joined.seek(0)


@pytest.mark.parametrize("options", [["--pdb"], ["--trace"]])
def test_a_debugger_needs_one_process_and_says_so(tmp_path, options):
    text = "def test_a(): pass\ndef test_b(): assert 0\n"
    typed = "c\n" * 4
    run = Run(tmp_path, {"test_x.py": text}, "-p", "no:randomly", *options, typed=typed, isolate="session").finish()
    assert "debugger" in run.of("note")[0]["text"]
    assert run.of("workers")[0]["mode"] == "none"
    assert not run.of("want")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed"}
    assert run.output.count("(Pdb)") == {"--pdb": 1, "--trace": 2}[options[0]]
    assert run.exit == 1


def test_quotas_reach_testbox(tmp_path):
    files = {
        "test_a.py": "import pytest\ndef test_a(): pass\n@pytest.mark.big\ndef test_big(): pass\ndef test_z(): pass\n",
        "test_b.py": "def test_b(): pass\n",
        "pytest.ini": "[pytest]\nmarkers = big: heavy\n",
    }
    quotas = [
        {"kind": "marker", "pattern": "big", "memory": 1 << 30, "timeout_ms": 900, "isolate": "test"},
        {"kind": "marker", "pattern": "bgi", "memory": 1},
        {"kind": "path", "pattern": "test_b.py", "pids": 5},
    ]
    run = Run(tmp_path, files, "-p", "no:randomly", isolate="session", quotas=quotas).finish()
    assert run.exit == 0
    wanted = [(frame["memory"], frame["pids"]) for frame in run.of("want")]
    assert wanted == [(None, None), (1 << 30, None), (None, 5)]
    assert [frame["timeout_ms"] for frame in run.of("start")] == [None, None, 900, None]
    (note,) = run.of("note")
    assert "`bgi`" in note["text"]


def test_native_threads_are_named_by_the_import_that_began_them(tmp_path):
    # Threads that the module `threading` has never heard of, as those of a C library.
    native = "import _thread, time\nfor _ in range(3): _thread.start_new_thread(time.sleep, (60,))\n"
    files = {
        "conftest.py": "import outer\n",
        "outer.py": "import inner\n",
        "inner.py": native,
        "test_x.py": "import late\ndef test_a(): pass\n",
        "late.py": native,
    }
    run = Run(tmp_path, files, isolate="session").finish()
    assert run.exit == 0, run.output
    (note,) = run.of("note")
    assert "3 of a C library in conftest.py by importing inner, " in note["text"]
    assert "3 of a C library in test_x.py by importing late; " in note["text"]
    assert "test_a" in run.outcomes()


def test_peaks_are_remembered_for_workers_side_by_side(tmp_path):
    files = {f"test_{number}.py": "def test_a(): pass\n" for number in range(4)}
    cache = tmp_path / ".pytest_cache/v/testbox/peaks"
    cache.parent.mkdir(parents=True)
    # Written by somebody: what cannot be is not believed, and what is believed limits nothing.
    cache.write_text('{"test_0.py::test_a": 70, "test_1.py::test_a": 60, "test_2.py::test_a": -1, "x": [], "y": 1e9}')
    run = Run(tmp_path, files, "-p", "no:randomly", isolate="session", jobs=2, memory_limit=100).finish()
    assert "4 passed" in run.output
    frames = [
        (frame["t"], frame.get("id", "").split("::")[0]) for frame in run.frames if frame["t"] in ("start", "done")
    ]
    began = frames.index(("start", "test_1.py"))
    assert frames.index(("done", "test_0.py")) < began, frames
    for text in ("[]", "{", '{"a": 1e999}', "[" * 100):
        cache.write_text(text)
        run = Run(tmp_path, {}, isolate="file", jobs=2, memory_limit=100).finish()
        assert "4 passed" in run.output


def test_the_collection_is_profiled(tmp_path):
    files = {
        "conftest.py": "import heavy\n",
        "heavy.py": "import below, time\nblock = bytearray(b'x') * (20 << 20)\n",
        "below.py": "import time; time.sleep(0.15)\n",
        "test_x.py": "import builtins\nblock = bytearray(b'x') * (16 << 20)\ndef test_a(): pass\n"
        "def test_restored(): assert type(__import__).__name__ == 'builtin_function_or_method'\n",
    }
    run = Run(tmp_path, files, isolate="session").finish()
    assert run.exit == 0, run.output
    assert [frame["id"] for frame in run.of("collect")] == ["conftest.py", "test_x.py"]
    # On a busy machine others may have taken long as well.
    below, heavy = (frame for frame in run.of("import") if frame["module"] in ("below", "heavy"))
    assert (below["module"], heavy["module"]) == ("below", "heavy")
    assert below["wall_ms"] >= 150 and heavy["growth"] >= 19 << 20
    assert run.of("profile")[0]["growth"] >= 15 << 20


def test_nested_sessions_are_bare(tmp_path):
    text = (
        "pytest_plugins = ['pytester']\n"
        "def test_in_process(pytester):\n"
        "    pytester.makepyfile('import os\\ndef test_in(): assert os.getpid() == %d' % __import__('os').getpid())\n"
        "    pytester.runpytest_inprocess().assert_outcomes(passed=1)\n"
        "def test_subprocess(pytester):\n"
        "    pytester.makepyfile('import sys\\ndef test_in(): assert \"testbox_plugin\" not in sys.modules')\n"
        "    pytester.runpytest_subprocess().assert_outcomes(passed=1)\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, isolate="session").finish()
    assert run.exit == 0, run.output
    assert len(run.of("start")) == 2


def test_what_a_report_carries_arrives(tmp_path):
    files = {
        "conftest.py": MAKEREPORT
        + (
            "    report = outcome.get_result()\n"
            "    report.pair, report.odd, report.table = (1, (2,)), object(), {1: 'a'}\n"
            "def pytest_runtest_logreport(report):\n"
            "    assert report.pair == (1, (2,)) and report.table == {1: 'a'}, vars(report)\n"
            "    assert not hasattr(report, 'odd')\n"
        ),
        "test_x.py": "def test_a(record_property):\n    record_property('k', (1, object))\n"
        "    print('\\udc80' * 3 + 'x' * 5_000_000)\n",
    }
    run = Run(tmp_path, files, isolate="session").finish()
    assert run.exit == 0, run.output[-3000:]
    assert "odd (object)" in run.of("note")[0]["text"]


@pytest.mark.parametrize("options", [[], ["-p", "no:faulthandler"]], ids=str)
def test_the_stack_of_a_crash_is_told_to_testbox_and_a_childs_to_the_user(tmp_path, options):
    text = (
        "import os, signal, sys\n"
        "def crash(): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "def child(): crash()\n"
        "def test_child():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n        child()\n"
        "    os.waitpid(pid, 0)\n"
        "def test_crashes(): crash()\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, "-p", "no:randomly", *options, isolate="session")
    run.wait_for("ended")
    dumped = run.dumped()
    run.finish()
    assert run.outcomes() == {"test_child": "passed", "test_crashes": "failed"}
    enabled = not options
    assert ("Segmentation fault" in dumped and "in test_crashes" in dumped) is enabled, dumped
    assert "in child" not in dumped
    assert ("in child" in run.output) is enabled, run.output
    assert run.output.count("Segmentation fault") == int(enabled)


def test_stacks_of_a_worker_come_through_its_own_pipe(tmp_path):
    text = (
        "import collections, itertools, os\n"
        "def spin():\n    collections.deque(itertools.repeat(None), maxlen=0)\n"
        "def test_spins():\n    open('pid', 'w').write(str(os.getpid()))\n    spin()\n"
    )
    run = Run(tmp_path, {"test_x.py": text}, isolate="session")
    run.wait_for("when", when="call")
    assert wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    pid = int((tmp_path / "pid").read_text())
    assert "line 3 in spin" in run.stacks("spin", pid=pid)
    os.kill(pid, 9)
    run.finish()
    assert run.outcomes() == {"test_spins": "failed"}
