//! `supervise`: one single-threaded loop that waits for descriptors and deadlines, and does nothing that blocks.
//!
//! A run goes through four phases. *Running*: until the command ended, init died, or a stop became a kill.
//! *Lingering*: only if processes were left behind; their output is waited for a moment. *Dying*: SIGKILL went to init (where
//! there are no namespaces: its order to sweep),
//! and the kernel ends its pid namespace. *Flushing*: the box is dead; what lies in pipes and queues goes to the user.
//! Output streams in every phase; stops and kills never wait for it.

mod ending;
mod react;
mod wait;

use std::path::Path;
use std::time::Instant;

use testbox_model::{PayloadEnd, ProcessUse, Readback, RunEvent, RunPlan};

use crate::disks::Disks;
use crate::events::Events;
use crate::init::Init;
use crate::inputs::{HostStreams, Inputs, Outcome, OutputFilter, Stream, Streams};
use crate::pty::Screen;
use crate::sampler::Sampler;
use crate::scan::ProcessTable;
use crate::status::Status;
use crate::stop::Stopper;
use crate::streams::{Input, Output, Source};
use crate::timers::{Pace, Timers};
use crate::witness::Witness;
use crate::{Signals, SupervisorError};

/// Supervises a box that was launched, until all of it is gone and its output is passed on.
///
/// Init is killed by its pidfd and reaped in every case, also when this returns an error. A kill lands no later than
/// limit plus grace, whatever the command and the readers of its output do. `sink` gets every event when it happens; it
/// must not block. SIGPIPE must be ignored (as Rust's runtime does).
///
/// # Errors
/// The supervisor's own descriptors or the final counters fail; nothing is said about the command then.
pub fn supervise(
    inputs: Inputs<'_>,
    plan: &RunPlan,
    sink: &mut dyn FnMut(&RunEvent),
) -> Result<Outcome, SupervisorError> {
    supervise_at(Pace::default(), inputs, plan, sink)
}

/// [`supervise`] with other spans of time.
pub(crate) fn supervise_at(
    pace: Pace,
    inputs: Inputs<'_>,
    plan: &RunPlan,
    sink: &mut dyn FnMut(&RunEvent),
) -> Result<Outcome, SupervisorError> {
    Supervisor::new(pace, inputs, plan, sink)?.run()
}

struct Supervisor<'a, 's> {
    // Dropped first: an error anywhere kills the box before anything else.
    init: Init,
    status: Status,
    witness: Witness,
    output: Output<'a>,
    input: Input<'a>,
    screen: Option<Screen>,
    signals: &'a Signals,
    sampler: Sampler<'a>,
    events: Events<'a, 's>,
    timers: Timers,
    stopper: Stopper,
    pace: Pace,
    phase: Phase,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Lingering { quiet_since: Instant, until: Instant },
    Dying { give_up: Instant },
    Flushing { since: Instant },
    Over,
}

/// What the status socket and the processes said.
#[derive(Default)]
struct Found {
    payload: Option<PayloadEnd>,
    readback: Option<Readback>,
    left_behind: Vec<ProcessUse>,
}

/// The pumps of both directions.
struct Pumps<'a> {
    output: Output<'a>,
    input: Input<'a>,
    screen: Option<Screen>,
}

impl<'a, 's> Supervisor<'a, 's> {
    fn new(
        pace: Pace,
        inputs: Inputs<'a>,
        plan: &RunPlan,
        sink: &'s mut dyn FnMut(&RunEvent),
    ) -> Result<Self, SupervisorError> {
        let init = Init::new(inputs.init, inputs.end, inputs.helper);
        let Pumps { output, input, screen } = pumps(inputs.streams, inputs.host, inputs.filter, plan)?;
        let table = ProcessTable::new(Path::new("/proc"));
        Ok(Self {
            init,
            status: Status::new(inputs.status),
            witness: Witness::new(inputs.plugin, plan, inputs.started),
            output,
            input,
            screen,
            signals: inputs.signals,
            sampler: Sampler::new(inputs.meter, plan, Disks::new(inputs.disks), table),
            events: Events::new(sink, inputs.notice),
            timers: Timers::new(inputs.started, &plan.times, Instant::now()),
            stopper: Stopper::new(plan.times.grace.value.into()),
            pace,
            phase: Phase::Running,
            found: Found::default(),
        })
    }

    fn run(mut self) -> Result<Outcome, SupervisorError> {
        if let Some(screen) = &self.screen {
            screen.fit();
        }
        while self.phase != Phase::Over {
            for ready in self.wait()? {
                self.react(ready)?;
            }
            self.on_time(Instant::now());
            self.tell();
        }
        self.outcome()
    }

    /// Queues testbox's own lines between the command's output.
    fn tell(&mut self) {
        let text = self.events.take_notices();
        if !text.is_empty() {
            let warning = self.output.notice(&text, Instant::now());
            self.warn(warning);
        }
    }

    fn at_ms(&self, now: Instant) -> u64 {
        self.timers.at_ms(now)
    }
}

fn pumps<'a>(
    streams: Streams,
    host: HostStreams<'a>,
    filter: Box<dyn OutputFilter + 'a>,
    plan: &RunPlan,
) -> Result<Pumps<'a>, SupervisorError> {
    let limit = plan.limits.output_bytes.value;
    match streams {
        Streams::Pipes { stdin, stdout, stderr } => {
            let mut sources = vec![Source::pipe(Stream::Stdout, stdout)?];
            if let Some(stderr) = stderr {
                sources.push(Source::pipe(Stream::Stderr, stderr)?);
            }
            let output = Output::new(sources, &host, Some(filter), limit, false)?;
            Ok(Pumps { output, input: Input::pipe(host.stdin, stdin)?, screen: None })
        }
        Streams::Pty { master, terminal } => {
            let copy = || {
                master.try_clone().map_err(|source| SupervisorError::Prepare {
                    operation: "make a copy",
                    object: "the pty's master",
                    source,
                })
            };
            let (for_input, for_size, crlf) = (copy()?, copy()?, terminal.is_some());
            let output = Output::new(vec![Source::pty(master)?], &host, None, limit, crlf)?;
            let screen = terminal.map(|terminal| Screen::new(terminal, for_size));
            Ok(Pumps { output, input: Input::pty(host.stdin, for_input)?, screen })
        }
    }
}
