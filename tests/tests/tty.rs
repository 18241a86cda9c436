//! `--tty`: the command gets a terminal, and the user's terminal comes back as it was.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use testbox_tests::{Need, Project, case, wait_until};

const BOX: &[Need] = &[Need::Box];

fn main() {
    testbox_tests::run(vec![
        case("the command has a terminal, of the size of the user's", BOX, has_a_terminal),
        case("a resize reaches the command", BOX, resize),
        case("what is typed reaches the command, and Ctrl-C too", BOX, typed),
        case("a debugger has the terminal, and all tests one process", &[Need::Box, Need::Pytest], debugger),
        case("without --tty there is no terminal", BOX, no_terminal),
        case("--tty without a terminal works too", BOX, tty_without_terminal),
        case("terminal modes survive a normal end", BOX, modes_after_normal_end),
        case("terminal modes survive a timeout", BOX, modes_after_timeout),
        case("terminal modes survive a SIGKILL of testbox", BOX, modes_after_sigkill),
        case("a bad flag does not touch the terminal", &[], modes_after_bad_flag),
    ]);
}

/// testbox with a terminal of the test as its three streams.
struct Session {
    _project: Project,
    child: Child,
    master: std::fs::File,
    slave: OwnedFd,
    before: Termios,
    shown: String,
}

impl Session {
    fn start(options: &[&str], script: &str) -> Self {
        Self::start_in(Project::new(), options, &["sh", "-c", script])
    }

    fn start_in(project: Project, options: &[&str], boxed: &[&str]) -> Self {
        let size = Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pty");
        let before = tcgetattr(&pty.slave).expect("its modes");
        let stream = || Stdio::from(pty.slave.try_clone().expect("a copy"));
        let mut command = project.command(options);
        command.arg("--").args(boxed).stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().expect("testbox");
        Self { _project: project, child, master: pty.master.into(), slave: pty.slave, before, shown: String::new() }
    }

    /// Reads what the terminal shows until it shows this.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let found = wait_until(Duration::from_secs(30), || {
            self.look();
            self.shown.contains(text)
        });
        assert!(found, "no {text:?} in {:?}", self.shown);
    }

    /// Reads what the terminal shows now.
    fn look(&mut self) {
        let mut buffer = [0; 4096];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let ready = |master: &std::fs::File| {
            let mut fds = [rustix::event::PollFd::new(master, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
        };
        while ready(&self.master) {
            let length = self.master.read(&mut buffer).unwrap_or(0);
            self.shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typed");
    }

    fn is_raw(&self) -> bool {
        !self.modes().local_flags.contains(LocalFlags::ICANON)
    }

    fn modes(&self) -> Termios {
        tcgetattr(self.slave.as_fd()).expect("its modes")
    }

    /// Waits for the end of testbox; the terminal must be as before.
    #[track_caller]
    fn end(mut self, code: Option<i32>) -> String {
        self.drain_until_ended();
        assert_eq!(self.child.wait().expect("its end").code(), code, "{}", self.shown);
        let restored = wait_until(Duration::from_secs(5), || self.modes() == self.before);
        assert!(restored, "the modes changed: {:?} to {:?}", self.before, self.modes());
        self.shown.clone()
    }

    /// A terminal that nobody reads would hold testbox back.
    fn drain_until_ended(&mut self) {
        let ended = wait_until(Duration::from_secs(60), || {
            self.look();
            self.child.try_wait().expect("its state").is_some()
        });
        self.look();
        assert!(ended, "it hangs: {:?}", self.shown);
    }
}

fn has_a_terminal() {
    let session = Session::start(
        &["--tty"],
        "test -t 0 && test -t 1 && test -t 2 && echo IS-A-TTY; stty size; tty; ps -o tty= -p $$",
    );
    let shown = session.end(Some(0));
    assert!(shown.contains("IS-A-TTY") && shown.contains("33 99") && shown.contains("/dev/pts/"), "{shown}");
}

fn resize() {
    let mut session =
        Session::start(&["--tty"], "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done");
    session.wait_for("ready");
    let size = rustix::termios::Winsize { ws_row: 11, ws_col: 44, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&session.master, size).expect("a new size");
    // The test's terminal is not the controlling one of testbox, so the kernel tells nobody.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(session.child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGWINCH).expect("a signal to the child of this test");
    session.wait_for("11 44");
    session.end(Some(0));
}

fn typed() {
    let mut session = Session::start(
        &["--tty"],
        "trap 'echo INTERRUPTED; exit 9' INT; echo ready; read line; echo \"got $line\"; sleep 600 & wait",
    );
    session.wait_for("ready");
    session.type_in("hello\r");
    session.wait_for("got hello");
    session.type_in("\u{3}");
    session.wait_for("INTERRUPTED");
    session.end(Some(9));
}

fn debugger() {
    let project = Project::new();
    let text = "import os\nFIRST = os.getpid()\ndef test_x():\n    assert os.getpid() == FIRST\n    secret = 6 * 7\n    assert 0\n";
    project.write("test_x.py", text);
    let pytest = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pdb"];
    let mut session = Session::start_in(project, &["--tty", "--isolate", "test"], &pytest);
    session.wait_for("(Pdb) ");
    session.type_in("p 'secret', secret\r");
    session.wait_for("('secret', 42)");
    session.type_in("c\r");
    let shown = session.end(Some(1));
    assert!(shown.contains("tests run in one process: a debugger (--pdb, --trace) needs the terminal"), "{shown}");
    assert!(shown.contains("1 failed"), "{shown}");
}

fn no_terminal() {
    let session = Session::start(
        &[],
        "test -t 0 || test -t 1 || test -t 2 || echo NO-TTY; (: < /dev/tty) 2>/dev/null || echo NO-CONTROLLING",
    );
    let shown = session.end(Some(0));
    assert!(shown.contains("NO-TTY") && shown.contains("NO-CONTROLLING"), "{shown}");
}

fn tty_without_terminal() {
    let project = Project::new();
    let finished = project.run(&["-q", "--tty", "--", "sh", "-c", "test -t 1 && echo IS-A-TTY"]).expect_code(0);
    assert!(finished.stdout.contains("IS-A-TTY"), "{finished:?}");
}

fn modes_after_normal_end() {
    let mut session = Session::start(&["--tty"], "stty -echo raw; echo ready; sleep 0.5; exit 3");
    session.wait_for("ready");
    session.end(Some(3));
}

fn modes_after_timeout() {
    let mut session =
        Session::start(&["--tty", "--timeout", "4s"], "trap '' TERM HUP INT; echo ready; while :; do sleep 1; done");
    session.wait_for("ready");
    assert!(session.is_raw(), "the user's terminal is raw while the command has its own");
    let shown = session.end(Some(124));
    assert!(shown.contains("TIMEOUT"), "{shown}");
    assert!(
        shown.lines().all(|line| !line.contains("TIMEOUT") || line.starts_with("testbox")),
        "a crooked line: {shown:?}"
    );
}

fn modes_after_sigkill() {
    let mut session = Session::start(&["--tty"], "echo ready; sleep 600");
    session.wait_for("ready");
    assert!(session.is_raw());
    session.child.kill().expect("SIGKILL");
    session.end(None);
}

fn modes_after_bad_flag() {
    let session = Session::start(&["--tty", "--memory", "0"], "true");
    let shown = session.end(Some(125));
    assert!(shown.contains("too small"), "{shown}");
}
