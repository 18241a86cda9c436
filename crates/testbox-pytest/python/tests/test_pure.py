"""The plugin's parts that need no pytest session: batches, quotas, admission, frames, gauges."""

import array
import json
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from testbox_plugin import ahead, entry  # noqa: F401 - loads the package's modules
from testbox_plugin.admission import Admission
from testbox_plugin.ahead import Ahead
from testbox_plugin.batches import after_a_kill, make, once_more
from testbox_plugin.channel import Channel, Lost, Stream
from testbox_plugin.gauges import Gauges
from testbox_plugin.progress import line, span
from testbox_plugin.replay import Stage
from testbox_plugin.settings import Need, Settings, path_pattern
from testbox_plugin.shipping import pack, unpack

MIB = 1 << 20
IDS = ["a.py::1", "a.py::2", "b.py::1", "b.py::2", "b.py::3"]


def made(needs, **settings):
    return make(range(len(IDS)), IDS, needs, Settings(**settings))


def contents(batches):
    return [batch.tests for batch in batches]


@pytest.mark.parametrize(
    ("isolate", "expected"),
    [
        ("session", [[0, 1, 2, 3, 4]]),
        ("file", [[0, 1], [2, 3, 4]]),
        (2, [[0, 1], [2, 3], [4]]),
        ("test", [[0], [1], [2], [3], [4]]),
    ],
)
def test_batches_follow_the_isolation(isolate, expected):
    assert contents(made([Need(isolate)] * 5)) == expected


@pytest.mark.parametrize("isolate", ["session", "file", 3])
def test_tests_of_different_limits_share_no_batch(isolate):
    needs = [Need(isolate, memory=MIB if test == 3 else None) for test in range(5)]
    for batch in made(needs):
        assert len({needs[test].limits for test in batch.tests}) == 1
        assert batch.memory == (MIB if 3 in batch.tests else None)


def test_one_test_may_be_isolated_more_than_the_others():
    needs = [Need("test" if test == 2 else "session") for test in range(5)]
    assert contents(made(needs)) == [[0, 1, 3, 4], [2]]


def test_workers_side_by_side_share_a_session_by_files():
    needs = [Need("session")] * 4 + [Need("session", memory=9)]
    assert contents(made(needs)) == [[0, 1, 2, 3], [4]]
    batches = made(needs, jobs=2)
    assert [(batch.tests, batch.is_shared) for batch in batches] == [([0, 1], True), ([2, 3], True), ([4], False)]
    assert not any(batch.is_shared for batch in made([Need("file")] * 5, jobs=2))


def test_memory_of_a_batch_is_the_quotas_the_tests_or_the_files():
    given = {"test_memory": 1, "file_memory": 2}
    assert [b.memory for b in made([Need("test")] * 5, **given)] == [1] * 5
    assert [b.memory for b in made([Need("file")] * 5, **given)] == [2, 2]
    assert [b.memory for b in made([Need("session")] * 5, **given)] == [None]
    assert [b.memory for b in made([Need("test", memory=9)] * 5, **given)] == [9] * 5


def test_after_a_kill_a_session_goes_on_by_file_and_others_as_they_were():
    needs, settings = [Need("session")] * 5, Settings()
    (session,) = make(range(5), IDS, needs, settings)
    assert contents(after_a_kill(session, [1, 2, 3], IDS, needs, settings)) == [[1], [2, 3]]
    needs = [Need(5)] * 5
    (five,) = make(range(5), IDS, needs, settings)
    assert contents(after_a_kill(five, [2, 3], IDS, needs, settings)) == [[2, 3]]
    assert after_a_kill(five, [], IDS, needs, settings) == []
    again = once_more(1, five, IDS, needs, settings)
    assert (again.tests, again.attempt, again.isolate) == ([1], 1, "test")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("tests/e2e/**", "tests/e2e/a/test_x.py", True),
        ("tests/e2e/**", "tests/e2e2/test_x.py", False),
        ("tests/e2e", "tests/e2e/test_x.py", True),
        ("**/test_x.py", "test_x.py", True),
        ("**/test_x.py", "a/b/test_x.py", True),
        ("tests/*.py", "tests/a/test_x.py", False),
        ("tests/test_[ab].py", "tests/test_b.py", True),
        ("tests/test_[!ab].py", "tests/test_b.py", False),
        ("test.x.py", "test_x.py", False),
        ("tests/test_?.py", "tests/test_x.py", True),
    ],
)
def test_path_patterns(pattern, path, matches):
    assert bool(path_pattern(pattern).match(path)) == matches


class Item:
    def __init__(self, nodeid, *markers):
        self.nodeid = nodeid
        self._markers = markers

    def get_closest_marker(self, name):
        return name if name in self._markers else None


def test_the_most_specific_quota_wins_value_by_value():
    settings = Settings.of(
        {
            "isolate": "session",
            "memory_limit": None,
            "unknown": 1,
            "quotas": [
                {"kind": "node", "pattern": "tests/a.py::C", "memory": 4},
                {"kind": "marker", "pattern": "big", "memory": 3, "isolate": "test"},
                {"kind": "path", "pattern": "tests/**", "memory": 1, "pids": 7, "timeout_ms": 100},
                {"kind": "path", "pattern": "tests/a.py", "memory": 2},
            ],
        }
    )
    assert settings.need_of(Item("other/a.py::f")) == Need("session")
    assert settings.need_of(Item("tests/b.py::f")) == Need("session", 1, 7, 100)
    assert settings.need_of(Item("tests/a.py::f")) == Need("session", 2, 7, 100)
    assert settings.need_of(Item("tests/a.py::f", "big")) == Need("test", 3, 7, 100)
    assert settings.need_of(Item("tests/a.py::C::f", "big")) == Need("test", 4, 7, 100)
    assert settings.need_of(Item("tests/a.py::Csomething")) == Need("session", 2, 7, 100)
    assert settings.unknown_markers([Item("x")], {"slow"}) == ["big"]
    assert settings.unknown_markers([Item("x", "big")], ()) == []
    assert settings.unknown_markers([Item("x")], {"big"}) == []


def test_workers_begin_only_if_their_reservations_fit():
    settings = Settings(memory_limit=100 * MIB, jobs=4)
    needs = [Need("test", memory=size * MIB) for size in (70, 50, 20, 100, 10)]
    batches = made(needs, memory_limit=100 * MIB)
    nodeids = ["a.py::%d" % number for number in range(5)]
    admission = Admission(settings, nodeids, {})
    assert admission.choose(enumerate(batches), []) == 0
    assert admission.choose(enumerate(batches[1:]), [batches[:1]]) == 1
    assert admission.choose(enumerate(batches[3:4]), [batches[4:]]) is None
    assert admission.choose(enumerate(batches[3:4]), []) == 0
    # A worker that goes on may keep what it had for its biggest batch.
    assert admission.choose(enumerate(batches[1:2]), [[batches[4], batches[0]]]) is None
    free = made([Need("file")] * 5)
    assert admission.reservation(free[0]) == 25 * MIB
    admission.learn(0, 40 * MIB)
    assert admission.reservation(free[0]) == int(40 * MIB * 1.3)
    assert admission.peaks == {"a.py::0": 40 * MIB}
    assert Admission(Settings(jobs=2), nodeids, {}).choose(enumerate(free[1:]), [free[:1]]) == 0


def test_what_tests_took_before_is_reserved_for_them_and_limits_nothing():
    nodeids = ["a.py::0", "a.py::1", "b.py::0", "c.py::0"]
    settings = Settings(memory_limit=100 * MIB, jobs=2)
    batches = make(range(4), nodeids, [Need("file")] * 4, settings)
    history = {"a.py::0": 10 * MIB, "a.py::1": 20 * MIB, "b.py::0": 10**400}
    admission = Admission(settings, nodeids, history)
    reserved = [admission.reservation(batch) for batch in batches]
    assert reserved == [26 * MIB, 100 * MIB, 50 * MIB]
    admission.learn(0, 10**400)
    assert admission.reservation(batches[2]) == 100 * MIB
    assert [batch.memory for batch in batches] == [None] * 3


def test_a_big_batch_is_not_passed_over_for_ever():
    batches = made([Need("test", memory=size * MIB) for size in (90, 20, 20, 20, 20)])
    admission = Admission(Settings(memory_limit=100 * MIB, jobs=2), ["a.py::%d" % number for number in range(5)], {})
    chosen = [admission.choose(enumerate(batches[:2]), [[batches[2]]]) for _ in range(12)]
    assert chosen[0] == 1 and chosen[-1] is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"a": (1, 2.5, "x"), "b": [True, None], "\0tuple": 3},
        {1: "a", (2, 3): "b"},
        ("\udc80", [((),)]),
        float("inf"),
    ],
)
def test_what_is_packed_comes_out_the_same(value):
    assert unpack(json.loads(json.dumps(pack(value)))) == value


def test_frames_bring_their_descriptors_in_order(tmp_path):
    ours, theirs = socket.socketpair()
    files = [(tmp_path / name).open("w+") for name in "abc"]

    def send(order, *sent):
        body = json.dumps(dict(order, fds=len(sent))).encode()
        data = struct.pack("<I", len(body)) + body
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno() for file in sent]))]
        ours.sendmsg([data[:1]], rights if sent else [])
        ours.sendall(data[1:])

    send({"t": "slot", "w": 0}, files[0], files[1])
    send({"t": "go", "w": 0})
    send({"t": "slot", "w": 1}, files[2])
    channel = Channel(theirs)
    orders = [channel.receive(1.0) for _ in range(3)]
    assert [order["t"] for order in orders] == ["slot", "go", "slot"]
    received = orders[0]["descriptors"] + orders[2]["descriptors"]
    same = [os.fstat(fd).st_ino for fd in received]
    assert same == [os.fstat(file.fileno()).st_ino for file in files]
    assert not any(os.get_inheritable(fd) for fd in received)
    send({"t": "slot", "w": 2})
    ours.sendall(struct.pack("<I", 11) + b'{"fds": 1 }')
    assert channel.receive(1.0)["w"] == 2
    assert channel.receive(1.0) is None
    assert "1 descriptors announced, 0 came" in channel.lost


@pytest.mark.parametrize("data", [b"\xff" * 8, struct.pack("<I", 4) + b"nope", struct.pack("<I", 2) + b"[]"])
def test_frames_that_are_none_end_the_conversation(data):
    ours, theirs = socket.socketpair()
    ours.sendall(data)
    with pytest.raises(Lost):
        Stream(theirs, 1 << 20).receive()


def test_only_what_cannot_wait_rings():
    (ours, theirs), (bell, clapper) = socket.socketpair(), socket.socketpair()
    speaker, listener = Stream(theirs, 1 << 20, bell=clapper), Stream(ours, 1 << 20)
    speaker.hold({"n": 1})
    speaker.flush()
    assert not select.select([bell], [], [], 0)[0]
    speaker.send({"n": 2})
    speaker.send({"n": 3})
    assert bell.recv(9) == b"\0\0"
    assert [listener.receive(wait=False) for _ in range(4)] == [{"n": 1}, {"n": 2}, {"n": 3}, None]


def test_batches_are_told_in_the_order_of_their_first_tests():
    stage = Stage(None)
    late, first, again = stage.open(7), stage.open(2), stage.open(2)
    assert stage.is_front(first)
    first.is_over = True
    stage.play()
    assert stage.is_front(again), "what was opened later for the same test comes after it"
    again.is_over = True
    stage.play()
    assert stage.is_front(late) and not stage.has_more()


def test_gauges_of_either_cgroup_version(tmp_path):
    def gauges(**texts):
        opened = {}
        for name, text in texts.items():
            Path(tmp_path / name).write_text(text)
            opened[name] = os.open(tmp_path / name, os.O_RDWR)
        return Gauges(opened.items())

    first = gauges(stat="cache 300\nrss 1000\nshmem 100\n", cpu="5000000\n", pids="2\n")
    first.begin()
    Path(tmp_path / "stat").write_text("cache 900\nrss 1500\nshmem 200\n")
    Path(tmp_path / "cpu").write_text("9000000\n")
    assert first.end() == {"growth": 600, "cache": 700, "cpu_ms": 4, "pids": 2}
    second = gauges(stat="anon 10\nfile 50\nshmem 20\n", cpu="usage_usec 3000\nuser_usec 1\n", peak="77\n")
    second.begin()
    assert Path(tmp_path / "peak").read_text().startswith("0")
    Path(tmp_path / "peak").write_text("88\n")
    assert second.end() == {"growth": 0, "cache": 30, "cpu_ms": 0, "peak": 88}
    nothing = Gauges([])
    nothing.begin()
    assert nothing.end() == {}


def test_the_line_of_progress_says_what_is_known():
    assert line(0, 0, 9, 0.0, []) == "0 of 9"
    assert line(4, 0, 9, 60.0, [(0.9, "a")]) == "4 of 9", "too little to foretell; no test is slow"
    told = line(5, 1, 10, 60.0, [(2.2, "a"), (75.0, "b")])
    assert told == "5 of 10, 1 failed, about 1 min 0 s left; b 1 min 15 s, a 2 s"
    assert line(10, 0, 10, 60.0, []) == "10 of 10"
    told = line(1, 0, 9, 1.0, [(float(n), str(n)) for n in range(1, 8)])
    assert told == "1 of 9; 7 7 s, 6 6 s, 5 5 s, 4 4 s, 3 more"
    assert [span(seconds) for seconds in (0.2, 59.4, 59.6, 3600)] == ["0 s", "59 s", "1 min 0 s", "60 min 0 s"]


def test_modules_are_compiled_ahead_or_where_they_are_needed(tmp_path, monkeypatch):
    (tmp_path / "one.py").write_text("value = 'ü'\n", encoding="utf-8")
    code = Ahead(str(tmp_path), ["one"]).take()["one"]
    values = {}
    exec(code, values)
    assert values["value"] == "ü" and code.co_filename == "<testbox one>"
    assert Ahead(str(tmp_path), ["two"]).take() == {}, "a module that is not there"
    begun = Ahead(str(tmp_path), ["one"])
    os.wait()
    assert begun.take() == {}, "somebody else has waited for it"
    for program in (None, "", "/nonexistent", "/bin/true", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        assert Ahead(str(tmp_path), ["one"]).take() == {}, program


def test_all_modules_that_are_compiled_ahead_exist_and_none_of_them_is_loaded_at_once():
    folder = os.path.dirname(sys.modules["testbox_plugin"].__file__)
    assert all(os.path.exists(os.path.join(folder, name + ".py")) for name in ahead.MODULES)
    command = "import sys, testbox_plugin; print(*(name for name in sys.modules if name.startswith('testbox_plugin.')))"
    loaded = subprocess.run(
        [sys.executable, "-c", command],
        env=dict(os.environ, PYTHONPATH=os.path.dirname(folder)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "testbox_plugin.channel" in loaded.split()
    assert not {f"testbox_plugin.{name}" for name in ahead.MODULES} & set(loaded.split())
