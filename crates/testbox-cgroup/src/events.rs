//! Notifications about memory, as descriptors for an event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;

use crate::CgroupError;
use crate::group::{BoxGroup, Part};
use crate::kernel::{self, Kernel};

const OOM: &str = "memory.oom_control";
const USAGE: &str = "memory.usage_in_bytes";

impl BoxGroup {
    /// A descriptor that becomes readable when the kernel met the memory limit and could not free enough; on v2 also when
    /// it could. Non-blocking; reading 4096 bytes at once clears it. Removing the group makes it readable as well.
    /// `None` without a memory group.
    ///
    /// # Errors
    /// The notification cannot be set up.
    pub fn oom_event_fd(&self) -> Result<Option<OwnedFd>, CgroupError> {
        self.parts.memory.as_ref().map(|part| if part.unified { modified(part) } else { self.oom(part) }).transpose()
    }

    /// An alarm for the moment when the memory in use crosses `bytes`, up or down; silent until it is armed. `None` on
    /// v2, which has no such notification, and without a memory group.
    ///
    /// # Errors
    /// The descriptor cannot be made.
    pub fn memory_alarm(&self, bytes: u64) -> Result<Option<MemoryAlarm>, CgroupError> {
        let Some(part) = self.parts.memory.as_ref().filter(|part| !part.unified) else { return Ok(None) };
        let folder = part.path.clone();
        let event = new_event().map_err(|source| CgroupError::Watch { path: folder.join(USAGE), source })?;
        Ok(Some(MemoryAlarm { event, folder, kernel: self.kernel, bytes }))
    }

    fn oom(&self, part: &Part) -> Result<OwnedFd, CgroupError> {
        let path = part.path.join(OOM);
        let event = new_event().map_err(|source| CgroupError::Watch { path, source })?;
        control(self.kernel, &part.path, &event, OOM, "")?;
        Ok(event)
    }
}

/// See [`BoxGroup::memory_alarm`].
#[derive(Debug)]
pub struct MemoryAlarm {
    event: OwnedFd,
    folder: PathBuf,
    kernel: Kernel,
    bytes: u64,
}

impl MemoryAlarm {
    /// Arms it, for all copies of the descriptor in this process and in others. The kernel waits for an RCU grace period
    /// meanwhile (4 to 10 ms measured).
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn arm(&self) -> Result<(), CgroupError> {
        control(self.kernel, &self.folder, &self.event, USAGE, &self.bytes.to_string())
    }
}

impl AsFd for MemoryAlarm {
    /// Readable when the alarm sounded; reading 8 bytes or more clears it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

fn new_event() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// v1: `<eventfd> <descriptor of the file> <arguments>` to `cgroup.event_control`.
fn control(kernel: Kernel, folder: &Path, event: &OwnedFd, file: &str, arguments: &str) -> Result<(), CgroupError> {
    let path = folder.join(file);
    let set_up = || -> io::Result<()> {
        let watched = kernel::open_file(&path)?;
        let request = format!("{} {} {arguments}", event.as_raw_fd(), watched.as_raw_fd());
        (kernel.write)(&folder.join("cgroup.event_control"), request.trim_ascii_end())
    };
    set_up().map_err(|source| CgroupError::Watch { path: path.clone(), source })
}

fn modified(part: &Part) -> Result<OwnedFd, CgroupError> {
    let path = part.path.join("memory.events");
    let set_up = || -> io::Result<OwnedFd> {
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&events, &path, inotify::WatchFlags::MODIFY)?;
        Ok(events)
    };
    set_up().map_err(|source| CgroupError::Watch { path: path.clone(), source })
}
