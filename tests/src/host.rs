//! The host before and after: cgroups, processes and mounts that carry testbox's name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What carries testbox's name on this host at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at the host.
    pub fn take() -> Self {
        Self(leftovers().into_iter().collect())
    }

    /// What is there now, was not there then, and stays. Runs that somebody else started are no leftovers, neither those
    /// that go on nor those that come meanwhile.
    pub fn left(&self) -> Vec<String> {
        let is_new = |what: &String| !self.0.contains(what) && !belongs_to_others(what);
        let new = || leftovers().into_iter().filter(is_new).collect::<Vec<_>>();
        let mut left = new();
        wait_until(Duration::from_secs(10), || {
            let now = new();
            left.retain(|what| now.contains(what));
            left.is_empty()
        });
        left
    }
}

/// Every cgroup, process and mount of a box on this host.
pub fn leftovers() -> Vec<String> {
    let mut found = cgroups(Path::new("/sys/fs/cgroup"), 0);
    found.extend(processes());
    found.extend(mounts());
    found
}

/// Where root makes groups: the root of this controller's hierarchy of cgroup v1, else that of cgroup v2.
pub fn root_group(controller: &str) -> PathBuf {
    let v1 = Path::new("/sys/fs/cgroup").join(controller);
    if v1.is_dir() { v1 } else { PathBuf::from("/sys/fs/cgroup") }
}

/// Looks again every 10 ms until it holds or the time is over; whether it holds.
pub fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        // A look can take long: to read the command line of who forks without a pause waits for a lock of its memory.
        let is_last = Instant::now() >= end;
        if holds() {
            return true;
        }
        if is_last {
            return false;
        }
        let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        let _interrupted_is_fine = rustix::event::poll(&mut [], Some(&pause));
    }
}

/// Waits, as a sleep would.
pub fn pause(time: Duration) {
    wait_until(time, || false);
}

/// Processes whose command line holds this text, as `pid name`.
pub fn processes_with(text: &str) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let matching = entries.flatten().filter_map(|entry| {
        let line = fs_err::read(entry.path().join("cmdline")).ok()?;
        let name = fs_err::read_to_string(entry.path().join("comm")).ok()?;
        let holds = String::from_utf8_lossy(&line).contains(text);
        holds.then(|| format!("{} {}", entry.file_name().to_string_lossy(), name.trim()))
    });
    matching.collect()
}

/// What is there of a run in this folder, whose testbox is or was this process: processes that name the folder, and groups.
pub fn left_of(folder: &Path, pid: u32) -> Vec<String> {
    let mut left = processes_with(&folder.to_string_lossy());
    left.extend(groups_of(pid));
    left
}

/// The cgroups of the box whose testbox is or was this process. A scope is testbox's own, and systemd's to remove: it has
/// ten seconds after the last process.
pub fn groups_of(pid: u32) -> Vec<String> {
    let owned = |group: &String| group.rsplit('-').nth(1) == Some(pid.to_string().as_str());
    let look = || cgroups(Path::new("/sys/fs/cgroup"), 0).into_iter().filter(owned).collect::<Vec<_>>();
    let is_scope = |group: &String| group.ends_with(".scope");
    wait_until(Duration::from_secs(10), || !look().iter().any(is_scope));
    look()
}

fn cgroups(folder: &Path, depth: usize) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        if entry.file_name().to_string_lossy().starts_with("testbox-") {
            found.push(format!("cgroup {}", entry.path().display()));
        } else if depth < 5 {
            found.extend(cgroups(&entry.path(), depth + 1));
        }
    }
    found
}

/// Whether a process, or the owner of a cgroup, descends from a process that is neither this one nor testbox's.
fn belongs_to_others(what: &str) -> bool {
    let number = match what.split_once(' ') {
        Some(("process", rest)) => rest.split(' ').next(),
        Some(("cgroup", path)) => path.rsplit('-').nth(1),
        _ => None,
    };
    let mut next = number.and_then(|number| number.parse::<u32>().ok()).and_then(parent_and_name);
    let mut others = false;
    while let Some((parent, name)) = next {
        others |= !is_testbox(&name);
        if parent == std::process::id() {
            return false;
        }
        next = if parent > 1 { parent_and_name(parent) } else { None };
    }
    others
}

fn parent_and_name(pid: u32) -> Option<(u32, String)> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let parent = tail.split_whitespace().nth(1)?.parse().ok()?;
    Some((parent, head.split_once('(')?.1.to_owned()))
}

fn is_testbox(name: &str) -> bool {
    matches!(name, "testbox" | "testbox-init" | "testbox-reaper" | "youki:[1:INTER]")
}

/// Processes whose name is one that testbox gives to its own.
fn processes() -> Vec<String> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| {
        let name = fs_err::read_to_string(entry.path().join("comm")).ok()?;
        is_testbox(name.trim()).then(|| format!("process {} {}", entry.file_name().to_string_lossy(), name.trim()))
    });
    names.collect()
}

fn mounts() -> Vec<String> {
    let table = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter(|line| line.contains("/bundle/rootfs")).map(|line| format!("mount {line}")).collect()
}
