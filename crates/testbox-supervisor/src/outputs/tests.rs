//! Hostile upper layers and hostile projects.

use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::TempDir;

use super::*;

struct Case {
    upper: TempDir,
    project: TempDir,
    since: Option<Moment>,
    marked: bool,
}

impl Case {
    fn new() -> Self {
        Self { upper: tempfile::tempdir().unwrap(), project: tempfile::tempdir().unwrap(), since: None, marked: false }
    }

    fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.upper.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
        self
    }

    fn make(&self, path: &str, kind: FileType) {
        mknodat(CWD, self.upper.path().join(path), kind, Mode::from_raw_mode(0o644), makedev(0, 0)).unwrap();
    }

    fn carry(&self, globs: &[&str]) -> CarryOut {
        self.carry_capped(globs, Caps::of_bytes(1 << 20))
    }

    fn carry_capped(&self, globs: &[&str], caps: Caps) -> CarryOut {
        let (upper, project) = (open(self.upper.path()), open(self.project.path()));
        let globs: Vec<String> = globs.iter().map(ToString::to_string).collect();
        let written = Written { root: upper.file().as_fd(), since: self.since, marked: self.marked };
        carry_out(written, project.file().as_fd(), &globs, caps)
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.project.path().join(path)).unwrap()
    }
}

fn open(path: &Path) -> fs_err::File {
    fs_err::File::open(path).unwrap()
}

#[test]
fn declared_files_come_out_and_nothing_else() {
    let case = Case::new();
    case.write("coverage.xml", "<c/>")
        .write("a/b/junit.xml", "<j/>")
        .write("htmlcov/css/x.css", "x")
        .write("other", "");
    let out = case.carry(&["*.xml", "a/**/junit.xml", "htmlcov/"]);
    assert_eq!(out.copied, ["a/b/junit.xml", "coverage.xml", "htmlcov/css/x.css"]);
    assert_eq!(out.warnings, Vec::<String>::new());
    assert_eq!(case.read("a/b/junit.xml"), "<j/>");
    assert!(!case.project.path().join("other").exists());
}

#[test]
fn a_file_of_the_project_is_replaced() {
    let case = Case::new();
    fs_err::write(case.project.path().join("coverage.xml"), "a longer old one").unwrap();
    assert_eq!(case.write("coverage.xml", "new").carry(&["coverage.xml"]).copied.len(), 1);
    assert_eq!(case.read("coverage.xml"), "new");
}

#[test]
fn links_devices_and_fifos_stay_where_they_are() {
    let case = Case::new();
    symlink("/etc/passwd", case.upper.path().join("passwd")).unwrap();
    symlink("/etc", case.upper.path().join("etc")).unwrap();
    case.write("one", "x");
    fs_err::hard_link(case.upper.path().join("one"), case.upper.path().join("two")).unwrap();
    case.make("fifo", FileType::Fifo);
    case.make("socket", FileType::Socket);
    case.make("gone", FileType::CharacterDevice);
    let out = case.carry(&["**"]);
    assert_eq!(out.copied, Vec::<String>::new());
    let mut warnings = out.warnings;
    warnings.sort();
    let whys =
        ["symbolic link", "FIFO", "deleted", "more than one link", "symbolic link", "socket", "more than one link"];
    assert_eq!(warnings.len(), whys.len());
    for (warning, why) in warnings.iter().zip(whys) {
        assert!(warning.contains(why), "{warning}: {why}");
    }
    assert_eq!(fs_err::read_dir(case.project.path()).unwrap().count(), 0);
}

#[test]
fn a_link_in_the_project_is_never_followed() {
    let (case, outside) = (Case::new(), tempfile::tempdir().unwrap());
    symlink(outside.path(), case.project.path().join("reports")).unwrap();
    let victim = outside.path().join("victim");
    fs_err::write(&victim, "precious").unwrap();
    symlink(&victim, case.project.path().join("log.txt")).unwrap();
    symlink(&victim, case.project.path().join(format!(".testbox-{}.tmp", std::process::id()))).unwrap();
    let out = case.write("reports/r.xml", "x").write("log.txt", "y").write("fine", "z").carry(&["**"]);
    assert_eq!(out.copied, ["fine"]);
    assert_eq!(out.warnings.len(), 2, "{:?}", out.warnings);
    assert_eq!(fs_err::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_in_the_way_is_a_warning_and_leaves_no_temporary_file() {
    let case = Case::new();
    fs_err::create_dir(case.project.path().join("out")).unwrap();
    let out = case.write("out", "x").carry(&["out"]);
    assert!(out.warnings[0].contains("taken by"), "{:?}", out.warnings);
    assert_eq!(fs_err::read_dir(case.project.path()).unwrap().count(), 1);
}

#[test]
fn modes_lose_what_is_dangerous() {
    let case = Case::new();
    for (name, mode) in [("tool", 0o7755), ("data", 0o2644), ("secret", 0o600)] {
        case.write(name, "x");
        let permissions = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(case.upper.path().join(name), permissions).unwrap();
    }
    assert_eq!(case.carry(&["*"]).copied.len(), 3);
    let mode = |name: &str| fs_err::metadata(case.project.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("tool"), mode("data"), mode("secret")], [0o755, 0o644, 0o600]);
}

#[test]
fn files_get_the_owner_of_the_project() {
    use std::os::unix::fs::{MetadataExt, chown};
    let case = Case::new();
    if rustix::process::geteuid().is_root() {
        chown(case.project.path(), Some(4711), Some(4712)).unwrap();
    }
    let owner = fs_err::metadata(case.project.path()).unwrap();
    case.write("new/folder/file", "x").carry(&["new"]);
    for path in ["new", "new/folder", "new/folder/file"] {
        let meta = fs_err::metadata(case.project.path().join(path)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (owner.uid(), owner.gid()), "{path}");
    }
}

#[test]
fn git_folders_are_out_of_reach() {
    let case = Case::new();
    case.write(".git/hooks/pre-commit", "evil").write("sub/.git/config", "evil").write("fine", "x");
    let out = case.carry(&["**"]);
    assert_eq!(out.copied, ["fine"]);
    assert!(out.warnings[0].contains("`.git` folder"), "{:?}", out.warnings);
}

#[test]
fn bytes_are_capped_also_for_holes() {
    let case = Case::new();
    case.write("hole", "");
    fs_err::OpenOptions::new().write(true).open(case.upper.path().join("hole")).unwrap().set_len(1 << 40).unwrap();
    let out = case.write("small", "x").carry(&["*"]);
    assert_eq!(out.copied, ["small"]);
    assert!(out.warnings[0].contains("1.0 TiB"), "{:?}", out.warnings);
}

#[test]
fn a_hundred_thousand_files_end_at_the_cap() {
    let case = Case::new();
    for folder in 0..100 {
        let folder = case.upper.path().join(folder.to_string());
        fs_err::create_dir(&folder).unwrap();
        for file in 0..1000 {
            fs_err::write(folder.join(file.to_string()), "").unwrap();
        }
    }
    let out = case.carry_capped(&["**"], Caps { files: 50, bytes: 1000 });
    assert_eq!(out.copied.len(), 50);
    assert_eq!(out.warnings, ["more than 50 files match; the rest was left behind"]);
}

#[test]
fn deep_nesting_ends_at_the_cap() {
    let case = Case::new();
    let shallow = "d/".repeat(60) + "shallow";
    let deep = "d/".repeat(200) + "deep";
    let out = case.write(&shallow, "x").write(&deep, "x").carry(&["**"]);
    assert_eq!(out.copied, [shallow]);
    assert_eq!(out.warnings, ["the walk ended 64 folders deep"]);
}

#[test]
fn warnings_are_bounded_and_hostile_names_are_escaped() {
    let case = Case::new();
    symlink("/", case.upper.path().join("a\x1b[2J\nb")).unwrap();
    for index in 0..100 {
        symlink("/", case.upper.path().join(format!("link{index}"))).unwrap();
    }
    let out = case.carry(&["*"]);
    assert_eq!(out.warnings.len(), 20);
    assert_eq!(out.warnings[19], "82 more were left behind");
    assert!(out.warnings.iter().all(|warning| !warning.contains(['\x1b', '\n'])));
}

#[test]
fn a_glob_that_is_none_is_a_warning() {
    let out = Case::new().write("a", "x").carry(&["a[", "a"]);
    assert_eq!(out.copied, ["a"]);
    assert_eq!(out.warnings.len(), 1, "{:?}", out.warnings);
}

/// Waits until the clock of the file systems has gone on; what it shows then.
fn next_tick(clock: &Path) -> Moment {
    use std::os::unix::fs::MetadataExt;
    let look = || {
        fs_err::write(clock, "").unwrap();
        let metadata = fs_err::metadata(clock).unwrap();
        Moment { seconds: metadata.ctime(), nanoseconds: metadata.ctime_nsec() as u32 }
    };
    let before = look();
    loop {
        let now = look();
        if now != before {
            return now;
        }
    }
}

#[test]
fn of_a_copy_only_what_the_box_changed_comes_out() {
    let mut case = Case::new();
    let clock = tempfile::NamedTempFile::new().unwrap();
    let age = |case: &Case, name: &str| {
        let file = fs_err::OpenOptions::new().write(true).open(case.upper.path().join(name)).unwrap();
        file.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    };
    symlink("old.xml", case.write(".git/config", "copied").upper.path().join("link.xml")).unwrap();
    let copied = ["old.xml", "changed.xml", "touched.xml", "sub/old.xml", "pyproject.toml"];
    copied.iter().for_each(|name| _ = case.write(name, "copied"));
    case.since = Some(next_tick(clock.path()));
    copied.iter().for_each(|name| age(&case, name));
    case.write("new.xml", "by the box").write("changed.xml", "by the box");
    next_tick(clock.path());
    case.write("touched.xml", "by the box");
    age(&case, "touched.xml");
    let out = case.carry(&["**"]);
    assert_eq!(out.copied, ["changed.xml", "new.xml", "touched.xml"]);
    assert_eq!(out.warnings, Vec::<String>::new());
}

#[test]
fn marks_of_fuse_overlayfs_are_no_files() {
    let mut case = Case::new();
    case.write("a.xml", "new").write(".wh.b.xml", "").write(".wh.other", "").write("dir/.wh..wh..opq", "");
    assert_eq!(case.carry(&["*.xml"]).copied, [".wh.b.xml", "a.xml"], "elsewhere it is a name like any other");
    case.marked = true;
    let out = case.carry(&["*.xml", "dir"]);
    assert_eq!(out.copied, ["a.xml"]);
    assert_eq!(out.warnings, ["`b.xml` was left behind: the box deleted it; the project's own stays"]);
}
