//! The report folder on a healthy disk: what is created, what is refused, what an old report goes through.

use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use testbox_model::{RunEvent, judge};

use super::*;
use crate::sample;

struct Project {
    root: TempDir,
}

impl Project {
    fn new() -> Self {
        Self { root: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn last(&self) -> PathBuf {
        self.path(".testbox/last")
    }

    fn open(&self) -> Result<ReportDir, ReportError> {
        ReportDir::open(&self.last(), None)
    }

    fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.last().join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs_err::read_dir(self.last()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// One whole run.
    fn run(&self) {
        let mut dir = self.open().unwrap();
        dir.journal(&started()).unwrap();
        write(&mut dir).unwrap();
    }
}

fn started() -> RunEvent {
    RunEvent::Started { readback: sample::record().evidence.readback.unwrap() }
}

fn warning(text: &str) -> RunEvent {
    RunEvent::Warning { text: text.to_owned() }
}

fn write(dir: &mut ReportDir) -> Result<(), ReportError> {
    let record = sample::record();
    dir.write(&record, &judge(&record))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Message, cause and hint, as the user reads them.
fn told(error: &ReportError, project: &Project) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!("\n{cause}")).unwrap_or_default();
    let text = format!("{error}{cause}\n{}", error.hint().unwrap_or_default());
    text.replace(project.root.path().to_str().unwrap(), "PROJECT")
}

#[test]
fn a_run_leaves_report_journal_and_lock_in_folders_of_its_making() {
    let project = Project::new();
    let mut dir = project.open().unwrap();
    assert_eq!(project.names(), ["journal.jsonl.new", "lock"]);
    assert_eq!(project.read("lock"), format!("{}\n", std::process::id()));
    dir.journal(&started()).unwrap();
    dir.journal(&warning("a\nb \u{9b}")).unwrap();
    write(&mut dir).unwrap();
    drop(dir);
    assert_eq!(project.names(), ["journal.jsonl", "lock", "testbox.json"]);
    assert_eq!(json(&project.read("testbox.json"))["verdict"], "passed");
    let journal: Vec<_> = project.read("journal.jsonl").lines().map(json).collect();
    let events: Vec<_> = journal.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["begin", "started", "warning"]);
    assert_eq!(journal[0]["pid"], std::process::id());
    assert_eq!(journal[2]["text"], "a\nb \u{9b}");
}

#[test]
fn git_ignores_the_reports_unless_the_user_says_otherwise() {
    let project = Project::new();
    let gitignore = project.path(".testbox/.gitignore");
    project.run();
    assert_eq!(fs_err::read_to_string(&gitignore).unwrap(), "*\n");
    fs_err::write(&gitignore, "!last\n").unwrap();
    project.run();
    assert_eq!(fs_err::read_to_string(&gitignore).unwrap(), "!last\n");
    fs_err::write(&gitignore, "").unwrap();
    project.run();
    assert_eq!(fs_err::read_to_string(&gitignore).unwrap(), "*\n", "a kill left it empty");

    drop(ReportDir::open(&project.path("elsewhere/reports"), None).unwrap());
    assert!(!project.path("elsewhere/.gitignore").exists());
}

#[test]
fn a_failed_start_leaves_the_old_report_as_it_was() {
    let project = Project::new();
    project.run();
    let before = (project.read("testbox.json"), project.read("journal.jsonl"));
    let mut dir = project.open().unwrap();
    dir.journal(&warning("before the box stands")).unwrap();
    drop(dir);
    assert_eq!((project.read("testbox.json"), project.read("journal.jsonl")), before);
    assert_eq!(project.names(), ["journal.jsonl", "lock", "testbox.json"]);
}

#[test]
fn a_report_without_a_box_still_gets_its_journal() {
    let project = Project::new();
    let mut dir = project.open().unwrap();
    dir.journal(&warning("no user namespaces")).unwrap();
    write(&mut dir).unwrap();
    assert!(project.read("journal.jsonl").contains("no user namespaces"));
}

#[test]
fn leftovers_of_a_killed_run_are_replaced() {
    let project = Project::new();
    project.run();
    for name in ["testbox.json.new", "junit.xml.new", "journal.jsonl.new"] {
        fs_err::write(project.last().join(name), "half").unwrap();
    }
    project.run();
    assert_eq!(project.names(), ["journal.jsonl", "lock", "testbox.json"]);
}

#[test]
fn a_run_of_pytest_has_its_tests_as_junit_and_another_run_takes_them_away() {
    let project = Project::new();
    let record = sample::pytest_record();
    project.open().unwrap().write(&record, &judge(&record)).unwrap();
    assert_eq!(project.names(), ["journal.jsonl", "junit.xml", "lock", "testbox.json"]);
    let junit = project.read("junit.xml");
    assert!(junit.contains("type=\"testbox.memory\"") && junit.ends_with("</testsuites>\n"), "{junit}");
    project.run();
    assert_eq!(project.names(), ["journal.jsonl", "lock", "testbox.json"]);
}

#[test]
fn a_report_that_cannot_be_written_leaves_both_old_ones() {
    let project = Project::new();
    let record = sample::pytest_record();
    project.open().unwrap().write(&record, &judge(&record)).unwrap();
    let before = (project.read("testbox.json"), project.read("junit.xml"));
    let mut dir = project.open().unwrap();
    fs_err::create_dir(project.last().join("junit.xml.new")).unwrap();
    let mut other = record.clone();
    other.box_id = "testbox-other".to_owned();
    let error = dir.write(&other, &judge(&other)).unwrap_err();
    assert!(told(&error, &project).starts_with("cannot remove the leftover `PROJECT/.testbox/last/junit.xml.new`\n"));
    assert_eq!((project.read("testbox.json"), project.read("junit.xml")), before);
    assert!(!project.names().contains(&"testbox.json.new".to_owned()));
}

#[test]
fn a_second_run_is_refused_and_told_who_holds_the_folder() {
    let project = Project::new();
    let first = project.open().unwrap();
    let error = project.open().unwrap_err();
    let expected = format!(
        "another testbox run (pid {}) uses the report folder `PROJECT/.testbox/last`\n\
         wait until it has ended, or give this run its own folder with `--report-dir DIR`",
        std::process::id()
    );
    assert_eq!(told(&error, &project), expected);
    drop(ReportDir::open(&project.path(".testbox/other"), None).unwrap());
    drop(first);
    drop(project.open().unwrap());
}

#[test]
fn a_link_in_the_place_of_a_folder_is_refused() {
    for planted in [".testbox", ".testbox/last"] {
        let project = Project::new();
        let outside = TempDir::new().unwrap();
        fs_err::create_dir_all(project.path(planted).parent().unwrap()).unwrap();
        symlink(outside.path(), project.path(planted)).unwrap();
        let error = project.open().unwrap_err();
        let expected = format!(
            "cannot use the report folder: `PROJECT/{planted}` is a symbolic link\n\
             remove it, or put the report elsewhere with `--report-dir DIR`"
        );
        assert_eq!(told(&error, &project), expected);
        assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0, "nothing was created through the link");
    }
}

#[test]
fn a_link_above_the_last_two_folders_is_the_users_own() {
    let project = Project::new();
    fs_err::create_dir(project.path("real")).unwrap();
    symlink("real", project.path("link")).unwrap();
    drop(ReportDir::open(&project.path("link/.testbox/last"), None).unwrap());
    assert!(project.path("real/.testbox/last/lock").exists());
}

#[test]
fn a_planted_lock_is_not_written_to() {
    type Plant = fn(&Path, &Path) -> io::Result<()>;
    let by_link: Plant = |victim, lock| symlink(victim, lock);
    let by_second_name: Plant = |victim, lock| fs_err::hard_link(victim, lock);
    let by_pipe: Plant = |_, lock| Ok(nix::unistd::mkfifo(lock, nix::sys::stat::Mode::S_IRWXU)?);
    for plant in [by_link, by_second_name, by_pipe] {
        let project = Project::new();
        fs_err::create_dir_all(project.last()).unwrap();
        let victim = project.path("victim");
        fs_err::write(&victim, "precious").unwrap();
        plant(&victim, &project.last().join("lock")).unwrap();
        let error = project.open().unwrap_err();
        let expected = "cannot use `PROJECT/.testbox/last/lock`: it is not a plain file with one name\n\
                        remove it, or put the report elsewhere with `--report-dir DIR`";
        assert_eq!(told(&error, &project), expected);
        assert_eq!(fs_err::read_to_string(&victim).unwrap(), "precious");
    }
}

#[test]
fn planted_links_in_the_place_of_reports_are_replaced_and_not_followed() {
    let project = Project::new();
    fs_err::create_dir_all(project.last()).unwrap();
    let victim = project.path("victim");
    fs_err::write(&victim, "precious").unwrap();
    let names = ["testbox.json", "junit.xml", "journal.jsonl"];
    for name in names.iter().flat_map(|name| [(*name).to_owned(), format!("{name}.new")]) {
        symlink(&victim, project.last().join(name)).unwrap();
    }
    let record = sample::pytest_record();
    project.open().unwrap().write(&record, &judge(&record)).unwrap();
    assert!(names.iter().all(|name| !project.last().join(name).is_symlink()));
    assert_eq!(fs_err::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(json(&project.read("testbox.json"))["verdict"], "failed");
}

#[test]
fn a_folder_in_the_place_of_a_report_is_a_clear_error() {
    let project = Project::new();
    fs_err::create_dir_all(project.last().join("testbox.json.new")).unwrap();
    let error = project.open().unwrap_err();
    assert!(
        told(&error, &project).starts_with("cannot remove the leftover `PROJECT/.testbox/last/testbox.json.new`\n")
    );
    fs_err::remove_dir(project.last().join("testbox.json.new")).unwrap();
    fs_err::create_dir(project.last().join("testbox.json")).unwrap();
    let error = write(&mut project.open().unwrap()).unwrap_err();
    let text = told(&error, &project);
    assert!(text.starts_with("cannot rename `PROJECT/.testbox/last/testbox.json.new` to `testbox.json`\n"), "{text}");
    assert!(!project.last().join("testbox.json.new").exists());
}

#[test]
fn a_folder_that_was_removed_or_replaced_is_noticed() {
    for replaced in [false, true] {
        let project = Project::new();
        project.run();
        let mut dir = project.open().unwrap();
        fs_err::rename(project.path(".testbox"), project.path("moved")).unwrap();
        if replaced {
            fs_err::create_dir_all(project.last()).unwrap();
        }
        let before = fs_err::read_to_string(project.path("moved/last/testbox.json")).unwrap();
        let expected = "the report folder `PROJECT/.testbox/last` was removed or replaced during the run\n\
                        put the report where the command cannot reach it, with `--report-dir DIR`";
        assert_eq!(told(&write(&mut dir).unwrap_err(), &project), expected);
        assert_eq!(fs_err::read_to_string(project.path("moved/last/testbox.json")).unwrap(), before);
    }
}

#[test]
fn paths_that_are_no_folders_are_named() {
    let project = Project::new();
    for path in ["/", "", "."] {
        let error = ReportDir::open(Path::new(path), None).unwrap_err();
        assert!(matches!(error, ReportError::NoName { .. }), "{path}: {error}");
    }
    fs_err::write(project.path("file"), "").unwrap();
    for path in ["file", "file/last", "file/a/b/c"] {
        let error = ReportDir::open(&project.path(path), None).unwrap_err();
        assert!(
            told(&error, &project).starts_with("cannot use the report folder: `PROJECT/file` is not a folder\n"),
            "{error}"
        );
    }
}

#[test]
fn deep_odd_and_dotted_paths_work() {
    let project = Project::new();
    for path in ["a/b/c/d", "with space/and\nnewline", "a/../b/./last", &format!("{}/{0}", "x".repeat(200))] {
        drop(ReportDir::open(&project.path(path), None).unwrap());
        assert!(project.path(path).join("lock").exists(), "{path:?}");
    }
}

#[test]
fn everything_new_belongs_to_the_given_owner() {
    let project = Project::new();
    let (uid, gid) = match nix::unistd::geteuid().is_root() {
        true => (735_700, 735_701),
        false => (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
    };
    let mut dir = ReportDir::open(&project.last(), Some((uid, gid))).unwrap();
    dir.journal(&started()).unwrap();
    let record = sample::pytest_record();
    dir.write(&record, &judge(&record)).unwrap();
    for name in ["", ".gitignore", "last", "last/lock", "last/journal.jsonl", "last/testbox.json", "last/junit.xml"] {
        let metadata = fs_err::symlink_metadata(project.path(".testbox").join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (uid, gid), "{name}");
        assert_eq!(metadata.mode() & 0o7022, 0, "{name}: writable for its owner alone");
    }
}
