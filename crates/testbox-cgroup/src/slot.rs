//! The group of one worker: `w<N>` below the box's directory in each hierarchy that limits or counts a worker.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use testbox_model::Wall;

use crate::group::{BoxGroup, Directory, Part};
use crate::{CgroupError, Demand, MemoryAlarm, Usage, counting, kernel, limits};

/// What the processes of a slot may use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLimits {
    /// Memory in bytes, page cache included.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// What the kernel counted in a slot since it was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Processes killed for memory, whosever limit was met.
    pub oom_kills: u64,
    /// How often an allocation met the slot's own limit.
    pub limit_hits: u64,
    /// Forks refused to its processes.
    pub refused_forks: u64,
    /// The highest memory, in bytes, since it was taken or the plugin reset it. `None`: the kernel cannot tell.
    pub peak_bytes: Option<u64>,
}

/// The group of one worker. Made and owned by [`crate::Slots`].
#[derive(Debug)]
pub struct Slot {
    group: BoxGroup,
    limits: SlotLimits,
    swap_bytes: u64,
    /// The counters when it was taken; they never fall.
    before: Counted,
    peak: Peak,
    alarms: Vec<MemoryAlarm>,
    armed: bool,
}

/// How the highest memory of one use can be known.
#[derive(Debug)]
enum Peak {
    /// Writing to the file resets it, on v2 (since Linux 6.12) for this descriptor alone.
    Reset(File),
    /// It counts from the making of the group, which is the first use.
    Fresh,
    /// It counts from the making of the group, which was used before.
    Stale,
}

impl Slot {
    /// Makes the directories `name` below those of `parent`, with these limits.
    ///
    /// # Errors
    /// A directory or a limit is refused; nothing is left then.
    pub(crate) fn make(
        parent: &BoxGroup,
        name: &str,
        limits: SlotLimits,
        swap_bytes: u64,
    ) -> Result<Self, CgroupError> {
        let mut group = BoxGroup::bare(parent.root.clone(), parent.kernel);
        group.flat = true;
        let made = make_directories(parent, name, &mut group);
        group.gauges = counting::Gauges::open(&group.parts);
        let (before, peak) = (Counted::default(), Peak::open(group.parts.memory.as_ref()));
        let mut slot = Self { group, limits, swap_bytes, before, peak, alarms: Vec::new(), armed: false };
        match made.and_then(|()| slot.limit(limits)) {
            Ok(()) => Ok(slot),
            Err(error) => {
                slot.remove();
                Err(error)
            }
        }
    }

    /// What its processes may use.
    pub fn limits(&self) -> SlotLimits {
        self.limits
    }

    /// Write-only descriptors by which a single-threaded process joins, by writing `0` to each.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn join_fds(&self) -> Result<Vec<OwnedFd>, CgroupError> {
        self.group.attach_fds()
    }

    /// Descriptors of what the kernel counts, by name: `peak` (writing `0` resets it), `stat`, `usage`, `cpu`, `pids`;
    /// those that this kernel has. Read from offset 0.
    pub fn gauges(&self) -> Vec<(&'static str, OwnedFd)> {
        let parts = &self.group.parts;
        let open = |part: &Option<Part>, v1: &str, v2: &str| {
            let part = part.as_ref()?;
            kernel::open_file(&part.path.join(part.pick(v1, v2))).ok().map(OwnedFd::from)
        };
        let peak = parts.memory.as_ref().and_then(open_peak).map(OwnedFd::from);
        let gauges = [
            ("peak", peak),
            ("stat", open(&parts.memory, "memory.stat", "memory.stat")),
            ("usage", open(&parts.memory, "memory.usage_in_bytes", "memory.current")),
            ("cpu", open(&parts.cpuacct, "cpuacct.usage", "cpu.stat")),
            ("pids", open(&parts.pids, "pids.current", "pids.current")),
        ];
        gauges.into_iter().filter_map(|(name, fd)| Some((name, fd?))).collect()
    }

    /// A cheap sample: reads of open files.
    pub fn usage(&self) -> Usage {
        self.group.usage()
    }

    /// What the kernel counted since it was taken. Refused forks stop counting with the first pass of a kill.
    pub fn counted(&self) -> Counted {
        let (now, before) = (self.totals(), self.before);
        Counted {
            oom_kills: now.oom_kills.saturating_sub(before.oom_kills),
            limit_hits: now.limit_hits.saturating_sub(before.limit_hits),
            refused_forks: now.refused_forks.saturating_sub(before.refused_forks),
            peak_bytes: now.peak_bytes,
        }
    }

    /// Processes killed for memory since it was taken; one read.
    pub fn oom_kills(&self) -> u64 {
        self.oom_kills_ever().saturating_sub(self.before.oom_kills)
    }

    /// Forks refused to its processes since it was taken; one read.
    pub fn refused_forks(&self) -> u64 {
        self.refused_forks_ever().saturating_sub(self.before.refused_forks)
    }

    /// Pids of its processes.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>, CgroupError> {
        self.group.processes()
    }

    /// The one process that is in it, in every hierarchy; `None`: nobody is in it.
    ///
    /// # Errors
    /// Several processes are in it, or one that is not in all of its directories.
    pub fn only_process(&self) -> Result<Option<i32>, CgroupError> {
        let pids = self.group.processes()?;
        match pids[..] {
            [] => Ok(None),
            [pid] => match self.group.verify_member(&self.group.root, pid) {
                Ok(()) => Ok(Some(pid)),
                // It died meanwhile.
                Err(_) if self.group.processes()?.is_empty() => Ok(None),
                Err(error) => Err(error),
            },
            _ => Err(self.group.not_empty()?),
        }
    }

    /// Whether this process is in it.
    pub fn holds(&self, pid: i32) -> bool {
        self.group.is_member(pid)
    }

    /// Whether no process is in it.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn is_empty(&self) -> Result<bool, CgroupError> {
        self.group.is_empty()
    }

    /// One pass of a kill, which waits for nobody; true if nobody is left. No process can be made in it from then on.
    ///
    /// # Errors
    /// A process cannot be signalled, or a directory cannot be read.
    pub fn kill_once(&self) -> Result<bool, CgroupError> {
        drop(self.group.kill_once()?);
        self.group.is_empty()
    }

    /// The error that names who is left in it.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn not_empty(&self) -> Result<CgroupError, CgroupError> {
        self.group.not_empty()
    }

    /// Alarms near its memory limit; silent until [`Slot::arm`].
    pub fn alarms(&self) -> &[MemoryAlarm] {
        &self.alarms
    }

    /// Arms its alarms, where they are not. On v1 each takes the kernel 4 to 10 ms.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn arm(&mut self) -> Result<(), CgroupError> {
        if !self.armed {
            self.armed = true;
            for alarm in &self.alarms {
                self.armed &= alarm.arm(&self.group)?;
            }
        }
        Ok(())
    }

    /// An alarm sounded, and was heeded: nobody is slowed down any more, until it is armed again.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn relieve(&mut self) -> Result<(), CgroupError> {
        for alarm in &self.alarms {
            self.armed &= !alarm.relieve(&self.group)?;
        }
        Ok(())
    }

    /// Begins a use: counters count from now.
    ///
    /// # Errors
    /// The limit that a kill set to 0 cannot be restored.
    pub(crate) fn begin(&mut self) -> Result<(), CgroupError> {
        if self.group.refused_before_kill.take().is_some() {
            self.limit_one(Wall::Pids)?;
        }
        if let Peak::Reset(file) = &self.peak {
            // Counts from an earlier reset where it fails, which is only too high.
            let _ = file.write_all_at(b"0", 0);
        }
        self.before = self.totals();
        Ok(())
    }

    /// Ends a use: the memory that nobody uses any more goes back.
    pub(crate) fn end(&mut self) {
        if let Peak::Fresh = self.peak {
            self.peak = Peak::Stale;
        }
        if self.usage().memory_bytes.is_some_and(|bytes| bytes > LEFTOVER_BYTES) {
            // What cannot be given back is reclaimed by the kernel when the next user needs it.
            let _ = self.group.reclaim();
        }
    }

    /// Sets other limits.
    ///
    /// # Errors
    /// The kernel refuses one; `limits` are as they were then, and the slot must not be used.
    pub(crate) fn limit(&mut self, limits: SlotLimits) -> Result<(), CgroupError> {
        self.relieve()?;
        let before = std::mem::replace(&mut self.limits, limits);
        if let Some(memory) = self.group.parts.memory.as_ref().filter(|memory| !memory.unified) {
            // Memory alone may never be above memory and swap together, and the way may go up or down.
            let _ = (self.group.kernel.write)(&memory.path.join("memory.memsw.limit_in_bytes"), "-1");
        }
        let set = self.limit_one(Wall::Memory).and_then(|()| self.limit_one(Wall::Pids));
        if let Err(error) = set {
            self.limits = before;
            return Err(error);
        }
        self.group.refused_before_kill = OnceLock::new();
        self.alarms = self.new_alarms()?;
        self.armed = false;
        Ok(())
    }

    /// Removes the directories, which are empty. What cannot be removed goes with the box.
    pub(crate) fn remove(&self) {
        for directory in &self.group.directories {
            let _ = (self.group.kernel.rmdir)(&directory.path);
        }
    }

    fn limit_one(&self, wall: Wall) -> Result<(), CgroupError> {
        let SlotLimits { memory_bytes, pids } = self.limits;
        let demand = Demand { memory_bytes, swap_bytes: self.swap_bytes, pids, ..Demand::default() };
        // A box whose processes nobody counts has slots that do not count them either.
        let absent = wall == Wall::Pids && self.group.parts.pids.is_none();
        if absent { Ok(()) } else { limits::apply(&self.group, wall, &demand).map(drop) }
    }

    fn new_alarms(&self) -> Result<Vec<MemoryAlarm>, CgroupError> {
        let limit = self.limits.memory_bytes;
        match self.group.parts.memory.as_ref().map(|memory| memory.unified) {
            Some(true) => Ok(MemoryAlarm::high(&self.group, limit)?.into_iter().collect()),
            Some(false) => MemoryAlarm::near(limit),
            None => Ok(Vec::new()),
        }
    }

    fn totals(&self) -> Counted {
        let memory = self.group.parts.memory.as_ref().map(counting::memory).unwrap_or_default();
        Counted {
            oom_kills: memory.oom_kills,
            limit_hits: memory.limit_hits,
            refused_forks: self.refused_forks_ever(),
            peak_bytes: self.peak.read(memory.peak_bytes.map(|bytes| bytes.0)),
        }
    }

    fn oom_kills_ever(&self) -> u64 {
        let events = |part: &Part| part.path.join(part.pick("memory.oom_control", "memory.events"));
        self.group.parts.memory.as_ref().and_then(|part| counting::keyed(&events(part), "oom_kill")).unwrap_or(0)
    }

    fn refused_forks_ever(&self) -> u64 {
        let counted = self.group.refused_before_kill.get().copied();
        counted.or_else(|| self.group.parts.pids.as_ref().map(counting::refused_forks)).unwrap_or(0)
    }
}

/// What stays charged to every group that was used: less is not worth the walk over all pages.
const LEFTOVER_BYTES: u64 = 1 << 20;

impl Peak {
    fn open(memory: Option<&Part>) -> Self {
        memory.and_then(open_peak).map_or(Self::Fresh, Self::Reset)
    }

    fn read(&self, since_made: Option<u64>) -> Option<u64> {
        match self {
            Self::Reset(file) => counting::read_again(file).and_then(|text| counting::number(&text)),
            Self::Fresh => since_made,
            Self::Stale => None,
        }
    }
}

/// The file of the highest use, where it can be reset.
fn open_peak(memory: &Part) -> Option<File> {
    let file = kernel::open_both(&memory.path.join(memory.pick("memory.max_usage_in_bytes", "memory.peak"))).ok()?;
    file.write_all_at(b"0", 0).ok()?;
    Some(file)
}

fn make_directories(parent: &BoxGroup, name: &str, group: &mut BoxGroup) -> Result<(), CgroupError> {
    for above in &parent.directories {
        let parts = parts_in(parent, above);
        if parts.is_empty() {
            continue;
        }
        let directory = above.below(name);
        let path = directory.path.clone();
        (parent.kernel.mkdir)(&path).map_err(|source| not_made(path.clone(), source))?;
        group.directories.push(directory);
        for controller in parts {
            *group.parts.of(controller) = Some(Part { path: path.clone(), unified: above.unified });
        }
    }
    Ok(())
}

/// What limits or counts a worker in this directory of the box.
fn parts_in(parent: &BoxGroup, directory: &Directory) -> Vec<&'static str> {
    let parts = &parent.parts;
    let all = [("memory", &parts.memory), ("pids", &parts.pids), ("cpuacct", &parts.cpuacct)];
    let here = all.into_iter().filter(|(_, part)| part.as_ref().is_some_and(|part| part.path == directory.path));
    here.map(|(controller, _)| controller).collect()
}

fn not_made(path: std::path::PathBuf, source: io::Error) -> CgroupError {
    CgroupError::Create { wall: Wall::Memory, path, source }
}
