use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn scopes_of_boxes_are_known_by_their_names() {
    assert!(is_one(Path::new("/sys/fs/cgroup/app.slice/testbox-97b45cbc-14646-190080.scope")));
    for other in ["testbox.scope", "testbox-97b45cbc-14646-190080", "run-r1.scope", "testbox-97b45cbc-1-2.scope.d"] {
        assert!(!is_one(&Path::new("/sys/fs/cgroup").join(other)), "{other}");
    }
}

#[test]
fn a_title_is_one_short_line() {
    assert_eq!(title("pytest\n-x\u{1b}[1m"), "testbox: pytest -x [1m");
    assert_eq!(title(&"é".repeat(500)).chars().count(), "testbox: ".len() + LONGEST_TITLE);
}

#[test]
fn the_bus_is_that_of_the_own_user() {
    let dir = tempfile::tempdir().unwrap();
    let uid = fs_err::metadata(dir.path()).unwrap().uid().max(1);
    let says = |runtime_dir: Option<&Path>| socket(dir.path(), uid, runtime_dir).unwrap_err();
    assert!(says(None).contains(&format!("sudo loginctl enable-linger {uid}")), "{}", says(None));
    assert!(says(Some(Path::new("/nonexistent"))).contains("enable-linger"));
    assert_eq!(socket(dir.path(), 0, None), Ok(dir.path().join("run/dbus/system_bus_socket")));
    let other = uid + 1;
    fs_err::create_dir_all(dir.path().join(format!("run/user/{other}"))).unwrap();
    assert!(socket(dir.path(), other, None).unwrap_err().contains("enable-linger"), "somebody else's folder");
}

#[test]
fn a_runtime_dir_without_a_bus_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let uid = fs_err::metadata(dir.path()).unwrap().uid();
    if uid == 0 {
        std::os::unix::fs::chown(dir.path(), Some(7), Some(7)).unwrap();
    }
    let uid = fs_err::metadata(dir.path()).unwrap().uid();
    let error = socket(dir.path(), uid, Some(dir.path())).unwrap_err();
    assert!(
        error.contains("dbus-user-session") && error.contains(&dir.path().join("bus").display().to_string()),
        "{error}"
    );
    let _listener = UnixListener::bind(dir.path().join("bus")).unwrap();
    std::os::unix::fs::chown(dir.path().join("bus"), Some(uid), None).unwrap();
    assert_eq!(socket(dir.path(), uid, Some(dir.path())), Ok(dir.path().join("bus")));
}
