//! Notifications about memory, as descriptors for an event loop.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;

use crate::group::{BoxGroup, Part};
use crate::{CgroupError, kernel};

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

    /// A descriptor that becomes readable when the memory in use crosses `bytes`, up or down. Cleared like
    /// [`BoxGroup::oom_event_fd`]. `None` on v2, which has no such notification, and without a memory group.
    ///
    /// # Errors
    /// The notification cannot be set up.
    pub fn memory_threshold_fd(&self, bytes: u64) -> Result<Option<OwnedFd>, CgroupError> {
        let part = self.parts.memory.as_ref().filter(|part| !part.unified);
        part.map(|part| self.control(part, "memory.usage_in_bytes", &bytes.to_string())).transpose()
    }

    fn oom(&self, part: &Part) -> Result<OwnedFd, CgroupError> {
        self.control(part, "memory.oom_control", "")
    }

    /// v1: `<eventfd> <descriptor of the file> <arguments>` to `cgroup.event_control`.
    fn control(&self, part: &Part, file: &str, arguments: &str) -> Result<OwnedFd, CgroupError> {
        let path = part.path.join(file);
        let set_up = || -> io::Result<OwnedFd> {
            let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let watched = kernel::open_file(&path)?;
            let request = format!("{} {} {arguments}", event.as_raw_fd(), watched.as_raw_fd());
            (self.kernel.write)(&part.path.join("cgroup.event_control"), request.trim_ascii_end())?;
            Ok(event)
        };
        set_up().map_err(|source| CgroupError::Watch { path: path.clone(), source })
    }
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
