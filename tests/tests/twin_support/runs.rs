//! The two runs: plain pytest as an ordinary user, and the same in a box.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use tempfile::TempDir;
use testbox_tests::{Finished, Need, testbox, unprivileged};

use super::copy;
use super::outcomes::Outcomes;
use super::suite::Suite;

/// Started by root, both runs are those of this user: the owner of the copies, whom the box runs as. Otherwise they are
/// the caller's.
const USER: u32 = 65_432;
/// The same in both runs.
const PLUGIN: &str = include_str!("../../twin/twin_outcomes.py");
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How testbox is started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// With the project as an overlay view.
    Overlay,
    /// With `--write`.
    Write,
    /// By an ordinary user, started by root, without cgroups.
    User,
    /// By root, with the project as an overlay view, and the project belongs to root: the box runs as the reserved user.
    OfRoot,
    /// A worker for each file.
    File,
    /// A worker for each test.
    Test,
    /// Two workers at once.
    Jobs,
}

impl Form {
    /// The word that tests and the list of projects use.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Write => "write",
            Self::User => "user",
            Self::OfRoot => "project of root",
            Self::File => "file",
            Self::Test => "test",
            Self::Jobs => "jobs",
        }
    }
}

/// A copy of a project in a temporary folder, with a home folder beside it.
struct Copy {
    _dir: TempDir,
    project: PathBuf,
    home: PathBuf,
    /// What /tmp is in the box; that of the host holds what others left there.
    temporary: PathBuf,
    /// The folder of the plugin that writes outcomes down.
    plugin: PathBuf,
}

impl Copy {
    fn of(suite: &Suite, owner: Option<u32>) -> Self {
        let dir = tempfile::Builder::new().prefix("twin-").tempdir().expect("a temporary folder");
        let [copy, home, temporary, plugin] = ["project", "home", "tmp", "plugin"].map(|name| dir.path().join(name));
        copy::tree(&suite.sources, &copy, owner);
        for folder in [&home, &temporary, &plugin] {
            fs_err::create_dir(folder).expect("a folder");
        }
        fs_err::write(plugin.join("twin_outcomes.py"), PLUGIN).expect("the plugin");
        for folder in [dir.path(), &home, &temporary, &plugin] {
            std::os::unix::fs::chown(folder, owner, owner).expect("chown");
        }
        Self { _dir: dir, project: copy, home, temporary, plugin }
    }
}

type Once = Arc<OnceLock<Outcomes>>;
static PLAIN: LazyLock<Mutex<HashMap<String, Once>>> = LazyLock::new(Mutex::default);

/// How the tests come out without a box; done once for each suite.
pub(crate) fn plain(suite: &Suite) -> Outcomes {
    let once = Arc::clone(PLAIN.lock().expect("the table").entry(suite.name.clone()).or_default());
    once.get_or_init(|| run_plain(suite)).clone()
}

fn run_plain(suite: &Suite) -> Outcomes {
    let copy = Copy::of(suite, user());
    let bin = suite.venv.join("bin");
    let mut command = Command::new(bin.join("pytest"));
    command.args(&suite.arguments).current_dir(&copy.project).stdin(Stdio::null());
    command.env_clear().env("PATH", format!("{}:{PATH}", bin.display())).env("LANG", "C.UTF-8");
    command.env("TMPDIR", &copy.temporary);
    command.env("HOME", &copy.home).env("PYTHONPATH", &copy.plugin).env("VIRTUAL_ENV", &suite.venv);
    let finished = Finished::of(unprivileged(&mut command));
    for left in suite.leaves.iter().filter(|left| left.exists()) {
        fs_err::remove_file(left).expect("what the tests left");
    }
    told(&finished, &copy.project)
}

/// Who owns the copies, where the caller does not.
fn user() -> Option<u32> {
    Need::Root.missing().is_none().then_some(USER)
}

/// How the tests come out in a box.
pub(crate) fn boxed(suite: &Suite, form: Form) -> Outcomes {
    let copy = Copy::of(suite, if matches!(form, Form::OfRoot) { Some(0) } else { user() });
    let mut command = testbox();
    command.args(arguments(form, &copy.plugin)).arg("pytest").args(&suite.arguments).current_dir(&copy.project);
    command.env("HOME", &copy.home).env("VIRTUAL_ENV", &suite.venv);
    if matches!(form, Form::User) {
        unprivileged(&mut command);
    }
    told(&Finished::of(&mut command), &copy.project)
}

fn arguments(form: Form, plugin: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["run", "--output", "twin-outcomes.json", "--ro"].map(OsString::from).to_vec();
    words.extend([plugin.into(), "--env".into(), format!("PYTHONPATH={}", plugin.display()).into()]);
    words.extend(match form {
        Form::Overlay | Form::OfRoot => vec![],
        Form::Write => vec!["--write".into()],
        Form::File => vec!["--isolate".into(), "file".into()],
        Form::Test => vec!["--isolate".into(), "test".into()],
        Form::Jobs => vec!["-j".into(), "2".into()],
        Form::User => vec!["--allow-degraded".into(), "memory,pids,cpu,io".into()],
    });
    let weaker = std::env::var("TESTBOX_TEST_DEGRADED").ok().filter(|_| !matches!(form, Form::User));
    words.extend(weaker.map(|walls| format!("--allow-degraded={walls}").into()));
    words.push("--".into());
    words
}

fn told(finished: &Finished, folder: &Path) -> Outcomes {
    Outcomes::read(folder).unwrap_or_else(|| {
        panic!("no outcomes, exit code {}\nstdout:\n{}\nstderr:\n{}", finished.code, finished.stdout, finished.stderr)
    })
}
