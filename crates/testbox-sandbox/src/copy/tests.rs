//! Copies of real folders, by an ordinary caller.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;

struct Case {
    project: TempDir,
    target: TempDir,
    covered: BTreeSet<PathBuf>,
    limits: Limits,
}

impl Case {
    fn new() -> Self {
        let (project, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Self { project, target, covered: BTreeSet::new(), limits: testbox_model::sample::plan().limits }
    }

    fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.project.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
        self
    }

    fn run(&self) -> Result<Taken, StepFailure> {
        let original = open_original(self.project.path()).unwrap();
        let target = open_original(self.target.path()).unwrap();
        Job { original: &original, covered: &self.covered, owner: None, limits: &self.limits }.run(&target)
    }

    fn copied(&self, path: &str) -> PathBuf {
        self.target.path().join(path)
    }

    fn error(&self) -> String {
        let failure = self.run().unwrap_err();
        assert_eq!((failure.step, failure.errno), (SetupStep::Copy, libc::ENOSPC));
        failure.detail
    }
}

#[test]
fn bytes_modes_times_and_links_are_kept() {
    let case = Case::new();
    case.write("a", "host").write("sub/deep/b", &"x".repeat(300_000));
    symlink("/etc/shadow", case.project.path().join("sub/link")).unwrap();
    fs_err::hard_link(case.project.path().join("a"), case.project.path().join("again")).unwrap();
    fs_err::set_permissions(case.project.path().join("sub"), PermissionsExt::from_mode(0o2750)).unwrap();
    fs_err::set_permissions(case.project.path().join("a"), PermissionsExt::from_mode(0o4751)).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for path in ["sub/deep/b", "sub/deep", "sub", ""] {
        fs_err::File::open(case.project.path().join(path)).unwrap().file().set_modified(old).unwrap();
    }
    let taken = case.run().unwrap();
    assert_eq!(taken.left_out, Vec::<String>::new());
    assert_eq!(fs_err::read_to_string(case.copied("sub/deep/b")).unwrap().len(), 300_000);
    for path in ["sub/deep/b", "sub/deep", "sub", ""] {
        let metadata = fs_err::metadata(case.copied(path)).unwrap();
        assert_eq!(metadata.modified().unwrap(), old, "{path}");
    }
    assert_eq!(fs_err::read_link(case.copied("sub/link")).unwrap(), Path::new("/etc/shadow"));
    assert_eq!(fs_err::metadata(case.copied("sub")).unwrap().mode() & 0o7777, 0o2750);
    let first = fs_err::metadata(case.copied("a")).unwrap();
    assert_eq!((first.mode() & 0o7777, first.nlink()), (0o751, 1), "without set-user-ID, and a file of its own");
}

#[test]
fn what_stood_when_the_copy_did_has_not_changed_since() {
    let case = Case::new();
    let finished = case.write("a/b/c", "x").run().unwrap().finished;
    for path in ["a", "a/b", "a/b/c", ""] {
        let metadata = fs_err::metadata(case.copied(path)).unwrap();
        assert!(
            (metadata.ctime(), metadata.ctime_nsec()) <= (finished.seconds, i64::from(finished.nanoseconds)),
            "{path}"
        );
    }
}

#[test]
fn holes_stay_holes() {
    let case = Case::new();
    case.write("hole", "begin").write("end", "").write("all", "");
    let open = |name: &str| fs_err::OpenOptions::new().write(true).open(case.project.path().join(name)).unwrap();
    open("hole").file().set_len(1 << 30).unwrap();
    std::os::unix::fs::FileExt::write_all_at(open("end").file(), b"end", 1 << 30).unwrap();
    open("all").file().set_len(1 << 20).unwrap();
    case.run().unwrap();
    for (name, size) in [("hole", 1 << 30), ("end", (1 << 30) + 3), ("all", 1 << 20)] {
        let metadata = fs_err::metadata(case.copied(name)).unwrap();
        assert_eq!(metadata.len(), size);
        assert!(metadata.blocks() * 512 < 1 << 20, "{name}: {}", metadata.blocks());
    }
    let mut end = [0u8; 3];
    let copied = fs_err::File::open(case.copied("end")).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(copied.file(), &mut end, 1 << 30).unwrap();
    assert_eq!(&end, b"end");
}

#[test]
fn of_what_is_covered_only_the_place_is_made() {
    let mut case = Case::new();
    case.write("secrets/key", "hunter2").write(".env", "hunter2").write("sub/.env", "seen");
    case.covered = [".env", "secrets", "not-there"].map(PathBuf::from).into();
    case.run().unwrap();
    assert_eq!(fs_err::read_dir(case.copied("secrets")).unwrap().count(), 0);
    assert_eq!(fs_err::read(case.copied(".env")).unwrap(), b"");
    assert_eq!(fs_err::read(case.copied("sub/.env")).unwrap(), b"seen");
    assert!(!case.copied("not-there").exists());
}

#[test]
fn what_does_not_fit_is_counted_to_its_end() {
    let mut case = Case::new();
    for folder in 0..3 {
        for file in 0..10 {
            case.write(&format!("{folder}/{file}"), &"x".repeat(5000));
        }
    }
    case.limits.tmp_bytes.value = Bytes(64 << 10);
    assert_eq!(
        case.error(),
        "its 240.0 KiB in 33 files, folders and links do not fit into the scratch space of 64.0 KiB and 65536 inodes"
    );
    case.limits.tmp_bytes.value = Bytes(1 << 20);
    case.limits.tmp_inodes.value = 20;
    let another = Case { target: tempfile::tempdir().unwrap(), ..case };
    assert!(
        another
            .error()
            .ends_with("33 files, folders and links do not fit into the scratch space of 1.0 MiB and 20 inodes")
    );
    let mut another = Case { target: tempfile::tempdir().unwrap(), ..another };
    another.limits.tmp_inodes.value = 1000;
    another.limits.memory_bytes.value = Bytes(256 << 10);
    assert!(another.error().ends_with("do not fit into three quarters of the box's memory of 256.0 KiB"));
}

#[test]
fn too_deep_folders_and_more_are_told_in_a_bounded_way() {
    let case = Case::new();
    case.write(&("d/".repeat(DEPTH + 5) + "deep"), "x");
    let taken = case.run().unwrap();
    assert_eq!(taken.left_out.len(), 1);
    assert!(taken.left_out[0].ends_with("is not in the copy of the project: it lies too deep"), "{:?}", taken.left_out);
    assert!(case.copied(&"d/".repeat(DEPTH)).is_dir());
    let mut left_out = LeftOut::default();
    (0..100).for_each(|_| left_out.other(Path::new(&"x".repeat(1000)), "of it"));
    let sentences = left_out.finish();
    assert_eq!(
        (sentences.len(), sentences[19].as_str()),
        (20, "81 more are not in the copy of the project, or not whole")
    );
    assert!(sentences[0].len() < 400);
}
