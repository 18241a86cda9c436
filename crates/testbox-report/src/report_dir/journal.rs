//! The journal: one JSON object a line, each line one write, so that a kill loses no event that was told.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use testbox_model::SCHEMA_VERSION;

use super::ReportError;
use super::folder::Folder;
use crate::json::one_line;

const JOURNAL: &str = "journal.jsonl";
const JOURNAL_NEW: &str = "journal.jsonl.new";

/// The journal of this run.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Where the last whole line ends.
    length: u64,
    /// It has its final name.
    published: bool,
    /// The process that began it; a forked one must not remove it.
    pid: u32,
}

/// The first line: whose journal this is.
#[derive(Serialize)]
struct Begin {
    event: &'static str,
    schema_version: u32,
    testbox_version: &'static str,
    pid: u32,
    started_at: u64,
}

impl Journal {
    /// Begins the journal under a name of its own: the old one stays until [`Journal::publish`].
    pub(super) fn begin(folder: &Folder) -> Result<Self, ReportError> {
        let pid = std::process::id();
        let mut journal = Self { file: folder.create(JOURNAL_NEW)?, length: 0, published: false, pid };
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let testbox_version = env!("CARGO_PKG_VERSION");
        let begin = Begin { event: "begin", schema_version: SCHEMA_VERSION, testbox_version, pid, started_at };
        let begun = journal.append(folder, &begin);
        begun.inspect_err(|_| journal.abandon(folder))?;
        Ok(journal)
    }

    /// Adds one line; on an error the journal is cut back to the last whole one.
    pub(super) fn append(&mut self, folder: &Folder, entry: &impl Serialize) -> Result<(), ReportError> {
        let line = one_line(entry).map_err(ReportError::Encode)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        if written.is_ok() {
            self.length += line.len() as u64;
            return Ok(());
        }
        self.cut_back().and(written).map_err(|source| ReportError::Write { path: folder.place(self.name()), source })
    }

    /// Puts the journal in the place of the old one.
    pub(super) fn publish(&mut self, folder: &Folder) -> Result<(), ReportError> {
        if !self.published {
            folder.rename(JOURNAL_NEW, JOURNAL)?;
            self.published = true;
        }
        Ok(())
    }

    /// Removes a journal that was never published; the next run removes what this cannot.
    pub(super) fn abandon(&self, folder: &Folder) {
        if !self.published && self.pid == std::process::id() {
            drop(folder.remove(JOURNAL_NEW));
        }
    }

    fn cut_back(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }

    fn name(&self) -> &'static str {
        if self.published { JOURNAL } else { JOURNAL_NEW }
    }
}
