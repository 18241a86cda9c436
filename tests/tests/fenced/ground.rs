//! A host that makes no namespaces, and a run on it whose traces are known.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use testbox_tests::{Finished, Outer, Project, left_of, wait_until};

/// Of a program that tries things: tells the name of what was possible.
pub(crate) const POSSIBLE: &str = "\
def possible(name, work):
    try:
        work()
    except OSError:
        return
    print(name)
";

/// Without cgroups a fork chain is swept by looking at it, which has no promise of its time: on a busy machine it was seen to
/// take more than two seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an ordinary user without cgroups says.
pub(crate) const ALLOW: &str = "--allow-degraded=namespaces,memory,pids,cpu,io";

/// A project on such a host. The folders of boxes are made below its own, so that nobody else's are among them.
pub(crate) struct Ground {
    pub(crate) project: Project,
    outer: Outer,
    temporary: tempfile::TempDir,
}

impl Ground {
    /// For an ordinary user.
    pub(crate) fn of_user() -> Self {
        Self::new(Project::unprivileged())
    }

    /// For root, who has cgroups.
    pub(crate) fn of_root() -> Self {
        Self::new(Project::new())
    }

    fn new(project: Project) -> Self {
        project.write("refuse.py", include_str!("../restricted/refuse_namespaces.py"));
        let temporary = tempfile::Builder::new().prefix("fenced-").tempdir().expect("a temporary folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        fs_err::set_permissions(temporary.path(), open).expect("chmod");
        // A project of root's is shown to somebody else.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(project.path(), open).expect("chmod");
        Self { project, outer: Outer::new(2 << 30, 2000), temporary }
    }

    /// Where the folders of its boxes are.
    pub(crate) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    /// Who runs testbox here.
    pub(crate) fn uid(&self) -> u32 {
        use std::os::unix::fs::MetadataExt;
        fs_err::metadata(self.project.path()).expect("the project").uid()
    }

    /// `testbox run ARGUMENTS` where namespaces are refused; not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let refuse = self.project.path().join("refuse.py").to_string_lossy().into_owned();
        let mut command = self.outer.command_through(&["/usr/bin/python3", &refuse], &self.project, arguments);
        command.env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command
    }

    /// Runs `testbox run FLAGS -- COMMAND` to its end, after which nothing may be there, at once.
    #[track_caller]
    pub(crate) fn run(&self, flags: &[&str], command: &[&str]) -> Finished {
        self.end_of(self.start(flags, command))
    }

    /// Runs this program of Python's, as a file of the project.
    #[track_caller]
    pub(crate) fn python(&self, flags: &[&str], program: &str) -> Finished {
        self.project.write("program.py", program);
        let program = self.project.path().join("program.py").to_string_lossy().into_owned();
        self.run(flags, &["/usr/bin/python3", &program])
    }

    pub(crate) fn start(&self, flags: &[&str], command: &[&str]) -> Child {
        let mut started = self.command(&[flags, &["--"], command].concat());
        started.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("testbox")
    }

    /// Waits for testbox; then nothing may be there, at once.
    #[track_caller]
    pub(crate) fn end_of(&self, child: Child) -> Finished {
        let pid = child.id();
        let output = child.wait_with_output().expect("an end");
        assert_eq!(self.left(pid), Vec::<String>::new(), "left when testbox returned: {output:?}");
        Finished::from(output)
    }

    /// What is there of a run of this testbox.
    pub(crate) fn left(&self, pid: u32) -> Vec<String> {
        let mut left = left_of(self.project.path(), pid);
        left.extend(self.folders().iter().map(|path| path.display().to_string()));
        left
    }

    /// The scratch folders that there are.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.temporary()).expect("the folder").flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Kills testbox, and only it; nothing stays.
    #[track_caller]
    pub(crate) fn kill(&self, mut child: Child) {
        let pid = child.id();
        child.kill().expect("SIGKILL");
        child.wait().expect("an end");
        let gone = wait_until(PATIENCE, || self.left(pid).is_empty());
        assert!(gone, "{:?}", self.left(pid));
    }

    /// What the last report says of a wall.
    pub(crate) fn wall(&self, name: &str) -> Value {
        let report = self.project.report();
        let walls = report["walls"].as_array().expect("walls");
        walls.iter().find(|wall| wall["wall"] == name).expect("the wall").clone()
    }
}
