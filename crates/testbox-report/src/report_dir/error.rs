//! What can go wrong with the report folder, one variant a step.

use std::io;
use std::path::{Path, PathBuf};

/// Why a report cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The path ends in no name: `/`, or nothing at all.
    #[error("cannot use `{}` as the report folder: it must have a name", path.display())]
    NoName {
        /// The folder as given.
        path: PathBuf,
    },
    /// One of the last two folders is a symbolic link.
    #[error("cannot use the report folder: `{}` is a symbolic link", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A part of the path is no folder.
    #[error("cannot use the report folder: `{}` is not a folder", path.display())]
    NotAFolder {
        /// The file in its place.
        path: PathBuf,
    },
    /// A folder cannot be opened.
    #[error("cannot open the folder `{}`", path.display())]
    OpenFolder {
        /// The folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A folder cannot be created.
    #[error("cannot create the folder `{}`", path.display())]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A new file or folder cannot be given to the user.
    #[error("cannot give `{}` to user {uid}, group {gid}", path.display())]
    Own {
        /// The file or folder.
        path: PathBuf,
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A file cannot be created.
    #[error("cannot create `{}`", path.display())]
    CreateFile {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A file that is there already cannot be opened.
    #[error("cannot open `{}` for writing", path.display())]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// What should be testbox's own file is a link, a pipe, a device, or has a second name.
    #[error("cannot use `{}`: it is not a plain file with one name", path.display())]
    Planted {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// What was written does not reach the disk.
    #[error("cannot bring `{}` to the disk (fsync)", path.display())]
    Sync {
        /// The file or folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A complete new file cannot get its name.
    #[error("cannot rename `{}` to `{to}`", from.display())]
    Rename {
        /// The new file.
        from: PathBuf,
        /// Its name, in the same folder.
        to: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// What a killed run left cannot be removed.
    #[error("cannot remove the leftover `{}`", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The lock cannot be taken, for another reason than another run.
    #[error("cannot lock `{}`", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Another run holds the lock.
    #[error("another testbox run{} uses the report folder `{}`", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// The other run, as its lock file says.
        pid: Option<u32>,
    },
    /// The folder is no longer where it was.
    #[error("the report folder `{}` was removed or replaced during the run", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// The report cannot be told in JSON: a fault of testbox.
    #[error("cannot write the report as JSON")]
    Encode(#[source] serde_json::Error),
}

impl ReportError {
    /// The exact fix, where there is one.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Busy { .. } => "wait until it has ended, or give this run its own folder with `--report-dir DIR`",
            Self::NoName { .. } => "give a folder with a name: `--report-dir DIR`",
            Self::Link { .. } | Self::NotAFolder { .. } | Self::Planted { .. } => {
                "remove it, or put the report elsewhere with `--report-dir DIR`"
            }
            Self::Gone { .. } => "put the report where the command cannot reach it, with `--report-dir DIR`",
            Self::Encode(_) => "this is a fault of testbox; please report it",
            _ => hint_by_cause(self.cause()?.kind()),
        };
        Some(hint.to_owned())
    }

    /// What writing JSON to the file at `place` ended with.
    pub(super) fn of_json(error: serde_json::Error, place: &Path) -> Self {
        if error.is_io() { Self::Write { path: place.to_owned(), source: error.into() } } else { Self::Encode(error) }
    }

    fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::OpenFolder { source, .. }
            | Self::CreateFolder { source, .. }
            | Self::Own { source, .. }
            | Self::CreateFile { source, .. }
            | Self::OpenFile { source, .. }
            | Self::Write { source, .. }
            | Self::Sync { source, .. }
            | Self::Rename { source, .. }
            | Self::Remove { source, .. }
            | Self::Lock { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn hint_by_cause(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or put the report on another disk with `--report-dir DIR`"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: put the report elsewhere with `--report-dir DIR`"
        }
        io::ErrorKind::PermissionDenied => {
            "make the folder writable for this user, or put the report elsewhere with `--report-dir DIR`"
        }
        _ => "put the report elsewhere with `--report-dir DIR`",
    }
}
