//! The processes of the box by name and size, read from proc at bounded cost.
//!
//! Sizes come from `statm`, which takes no lock of the process; only the few largest are asked for their command
//! line, which does.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use testbox_model::{Bytes, ProcessUse};

use crate::process_stat::ProcFolder;

/// Processes read in one scan at most.
pub(crate) const SCANNED: usize = 256;
/// Length of a command line as shown, in characters.
const SHOWN_CHARS: usize = 120;
/// Bytes of a command line that are read.
const READ_BYTES: u64 = 1024;
/// A scan may take this share of the time: one in so many parts.
const TIME_SHARE: u32 = 20;
/// Time between two scans at least.
const PAUSE: Duration = Duration::from_millis(200);

/// The proc file system, mounted at `root`.
pub(crate) struct ProcessTable(ProcFolder);

impl ProcessTable {
    pub(crate) fn new(root: &Path) -> Self {
        Self(ProcFolder::new(root))
    }

    /// The largest of these processes, largest first. Zombies and those that are gone meanwhile are left out.
    pub(crate) fn largest(&self, pids: impl IntoIterator<Item = i32>) -> Vec<ProcessUse> {
        let sizes = pids.into_iter().take(SCANNED).filter_map(|pid| Some((self.resident_bytes(pid)?, pid)));
        let mut sizes: Vec<_> = sizes.collect();
        sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
        let named = sizes
            .into_iter()
            .filter_map(|(bytes, pid)| Some(ProcessUse { command: self.command(pid)?, resident_bytes: Bytes(bytes) }));
        named.take(ProcessUse::LISTED).collect()
    }

    /// The largest of these processes, and how many they are.
    pub(crate) fn largest_of(&self, pids: &[i32]) -> Option<(ProcessUse, usize)> {
        self.largest(pids.iter().copied()).into_iter().next().map(|largest| (largest, pids.len()))
    }

    fn resident_bytes(&self, pid: i32) -> Option<u64> {
        let statm = fs_err::read_to_string(self.0.path(pid, "statm")).ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        (pages > 0).then(|| pages * self.0.page_bytes())
    }

    fn command(&self, pid: i32) -> Option<String> {
        let mut bytes = Vec::new();
        fs_err::File::open(self.0.path(pid, "cmdline")).ok()?.take(READ_BYTES).read_to_end(&mut bytes).ok()?;
        if bytes.iter().all(|byte| *byte == 0) {
            let name = fs_err::read(self.0.path(pid, "comm")).ok()?;
            return Some(format!("[{}]", shown(name.trim_ascii_end())));
        }
        Some(shown(&bytes))
    }
}

/// The bytes of a command line as one line of text: lossy, without control characters, shortened.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let is_gap = |byte: u8| byte == 0 || byte.is_ascii_whitespace();
    let words: Vec<u8> = bytes[..end].iter().map(|byte| if is_gap(*byte) { b' ' } else { *byte }).collect();
    let text = String::from_utf8_lossy(&words);
    let mut shown = String::new();
    for c in text.chars() {
        let piece = if hides_text(c) { c.escape_unicode().to_string() } else { c.to_string() };
        if shown.chars().count() + piece.chars().count() >= SHOWN_CHARS {
            shown.push('…');
            break;
        }
        shown.push_str(&piece);
    }
    shown
}

/// Control characters and those that change the direction of text.
fn hides_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// When to look for the largest processes, and what was seen when the use was highest.
pub(crate) struct Largest {
    table: ProcessTable,
    limit_bytes: u64,
    seen_at_bytes: u64,
    not_before: Option<Instant>,
    frozen: bool,
    processes: Vec<ProcessUse>,
}

impl Largest {
    pub(crate) fn new(table: ProcessTable, limit_bytes: u64) -> Self {
        Self { table, limit_bytes, seen_at_bytes: 0, not_before: None, frozen: false, processes: Vec::new() }
    }

    /// Is a scan due at this use? At a new peak, and near the last one above three quarters of the limit.
    pub(crate) fn is_due(&self, now: Instant, memory_bytes: u64) -> bool {
        let near_limit = memory_bytes / 3 > self.limit_bytes / 4;
        let floor = self.seen_at_bytes - if near_limit { self.seen_at_bytes / 32 } else { 0 };
        !self.frozen && memory_bytes > floor && self.not_before.is_none_or(|at| now >= at)
    }

    pub(crate) fn scan(&mut self, now: Instant, memory_bytes: u64, pids: Vec<i32>) {
        let begun = Instant::now();
        let processes = self.table.largest(pids);
        self.not_before = Some(now + PAUSE.max(begun.elapsed() * TIME_SHARE));
        if !processes.is_empty() {
            self.processes = processes;
            self.seen_at_bytes = self.seen_at_bytes.max(memory_bytes);
        }
    }

    /// The kernel killed: what was seen before is what filled the memory.
    pub(crate) fn freeze(&mut self) {
        self.frozen = !self.processes.is_empty();
    }

    pub(crate) fn table(&self) -> &ProcessTable {
        &self.table
    }

    pub(crate) fn into_processes(self) -> Vec<ProcessUse> {
        self.processes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(root: &Path, pid: i32, pages: u64, cmdline: &[u8]) {
        let folder = root.join(pid.to_string());
        fs_err::create_dir(&folder).unwrap();
        fs_err::write(folder.join("statm"), format!("99999 {pages} 5 1 0 7 0\n")).unwrap();
        fs_err::write(folder.join("cmdline"), cmdline).unwrap();
        fs_err::write(folder.join("comm"), "kid\n").unwrap();
    }

    #[test]
    fn the_largest_come_first_and_the_gone_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 10, 5, b"small\0");
        process(root.path(), 11, 500, b"python\0-m\0pytest\0");
        process(root.path(), 12, 50, b"");
        let table = ProcessTable::new(root.path());
        let found = table.largest([10, 11, 12, 13]);
        let commands: Vec<_> = found.iter().map(|process| process.command.as_str()).collect();
        assert_eq!(commands, ["python -m pytest", "[kid]", "small"]);
        assert_eq!(found[0].resident_bytes, Bytes(500 * table.0.page_bytes()));
        assert_eq!(table.largest(1000..100_000).len(), 0);
    }

    #[test]
    fn a_hostile_command_line_is_one_short_plain_line() {
        assert_eq!(shown(b"a\x1b[2J\n::error::\xff\0\xe2\x80\xaeb\0\0"), "a\\u{1b}[2J ::error::\u{fffd} \\u{202e}b");
        assert_eq!(shown(&[b'x'; 5000]).chars().count(), SHOWN_CHARS);
        assert!(shown(&[0x1b; 5000]).chars().count() <= SHOWN_CHARS);
    }

    #[test]
    fn scans_are_rare_and_the_highest_use_is_kept() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 10, 5, b"early");
        let (start, mut largest) = (Instant::now(), Largest::new(ProcessTable::new(root.path()), 1000));
        assert!(largest.is_due(start, 100));
        largest.scan(start, 100, vec![10]);
        assert!(!largest.is_due(start + PAUSE / 2, 900), "too soon");
        let later = start + Duration::from_secs(1);
        assert!(!largest.is_due(later, 100), "no new peak");
        assert!(largest.is_due(later, 900));
        largest.scan(later, 900, vec![11]);
        process(root.path(), 12, 5, b"late");
        let later = start + Duration::from_secs(2);
        assert!(largest.is_due(later, 890), "near the peak and near the limit");
        largest.scan(later, 890, vec![12]);
        largest.freeze();
        assert!(!largest.is_due(start + Duration::from_secs(3), 1000));
        assert_eq!(largest.into_processes()[0].command, "late");
    }
}
