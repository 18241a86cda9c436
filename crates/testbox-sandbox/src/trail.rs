//! libcontainer tells the causes of its failures only as tracing events of whichever of its processes failed. The trail
//! collects the errors of all of them in one pipe, so that the launcher can put them into its message.

use std::fmt::{self, Write as _};
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Level, LevelFilter, Metadata, Subscriber};

/// The reading end.
#[derive(Debug)]
pub(crate) struct Trail(OwnedFd);

impl Trail {
    /// Starts to collect the errors of this process and of what it forks.
    pub(crate) fn start() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        tracing_core::dispatcher::set_global_default(Dispatch::new(Collector(writer))).map_err(io::Error::other)?;
        Ok(Self(reader))
    }

    /// What was collected, the innermost cause first, separated by `; `.
    pub(crate) fn read(&self) -> String {
        let mut buffer = vec![0u8; 8192];
        let length = rustix::io::read(&self.0, &mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..length]).lines().collect::<Vec<_>>().join("; ")
    }
}

struct Collector(OwnedFd);

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        line.0.push('\n');
        // A full pipe loses the rest: the innermost causes come first.
        let _ = rustix::io::write(&self.0, line.0.replace('\n', " ").trim_end().as_bytes());
        let _ = rustix::io::write(&self.0, b"\n");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}: {value:?}"),
        };
    }
}
