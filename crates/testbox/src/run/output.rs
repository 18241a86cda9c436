//! The command's output on its way to the user: filtered, and with testbox's own lines between.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::rc::Rc;

use testbox_model::RunEvent;
use testbox_report::{Leftover, OutputFilter, Style, Terminal};
use testbox_supervisor::{Notice, Stream};

/// Whether stdout and stderr are the same open file, so that the order of both streams can be seen.
pub(super) fn same_file() -> bool {
    let identity = |fd: std::os::fd::BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    let (stdout, stderr) = (io::stdout(), io::stderr());
    identity(stdout.as_fd()).is_some_and(|out| identity(stderr.as_fd()) == Some(out))
}

/// The filter of both streams, and what they left behind at their end.
#[derive(Clone)]
pub(super) struct Filters {
    raw: bool,
    filters: Rc<RefCell<[OutputFilter; 2]>>,
    left: Rc<RefCell<Vec<Leftover>>>,
}

impl Filters {
    pub(super) fn new(raw: bool) -> Self {
        let filters = Rc::new(RefCell::new([OutputFilter::new(), OutputFilter::new()]));
        Self { raw, filters, left: Rc::default() }
    }

    /// Ends an unfinished line and resets colours, so that the verdict is readable.
    pub(super) fn restore(&self, terminal: &mut Terminal) {
        for leftover in self.left.borrow_mut().drain(..) {
            terminal.restore(leftover);
        }
    }
}

impl testbox_supervisor::OutputFilter for Filters {
    fn feed(&mut self, stream: Stream, bytes: &[u8], out: &mut Vec<u8>) {
        if self.raw {
            out.extend_from_slice(bytes);
        } else {
            self.filters.borrow_mut()[index(stream)].push(bytes, out);
        }
    }

    fn finish(&mut self, stream: Stream, out: &mut Vec<u8>) {
        let leftover = self.filters.borrow_mut()[index(stream)].finish(out);
        self.left.borrow_mut().push(leftover);
    }
}

fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}

/// testbox's own lines while the run goes on, as text for the supervisor to queue.
pub(super) struct Notices {
    terminal: Terminal,
    text: Buffer,
}

impl Notices {
    pub(super) fn new(style: Style) -> Self {
        let text = Buffer::default();
        Self { terminal: Terminal::new(Box::new(text.clone()), style), text }
    }

    pub(super) fn into_notice(mut self) -> Notice<'static> {
        Box::new(move |event: &RunEvent| {
            self.terminal.on(event);
            let bytes = std::mem::take(&mut *self.text.0.borrow_mut());
            (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
        })
    }
}

#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
