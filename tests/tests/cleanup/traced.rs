//! A run whose traces on the host are known: its cgroups by testbox's pid, its processes by the project's unique name.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testbox_tests::{Finished, Outer, Project, left_of, processes_with, testbox, wait_until};

/// A project with a program `test.py` whose runs are contained twice.
pub(crate) struct Traced {
    pub(crate) project: Project,
    pub(crate) outer: Outer,
}

/// What was seen after a SIGKILL of testbox.
pub(crate) struct Killed {
    /// Groups were left that only `testbox gc` removed.
    pub(crate) for_gc: bool,
    pub(crate) processes_gone_after: Duration,
}

impl Traced {
    /// The program in a project of the caller, with 2 GiB and 2000 processes around testbox.
    pub(crate) fn new(program: &str) -> Self {
        Self::in_project(Project::new(), program)
    }

    pub(crate) fn in_project(project: Project, program: &str) -> Self {
        project.write("test.py", program);
        Self { project, outer: Outer::new(2 << 30, 2000) }
    }

    /// `testbox run FLAGS -- python3 /.../test.py`, not started yet.
    pub(crate) fn command(&self, flags: &[&str]) -> Command {
        let program = format!("{}/test.py", self.project.path().display());
        let command = ["--", "/usr/bin/python3", &program];
        self.outer.command(&self.project, &flags.iter().copied().chain(command).collect::<Vec<_>>())
    }

    /// Runs it to its end, after which nothing may be there, at once.
    #[track_caller]
    pub(crate) fn run(&self, flags: &[&str]) -> Finished {
        self.end_of(self.start(flags))
    }

    /// Starts it with pipes as its streams.
    pub(crate) fn start(&self, flags: &[&str]) -> Child {
        let mut command = self.command(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testbox")
    }

    /// Waits for testbox; then nothing may be there, at once.
    #[track_caller]
    pub(crate) fn end_of(&self, child: Child) -> Finished {
        let pid = child.id();
        let output = child.wait_with_output().expect("an end");
        assert_eq!(self.left(pid), Vec::<String>::new(), "left when testbox returned");
        Finished::from(output)
    }

    /// What is there of a run of this testbox.
    pub(crate) fn left(&self, pid: u32) -> Vec<String> {
        left_of(self.project.path(), pid)
    }

    /// Kills testbox, and only it, by SIGKILL; nothing of the box may run after 1 s, and nothing be there after 2 s but
    /// groups that were made before the reaper, or a scope that testbox never reached, which `testbox gc` removes.
    #[track_caller]
    pub(crate) fn kill(&self, mut child: Child) -> Killed {
        let pid = child.id();
        drop(child.stdin.take());
        child.kill().expect("SIGKILL");
        let killed = Instant::now();
        child.wait().expect("an end");
        let marker = self.project.path().to_string_lossy().into_owned();
        let running = || processes_with(&marker).into_iter().filter(|one| !one.ends_with("testbox-reaper"));
        assert!(wait_until(Duration::from_secs(1), || running().count() == 0), "{:?}", running().collect::<Vec<_>>());
        let processes_gone_after = killed.elapsed();
        let patience = Duration::from_secs(2).saturating_sub(killed.elapsed());
        let gone = wait_until(patience, || self.left(pid).is_empty());
        if !gone {
            assert!(self.left(pid).iter().all(|one| one.starts_with("cgroup ")), "{:?}", self.left(pid));
            Finished::of(testbox().arg("gc")).expect_code(0);
            assert_eq!(self.left(pid), Vec::<String>::new(), "left after a `testbox gc`");
        }
        Killed { for_gc: !gone, processes_gone_after }
    }
}
