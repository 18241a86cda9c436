//! What /proc says about a process: enough to find reapers and their owners.

use std::path::PathBuf;

/// The name that a reaper gives itself.
const REAPER: &str = "testbox-reaper";

/// One process, as `/proc/PID/status` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// The effective user.
    pub(super) uid: u32,
    /// The letter of its state: `T` and `t` are stopped.
    pub(super) state: char,
    name: String,
}

impl Process {
    /// The process with this pid, if it can be seen.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let status = fs_err::read(format!("/proc/{pid}/status")).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&status))
    }

    /// Every process that can be seen.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let entries = fs_err::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?))
    }

    /// A reaper of this pid namespace, by the name that it bears.
    pub(super) fn is_a_reaper(&self) -> bool {
        let own = fs_err::read_link("/proc/self/ns/pid").ok();
        self.name == REAPER && own.is_some() && own == self.link("ns/pid")
    }

    /// Whether both execute the same file.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let own = self.link("exe");
        own.is_some() && own == other.link("exe")
    }

    fn link(&self, name: &str) -> Option<PathBuf> {
        fs_err::read_link(format!("/proc/{}/{name}", self.pid)).ok()
    }

    /// The kernel spells out line breaks in the name, so each line is one field.
    fn parse(pid: i32, status: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut values = status.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
            values.next()
        };
        Some(Self {
            pid,
            parent: field("PPid")?.parse().ok()?,
            uid: field("Uid")?.split('\t').nth(1)?.parse().ok()?,
            state: field("State")?.chars().next()?,
            name: field("Name")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_or_forge_the_fields() {
        let status = "Name:\tUid:\\n0\nUmask:\t0022\nState:\tT (stopped)\nTgid:\t7\nPid:\t7\nPPid:\t42\n\
                      Uid:\t1000\t1001\t1000\t1000\n";
        let process = Process::parse(7, status).unwrap();
        assert_eq!((process.parent, process.uid, process.state), (42, 1001, 'T'));
        assert_eq!(process.name, "Uid:\\n0");
        for wrong in ["", "Name:\tx\nState:\tS\nPPid:\t1\nUid:\t1000\n", "Name:\tx\nState:\tS\nPPid:\tx\nUid:\t1\t1\n"]
        {
            assert_eq!(Process::parse(7, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_very_process_is_seen_and_is_no_reaper() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = Process::read(pid).unwrap();
        assert_eq!(own.uid, rustix::process::geteuid().as_raw());
        assert!(!own.is_a_reaper() && own.is_like(&own));
        assert!(Process::all().any(|process| process.pid == pid));
        assert!(!own.is_like(&Process { pid: i32::MAX, ..own.clone() }));
    }
}
