"""A pytest that is too old for workers: said so, and the tests run as ever."""

import pytest
from fake_testbox import Run


def test_its_tests_run_in_one_process_and_it_is_named(tmp_path):
    text = "def test_a(): pass\ndef test_b(): assert 0\n"
    run = Run(tmp_path, {"test_x.py": text}, isolate="test", jobs=2).finish()
    (note,) = run.of("note")
    assert note["text"] == f"tests run in one process: workers need pytest 7.0, and this is {pytest.__version__}"
    assert run.of("workers")[0]["mode"] == "none" and not run.of("want")
    assert run.outcomes() == {"test_a": "passed", "test_b": "failed"}
    assert "1 failed, 1 passed" in run.output
    assert run.exit == 1 and run.kinds()[-2:] == ["finish", "goodbye"]
