//! `cargo xtask guest`: commands in a throw-away Debian with systemd and cgroup v2, on hosts that have neither.
//!
//! The guest is a virtual machine without hardware support (`uml.rs`). Its image (`image.rs`) is made once from Debian's
//! packages; what shall run travels on a second disk (`disk.rs`), and what it prints comes back as frames (`frames.rs`).

mod apt;
mod disk;
mod frames;
mod image;
mod job;
mod machine;
mod programs;
mod uml;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cache::Cache;
use crate::error::{self, Error};
pub(crate) use crate::guest::disk::Disk;
pub(crate) use crate::guest::frames::Frame;
pub(crate) use crate::guest::job::{Job, User};
use crate::guest::machine::Machine;
use crate::setup::{self, Places};
use crate::testbox;
use crate::workspace::Workspace;

/// Exit codes that are not the command's: it took too long (as GNU timeout), and the guest failed (as docker run).
const TIMED_OUT: i32 = 124;
const GUEST_FAILED: i32 = 125;
/// It takes some seconds.
const BOOT: Duration = Duration::from_secs(180);
/// Where testbox, its tests and what they read of this repository lie in the guest; `images/guest/setup.sh` knows them too.
const TESTBOX: &str = "/usr/local/bin/testbox";
const TESTS: &str = "/opt/testbox/tests";
const CHECKOUT: &str = "/opt/testbox/checkout";
const TWINS: &str = "/opt/testbox/twins";
/// What tests read of `cargo xtask setup`, and the environment of the twin projects there.
const PLACES: &str = "/opt/testbox/setup.json";
const TWIN_VENV: &str = "/opt/testbox/twin-venv";

/// Options of `guest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Who runs it
    #[arg(long, value_enum, default_value_t = User::Root)]
    user: User,
    /// When the guest ends at the latest, boot included: 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    timeout: Duration,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Boots, runs the command and gives its exit code.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> ExitCode {
    let code = command(workspace, options).unwrap_or_else(|error| {
        eprint!("{}", error::describe(&error));
        if matches!(error, Error::GuestTooSlow { .. } | Error::GuestDidNotBoot { .. }) {
            TIMED_OUT
        } else {
            GUEST_FAILED
        }
    });
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn command(workspace: &Workspace, options: &Options) -> Result<i32, Error> {
    let disk = lay_out(workspace)?;
    let job = Job::new(options.user, &options.command);
    let mut code = None;
    Guest::find(workspace, true)?.run(disk, &[job], options.timeout, |frame| {
        match frame {
            Frame::Stdout(bytes) => std::io::stdout().write_all(&bytes)?,
            Frame::Stderr(bytes) => std::io::stderr().write_all(&bytes)?,
            Frame::Exited(exited) => code = Some(exited),
            Frame::Started => {}
        }
        Ok(())
    })?;
    code.ok_or_else(|| std::io::Error::other("the guest ran no command").into())
}

/// A disk with what every guest has: testbox, its tests and the files of this repository that they read.
pub(crate) fn lay_out(workspace: &Workspace) -> Result<Disk, Error> {
    let mut disk = Disk::new(&Cache::open(workspace)?.dir)?;
    disk.file(&testbox::build_static(workspace)?, TESTBOX)?;
    for folder in ["tests/fixtures/sample", "tests/twin"] {
        disk.folder(&workspace.root.join(folder), &format!("{CHECKOUT}/{folder}"))?;
    }
    disk.file(&workspace.root.join("README.md"), &format!("{CHECKOUT}/README.md"))?;
    lay_out_twins(workspace, &mut disk)?;
    for (name, program) in programs::build(workspace)? {
        disk.file(&program, &format!("{TESTS}/{name}"))?;
    }
    Ok(disk)
}

fn lay_out_twins(workspace: &Workspace, disk: &mut Disk) -> Result<(), Error> {
    let mut places = Places { twin_venv: Some(TWIN_VENV.into()), for_every_user: true, ..Places::default() };
    for (name, sources) in setup::twin_sources(workspace, true)? {
        let guest = format!("{TWINS}/{name}");
        disk.folder(&sources, &guest)?;
        places.twins.insert(name, guest.into());
    }
    disk.json(&places, PLACES)
}

/// A guest that can be booted.
pub(crate) struct Guest {
    image: PathBuf,
}

impl Guest {
    /// The guest's image, made if there is none for exactly this recipe.
    pub(crate) fn find(workspace: &Workspace, install: bool) -> Result<Self, Error> {
        Ok(Self { image: image::ensure(workspace, install)? })
    }

    /// Boots, runs the jobs one after the other, and throws the guest away.
    ///
    /// # Errors
    /// The guest fails, or is not done within `limit`; the error repeats the end of its console.
    pub(crate) fn run(
        &self,
        disk: Disk,
        jobs: &[Job],
        limit: Duration,
        mut on_frame: impl FnMut(Frame) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        let mut machine = Machine::start(uml::program(&self.image), disk.finish(jobs)?)?;
        let first = machine.next(deadline.min(Instant::now() + BOOT)).map_err(|error| match error {
            Error::GuestTooSlow { console, .. } => Error::GuestDidNotBoot { limit: BOOT.min(limit), console },
            other => other,
        })?;
        on_frame(first)?;
        let mut open = jobs.len();
        while open > 0 {
            let frame = machine.next(deadline).map_err(|error| match error {
                Error::GuestTooSlow { console, .. } => Error::GuestTooSlow { limit, console },
                other => other,
            })?;
            open -= usize::from(matches!(frame, Frame::Exited(_)));
            on_frame(frame)?;
        }
        Ok(())
    }
}

/// A number with its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.split_at_checked(text.len().saturating_sub(1)) {
        Some((number, "s")) => number.parse::<u64>().ok(),
        Some((number, "m")) => number.parse::<u64>().ok().and_then(|minutes| minutes.checked_mul(60)),
        Some((number, "h")) => number.parse::<u64>().ok().and_then(|hours| hours.checked_mul(3600)),
        _ => None,
    };
    seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or("expected 90s, 10m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "s", "10", "0s", "-1s", "1d", "ü", "99999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
