"""Files in the project and in temporary folders behave as on any disk."""

import errno
import fcntl
import mmap
import os
import pathlib
import shutil
import sqlite3
import tempfile
import time

import pytest

PROJECT = pathlib.Path(__file__).parent.parent


@pytest.fixture(params=["project", "temporary"])
def folder(request):
    """A fresh folder in the project, and one in the temporary folder."""
    parent = PROJECT if request.param == "project" else None
    path = pathlib.Path(tempfile.mkdtemp(prefix="scratch-", dir=parent))
    yield path
    shutil.rmtree(path)


def test_hard_links(folder):
    (folder / "one").write_text("x")
    os.link(folder / "one", folder / "two")
    assert (folder / "one").stat().st_nlink == 2
    assert (folder / "one").samefile(folder / "two")


def test_symbolic_links(folder):
    (folder / "target").write_text("x")
    (folder / "link").symlink_to("target")
    assert (folder / "link").read_text() == "x"
    assert os.readlink(folder / "link") == "target"
    assert (folder / "link").lstat().st_size == len("target")


def test_rename_of_a_file_and_of_a_folder(folder):
    (folder / "a").mkdir()
    (folder / "a" / "file").write_text("x")
    os.rename(folder / "a", folder / "b")
    os.replace(folder / "b" / "file", folder / "file")
    assert (folder / "file").read_text() == "x"


def test_a_file_of_the_project_can_be_replaced_and_removed():
    path = PROJECT / "data" / "replaced.txt"
    new = path.with_suffix(".new")
    new.write_text("new")
    os.replace(new, path)
    assert path.read_text() == "new"
    path.unlink()
    assert not path.exists()
    path.write_text("original\n")


def test_a_folder_of_the_project_can_be_removed_and_made_again():
    path = PROJECT / "data" / "folder"
    shutil.rmtree(path)
    assert not path.exists()
    path.mkdir()
    assert os.listdir(path) == []
    (path / "kept.txt").write_text("kept\n")


def test_a_folder_of_the_project_can_be_renamed():
    path = PROJECT / "data" / "folder"
    shutil.move(path, PROJECT / "data" / "moved")
    assert (PROJECT / "data" / "moved" / "kept.txt").read_text() == "kept\n"
    shutil.move(PROJECT / "data" / "moved", path)


def test_a_file_moves_between_project_and_temporary_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    shutil.move(tmp_path / "file", PROJECT / "moved.txt")
    assert (PROJECT / "moved.txt").read_text() == "x"
    (PROJECT / "moved.txt").unlink()


def test_times_are_kept_to_the_nanosecond(folder):
    path = folder / "file"
    path.write_text("x")
    os.utime(path, ns=(1_000_000_001, 2_000_000_003))
    assert path.stat().st_mtime_ns == 2_000_000_003


def test_the_time_of_a_new_file_is_now(folder):
    before = time.time()
    (folder / "file").write_text("x")
    assert before - 2 <= (folder / "file").stat().st_mtime <= time.time() + 2


def test_an_open_file_is_the_file_on_disk(folder):
    with open(folder / "file", "w") as file:
        assert os.path.samestat(os.fstat(file.fileno()), os.stat(folder / "file"))


def test_a_file_of_the_project_is_the_same_before_and_after_a_write():
    path = PROJECT / "data" / "replaced.txt"
    with open(path, "r+") as file:
        file.write("o")
        file.flush()
        assert os.fstat(file.fileno()).st_ino == path.stat().st_ino


def test_a_reader_sees_what_a_writer_wrote():
    path = PROJECT / "data" / "replaced.txt"
    path.write_text("first")
    with open(path) as reader, open(path, "a") as writer:
        assert reader.read() == "first"
        writer.write("second")
        writer.flush()
        assert reader.read() == "second"
    path.write_text("original\n")


def test_a_removed_file_can_still_be_read(folder):
    (folder / "file").write_text("x")
    with open(folder / "file") as file:
        (folder / "file").unlink()
        assert file.read() == "x"
        assert os.fstat(file.fileno()).st_nlink == 0


def test_locks(folder):
    with open(folder / "lock", "w") as one, open(folder / "lock", "w") as two:
        fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(one, fcntl.LOCK_EX)


def test_memory_maps(folder):
    path = folder / "file"
    path.write_bytes(b"0" * mmap.PAGESIZE)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as map:
        map[0:3] = b"abc"
        map.flush()
    assert path.read_bytes()[:3] == b"abc"


def test_sqlite_with_a_journal_and_with_a_shared_log(folder):
    for mode in ["delete", "wal"]:
        connection = sqlite3.connect(folder / f"{mode}.db")
        assert connection.execute(f"pragma journal_mode={mode}").fetchone() == (mode,)
        connection.execute("create table t (x)")
        connection.execute("insert into t values (1)")
        connection.commit()
        assert connection.execute("select x from t").fetchall() == [(1,)]
        connection.close()


def test_pipes_and_special_files(folder):
    os.mkfifo(folder / "pipe")
    assert (folder / "pipe").is_fifo()
    with pytest.raises(PermissionError):
        os.mknod(folder / "disk", 0o60600, os.makedev(8, 0))


def test_sparse_files_and_truncation(folder):
    path = folder / "file"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    assert path.stat().st_size == 1 << 30 and path.stat().st_blocks < 100


def test_long_and_odd_names(folder):
    for name in ["x" * 255, "with space", "new\nline", "\N{SNOWMAN}", "-dash", b"\xff".decode("utf-8", "surrogateescape")]:
        (folder / name).write_text("x")
        assert name in os.listdir(folder)
    with pytest.raises(OSError) as caught:
        (folder / ("x" * 256)).write_text("x")
    assert caught.value.errno == errno.ENAMETOOLONG


def test_names_are_case_sensitive(folder):
    (folder / "a").write_text("1")
    (folder / "A").write_text("2")
    assert sorted(os.listdir(folder)) == ["A", "a"]


def test_fsync(folder):
    with open(folder / "file", "w") as file:
        file.write("x")
        file.flush()
        os.fsync(file.fileno())
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_unnamed_temporary_files():
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
        file.seek(0)
        assert file.read() == b"x"


def test_free_space_is_told(folder):
    usage = shutil.disk_usage(folder)
    assert usage.total > 0 and usage.free > 1 << 20


def test_copies_keep_times_and_modes(folder):
    (folder / "one").write_text("x")
    (folder / "one").chmod(0o640)
    os.utime(folder / "one", (1000, 1000))
    shutil.copy2(folder / "one", folder / "two")
    stat = (folder / "two").stat()
    assert (stat.st_mode & 0o777, stat.st_mtime) == (0o640, 1000)


def test_a_whole_tree_is_copied_and_removed(folder):
    shutil.copytree(PROJECT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    assert (folder / "tests" / "test_files.py").read_bytes() == pathlib.Path(__file__).read_bytes()


def test_python_writes_its_byte_code_beside_the_module(folder):
    import py_compile

    (folder / "module.py").write_text("x = 1\n")
    compiled = py_compile.compile(str(folder / "module.py"), doraise=True)
    assert pathlib.Path(compiled).exists()


def test_an_executable_file_runs(folder):
    import subprocess

    script = folder / "script"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    assert subprocess.run([str(script)], capture_output=True, text=True, check=True).stdout == "ran\n"
