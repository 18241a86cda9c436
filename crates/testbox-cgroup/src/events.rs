//! Notifications about memory, as descriptors for an event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

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

    fn oom(&self, part: &Part) -> Result<OwnedFd, CgroupError> {
        let path = part.path.join(OOM);
        let event = new_event().map_err(|source| CgroupError::Watch { path, source })?;
        control(self.kernel, &part.path, &event, OOM, "")?;
        Ok(event)
    }
}

/// An alarm for the moment when the memory in use crosses a mark, up or down; silent until it is armed.
#[derive(Debug)]
pub struct MemoryAlarm {
    event: OwnedFd,
    bytes: u64,
}

/// Marks below a memory limit, in percent: the first for slow growth, the second for the last moment.
const MARKS: [u64; 2] = [80, 95];

impl MemoryAlarm {
    /// Alarms near a memory limit of `limit` bytes, for a group that need not exist yet. Only the kernel can tell in time
    /// of an allocation that takes all in one go.
    ///
    /// # Errors
    /// A descriptor cannot be made.
    pub fn near(limit: u64) -> Result<Vec<Self>, CgroupError> {
        MARKS.iter().map(|percent| Self::new(limit / 100 * percent)).collect()
    }

    /// An alarm at `bytes`.
    fn new(bytes: u64) -> Result<Self, CgroupError> {
        let event = new_event().map_err(|source| CgroupError::Watch { path: USAGE.into(), source })?;
        Ok(Self { event, bytes })
    }

    /// Arms it for this box, for all copies of the descriptor in this process and in others. The kernel waits for an RCU
    /// grace period meanwhile (4 to 10 ms measured). It stays silent on v2, which has no such notification, and without
    /// a memory group.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn arm(&self, group: &BoxGroup) -> Result<(), CgroupError> {
        match group.parts.memory.as_ref().filter(|part| !part.unified) {
            Some(part) => control(group.kernel, &part.path, &self.event, USAGE, &self.bytes.to_string()),
            None => Ok(()),
        }
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
