//! A cgroup of the test's own around testbox: should testbox fail to contain a program, this does.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::project::{ORDINARY_UID, starter};
use crate::{Project, testbox_bin, wait_until};

/// Enters the groups named before `--`, then becomes the rest. A `0` in `tasks` takes no lock of the whole machine, for which
/// every fork on it would wait while a fork bomb is on.
const ENTER: &str = r#"while [ "$1" != -- ]; do echo 0 > "$1" || exit 99; shift; done; shift; exec "$@""#;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A memory and a pids group (cgroup v1, as root); elsewhere it bounds nothing.
#[derive(Debug)]
pub struct Outer {
    groups: Vec<PathBuf>,
}

impl Outer {
    /// Groups with these limits, below the caller's own.
    pub fn new(memory_bytes: u64, pids: u64) -> Self {
        let name = format!("testboxtest-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let limits = [
            ("memory", vec![("memory.limit_in_bytes", memory_bytes), ("memory.memsw.limit_in_bytes", memory_bytes)]),
            ("pids", vec![("pids.max", pids)]),
        ];
        let made = limits.into_iter().filter_map(|(controller, limits)| {
            let group = own_group(controller)?.join(&name);
            fs_err::create_dir(&group).ok()?;
            for (file, value) in limits.iter().filter(|(file, _)| group.join(file).exists()) {
                fs_err::write(group.join(file), value.to_string()).expect("a limit");
            }
            Some(group)
        });
        Self { groups: made.collect() }
    }

    /// `testbox run ARGUMENTS` in these groups; as an ordinary user if the project is one's. Not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, project: &Project, arguments: &[S]) -> Command {
        self.command_through(&[], project, arguments)
    }

    /// The same, with these words before testbox, which start it.
    pub fn command_through<S: AsRef<OsStr>>(&self, words: &[&str], project: &Project, arguments: &[S]) -> Command {
        let mut command = starter("/bin/sh");
        command.args(["-c", ENTER, "sh"]).args(self.groups.iter().map(|group| group.join("tasks"))).arg("--");
        if project.is_of_a_user() && nix::unistd::geteuid().is_root() {
            let uid = ORDINARY_UID.to_string();
            command.args(["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"]);
        }
        command.args(words).arg(testbox_bin()).args(project.run_words()).args(arguments);
        command.env("HOME", "/nonexistent").current_dir(project.path());
        command
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        for group in &self.groups {
            let removed = wait_until(Duration::from_secs(5), || fs_err::remove_dir(group).is_ok());
            assert!(removed || std::thread::panicking(), "{} is not empty", group.display());
        }
    }
}

/// The caller's own group of a v1 controller.
fn own_group(controller: &str) -> Option<PathBuf> {
    let table = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    let line = table.lines().find(|line| line.split(':').nth(1).is_some_and(|list| list == controller))?;
    let group = Path::new("/sys/fs/cgroup").join(controller).join(line.split(':').nth(2)?.trim_start_matches('/'));
    group.join("cgroup.procs").exists().then_some(group)
}
