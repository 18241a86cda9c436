//! `testbox run`: the main job, from typed flags to the exit code.

mod boxed;
mod demand;
mod fenced;
mod output;
mod walls;

use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use testbox_bundle::{Bundle, BundleError, Host, Outline};
use testbox_model::{ExitCode, Fault, ProjectView, RunEvent, RunPlan, RunRecord, Verdict, Wall, WallReport, judge};
use testbox_report::{ReportDir, ReportError, Terminal};
use testbox_sandbox::{CopyMade, Fence, FuseMade, Launcher, Running, Streams, Wiring, seal};
use testbox_supervisor::{
    Caps, GroupMeter, HostStreams, Inputs, Outcome as Supervised, RawTerminal, SavedTerminal, Signals, Written,
};

use crate::cli::RunArgs;
use crate::fault::{self, OrFault, Outcome};
use crate::{notes, plan, print};
use boxed::Ending;
pub(crate) use boxed::{Boxed, Place, Safeguard};
use output::{Filters, Notices};

/// Runs a command in a box.
pub(crate) fn run(args: &RunArgs) -> Outcome {
    seal::ensure().or_fault()?;
    let cgroups = plan::cgroups()?;
    let mut plan = plan::resolve_in(&cgroups, &args.command, args.layer())?;
    if args.dry_run {
        return describe(plan);
    }
    let signals = Signals::install().or_fault()?;
    let terminal = saved_terminal(&plan)?;
    let host = Host::current();
    let place = Place::find(cgroups, &plan)?;
    let mut launcher = Launcher::start(wiring(&plan), || bundle(&plan, &host)).or_fault()?;
    let safeguard = Safeguard::new(place, &plan, terminal.as_ref())?;
    let open_reports = || ReportDir::open(&plan.reports.dir.value, project_owner(&plan, &host)?).or_fault();
    // What is not there cannot be covered: a command that may write to the project must not find its place free.
    let early = plan.view.write.value.then(open_reports).transpose()?;
    // The groups are made while the launcher makes the bundle, and it goes on with the box at once.
    let boxed = Boxed::new(safeguard, &plan).and_then(|boxed| {
        let fence = launcher.make_box(&boxed.launch(testbox_bundle::identity(&plan, &host))).or_fault()?;
        Ok((boxed, fence))
    });
    // Its error comes first.
    let outline = launcher.outline(signals.as_fd()).or_fault()?;
    let (mut boxed, fence) = boxed?;
    boxed.fenced = fence.is_some();
    let reports = early.map_or_else(open_reports, Ok)?;
    if fence.is_some() {
        fenced::bound_files(&mut plan);
    }
    Run { plan: &plan, outline: &outline, fence }.go(launcher, boxed, signals, reports)
}

fn bundle(plan: &RunPlan, host: &Host) -> Result<Bundle, BundleError> {
    let mut bundle = testbox_bundle::build(plan, host)?;
    bundle.process.terminal_size = terminal_size();
    Ok(bundle)
}

fn wiring(plan: &RunPlan) -> Wiring {
    Wiring {
        net: plan.net.value,
        tty: plan.terminal.tty.value,
        merge_output: plan.reports.json_to_stdout.value || output::same_file(),
        stdin: !std::io::stdin().is_terminal(),
        may_fence: plan.allow_degraded.value.contains(&Wall::Namespaces),
    }
}

/// Whom reports belong to: as root, whoever owns the project, so that nothing of root's is left in a user's checkout.
fn project_owner(plan: &RunPlan, host: &Host) -> Result<Option<(u32, u32)>, Box<Fault>> {
    if host.euid != 0 {
        return Ok(None);
    }
    let stat = fs_err::metadata(&plan.project).map_err(|error| fault::of(&error, None))?;
    Ok((stat.uid() != 0).then_some((stat.uid(), stat.gid())))
}

fn describe(mut plan: RunPlan) -> Outcome {
    testbox_config::count_quota_files(&mut plan);
    let mut terminal = print::terminal(plan.terminal.color.value, plan.terminal.verbosity.value);
    notes::of_plan(&plan).into_iter().for_each(|text| terminal.on(&RunEvent::Warning { text }));
    if plan.reports.json_to_stdout.value {
        let text = serde_json::to_string_pretty(&plan).map_err(|error| fault::of(&error, None))?;
        return print::text(&format!("{text}\n"));
    }
    print::text(&testbox_config::describe(&plan))
}

/// The terminal's modes before the run, if the command gets a terminal of its own.
fn saved_terminal(plan: &RunPlan) -> Result<Option<SavedTerminal>, Box<Fault>> {
    let stdin = std::io::stdin();
    (plan.terminal.tty.value && stdin.is_terminal()).then(|| SavedTerminal::of(stdin.as_fd()).or_fault()).transpose()
}

/// Rows and columns of the user's terminal, so that the command never sees another size.
fn terminal_size() -> Option<(u16, u16)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdin()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// One run, everything resolved.
struct Run<'a> {
    plan: &'a RunPlan,
    outline: &'a Outline,
    /// What stands in place of namespaces, where there are none.
    fence: Option<Fence>,
}

/// A run whose box is gone.
struct Ended {
    outcome: Supervised,
    walls: Vec<WallReport>,
    view: ProjectView,
    box_id: String,
    carried_out: Vec<String>,
    warnings: Vec<String>,
    /// The groups go away while the reports are written.
    ending: Ending,
    /// Held back until the report is written: an impatient Ctrl-C does not lose it.
    signals: Signals,
}

impl Run<'_> {
    fn go(self, launcher: Launcher, boxed: Boxed, signals: Signals, mut reports: ReportDir) -> Outcome {
        let plan = self.plan;
        let mut terminal = print::terminal(plan.terminal.color.value, plan.terminal.verbosity.value);
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let ended = self.box_and_watch(launcher, boxed, signals, &mut reports, &mut terminal)?;
        let mut warnings = ended.outcome.warnings;
        warnings.extend(ended.warnings);
        let record = RunRecord {
            box_id: ended.box_id,
            started_at,
            duration_ms: ended.outcome.duration_ms,
            plan: plan.clone(),
            walls: ended.walls,
            view: ended.view,
            evidence: ended.outcome.evidence,
            timeline: ended.outcome.timeline,
            carried_out: ended.carried_out,
            warnings,
        };
        let verdict = judge(&record);
        let written = reports.write(&record, &verdict);
        let gone = ended.ending.wait();
        ended.signals.dismiss();
        let reported = report(&record, &verdict, written, &mut terminal)?;
        gone.map(|()| reported)
    }

    /// Builds the box, supervises it until all of it is gone, and carries its outputs out.
    fn box_and_watch(
        &self,
        launcher: Launcher,
        boxed: Boxed,
        signals: Signals,
        reports: &mut ReportDir,
        terminal: &mut Terminal,
    ) -> Result<Ended, Box<Fault>> {
        let plan = self.plan;
        reports.introduce(&boxed.id, plan).or_fault()?;
        let mut walls = walls::all(plan, self.outline, boxed.group.walls());
        if let Some(fence) = &self.fence {
            fenced::weaken(&mut walls, plan, fence);
            fenced::tell(&walls, reports).or_fault()?;
        }
        terminal.header(plan, &walls);
        self.notes(terminal);
        let started = Instant::now();
        let mut running = match launcher.start_command(self.outline, signals.as_fd()).or_fault() {
            Ok(running) => running,
            Err(fault) => {
                // The signal that cancelled the launch is told and not obeyed a second time.
                signals.dismiss();
                return Err(fault);
            }
        };
        let (upper, copy, mut fuse) = (running.upper.take(), running.copy.take(), running.fuse.take());
        // A copy takes its time, which is not the command's.
        let started = if copy.is_some() { Instant::now() } else { started };
        let (view, mut warnings) = self.view(copy.as_ref(), fuse.as_ref(), reports, terminal);
        let outcome = self.watch(running, &boxed, &signals, started, reports, terminal)?;
        warnings.extend(fuse.as_mut().filter(|_| !outcome.helper_lasted).and_then(FuseMade::failed));
        let marked = fuse.is_some();
        // It is in the groups, which are to be empty.
        drop(fuse);
        let box_id = boxed.id.clone();
        let ending = boxed.end()?;
        let carried_out = upper.map(|upper| self.carry_out(&upper, copy.as_ref(), marked)).transpose()?;
        let (carried_out, left_behind) = carried_out.unwrap_or_default();
        warnings.extend(left_behind);
        warnings.extend(self.planted());
        Ok(Ended { outcome, walls, view, box_id, carried_out, warnings, ending, signals })
    }

    /// How the box sees the project, and warnings about it. What nobody asked for is told before the run.
    fn view(
        &self,
        copy: Option<&CopyMade>,
        fuse: Option<&FuseMade>,
        reports: &mut ReportDir,
        terminal: &mut Terminal,
    ) -> (ProjectView, Vec<String>) {
        let (view, event, mut warnings) = match (copy, fuse) {
            (Some(CopyMade { copy, left_out, .. }), _) => {
                (ProjectView::Copy(copy.clone()), RunEvent::ProjectCopied { copy: copy.clone() }, left_out.clone())
            }
            (None, Some(FuseMade { because, .. })) => {
                let because = because.clone();
                (ProjectView::FuseOverlayfs { because: because.clone() }, RunEvent::ProjectByFuse { because }, vec![])
            }
            (None, None) => {
                let view = match (self.plan.view.write.value, &self.fence) {
                    (true, _) => ProjectView::Write,
                    (false, None) => ProjectView::Overlay,
                    (false, Some(_)) => ProjectView::ReadOnly,
                };
                return (view, Vec::new());
            }
        };
        if let Err(error) = reports.journal(&event) {
            warnings.push(format!("the journal is not complete: {error}"));
        }
        terminal.on(&event);
        (view, warnings)
    }

    /// What the user must know before the run although it does not hinder it.
    fn notes(&self, terminal: &mut Terminal) {
        let notes = notes::of(self.plan, self.outline.plugin);
        for text in notes.into_iter().chain(self.outline.notes.iter().cloned()) {
            terminal.on(&RunEvent::Warning { text });
        }
    }

    /// With `--write`: what the box made although the host would obey it next.
    fn planted(&self) -> impl Iterator<Item = String> {
        let planted = self.outline.must_stay_absent.iter().filter(|path| path.symlink_metadata().is_ok());
        planted.map(|path| format!("the box made `{}`, which the host obeys from now on: look at it", path.display()))
    }

    fn watch(
        &self,
        running: Running,
        boxed: &Boxed,
        signals: &Signals,
        started: Instant,
        reports: &mut ReportDir,
        terminal: &mut Terminal,
    ) -> Result<Supervised, Box<Fault>> {
        let plan = self.plan;
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let out = if plan.reports.json_to_stdout.value { stderr.as_fd() } else { stdout.as_fd() };
        let filters = Filters::new(plan.terminal.raw_output.value);
        let notices = Notices::new(print::style(plan.terminal.color.value, plan.terminal.verbosity.value));
        let tmpfs = running.bounded.iter().map(|(_, fd)| fd.try_clone()).collect::<std::io::Result<_>>();
        let tmpfs = tmpfs.map_err(|error| fault::of(&error, None))?;
        let meter = GroupMeter::new(&boxed.group, &plan.limits, running.init_pid, tmpfs).or_fault()?;
        let (helper, helper_pidfd) = running.helper.unzip();
        let mut meter = meter.with_alarms(boxed.alarms()).without(helper);
        let inputs = Inputs {
            init: running.init,
            end: running.end,
            helper: helper_pidfd,
            status: running.channel.into_fd(),
            plugin: running.plugin,
            streams: self.streams(running.streams)?,
            host: HostStreams { stdin: Some(stdin.as_fd()), stdout: out, stderr: stderr.as_fd() },
            filter: Box::new(filters.clone()),
            notice: Some(notices.into_notice()),
            meter: &mut meter,
            disks: running.bounded,
            started,
            signals,
        };
        let mut journal_failure: Option<ReportError> = None;
        let outcome = testbox_supervisor::supervise(inputs, plan, &mut |event| {
            if let Err(error) = reports.journal(event) {
                journal_failure.get_or_insert(error);
            }
        });
        filters.restore(terminal);
        let mut outcome = outcome.or_fault()?;
        if let Some(error) = journal_failure {
            outcome.warnings.push(format!("the journal is not complete: {error}"));
        }
        Ok(outcome)
    }

    fn streams(&self, streams: Streams) -> Result<testbox_supervisor::Streams, Box<Fault>> {
        Ok(match streams {
            Streams::Pipes { stdin, stdout, stderr } => testbox_supervisor::Streams::Pipes { stdin, stdout, stderr },
            Streams::Pty { master } => {
                let saved = saved_terminal(self.plan)?;
                let terminal = saved.map(RawTerminal::enter).transpose().or_fault()?;
                testbox_supervisor::Streams::Pty { master, terminal }
            }
        })
    }

    /// Declared outputs leave the layer that the dead box wrote.
    fn carry_out(
        &self,
        upper: &OwnedFd,
        copy: Option<&CopyMade>,
        marked: bool,
    ) -> Result<(Vec<String>, Vec<String>), Box<Fault>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let project = rustix::fs::open(&self.plan.project, flags, Mode::empty())
            .map_err(|errno| fault::of(&std::io::Error::from(errno), Some("the project's folder is gone".into())))?;
        let caps = Caps::of_bytes(self.plan.limits.tmp_bytes.value.0);
        let written = Written { root: upper.as_fd(), since: copy.map(|copy| copy.finished), marked };
        let carried = testbox_supervisor::carry_out(written, project.as_fd(), &self.plan.view.outputs.value, caps);
        Ok((carried.copied, carried.warnings))
    }
}

/// Tells the verdict everywhere. A report that cannot be written is testbox's fault, and the results go to stdout.
fn report(record: &RunRecord, verdict: &Verdict, written: Result<(), ReportError>, terminal: &mut Terminal) -> Outcome {
    let plan = &record.plan;
    let path = shown(&plan.project, &plan.reports.dir.value);
    terminal.verdict(record, verdict, written.is_ok().then_some(path.as_path()));
    if plan.reports.json_to_stdout.value || written.is_err() {
        print::with(|out| testbox_report::write_json(record, verdict, out))?;
    }
    match written {
        Ok(()) => Ok(verdict.exit_code.number()),
        Err(error) => Err(Box::new(Fault { exit_code: ExitCode::Fault, ..*fault::of(&error, error.hint()) })),
    }
}

/// The report's path as short as it can be said.
fn shown(project: &Path, dir: &Path) -> std::path::PathBuf {
    dir.strip_prefix(project).unwrap_or(dir).join("testbox.json")
}
