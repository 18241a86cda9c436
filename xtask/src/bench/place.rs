//! Where the benchmark runs: a copy of the binary that users get and a small project, which every user can reach.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, is_root, make_readable};
use crate::dist;
use crate::error::Error;
use crate::program::Program;
use crate::testbox::Testbox;
use crate::workspace::Workspace;

/// The ordinary user of the benchmark: a number without an account, so that nothing of the machine depends on it.
const ORDINARY_UID: u32 = 735_701;

/// Who starts what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever started the benchmark.
    Caller,
    /// An ordinary user, made by root.
    Ordinary,
}

/// Folders and binary of the benchmark.
pub(crate) struct Place<'a> {
    pub(crate) workspace: &'a Workspace,
    /// A folder that is made anew for each benchmark.
    pub(crate) dir: PathBuf,
    binary: PathBuf,
}

impl<'a> Place<'a> {
    /// Builds testbox and makes the folders.
    pub(crate) fn new(workspace: &'a Workspace) -> Result<Self, Error> {
        let built = dist::build(workspace)?;
        let dir = Cache::open(workspace)?.fresh("bench")?;
        let binary = dir.join("testbox");
        fs_err::copy(built, &binary)?;
        make_readable(&dir)?;
        Ok(Self { workspace, dir, binary })
    }

    /// Who can be measured here: root, and by root an ordinary user; else only the caller.
    pub(crate) fn users() -> Vec<(User, &'static str)> {
        match is_root() {
            true => vec![(User::Caller, "root"), (User::Ordinary, "ordinary user")],
            false => vec![(User::Caller, "ordinary user")],
        }
    }

    /// An empty project that belongs to the user, a root for the search of projects in itself.
    pub(crate) fn project(&self, name: &str, user: User) -> Result<PathBuf, Error> {
        let project = self.dir.join(name);
        fs_err::create_dir_all(&project)?;
        fs_err::create_dir_all(project.join(".git"))?;
        make_readable(&project)?;
        if user == User::Ordinary {
            Program::new("chown").args(["-R", &ORDINARY_UID.to_string()]).arg(&project).stdout()?;
        }
        Ok(project)
    }

    /// testbox, seen to run in this project, with the walls given up that this user cannot have.
    pub(crate) fn testbox(&self, user: User, project: &Path) -> Result<Testbox, Error> {
        Testbox::probe(&self.binary, project, |binary| self.program(user, binary))
    }

    /// A program started by this user, with an environment that is the same on every machine.
    pub(crate) fn program(&self, user: User, program: &Path) -> Program {
        let started = match user {
            User::Caller => Program::new(program),
            // Not by another program, whose own start would be measured, too.
            User::Ordinary => Program::new(program).by(ORDINARY_UID),
        };
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        started.only_env([("PATH", path), ("HOME", OsString::from("/nonexistent")), ("LANG", "C.UTF-8".into())])
    }
}
