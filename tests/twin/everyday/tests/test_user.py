"""Who the tests run as, and what the user database says of that user."""

import getpass
import grp
import os
import pathlib
import pwd
import tempfile


def test_the_user_is_not_root():
    assert os.getuid() == os.geteuid() != 0


def test_home_exists_and_can_be_written():
    home = pathlib.Path.home()
    (home / ".cache" / "everyday").mkdir(parents=True)
    (home / ".cache" / "everyday" / "file").write_text("x")
    assert os.path.expanduser("~") == os.environ["HOME"] == str(home)


def test_a_new_file_belongs_to_the_user(tmp_path):
    (tmp_path / "file").write_text("x")
    stat = (tmp_path / "file").stat()
    assert (stat.st_uid, stat.st_gid) == (os.getuid(), os.getgid())


def test_the_files_of_the_project_belong_to_the_user():
    assert os.stat(__file__).st_uid == os.getuid()


def test_groups_can_be_listed():
    assert os.getgid() in os.getgroups() or os.getgroups() == []
    assert grp.getgrgid(0).gr_name == "root"


def test_root_is_in_the_user_database():
    assert pwd.getpwnam("root").pw_uid == 0


def test_umask_is_the_usual_one():
    mask = os.umask(0o022)
    os.umask(mask)
    assert mask == 0o022


def test_a_private_file_stays_private(tmp_path):
    path = tmp_path / "private"
    path.touch(mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600


def test_permissions_are_enforced(tmp_path):
    path = tmp_path / "none"
    path.write_text("x")
    path.chmod(0)
    try:
        path.read_text()
    except PermissionError:
        return
    raise AssertionError("a file without permissions was read")


def test_a_folder_without_permissions_cannot_be_listed(tmp_path):
    folder = tmp_path / "none"
    folder.mkdir(mode=0)
    try:
        os.listdir(folder)
    except PermissionError:
        return
    finally:
        folder.chmod(0o700)
    raise AssertionError("a folder without permissions was listed")


def test_system_files_cannot_be_written():
    for path in ["/etc/passwd", "/usr/bin/env", "/bin/sh"]:
        assert not os.access(path, os.W_OK), path


def test_the_user_has_a_name_where_the_environment_gives_one():
    os.environ["LOGNAME"] = "somebody"
    assert getpass.getuser() == "somebody"


def test_temporary_files_are_private():
    with tempfile.NamedTemporaryFile() as file:
        assert os.stat(file.name).st_mode & 0o777 == 0o600
