//! The report folder: `testbox.json`, `junit.xml`, `journal.jsonl` and `lock`, all or nothing.
//!
//! What a reader finds, whenever testbox is killed:
//! - `testbox.json` is always a whole report: the new one replaces the old one in one step, after it reached the disk. If
//!   the machine loses power in the seconds after, the old one may be back.
//! - `junit.xml` likewise; it is there only if the run of `testbox.json` was pytest's. Between the two steps a kill can
//!   leave the new `testbox.json` beside the old `junit.xml`, or none.
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

use testbox_model::{RunEvent, RunPlan, RunRecord, Verdict};

use crate::journal_lines::Introduction;
use crate::{json, junit};
pub use error::ReportError;
use folder::Folder;
use journal::Journal;

const REPORT: &str = "testbox.json";
const REPORT_NEW: &str = "testbox.json.new";
const JUNIT: &str = "junit.xml";
const JUNIT_NEW: &str = "junit.xml.new";

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
        folder.remove(JUNIT_NEW)?;
        let journal = Journal::begin(&folder)?;
        Ok(Self { folder, journal, _lock: lock })
    }

    /// Tells in the journal which run this is: the box, the project and the command. Once, before the first event.
    ///
    /// # Errors
    /// As [`ReportDir::journal`].
    pub fn introduce(&mut self, box_id: &str, plan: &RunPlan) -> Result<(), ReportError> {
        self.journal.append(&self.folder, &Introduction::of(box_id, plan))
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

    /// Writes `testbox.json`, and `junit.xml` for a run of pytest, and gives the journal its name if it has not got it
    /// yet.
    ///
    /// # Errors
    /// The disk is full, the file system became read-only, the folder was removed or replaced. The old reports are then
    /// as they were.
    pub fn write(&mut self, record: &RunRecord, verdict: &Verdict) -> Result<(), ReportError> {
        walk::check_place(&self.folder)?;
        let written = self.replace(record, verdict);
        if written.is_err() {
            // The first error is the one to tell; the next run removes what this cannot.
            drop(self.folder.remove(REPORT_NEW));
            drop(self.folder.remove(JUNIT_NEW));
        }
        written?;
        self.journal.publish(&self.folder)
    }

    /// Shows the new files only when all of them have reached the disk.
    fn replace(&self, record: &RunRecord, verdict: &Verdict) -> Result<(), ReportError> {
        let has_cases = junit::has_cases(record, verdict);
        self.folder.write_new(REPORT_NEW, |out, place| {
            json::write(record, verdict, out).map_err(|error| ReportError::of_json(error, place))
        })?;
        if has_cases {
            self.folder.write_new(JUNIT_NEW, |out, place| {
                junit::write(record, verdict, out)
                    .map_err(|source| ReportError::Write { path: place.to_owned(), source })
            })?;
        }
        self.folder.rename(REPORT_NEW, REPORT)?;
        if has_cases { self.folder.rename(JUNIT_NEW, JUNIT) } else { self.folder.remove(JUNIT) }
    }
}

impl Drop for ReportDir {
    fn drop(&mut self) {
        self.journal.abandon(&self.folder);
    }
}

#[cfg(test)]
mod tests;
