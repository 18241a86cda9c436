//! A project in a temporary folder, and running testbox in it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The user that tests use where they must not be root (when they are).
pub(crate) const ORDINARY_UID: u32 = 65_432;

/// Where tests look for programs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The beginning of a test file: `eat()` takes memory without end in line 6, and so does the fixture `hungry`. Not so fast
/// that a busy machine has no time to ask where: how often bursts are met is counted by a test of its own.
pub const HUNGRY: &str = "\
import pytest, time

def eat():
    taken = []
    while True:
        taken.append((b'x' * (4 << 20), time.sleep(0.01)))

@pytest.fixture
def hungry():
    eat()
";

/// A project in a temporary folder.
#[derive(Debug)]
pub struct Project {
    dir: TempDir,
    root: PathBuf,
    as_user: bool,
    strict: bool,
}

/// What a finished testbox said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; 128 + N if a signal ended it.
    pub code: i32,
    /// Its stdout, lossy.
    pub stdout: String,
    /// Its stderr, lossy.
    pub stderr: String,
}

/// The binary under test: `TESTBOX_BIN`, else the newest of target/release and target/debug.
pub fn testbox_bin() -> PathBuf {
    if let Some(path) = std::env::var_os("TESTBOX_BIN") {
        return PathBuf::from(path);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let built = |profile: &str| target.join(profile).join("testbox");
    let modified = |path: &PathBuf| fs_err::metadata(path).and_then(|meta| meta.modified()).ok();
    [built("release"), built("debug")].into_iter().max_by_key(modified).unwrap_or_else(|| built("release"))
}

/// A file of this repository: below `TESTBOX_TEST_CHECKOUT`, where tests run on a machine that has no checkout.
pub fn checked_in(path: &str) -> PathBuf {
    let checkout = std::env::var_os("TESTBOX_TEST_CHECKOUT")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), PathBuf::from);
    checkout.join(path)
}

/// testbox with a clean environment: no `TESTBOX_*`, no active venv.
pub fn testbox() -> Command {
    starter(&testbox_bin().to_string_lossy())
}

/// A program of the host that starts testbox: with the same clean environment.
pub fn starter(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Makes a command run as an ordinary user.
pub fn unprivileged(command: &mut Command) -> &mut Command {
    if nix::unistd::geteuid().is_root() {
        command.uid(ORDINARY_UID).gid(ORDINARY_UID);
    }
    command
}

impl Project {
    /// An empty project of the caller.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("project-").tempdir().expect("a temporary folder");
        Self { root: dir.path().to_owned(), dir, as_user: false, strict: false }
    }

    /// An empty project of the caller in /var/tmp, which lies on a disk where /tmp need not.
    pub fn on_a_disk() -> Self {
        let dir = tempfile::Builder::new().prefix("project-").tempdir_in("/var/tmp").expect("a temporary folder");
        Self { root: dir.path().to_owned(), dir, as_user: false, strict: false }
    }

    /// An empty project of the caller whose folder has this name.
    pub fn named(name: impl AsRef<OsStr>) -> Self {
        let mut project = Self::new();
        project.root = project.dir.path().join(name.as_ref());
        fs_err::create_dir(&project.root).expect("a folder");
        project
    }

    /// A copy of the sample project.
    pub fn sample() -> Self {
        let project = Self::new();
        let sources = checked_in("tests/fixtures/sample/.");
        let copied = Command::new("cp").arg("-r").arg(sources).arg(project.path()).status().expect("cp");
        assert!(copied.success(), "cp: {copied}");
        project
    }

    /// An empty project of an ordinary user, in which testbox runs as that user.
    pub fn unprivileged() -> Self {
        let mut project = Self::new();
        project.as_user = true;
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(project.path(), Some(ORDINARY_UID), Some(ORDINARY_UID)).expect("chown");
        }
        project
    }

    /// The same project, whose runs do without no wall, not even those of `TESTBOX_TEST_DEGRADED`.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The beginning of every run.
    pub fn run_words(&self) -> Vec<String> {
        let weaker = std::env::var("TESTBOX_TEST_DEGRADED").ok().filter(|_| !self.strict);
        let weaker = weaker.map(|walls| format!("--allow-degraded={walls}"));
        std::iter::once("run".to_owned()).chain(weaker).collect()
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Whether testbox runs in it as an ordinary user.
    pub(crate) fn is_of_a_user(&self) -> bool {
        self.as_user
    }

    /// Writes a file, with its folders.
    pub fn write(&self, path: &str, content: &str) -> &Self {
        let path = self.path().join(path);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs_err::write(path, content).expect("a file");
        self
    }

    /// `testbox run ARGUMENTS` in this project; not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = testbox();
        command.current_dir(self.path()).env("HOME", self.path().parent().unwrap_or(Path::new("/")));
        command.args(self.run_words()).args(arguments);
        if let Some(venv) = std::env::var_os("TESTBOX_TEST_VENV") {
            command.env("VIRTUAL_ENV", venv);
        }
        if self.as_user {
            unprivileged(&mut command);
        }
        command
    }

    /// As [`Project::command`], but started by a shell after it did this: `exec 5</etc/passwd`, `ulimit -n 20`.
    pub fn through_shell<S: AsRef<OsStr>>(&self, first: &str, arguments: &[S]) -> Command {
        let plain = self.command(arguments);
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\"")).arg(plain.get_program()).args(plain.get_args());
        command.env_clear().stdin(Stdio::null()).current_dir(self.path());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if self.as_user {
            unprivileged(&mut command);
        }
        command
    }

    /// Runs `testbox run ARGUMENTS` to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Finished {
        Finished::of(&mut self.command(arguments))
    }

    /// Runs `testbox run FLAGS -- python -m pytest -q ARGUMENTS` to its end.
    pub fn pytest(&self, flags: &[&str], arguments: &[&str]) -> Finished {
        let command = ["--", "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"];
        self.run(&[flags, &command, arguments].concat())
    }

    /// The last report.
    pub fn report(&self) -> Value {
        self.report_in(".testbox/last")
    }

    /// The report in this folder.
    pub fn report_in(&self, dir: impl AsRef<Path>) -> Value {
        let path = self.path().join(dir).join("testbox.json");
        let text = fs_err::read_to_string(path).expect("a report");
        serde_json::from_str(&text).expect("a report in JSON")
    }

    /// Fails the test unless testbox refuses `OPTIONS -- echo STARTED`: with this exit code and these words on stderr,
    /// nothing started, and the report of an earlier run as it was.
    #[track_caller]
    pub fn refuses<S: AsRef<OsStr>>(&self, options: &[S], code: i32, words: &[&str]) -> Finished {
        let mut command = self.command(options);
        command.args(["--", "echo", "STARTED"]);
        self.refused(&mut command, code, words)
    }

    /// As [`Project::refuses`], for a command that was prepared.
    #[track_caller]
    pub fn refused(&self, command: &mut Command, code: i32, words: &[&str]) -> Finished {
        const OLD: &str = "{\"old\": true}";
        self.write(".testbox/last/testbox.json", OLD);
        let finished = Finished::of(command).expect_code(code);
        for word in words {
            assert!(finished.stderr.contains(word), "no `{word}` in stderr:\n{}", finished.stderr);
        }
        assert!(!finished.stdout.contains("STARTED"), "it was started: {}", finished.stdout);
        let report = fs_err::read_to_string(self.path().join(".testbox/last/testbox.json")).expect("the old report");
        assert_eq!(report, OLD, "the old report was touched");
        finished
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Finished {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Fails the test, with everything that was said, unless the exit code is this one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless stderr holds this text.
    #[track_caller]
    pub fn expect_stderr(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in stderr:\n{}", self.stderr);
        self
    }
}

impl From<std::process::Output> for Finished {
    fn from(output: std::process::Output) -> Self {
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        Self {
            code: output.status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
