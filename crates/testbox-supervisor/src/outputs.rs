//! Brings declared outputs out of the dead box: from the layer that it wrote, the overlay's upper one or the copy of the
//! project, into the project.
//!
//! That layer is hostile: it is walked by directory descriptors only, no link is followed, nothing but regular
//! files with one link is opened, and files, bytes, depth and entries are capped. The project may hold planted links:
//! it is entered by descriptors as well, component by component, and a file appears there whole or not at all.
//! Nothing is ever carried into a `.git` folder, where it could become a hook, and no settings of testbox itself.

mod place;
mod walk;

use std::os::fd::BorrowedFd;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use testbox_model::Moment;

use place::Project;
use walk::Walk;

/// Bounds of what is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Files.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// What was carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarryOut {
    /// The files, relative to the project, in order of their names.
    pub copied: Vec<String>,
    /// What was left behind, and why; at most 20, the last says how many more.
    pub warnings: Vec<String>,
}

impl Caps {
    /// 10,000 files of `bytes` bytes together.
    pub fn of_bytes(bytes: u64) -> Self {
        Self { files: 10_000, bytes }
    }
}

/// The layer that a box wrote.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    /// Its root.
    pub root: BorrowedFd<'a>,
    /// When the copy of the project stood that it began as; what was not changed since then is not the box's.
    pub since: Option<Moment>,
    /// fuse-overlayfs made it: files whose names begin with `.wh.` are its marks, and no box can make such a name.
    pub marked: bool,
}

/// Carries out of a layer what matches `globs` into `project` (its root).
///
/// To be called when the box is dead. Globs are relative to the project; `*` does not cross a `/`, `**` does, and the
/// name of a folder stands for all that is in it. Files get the owner of the folder they come into.
pub fn carry_out(written: Written<'_>, project: BorrowedFd<'_>, globs: &[String], caps: Caps) -> CarryOut {
    let mut log = Log::default();
    if walk::is_empty(written.root) {
        return log.finish();
    }
    let globs = compile(globs, &mut log);
    if !globs.is_empty() {
        let project = Project::new(project);
        Walk::new(&globs, &project, caps, &mut log).run(written);
    }
    log.finish()
}

fn compile(globs: &[String], log: &mut Log) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let stem = glob.strip_prefix("./").unwrap_or(glob).trim_end_matches('/');
        for pattern in [stem.to_owned(), format!("{stem}/**")] {
            match GlobBuilder::new(&pattern).literal_separator(true).build() {
                Ok(glob) => _ = set.add(glob),
                Err(error) => log.warn(format!("`{glob}` is not a glob: {}", error.kind())),
            }
        }
    }
    set.build().unwrap_or_else(|error| {
        log.warn(format!("the globs are too large together: {}", error.kind()));
        GlobSet::empty()
    })
}

/// What is told about a walk, bounded.
#[derive(Default)]
struct Log {
    copied: Vec<String>,
    warnings: Vec<String>,
    more: u64,
}

impl Log {
    const WARNINGS: usize = 19;

    fn warn(&mut self, text: String) {
        match self.warnings.len() < Self::WARNINGS {
            _ if self.warnings.contains(&text) => {}
            true => self.warnings.push(text),
            false => self.more += 1,
        }
    }

    fn finish(mut self) -> CarryOut {
        if self.more > 0 {
            self.warnings.push(format!("{} more were left behind", self.more));
        }
        self.copied.sort_unstable();
        CarryOut { copied: self.copied, warnings: self.warnings }
    }
}

#[cfg(test)]
mod tests;
