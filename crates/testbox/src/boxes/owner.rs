//! The testbox of a box, held by a descriptor: signals and journal reach that very process or nobody.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testbox_cgroup::BoxId;
use testbox_report::Introduction;

/// The names of a journal: before the box stands, and afterwards.
const JOURNALS: [&str; 2] = ["journal.jsonl", "journal.jsonl.new"];
/// As much of a journal as its first lines can take.
const HEAD_BYTES: u64 = 256 << 10;

/// A living testbox.
#[derive(Debug)]
pub(crate) struct Owner {
    id: BoxId,
    pidfd: OwnedFd,
}

impl Owner {
    /// The process that this box names, if it lives: the descriptor is opened first and the start time compared after,
    /// while the process was still there.
    pub(crate) fn of(id: &BoxId) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(id.pid)?, PidfdFlags::empty()).ok()?;
        let owner = Self { id: id.clone(), pidfd };
        (id.owner_alive(Path::new("/")) && !owner.has_ended(Duration::ZERO)).then_some(owner)
    }

    /// Sends a signal to it, and to nobody else.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Whether it ends within this time.
    pub(crate) fn has_ended(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut [PollFd::new(&self.pidfd.as_fd(), PollFlags::IN)], Some(&timeout)) {
                Err(rustix::io::Errno::INTR) => {}
                ready => return ready.is_ok_and(|ready| ready > 0),
            }
        }
    }

    /// What its journal says of the run; `None` where it holds none open or may not be looked at.
    pub(crate) fn introduction(&self) -> Option<Introduction> {
        let head = BufReader::new(self.journal()?.take(HEAD_BYTES));
        let run = head.lines().take(3).find_map(|line| Introduction::read(&line.ok()?))?;
        (run.box_id == self.id.to_string()).then_some(run)
    }

    /// Its journal, from the beginning: the very file that it holds open, wherever that lies or was moved to. Only a
    /// plain file is opened.
    pub(crate) fn journal(&self) -> Option<File> {
        let folder = format!("/proc/{}/fd", self.id.pid);
        let entries = fs_err::read_dir(folder).ok()?.flatten();
        let file = entries.filter(|entry| is_a_journal(&entry.path())).find_map(|entry| plain_file(&entry.path()))?;
        // The pid was this process's all the time.
        (!self.has_ended(Duration::ZERO)).then_some(file)
    }

    /// Its working directory.
    pub(crate) fn cwd(&self) -> Option<PathBuf> {
        fs_err::read_link(format!("/proc/{}/cwd", self.id.pid)).ok()
    }

    /// Its subcommand: `doctor` has boxes without a journal.
    pub(crate) fn subcommand(&self) -> Option<String> {
        let line = fs_err::read(format!("/proc/{}/cmdline", self.id.pid)).ok()?;
        line.split(|byte| *byte == 0).nth(1).map(|word| String::from_utf8_lossy(word).into_owned())
    }
}

fn is_a_journal(descriptor: &Path) -> bool {
    let Ok(target) = fs_err::read_link(descriptor) else { return false };
    let target = target.to_string_lossy();
    let name = target.strip_suffix(" (deleted)").unwrap_or(&target).rsplit('/').next().unwrap_or_default().to_owned();
    JOURNALS.contains(&name.as_str())
}

/// Opened without waiting and without effect, whatever it is; then only a plain file is taken.
fn plain_file(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd).ok()?.st_mode);
    (kind == FileType::RegularFile).then(|| File::from(fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_that_was_used_again_is_not_the_owner() {
        let own = BoxId::of_current(Path::new("/")).unwrap();
        assert!(Owner::of(&own).is_some());
        assert!(Owner::of(&BoxId { start_ticks: own.start_ticks + 1, ..own.clone() }).is_none());
        assert!(Owner::of(&BoxId { pid: i32::MAX, ..own }).is_none());
    }

    #[test]
    fn only_plain_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("journal.jsonl");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(plain_file(&fifo).is_none() && plain_file(dir.path()).is_none());
        fs_err::write(dir.path().join("file"), "x").unwrap();
        assert!(plain_file(&dir.path().join("file")).is_some());
    }

    #[test]
    fn the_journal_is_found_by_the_descriptor_and_must_be_of_this_box() {
        let dir = tempfile::tempdir().unwrap();
        let id = BoxId::of_current(Path::new("/")).unwrap();
        let owner = Owner::of(&id).unwrap();
        let line = |id: &str| {
            format!(
                "{{\"event\":\"begin\"}}\n{{\"event\":\"run\",\"box_id\":\"{id}\",\"project\":\"/p\",\"command\":[\"x\"]}}\n"
            )
        };
        let path = dir.path().join("journal.jsonl.new");
        for (text, known) in
            [(line("testbox-00000000-1-1"), false), (line(&id.to_string()), true), (String::new(), false)]
        {
            fs_err::write(&path, text).unwrap();
            let held = fs_err::File::open(&path).unwrap();
            assert_eq!(owner.introduction().is_some(), known);
            drop(held);
        }
    }
}
