//! testbox itself, as demo and benchmark start it: the binary, and the walls that this host cannot enforce.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::program::{Program, cargo};
use crate::workspace::Workspace;

/// A built testbox that was seen to run here.
pub(crate) struct Testbox {
    pub(crate) binary: PathBuf,
    /// Walls that a default run refuses to do without on this host; empty where everything is enforced.
    pub(crate) degraded: Vec<String>,
}

/// Builds the release binary; cargo shows its progress on a terminal only.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf, Error> {
    let quiet = if std::io::stderr().is_terminal() { None } else { Some("--quiet") };
    cargo()
        .args(["build", "--locked", "--release", "--package", "testbox"])
        .args(quiet)
        .dir(&workspace.root)
        .stream()?;
    Ok(workspace.release_binary())
}

/// Builds it as one file that needs no library of the machine where it runs; less optimised than `cargo xtask dist`.
pub(crate) fn build_static(workspace: &Workspace) -> Result<PathBuf, Error> {
    let built = workspace.release_binary();
    cargo()
        .args(["rustc", "--quiet", "--locked", "--release", "--package", "testbox"])
        .args(["--", "-C", "target-feature=+crt-static"])
        .dir(&workspace.root)
        .stream()?;
    let kept = workspace.target.join("xtask/testbox-static");
    fs_err::copy(built, &kept)?;
    Ok(kept)
}

impl Testbox {
    /// Runs `true` in a box made for `project`; each wall that the refusal names is given up, and only those.
    ///
    /// `start` makes the program that starts testbox, for example as another user.
    pub(crate) fn probe(binary: &Path, project: &Path, start: impl Fn(&Path) -> Program) -> Result<Self, Error> {
        let mut degraded: Vec<String> = vec![];
        loop {
            let mut program = start(binary).clean_env().dir(project).args(["run", "-q"]);
            if !degraded.is_empty() {
                program = program.arg("--allow-degraded").arg(degraded.join(","));
            }
            let ended = program.args(["--", "true"]).capture()?;
            if ended.status.success() {
                return Ok(Self { binary: binary.to_owned(), degraded });
            }
            match refused_wall(&ended.stderr).filter(|wall| !degraded.contains(wall)) {
                Some(wall) => degraded.push(wall),
                None => return Err(Error::TestboxDoesNotRun { allowed: degraded, output: ended.both() }),
            }
        }
    }

    /// The flags that give up what this host cannot enforce.
    pub(crate) fn degraded_flags(&self) -> Vec<String> {
        match self.degraded.is_empty() {
            true => vec![],
            false => vec!["--allow-degraded".to_owned(), self.degraded.join(",")],
        }
    }
}

/// The wall in `--allow-degraded WALL` of a refusal's hint.
fn refused_wall(stderr: &str) -> Option<String> {
    let (_, after) = stderr.split_once("--allow-degraded ")?;
    let wall: String = after.chars().take_while(|c| c.is_ascii_lowercase()).collect();
    (!wall.is_empty()).then_some(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_wall_is_read_from_the_hint() {
        let text = "error: no memory limit here\nhint: give `--allow-degraded memory` to run without it\n";
        assert_eq!(refused_wall(text).as_deref(), Some("memory"));
        assert_eq!(refused_wall("hint: --allow-degraded WALL"), None);
        assert_eq!(refused_wall("error: other"), None);
    }

    #[test]
    fn a_probe_gives_up_only_what_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let script = "case \"$*\" in *pids*) exit 0;; *memory*) echo '--allow-degraded pids' >&2;; \
                      *) echo '--allow-degraded memory' >&2;; esac; exit 125";
        let fake = |_: &Path| Program::new("sh").args(["-c", script, "sh"]);
        let testbox = Testbox::probe(Path::new("x"), dir.path(), fake).unwrap();
        assert_eq!(testbox.degraded_flags(), ["--allow-degraded", "memory,pids"]);
    }
}
