//! The end of a box without namespaces: no kernel ends its processes with the init's, so the init does.
//!
//! The init is a subreaper: whoever loses its parent in the box becomes the init's child, so every process of the box is
//! below it. They are stopped first, pass after pass until nobody new is found: what is stopped forks no more and still
//! takes its place in the user's number of processes, so that a fork bomb at its limit finds no room. Then they are killed.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal};

use crate::{init, sys};

/// Longest time of one round of stopping: what is still found then is killed without.
const STOPPING: Duration = Duration::from_millis(500);
/// A look again where no end of a child was heard of.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// Ends every process below this one, and returns when none is left. Every signal is blocked.
pub(crate) fn sweep() {
    let own = std::process::id() as i32;
    let signals = init::signals(&[nix::sys::signal::Signal::SIGCHLD]).ok();
    while reap() {
        let (since, mut stopped) = (Instant::now(), BTreeSet::new());
        while since.elapsed() < STOPPING && pass(own, Signal::STOP, &mut stopped) {
            reap();
        }
        pass(own, Signal::KILL, &mut BTreeSet::new());
        // Nothing to wait with is no reason to stop.
        let mut ends: Vec<_> = signals.iter().map(|signals| PollFd::new(signals, PollFlags::IN)).collect();
        let _ = poll(&mut ends, Some(&PAUSE));
        drop(ends);
        signals.iter().for_each(|signals| while let Ok(Some(_)) = signals.read_signal() {});
    }
}

/// Reaps whoever ended; is anybody left?
fn reap() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Signals every process below `own`, parents before children; was there one that is not in `known` yet?
fn pass(own: i32, signal: Signal, known: &mut BTreeSet<i32>) -> bool {
    let family = Family::look();
    let (mut parents, mut seen, mut news) = (vec![own], BTreeSet::from([own]), false);
    while let Some(parent) = parents.pop() {
        for child in family.children(parent) {
            if !seen.insert(child) {
                continue;
            }
            let sent = if parent == own { signal_own(child, signal) } else { signal_other(child, parent, signal) };
            if sent.is_ok() {
                parents.push(child);
                news |= known.insert(child);
            }
        }
    }
    news
}

/// A child that was not reaped since it was listed: its pid is its own.
fn signal_own(child: i32, signal: Signal) -> io::Result<()> {
    sys::signal_child(Pid::from_raw(child), signal.as_raw())
}

/// Its parent may have reaped it, and its pid may be somebody else's: it is held first, and then asked for its parent.
fn signal_other(pid: i32, parent: i32, signal: Signal) -> io::Result<()> {
    let held = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let held = pidfd_open(held, PidfdFlags::empty())?;
    let found = parent_of(pid).ok_or(io::ErrorKind::NotFound)?;
    // Its parent may have died meanwhile: then it is this process's own.
    if found != parent && found != std::process::id() as i32 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(pidfd_send_signal(held, signal)?)
}

/// Who is whose child.
enum Family {
    /// The kernel lists children (CONFIG_PROC_CHILDREN).
    Listed,
    /// All processes of the host by their parents.
    Scanned(HashMap<i32, Vec<i32>>),
}

impl Family {
    fn look() -> Self {
        if std::path::Path::new("/proc/thread-self/children").exists() { Self::Listed } else { Self::Scanned(scan()) }
    }

    fn children(&self, parent: i32) -> Vec<i32> {
        match self {
            Self::Listed => listed(parent),
            Self::Scanned(by_parent) => by_parent.get(&parent).cloned().unwrap_or_default(),
        }
    }
}

fn listed(parent: i32) -> Vec<i32> {
    let Ok(threads) = fs_err::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs_err::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn scan() -> HashMap<i32, Vec<i32>> {
    let mut by_parent: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs_err::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((pid, parent)) = pid.and_then(|pid| Some((pid, parent_of(pid)?))) {
            by_parent.entry(parent).or_default().push(pid);
        }
    }
    by_parent
}

/// The name in parentheses may hold anything, so fields count from the last parenthesis: `state ppid ...`.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs_err::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a child")]
    fn children_are_found_in_both_ways() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (own, pid) = (std::process::id() as i32, child.id() as i32);
        assert_eq!(parent_of(pid), Some(own));
        assert!(Family::Scanned(scan()).children(own).contains(&pid));
        if let Family::Listed = Family::look() {
            assert!(Family::Listed.children(own).contains(&pid));
        }
        assert!(signal_other(pid, 1, Signal::KILL).is_ok(), "an orphan that came to this process");
        child.wait().unwrap();
        assert!(signal_other(1, own, Signal::STOP).is_err(), "a stranger");
    }
}
