"""What pytest itself offers, in workers: all must come out as under bare pytest."""

import pytest
from fake_testbox import Run, bare, normal, write

ISOLATIONS = [{"isolate": "session"}, {"isolate": "test"}, {"isolate": "session", "jobs": 2}]
COMMON = ["-p", "no:cacheprovider", "-p", "no:randomly"]
TESTS = {
    "pytest.ini": "[pytest]\nmarkers = slow: takes long\n",
    "conftest.py": "import pytest\n@pytest.fixture\ndef level(): return ['top']\n",
    "sub/conftest.py": "import pytest\n@pytest.fixture\ndef level(level): return level + ['sub']\n",
    "sub/deep/conftest.py": "import pytest\n@pytest.fixture\ndef level(level): return level + ['deep']\n",
    "test_a.py": (
        "import pytest\n"
        "def test_one(level): assert level == ['top']\n"
        "@pytest.mark.slow\ndef test_two(): pass\n"
        "def test_three(): assert 0\n"
    ),
    "sub/test_b.py": "def test_one(level): assert level == ['top', 'sub']\n",
    "sub/deep/test_c.py": (
        "import pytest\n"
        "def test_one(level): assert level == ['top', 'sub', 'deep']\n"
        "@pytest.mark.slow\ndef test_slow(): pass\n"
        "@pytest.mark.parametrize('x', ['', ' ', 'a b', '[', '::', 'é', '\\n', '\\x00', '%s', '$(x)', 'a' * 300])\n"
        "def test_odd(x): assert x != '%s'\n"
    ),
}
DATABASE = {
    "conftest.py": (
        "import pathlib, pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def database(tmp_path_factory):\n"
        "    folder = tmp_path_factory.mktemp('database')\n"
        "    (folder / 'table').write_text('')\n"
        "    yield folder\n"
        "    assert (folder / 'table').read_text().count('row') <= 4\n"
        "@pytest.fixture(autouse=True)\n"
        "def transaction(database):\n"
        "    before = (database / 'table').read_text()\n"
        "    yield\n"
        "    (database / 'table').write_text(before)\n"
        "@pytest.fixture(scope='class')\n"
        "def rows(database, request): request.cls.rows = 2\n"
    ),
    "test_a.py": (
        "import pytest, unittest\n"
        "@pytest.mark.usefixtures('rows')\n"
        "class TestModel(unittest.TestCase):\n"
        "    @classmethod\n"
        "    def setUpClass(cls): cls.opened = True\n"
        "    def setUp(self): self.addCleanup(lambda: None)\n"
        "    def test_rows(self): assert self.rows == 2 and self.opened\n"
        "def test_insert(database): (database / 'table').write_text('row')\n"
        "def test_is_rolled_back(database): assert (database / 'table').read_text() == ''\n"
    ),
    "test_b.py": "def test_other(database): assert (database / 'table').read_text() == ''\n",
}
COLLECTORS = {
    "conftest.py": (
        "import pytest\n"
        "def pytest_collect_file(parent, file_path):\n"
        "    if file_path.suffix == '.yaml': return File.from_parent(parent, path=file_path)\n"
        "class File(pytest.File):\n"
        "    def collect(self):\n"
        "        for line in self.path.read_text().splitlines():\n"
        "            yield Item.from_parent(self, name=line.split(':')[0], line=line)\n"
        "class Item(pytest.Item):\n"
        "    def __init__(self, *, line, **others):\n"
        "        super().__init__(**others)\n"
        "        self.line = line\n"
        "    def runtest(self):\n"
        "        if self.line.endswith('bad'): raise Odd(self.line)\n"
        "    def repr_failure(self, excinfo): return f'the line {excinfo.value.args[0]!r} is odd'\n"
        "    def reportinfo(self): return self.path, 0, f'line {self.name}'\n"
        "class Odd(Exception): pass\n"
    ),
    "lines.yaml": "first: good\nsecond: bad\nthird: good\n",
}
CASES = {
    "selected-k": (TESTS, ["-v", "-k", "one or (odd and not 300)"], {}),
    "selected-m": (TESTS, ["-v", "-m", "slow"], {}),
    "deselected": (TESTS, ["-v", "--deselect", "sub/deep/test_c.py::test_odd", "--deselect=test_a.py::test_three"], {}),
    "by-node-id": (TESTS, ["-v", "sub/deep/test_c.py::test_odd[a b]", "test_a.py::test_three"], {}),
    "no-plugins": (TESTS, ["-p", "no:terminalreporter"], {}),
    "less-plugins": (TESTS, ["-v", "-p", "no:logging", "-p", "no:warnings", "-p", "no:faulthandler"], {}),
    "without-capture": (TESTS, ["-v", "-p", "no:capture", "-s"], {}),
    "addopts": (TESTS, [], {"PYTEST_ADDOPTS": "-v -k one --strict-markers"}),
    "session-fixtures": (DATABASE, ["-v"], {}),
    "custom-collectors": (COLLECTORS, ["-v"], {}),
    "doctest-modules": (
        {"mod.py": "def f():\n    '''\n    >>> f()\n    1\n    >>> f()\n    2\n    '''\n    return 1\n"},
        ["--doctest-modules", "-v"],
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_comes_out_as_bare(tmp_path, name):
    files, options, environment = CASES[name]
    write(tmp_path, files)
    code, output = bare(tmp_path, *COMMON, *options, environment=environment)
    for settings in ISOLATIONS:
        run = Run(tmp_path, {}, *COMMON, *options, environment=environment, **settings).finish()
        assert normal(run.output) == normal(output), settings
        assert run.exit == code
        assert not run.of("note")


def test_root_and_ini_may_lie_elsewhere(tmp_path):
    write(tmp_path, {f"project/{name}": text for name, text in TESTS.items()})
    write(tmp_path, {"settings/other.ini": "[pytest]\nmarkers = slow: x\naddopts = -v -k one\n", "here/x": ""})
    options = [*COMMON, "-c", "../settings/other.ini", "--rootdir=../project", "../project"]
    code, output = bare(tmp_path / "here", *options)
    assert "3 passed" in output
    for settings in ISOLATIONS:
        run = Run(tmp_path / "here", {}, *options, **settings).finish()
        assert (normal(run.output), run.exit) == (normal(output), code)


def test_the_failed_first_and_the_new_first(tmp_path):
    options = ["-p", "no:randomly", "-v"]
    write(tmp_path / "bare", TESTS)
    write(tmp_path / "box", TESTS)
    for more in ([], ["--ff"], ["--nf"], ["--sw"], ["--lf"]):
        code, output = bare(tmp_path / "bare", *options, *more)
        run = Run(tmp_path / "box", {}, *options, *more, isolate="session").finish()
        assert normal(run.output).replace("/box", "/bare") == normal(output), more
        assert run.exit == code


def test_subtests_come_out_as_bare(tmp_path):
    if int(pytest.__version__.split(".")[0]) < 9:
        pytest.skip("subtests are part of pytest 9")
    text = (
        "def test_sub(subtests):\n"
        "    for number in range(4):\n"
        "        with subtests.test('half', number=number): assert number % 2 == 0\n"
        "def test_none(subtests):\n"
        "    with subtests.test('fine'): pass\n"
    )
    write(tmp_path, {"test_x.py": text})
    for options in ([], ["-v"], ["-rA"]):
        code, output = bare(tmp_path, *COMMON, *options)
        for settings in ISOLATIONS:
            run = Run(tmp_path, {}, *COMMON, *options, **settings).finish()
            assert (normal(run.output), run.exit) == (normal(output), code), settings
