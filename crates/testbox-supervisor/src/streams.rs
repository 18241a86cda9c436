//! The command's streams: sources (its pipes or pty), outlets (the user's side), and the rules between them: bounded
//! queues, the output limit, the filter. Nothing here ever blocks.

mod budget;
mod input;
mod outlet;
mod sink;
mod source;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use testbox_model::{Bytes, OutputEvidence};

pub(crate) use input::Input;
pub(crate) use source::Source;

use crate::SupervisorError;
use crate::inputs::{HostStreams, OutputFilter, Stream};
use budget::Budget;
use outlet::Outlet;
use source::Pull;

/// Bytes taken from a source at once, and the most that an outlet queues before its source has to wait.
const PULL_BYTES: usize = 16 << 10;
const QUEUE_BYTES: usize = 64 << 10;

/// What the output side did in one step.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The command printed something.
    pub(crate) active: bool,
    /// The output limit was passed just now.
    pub(crate) limit_passed: bool,
    /// What the user must know.
    pub(crate) warning: Option<String>,
}

/// Both directions out: from the command's stdout and stderr to the user's.
pub(crate) struct Output<'a> {
    sources: Vec<Source>,
    outlets: [Outlet<'a>; 2],
    filter: Option<Box<dyn OutputFilter + 'a>>,
    budget: Budget,
    buffer: Vec<u8>,
    filtered: Vec<u8>,
    crlf: bool,
}

impl<'a> Output<'a> {
    /// `filter` is `None` for a raw copy; `crlf`: the user's terminal is raw, so testbox's own lines need returns.
    pub(crate) fn new(
        sources: Vec<Source>,
        host: &HostStreams<'a>,
        filter: Option<Box<dyn OutputFilter + 'a>>,
        limit: Bytes,
        crlf: bool,
    ) -> Result<Self, SupervisorError> {
        let outlets = [Outlet::new(Stream::Stdout, host.stdout)?, Outlet::new(Stream::Stderr, host.stderr)?];
        let buffer = vec![0; PULL_BYTES];
        Ok(Self { sources, outlets, filter, budget: Budget::new(limit), buffer, filtered: Vec::new(), crlf })
    }

    /// The sources that may be read now, to wait for.
    pub(crate) fn readable(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        self.sources.iter().filter(|source| self.outlets[source.stream().index()].has_room()).filter_map(|source| {
            let fd = source.fd_to_wait_for()?;
            Some((source.stream(), fd))
        })
    }

    /// The outlets with queued bytes, to wait for.
    pub(crate) fn writable(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        self.outlets.iter().filter(|outlet| outlet.queued() > 0).map(|outlet| (outlet.stream(), outlet.fd()))
    }

    /// Takes from a source what there is, once, and passes on what the user takes at once.
    pub(crate) fn pull(&mut self, stream: Stream, now: Instant) -> Progress {
        let mut progress = Progress::default();
        let Some(source) = self.sources.iter_mut().find(|source| source.stream() == stream) else { return progress };
        match source.pull(&mut self.buffer) {
            Pull::Nothing => return progress,
            Pull::End => self.finish_filter(stream),
            Pull::Bytes(length) => {
                progress.active = true;
                progress.limit_passed = self.pass_on(stream, length);
            }
        }
        progress.warning = self.push(stream, now);
        progress
    }

    /// Writes queued bytes as far as the user takes them.
    pub(crate) fn push(&mut self, stream: Stream, now: Instant) -> Option<String> {
        self.outlets[stream.index()].push(now)
    }

    /// Queues a line of testbox itself, behind what the command printed so far.
    pub(crate) fn notice(&mut self, text: &str, now: Instant) -> Option<String> {
        let text = if self.crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        let stream = self.notice_stream();
        let outlet = &mut self.outlets[stream.index()];
        outlet.start_line();
        outlet.queue(text.as_bytes());
        outlet.push(now)
    }

    /// The command waits for the user to take its output.
    pub(crate) fn is_blocked(&self) -> bool {
        self.outlets.iter().any(|outlet| outlet.queued() > 0)
    }

    /// At least one source is open.
    pub(crate) fn is_open(&self) -> bool {
        self.sources.iter().any(Source::is_open)
    }

    /// A pty without any open slave rests until the next call: more may be opened.
    pub(crate) fn wake(&mut self) {
        self.sources.iter_mut().for_each(Source::wake);
    }

    /// The box is dead: takes what is left, as far as the queues have room. A source that has nothing more is closed.
    pub(crate) fn drain(&mut self, now: Instant) -> Progress {
        let mut all = Progress::default();
        for stream in Stream::ALL {
            while self.may_drain(stream) {
                let progress = self.pull(stream, now);
                all.limit_passed |= progress.limit_passed;
                all.warning = all.warning.or(progress.warning);
            }
        }
        all
    }

    /// From now on a source that has nothing is at its end.
    pub(crate) fn box_is_dead(&mut self) {
        self.sources.iter_mut().for_each(Source::box_is_dead);
    }

    /// Everything was read and written.
    pub(crate) fn is_done(&self) -> bool {
        !self.is_open() && !self.is_blocked()
    }

    /// When the reader that is waited for longest took something last.
    pub(crate) fn last_progress(&self) -> Option<Instant> {
        self.outlets.iter().filter(|outlet| outlet.queued() > 0).map(Outlet::last_progress).min()
    }

    /// Drops what is queued or still to be read; says what for the user.
    pub(crate) fn abandon(&mut self) -> Vec<String> {
        self.sources.clear();
        self.outlets.iter_mut().filter_map(Outlet::abandon).collect()
    }

    pub(crate) fn evidence(&self) -> OutputEvidence {
        let dropped = self.outlets.iter().any(Outlet::has_dropped);
        OutputEvidence {
            bytes: self.budget.seen(),
            limit_bytes: Some(self.budget.limit()),
            truncated: self.budget.passed() || dropped,
        }
    }

    fn may_drain(&self, stream: Stream) -> bool {
        let open = self.sources.iter().any(|source| source.stream() == stream && source.is_open());
        open && self.outlets[stream.index()].has_room()
    }

    fn notice_stream(&self) -> Stream {
        if self.sources.len() == 1 { Stream::Stdout } else { Stream::Stderr }
    }

    /// Counts, cuts at the limit, filters and queues; true if the limit was passed just now.
    fn pass_on(&mut self, stream: Stream, length: usize) -> bool {
        let admitted = self.budget.admit(length);
        let bytes = &self.buffer[..admitted.bytes];
        self.filtered.clear();
        match &mut self.filter {
            Some(filter) => filter.feed(stream, bytes, &mut self.filtered),
            None => self.filtered.extend_from_slice(bytes),
        }
        self.outlets[stream.index()].queue(&self.filtered);
        admitted.passed_now
    }

    fn finish_filter(&mut self, stream: Stream) {
        if let Some(filter) = &mut self.filter {
            self.filtered.clear();
            filter.finish(stream, &mut self.filtered);
            self.outlets[stream.index()].queue(&self.filtered);
        }
    }
}
