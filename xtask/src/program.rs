//! Starting other programs: the one place of xtask that does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::scratch;

/// Lines of a failed program's output that an error repeats.
const TAIL_LINES: usize = 30;

/// A program to start, and how it reads when it is shown.
pub(crate) struct Program {
    command: Command,
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Program {
    Program::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The same cargo under an outer time limit, after which its whole process group ends.
pub(crate) fn cargo_within(limit: Duration) -> Program {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Program::new("timeout").args(["--kill-after=20", &limit.as_secs().to_string()]).arg(cargo)
}

impl Program {
    /// A program by name or path, with the temporary folder of all of them.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self::with_temporary(scratch::folder(), program)
    }

    /// A program with this temporary folder; without one it has that of this process.
    #[expect(clippy::disallowed_methods, reason = "xtask starts developer tools; the sandbox is not involved")]
    pub(crate) fn with_temporary(folder: Option<&Path>, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        if let Some(folder) = folder {
            command.env("TMPDIR", folder);
        }
        Self { command }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Starts it as this user and group, without any other group; only root can.
    pub(crate) fn by(mut self, id: u32) -> Self {
        self.command.uid(id).gid(id);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes away what would make a measured or shown run depend on who starts it: every `TESTBOX_*` and `PYTEST_*`.
    pub(crate) fn clean_env(mut self) -> Self {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("TESTBOX_") || text.starts_with("PYTEST_") || text == "PYTHONPATH" {
                self.command.env_remove(&name);
            }
        }
        self
    }

    /// Starts with nothing in the environment but `pairs`.
    pub(crate) fn only_env<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, OsString)>) -> Self {
        self.command.env_clear().envs(pairs);
        self
    }

    /// As one would type it.
    pub(crate) fn shown(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Runs it on this terminal; a failure is an error.
    pub(crate) fn stream(mut self) -> Result<(), Error> {
        let status = self.command.status().map_err(|source| self.cannot_start(source))?;
        match status.success() {
            true => Ok(()),
            false => Err(Error::Failed { command: self.shown(), status, tail: String::new() }),
        }
    }

    /// Runs it with stdout and stderr kept; how it ended is for the caller to judge.
    pub(crate) fn capture(mut self) -> Result<Ended, Error> {
        let started = Instant::now();
        let output = self.command.stdin(Stdio::null()).output().map_err(|source| self.cannot_start(source))?;
        Ok(Ended {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            elapsed: started.elapsed(),
        })
    }

    /// Runs it and gives its stdout; a failure is an error that repeats the end of what it printed.
    pub(crate) fn stdout(self) -> Result<String, Error> {
        let command = self.shown();
        let ended = self.capture()?;
        match ended.status.success() {
            true => Ok(ended.stdout),
            false => Err(Error::Failed { command, status: ended.status, tail: tail(&ended.both(), TAIL_LINES) }),
        }
    }

    /// Runs it with stdout and stderr written to `log`, in their order; the text is in `stdout` of the result.
    pub(crate) fn logged(mut self, log: &Path) -> Result<Ended, Error> {
        let started = Instant::now();
        let (out, _) = fs_err::File::create(log)?.into_parts();
        self.command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        let status = self.command.status().map_err(|source| self.cannot_start(source))?;
        let stdout = String::from_utf8_lossy(&fs_err::read(log)?).into_owned();
        Ok(Ended { status, stdout, stderr: String::new(), elapsed: started.elapsed() })
    }

    /// Runs it with its output thrown away, and gives the wall time from start to exit; a failure is an error.
    pub(crate) fn timed(mut self) -> Result<Duration, Error> {
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = Instant::now();
        let child = self.command.spawn().map_err(|source| self.cannot_start(source))?;
        let output = child.wait_with_output()?;
        let elapsed = started.elapsed();
        match output.status.success() {
            true => Ok(elapsed),
            false => Err(Error::Failed {
                command: self.shown(),
                status: output.status,
                tail: tail(&String::from_utf8_lossy(&output.stderr), TAIL_LINES),
            }),
        }
    }

    /// Starts it with pipes for stdin and stdout; stderr is thrown away.
    pub(crate) fn spawn(mut self) -> Result<Child, Error> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        self.command.spawn().map_err(|source| self.cannot_start(source))
    }

    /// Starts it with stdin read from one file, stderr written to another, and a pipe for stdout.
    pub(crate) fn spawn_between(mut self, stdin: File, stderr: File) -> Result<Child, Error> {
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(stderr);
        self.command.spawn().map_err(|source| self.cannot_start(source))
    }

    fn cannot_start(&self, source: std::io::Error) -> Error {
        Error::Start { program: self.command.get_program().to_string_lossy().into_owned(), source }
    }
}

impl Ended {
    /// stdout, then stderr.
    pub(crate) fn both(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The last `count` lines of a text.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// PATH with this folder first, as an activated environment has it.
pub(crate) fn path_after(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    path
}

/// A word as a shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        assert_eq!(Program::new("echo").args(["a b", "it's", "", "-x=1"]).shown(), r"echo 'a b' 'it'\''s' '' -x=1");
    }

    #[test]
    fn a_failure_repeats_the_end_of_the_output() {
        let error = Program::new("sh").args(["-c", "seq 100; echo why >&2; exit 3"]).stdout().unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.ends_with("100\nwhy"), "{text}");
        assert!(!text.contains("\n50\n"), "{text}");
    }

    #[test]
    fn a_log_keeps_the_order_of_both_streams() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let ended = Program::new("sh").args(["-c", "echo a; echo b >&2; echo c"]).logged(&log).unwrap();
        assert_eq!(ended.stdout, "a\nb\nc\n");
    }
}
