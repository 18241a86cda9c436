"""What the walls of a box change, as it is without a box; ../../projects.toml excuses each of these with its reason."""

import errno
import os
import stat

import pytest


def test_giving_a_file_to_another_user_is_not_permitted(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(PermissionError):
        os.chown(tmp_path / "file", os.getuid() + 1, -1)


def test_becoming_another_user_is_not_permitted():
    with pytest.raises(PermissionError):
        os.setuid(os.getuid() + 1)


def test_a_file_that_is_missing_in_a_system_folder_cannot_be_removed():
    with pytest.raises(FileNotFoundError):
        os.unlink("/usr/lib/everyday-missing")


def test_a_program_can_get_the_set_user_id_bit(tmp_path):
    (tmp_path / "program").write_text("x")
    (tmp_path / "program").chmod(0o4755)
    assert (tmp_path / "program").stat().st_mode & stat.S_ISUID


def test_a_system_folder_cannot_be_written():
    with pytest.raises(OSError) as caught:
        open("/usr/lib/everyday", "w")
    assert caught.value.errno == errno.EACCES


def test_processes_of_others_are_seen():
    assert os.path.exists("/proc/1/stat") and os.stat("/proc/1").st_uid == 0
