//! What the user reads on stderr: a header before the run, a few lines while it goes on, one block at its end.
//!
//! Every text that originates in the box or the project is spelled out in one line, so that no command line or file
//! name can move the cursor, forge a line or give a command to a CI service.

mod collection;
mod fault;
mod header;
mod kills;
mod live;
mod memories;
mod paint;
mod row;
mod settings;
mod usage;
mod verdict;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use testbox_model::{Fault, RunEvent, RunPlan, RunRecord, Verdict, VerdictKind, WallReport};

use crate::Leftover;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Colours may be used; no meaning is ever only in a colour.
    pub color: bool,
    /// -1 and less: only a verdict that is not `passed`; 0: normal; 1 and more: origins, mechanisms, timeline.
    pub verbosity: i8,
    /// Columns after which lists are wrapped; 0 = never.
    pub width: u16,
}

/// The report on the terminal. One write for each message, so that lines of others do not come between.
///
/// A terminal that is gone must not end a run or lose its report: after the first failed write nothing more is written,
/// and [`Terminal::write_error`] tells why.
pub struct Terminal {
    out: Box<dyn Write>,
    style: Style,
    write_error: Option<io::Error>,
    oom_told: bool,
    stall_told: bool,
}

impl Style {
    /// Whether colours may be used: the plan allows them, the stream is a terminal, and `NO_COLOR` (its value, if it is
    /// set) is not set or empty.
    pub fn color_allowed(plan_allows: bool, is_terminal: bool, no_color: Option<&OsStr>) -> bool {
        plan_allows && is_terminal && no_color.is_none_or(OsStr::is_empty)
    }

    fn quiet(self) -> bool {
        self.verbosity < 0
    }

    fn verbose(self) -> bool {
        self.verbosity > 0
    }
}

impl Terminal {
    /// A report to `out`, which is stderr in an ordinary run.
    pub fn new(out: Box<dyn Write>, style: Style) -> Self {
        Self { out, style, write_error: None, oom_told: false, stall_told: false }
    }

    /// Before the run: limits, walls, and what of them is weaker than promised. Nothing if quiet.
    pub fn header(&mut self, plan: &RunPlan, walls: &[WallReport]) {
        if !self.style.quiet() {
            self.write(&header::text(plan, walls, self.style));
        }
    }

    /// While the run goes on. Nothing if quiet.
    pub fn on(&mut self, event: &RunEvent) {
        let told = match event {
            RunEvent::OomKill { .. } => Some(&mut self.oom_told),
            RunEvent::Stalled { .. } => Some(&mut self.stall_told),
            _ => None,
        };
        let repeated = told.is_some_and(|told| std::mem::replace(told, true));
        if !self.style.quiet() && (!repeated || self.style.verbose()) {
            self.write(&live::text(event, self.style));
        }
    }

    /// After the command's output: ends its last line and resets its colours, so that what follows is readable.
    /// For the streams that show on the same terminal as this report.
    pub fn restore(&mut self, leftover: Leftover) {
        let reset = if leftover.styled { "\x1b[0m" } else { "" };
        let newline = if leftover.mid_line { "\n" } else { "" };
        self.write(&format!("{reset}{newline}"));
    }

    /// The block at the end of a run. If quiet, only its warnings where it passed.
    pub fn verdict(&mut self, record: &RunRecord, verdict: &Verdict, report: Option<&Path>) {
        if !self.style.quiet() || verdict.kind != VerdictKind::Passed {
            self.write(&verdict::text(record, verdict, report, self.style));
            return;
        }
        for warning in verdict::warnings(record, self.style) {
            self.write(&format!("testbox: {warning}\n"));
        }
    }

    /// Something that testbox could not do.
    pub fn fault(&mut self, fault: &Fault) {
        self.write(&fault::text(fault, self.style));
    }

    /// Why the report on the terminal is not complete, if it is not.
    pub fn write_error(&self) -> Option<&io::Error> {
        self.write_error.as_ref()
    }

    fn write(&mut self, text: &str) {
        if self.write_error.is_none() && !text.is_empty() {
            self.write_error = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).err();
        }
    }
}

#[cfg(test)]
mod tests;
