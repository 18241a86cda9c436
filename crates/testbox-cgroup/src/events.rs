//! Notifications about memory, as descriptors for an event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{EventfdFlags, PollFlags, eventfd};
use rustix::fs::inotify;
use rustix::io::{pread, read};

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

/// An alarm for the moment when the memory in use comes near a limit; silent until it is armed.
///
/// v1: thresholds of `memory.usage_in_bytes`, which sound whenever they are crossed, up or down (cgroup-v1/memory.rst,
/// 9). v2 has none: there it is `memory.high` (cgroup-v2.rst). Who takes more than that is slowed down by the kernel,
/// which leaves time for a look, until [`MemoryAlarm::relieve`].
#[derive(Debug)]
pub struct MemoryAlarm {
    /// v1: an eventfd; v2: `memory.events`.
    heard: OwnedFd,
    bytes: u64,
    is_high: bool,
}

/// Marks below a memory limit, in percent: the first for slow growth, the second for the last moment.
const MARKS: [u64; 2] = [80, 95];
/// Of v2, in percent.
const HIGH_MARK: u64 = 90;
const HIGH: &str = "memory.high";

impl MemoryAlarm {
    /// Alarms near a memory limit of `limit` bytes, for a v1 group that need not exist yet. Only the kernel can tell in
    /// time of an allocation that takes all in one go.
    ///
    /// # Errors
    /// A descriptor cannot be made.
    pub fn near(limit: u64) -> Result<Vec<Self>, CgroupError> {
        let crossing = |percent: &u64| {
            let heard = new_event().map_err(|source| CgroupError::Watch { path: USAGE.into(), source })?;
            Ok(Self { heard, bytes: limit / 100 * percent, is_high: false })
        };
        MARKS.iter().map(crossing).collect()
    }

    /// The alarm near a memory limit of `limit` bytes of this group; `None` unless it limits memory by v2.
    ///
    /// # Errors
    /// `memory.events` cannot be opened.
    pub fn high(group: &BoxGroup, limit: u64) -> Result<Option<Self>, CgroupError> {
        let Some(part) = group.parts.memory.as_ref().filter(|part| part.unified) else { return Ok(None) };
        let path = part.path.join("memory.events");
        let heard = kernel::open_file(&path).map_err(|source| CgroupError::Watch { path, source })?.into();
        let alarm = Self { heard, bytes: limit / 100 * HIGH_MARK, is_high: true };
        // Before it is read for the first time it counts as changed.
        alarm.take();
        Ok(Some(alarm))
    }

    /// Arms it for this group, for all copies of the descriptor in this process and in others; false if it is of no use
    /// now, because more than the mark of `memory.high` is in use already. On v1 the kernel waits for an RCU grace
    /// period meanwhile (4 to 10 ms measured). An alarm of v1 stays silent on v2, and without a memory group.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn arm(&self, group: &BoxGroup) -> Result<bool, CgroupError> {
        match group.parts.memory.as_ref() {
            // Whoever sets it below what is in use must free the rest himself.
            Some(part) if part.unified && self.is_high => {
                let fits = group.usage().memory_bytes.is_some_and(|bytes| bytes < self.bytes);
                if fits {
                    set_high(group, part, &self.bytes.to_string())?;
                }
                Ok(fits)
            }
            Some(part) if !part.unified && !self.is_high => {
                control(group.kernel, &part.path, &self.heard, USAGE, &self.bytes.to_string()).map(|()| true)
            }
            _ => Ok(true),
        }
    }

    /// Nobody is slowed down any more, until it is armed again; true if it slows anybody at all (v2).
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn relieve(&self, group: &BoxGroup) -> Result<bool, CgroupError> {
        match group.parts.memory.as_ref().filter(|_| self.is_high) {
            Some(part) => set_high(group, part, "max").map(|()| true),
            None => Ok(false),
        }
    }

    /// A descriptor that becomes ready in this way when the alarm sounded, until [`MemoryAlarm::take`]. On v2 also when
    /// the limit itself was met.
    pub fn fd(&self) -> (BorrowedFd<'_>, PollFlags) {
        // A file of a cgroup can always be read; that it has changed is said in another way.
        (self.heard.as_fd(), if self.is_high { PollFlags::PRI } else { PollFlags::IN })
    }

    /// Silences it until it sounds again.
    pub fn take(&self) {
        let mut buffer = [0; 512];
        let _nothing_there_or_taken = match self.is_high {
            true => pread(&self.heard, &mut buffer, 0),
            false => read(&self.heard, &mut buffer),
        };
    }

    /// A copy, for somebody else to listen to.
    ///
    /// # Errors
    /// The descriptor cannot be copied.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { heard: self.heard.try_clone()?, ..*self })
    }
}

fn set_high(group: &BoxGroup, part: &Part, value: &str) -> Result<(), CgroupError> {
    let path = part.path.join(HIGH);
    let set = (group.kernel.write)(&path, value);
    set.map_err(|source| CgroupError::Watch { path, source })
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
