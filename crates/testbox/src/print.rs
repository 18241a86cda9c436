//! The two streams: stdout for data that was asked for, stderr for everything else.

use std::io::{self, IsTerminal, Write};

use testbox_model::Fault;
use testbox_report::{Style, Terminal};

use crate::fault::{self, Outcome};

/// Prints a text to stdout. A reader that went away is no failure: it had enough.
pub(crate) fn text(text: &str) -> Outcome {
    with(|out| out.write_all(text.as_bytes()))
}

/// Prints to stdout what `write` writes.
pub(crate) fn with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(fault::of(&Stdout(error), None)),
        _ => Ok(0),
    }
}

/// Tells something beside the data on stderr, if there is something to tell.
pub(crate) fn note(text: &str) -> Outcome {
    // Where nobody reads stderr, the data is still whole.
    drop(io::stderr().write_all(text.as_bytes()));
    Ok(0)
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout")]
struct Stdout(#[source] io::Error);

/// Tells on stderr what testbox could not do; returns the exit code.
pub(crate) fn fault(fault: &Fault) -> u8 {
    terminal(true, 0).fault(fault);
    fault.exit_code.number()
}

/// The report on stderr.
pub(crate) fn terminal(color: bool, verbosity: i8) -> Terminal {
    Terminal::new(Box::new(io::stderr()), style(color, verbosity))
}

/// How lines on stderr look.
pub(crate) fn style(color: bool, verbosity: i8) -> Style {
    Style { color: color_allowed(color, io::stderr().is_terminal()), verbosity, width: 0 }
}

/// Whether colours may be used on a stream: the plan allows them, it is a terminal, and `NO_COLOR` is not set.
pub(crate) fn color_allowed(plan_allows: bool, is_terminal: bool) -> bool {
    Style::color_allowed(plan_allows, is_terminal, std::env::var_os("NO_COLOR").as_deref())
}
