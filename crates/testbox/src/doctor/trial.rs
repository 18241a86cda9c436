//! A trial: one command in a box, built and supervised by the same functions as `testbox run`.

use std::ffi::OsString;
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Instant;

use rustix::fs::MemfdFlags;
use testbox_bundle::{Host, Outline};
use testbox_config::{Auto, HostPath, Layer, Switch, Typed, WallName, flag, flags};
use testbox_model::{
    DiskUse, Duration, ExitCode, Fault, PayloadEnd, ProjectCopy, Readback, RunEvent, RunPlan, Size, StopCause,
};
use testbox_sandbox::{Launcher, Running, Streams, Wiring};
use testbox_supervisor::{GroupMeter, HostStreams, Inputs, Outcome, Unfiltered};

use super::ground::Ground;
use crate::fault::{self, OrFault};
use crate::plan;
use crate::run::{Boxed, Place, Safeguard};

/// Longest time of one trial.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a trial shall do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial<'a> {
    pub(super) command: &'a [&'a str],
    /// The user's own project with its settings, instead of the temporary one.
    pub(super) own_project: bool,
    /// Scratch space in bytes, instead of the default.
    pub(super) scratch_bytes: Option<u64>,
    /// A box without namespaces, where the kernel refuses them.
    pub(super) may_fence: bool,
}

/// What a box said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) readback: Option<Readback>,
    pub(super) payload: PayloadEnd,
    pub(super) output: String,
    pub(super) disk: Vec<DiskUse>,
    /// Why fuse-overlayfs made the view, where it did.
    pub(super) by_fuse: Option<String>,
    /// The copy of the project, where it could be no overlay.
    pub(super) copy: Option<ProjectCopy>,
}

impl<'a> Trial<'a> {
    /// A command in a box of the temporary project.
    pub(super) fn of(command: &'a [&'a str]) -> Self {
        Self { command, own_project: false, scratch_bytes: None, may_fence: false }
    }

    /// Builds the box, runs the command, and waits until all of it is gone.
    pub(super) fn run(self, ground: &mut Ground) -> Result<Said, Box<Fault>> {
        let said = self.attempt(ground);
        if let Err(fault) = &said
            && fault.exit_code == ExitCode::Interrupted
        {
            ground.interrupted = Some(fault.clone());
        }
        said
    }

    fn attempt(self, ground: &Ground) -> Result<Said, Box<Fault>> {
        let command: Vec<OsString> = self.command.iter().map(OsString::from).collect();
        let cgroups = plan::cgroups()?;
        let plan = plan::resolve_in(&cgroups, &command, self.layer(ground))?;
        let host = Host::current();
        let (net, tty, may_fence) = (plan.net.value, plan.terminal.tty.value, self.may_fence);
        let wiring = Wiring { net, tty, merge_output: true, stdin: false, may_fence };
        let place = Place::find(cgroups, &plan)?;
        let mut launcher = Launcher::start(wiring, || testbox_bundle::build(&plan, &host)).or_fault()?;
        let safeguard = Safeguard::new(place, &plan, None)?;
        let outline = launcher.outline(ground.signals.as_fd()).or_fault()?;
        let mut boxed = Boxed::new(safeguard, &plan)?;
        let fence = launcher.make_box(&boxed.launch(testbox_bundle::identity(&plan, &host))).or_fault()?;
        boxed.fenced = fence.is_some();
        let said = in_box(&plan, &outline, launcher, &boxed, ground)?;
        boxed.end()?.wait()?;
        Ok(said)
    }

    fn layer(self, ground: &Ground) -> Layer {
        let mut layer = Layer {
            allow_degraded: flags("allow-degraded", ground.lacking.iter().map(|wall| typed(WallName(*wall))).collect()),
            timeout: flag("timeout", Some(typed(TIMEOUT))),
            ..Layer::default()
        };
        if !self.own_project {
            let path: PathBuf = ground.project.path().to_owned();
            layer.cwd = flag("cwd", Some(typed(HostPath(path))));
            layer.no_project_file = flag("no-project-file", Some(typed(Switch(true))));
        }
        layer.tmp_size = flag("tmp-size", self.scratch_bytes.map(|bytes| typed(Auto::Value(Size::Bytes(bytes)))));
        layer
    }
}

fn typed<T>(value: T) -> Typed<T> {
    Typed::new(value, "of testbox doctor")
}

/// Launches and supervises; what the command prints goes to a file in memory.
fn in_box(
    plan: &RunPlan,
    outline: &Outline,
    launcher: Launcher,
    boxed: &Boxed,
    ground: &Ground,
) -> Result<Said, Box<Fault>> {
    let started = Instant::now();
    let mut running = launcher.start_command(outline, ground.signals.as_fd()).or_fault()?;
    let copy = running.copy.take().map(|made| made.copy);
    let fuse = running.fuse.take();
    let printed = rustix::fs::memfd_create("testbox-doctor", MemfdFlags::CLOEXEC).map_err(io_fault)?;
    let mut readback = None;
    let outcome = supervised(running, plan, boxed, ground, started, printed.as_fd(), &mut |event| {
        if let RunEvent::Started { readback: found } = event {
            readback = Some(found.clone());
        }
    })?;
    let by_fuse = fuse.map(|made| made.because);
    Ok(Said { by_fuse, copy, ..told(outcome, readback, std::fs::File::from(printed))? })
}

fn supervised(
    running: Running,
    plan: &RunPlan,
    boxed: &Boxed,
    ground: &Ground,
    started: Instant,
    printed: std::os::fd::BorrowedFd<'_>,
    sink: &mut dyn FnMut(&RunEvent),
) -> Result<Outcome, Box<Fault>> {
    let tmpfs = running.bounded.iter().map(|(_, fd)| fd.try_clone()).collect::<std::io::Result<_>>();
    let tmpfs = tmpfs.map_err(|error| fault::of(&error, None))?;
    let meter = GroupMeter::new(&boxed.group, &plan.limits, running.init_pid, tmpfs).or_fault()?;
    let (helper, helper_pidfd) = running.helper.unzip();
    let mut meter = meter.without(helper);
    let inputs = Inputs {
        init: running.init,
        end: running.end,
        helper: helper_pidfd,
        plugin: running.plugin,
        status: running.channel.into_fd(),
        streams: match running.streams {
            Streams::Pipes { stdin, stdout, stderr } => testbox_supervisor::Streams::Pipes { stdin, stdout, stderr },
            Streams::Pty { master } => testbox_supervisor::Streams::Pty { master, terminal: None },
        },
        host: HostStreams { stdin: None, stdout: printed, stderr: printed },
        filter: Box::new(Unfiltered),
        notice: None,
        meter: &mut meter,
        disks: running.bounded,
        started,
        signals: &ground.signals,
    };
    testbox_supervisor::supervise(inputs, plan, sink).or_fault()
}

/// What the box said, or the step of its set-up that failed.
fn told(outcome: Outcome, readback: Option<Readback>, mut printed: std::fs::File) -> Result<Said, Box<Fault>> {
    let evidence = outcome.evidence;
    if let Some(StopCause::Interrupted { .. }) = evidence.stop.map(|stop| stop.cause) {
        let fault = fault::plain("interrupted", "start `testbox doctor` again");
        return Err(Box::new(Fault { exit_code: ExitCode::Interrupted, ..*fault }));
    }
    if let PayloadEnd::SetupFailed { step, errno, detail } = evidence.payload {
        return Err(testbox_sandbox::SandboxError::Setup { step, errno, detail }).or_fault();
    }
    let mut output = Vec::new();
    printed.rewind().and_then(|()| printed.read_to_end(&mut output)).map_err(|error| fault::of(&error, None))?;
    Ok(Said {
        readback,
        payload: evidence.payload,
        output: String::from_utf8_lossy(&output).trim().to_owned(),
        disk: evidence.disk,
        by_fuse: None,
        copy: None,
    })
}

fn io_fault(errno: rustix::io::Errno) -> Box<Fault> {
    fault::of(&std::io::Error::from(errno), None)
}
