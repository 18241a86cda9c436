//! The report folder: `testbox.json`, `journal.jsonl` and `lock`, all or nothing.
//!
//! What a reader finds, whenever testbox is killed:
//! - `testbox.json` is always a whole report: the new one replaces the old one in one step, after it reached the disk.
//! - `journal.jsonl` is the old run's until the new box stands (its `started` event), then the new run's, up to the last
//!   event before the kill. Its first line tells pid and start of the run that wrote it; a last line without a newline
//!   is to be ignored. A start that fails leaves the old journal untouched.
//! - `lock` is held (flock) as long as the run lives; it names the run's pid.
//!
//! The folder may lie in a project that others can write to, and testbox may be root: every file is reached through the
//! folder's descriptor, never through a link, and a file with a second name is never written to.

mod error;
mod folder;
mod journal;
mod lock;
mod walk;

use std::os::fd::OwnedFd;
use std::path::Path;

use testbox_model::{RunEvent, RunRecord, Verdict};

use crate::json::json_text;
pub use error::ReportError;
use folder::Folder;
use journal::Journal;

const REPORT: &str = "testbox.json";
const REPORT_NEW: &str = "testbox.json.new";

/// The report folder of one run, locked against others.
///
/// Processes forked from this one share its lock, which ends with the last of them.
#[derive(Debug)]
pub struct ReportDir {
    folder: Folder,
    journal: Journal,
    _lock: OwnedFd,
}

impl ReportDir {
    /// Opens the folder, creates what is missing of its path, locks it and begins the journal. Everything created is
    /// given to `owner` (user, group), which only root may ask for. Nothing of an older report is touched.
    ///
    /// # Errors
    /// Each step has its own; among them a link or a plain file in the place of one of the last two folders, another
    /// run that holds the lock, and a folder that cannot be written to.
    pub fn open(dir: &Path, owner: Option<(u32, u32)>) -> Result<Self, ReportError> {
        let folder = walk::open(dir, owner)?;
        let lock = lock::take(&folder)?;
        folder.remove(REPORT_NEW)?;
        let journal = Journal::begin(&folder)?;
        Ok(Self { folder, journal, _lock: lock })
    }

    /// Adds an event to the journal. After an error the journal ends with the last whole event.
    ///
    /// # Errors
    /// The disk is full, for example; later events may still find room.
    pub fn journal(&mut self, event: &RunEvent) -> Result<(), ReportError> {
        self.journal.append(&self.folder, event)?;
        match event {
            RunEvent::Started { .. } => self.journal.publish(&self.folder),
            _ => Ok(()),
        }
    }

    /// Writes `testbox.json` and gives the journal its name if it has not got it yet.
    ///
    /// # Errors
    /// The disk is full, the file system became read-only, the folder was removed or replaced. The old report is then
    /// as it was.
    pub fn write(&mut self, record: &RunRecord, verdict: &Verdict) -> Result<(), ReportError> {
        let text = json_text(record, verdict).map_err(ReportError::Encode)?;
        walk::check_place(&self.folder)?;
        self.folder.replace(REPORT, REPORT_NEW, text.as_bytes())?;
        self.journal.publish(&self.folder)?;
        self.folder.sync()
    }
}

impl Drop for ReportDir {
    fn drop(&mut self) {
        self.journal.abandon(&self.folder);
    }
}

#[cfg(test)]
mod tests;
