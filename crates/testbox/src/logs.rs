//! `testbox logs`: the journal of a run, for people: of one that goes on, or of the last one of this project.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use testbox_config::Layer;
use testbox_model::Fault;

use crate::boxes::{self, Owner, choose};
use crate::cli::LogsArgs;
use crate::fault::{self, Outcome};
use crate::{plan, print};

/// Longest line that is read as one; no event of testbox is as long.
const LINE_BYTES: usize = 4 << 20;
/// How often a journal is looked at that may grow.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints the journal.
pub(crate) fn logs(args: &LogsArgs) -> Outcome {
    let (file, owner) = match &args.id {
        Some(id) => running(id)?,
        None => (last()?, None),
    };
    let mut journal = Lines { file: BufReader::new(file), rest: Vec::new() };
    loop {
        // Asked before the reading: what was written before an end is read.
        let goes_on = args.follow && owner.as_ref().is_some_and(|owner| !owner.has_ended(PAUSE));
        let mut gone = false;
        print::with(|out| {
            let written = journal.copy(out);
            gone = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
            written
        })?;
        if !goes_on || gone {
            return Ok(0);
        }
    }
}

/// The journal that the testbox of a box holds open.
fn running(typed: &str) -> Result<(File, Option<Owner>), Box<Fault>> {
    let boxes = boxes::all()?.own;
    let seen = choose(&boxes, typed)?;
    let fix = "`testbox logs --last` in its project prints the journal of the last run there";
    let no_journal = || fault::plain(format!("no journal of `{}` can be read", seen.short_id()), fix);
    let owner = seen.owner().ok_or_else(no_journal)?;
    Ok((owner.journal().ok_or_else(no_journal)?, Some(owner)))
}

/// The journal in the report folder of the project that the caller stands in.
fn last() -> Result<File, Box<Fault>> {
    let plan = plan::resolve(&["true".into()], Layer::default())?;
    let path = plan.reports.dir.value.join("journal.jsonl");
    open_plain(&path).map_err(|error| {
        fault::of(&LastJournal { path, source: error }, Some("start `testbox run` in this project first".to_owned()))
    })
}

/// Never through a link, and nothing but a plain file.
fn open_plain(path: &std::path::Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(File::from(fd)),
        kind => Err(io::Error::other(format!("it is a {kind:?} and no plain file"))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot open the journal of the last run, `{}`", path.display())]
struct LastJournal {
    path: PathBuf,
    source: io::Error,
}

/// The lines of a journal that may still grow.
struct Lines<R> {
    file: R,
    /// A line whose end is not there yet.
    rest: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Writes every whole line that is there now. A last line without an end is of a run that was killed.
    fn copy(&mut self, out: &mut dyn Write) -> io::Result<()> {
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let (piece, whole) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (buffer.len(), false),
            };
            let room = LINE_BYTES.saturating_sub(self.rest.len());
            self.rest.extend_from_slice(&buffer[..piece.min(room)]);
            self.file.consume(piece);
            if whole {
                let line = String::from_utf8_lossy(&self.rest);
                writeln!(out, "{}", testbox_report::journal_line(line.trim_end_matches('\n')))?;
                self.rest.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(text: &[u8]) -> String {
        let mut lines = Lines { file: BufReader::with_capacity(7, text), rest: Vec::new() };
        let mut out = Vec::new();
        lines.copy(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn whole_lines_are_told_and_a_torn_one_is_not() {
        let text = copied(b"{\"event\":\"killing\",\"at_ms\":7}\n{\"event\":\"ki");
        assert_eq!(text, "      7 ms  killing\n");
    }

    #[test]
    fn an_endless_line_takes_no_memory_and_the_next_one_is_read() {
        let mut text = vec![b'x'; LINE_BYTES * 2];
        text.extend_from_slice(b"\n\xff\n");
        let shown = copied(&text);
        assert_eq!(shown.lines().count(), 2);
        assert!(shown.len() < 1000 && shown.lines().all(|line| line.contains("unreadable")), "{shown}");
    }

    #[test]
    fn a_link_is_not_followed_and_a_fifo_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("journal.jsonl");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(open_plain(&link).is_err());
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open_plain(&fifo).is_err() && open_plain(dir.path()).is_err());
    }
}
