//! What the collection cost, where it cost much or did not come to its end.

use std::cmp::Reverse;

use testbox_model::{Duration, FileProfile, ImportProfile, PytestStage, RunRecord, VerdictKind};

use super::paint::count;
use super::row::{NAME_WIDTH, signed};
use crate::harmless::short_line;

/// A collection of so long is slow.
const SLOW_MS: u64 = 10_000;
/// Growth of so much is heavy, and so is a quarter of the limit.
const HEAVY: i64 = 256 << 20;
/// A file that is worth a line.
const FILE_MS: u64 = 1_000;
const FILE_GROWTH: i64 = 8 << 20;
/// Files named at most.
const LISTED: usize = 5;
const MODULE_WIDTH: usize = 80;

pub(super) fn lines(record: &RunRecord, kind: VerdictKind) -> Vec<String> {
    let Some(seen) = &record.evidence.pytest else { return vec![] };
    let early = matches!(seen.stage, PytestStage::Configuration | PytestStage::Collection);
    let cut_ms = early.then_some(record.duration_ms);
    let total = Total::of(&seen.collection, cut_ms);
    let limit = record.evidence.memory.limit_bytes.map_or(u64::MAX, |limit| limit.0);
    let heavy = total.growth_bytes >= HEAVY || u64::try_from(total.growth_bytes).is_ok_and(|grown| grown >= limit / 4);
    if seen.collection.is_empty() || !(heavy || total.wall_ms >= SLOW_MS || early && is_cut(kind)) {
        return vec![];
    }
    let by_growth = heavy || kind == VerdictKind::Memory;
    let mut files: Vec<&FileProfile> = seen.collection.iter().filter(|file| is_costly(file, cut_ms)).collect();
    match by_growth {
        true => files.sort_by_key(|file| (file.wall_ms.is_some(), Reverse(file.growth_bytes))),
        false => files.sort_by_key(|file| (file.wall_ms.is_some(), Reverse(file.wall_ms))),
    }
    let mut lines = vec![format!("collection: {}", total.told(seen.collection.len()))];
    let files = files.iter().take(LISTED);
    lines.extend(files.map(|file| format!("  {}", told(file, cut_ms, by_growth))));
    lines
}

/// The run did not end by itself.
fn is_cut(kind: VerdictKind) -> bool {
    !matches!(kind, VerdictKind::Passed | VerdictKind::Failed)
}

/// `cut_ms`: when the run ended in the middle of the collection.
fn is_costly(file: &FileProfile, cut_ms: Option<u64>) -> bool {
    is_open(file, cut_ms) || took_ms(file, cut_ms) >= FILE_MS || file.growth_bytes >= FILE_GROWTH
}

/// The file that the run ended in.
fn is_open(file: &FileProfile, cut_ms: Option<u64>) -> bool {
    file.wall_ms.is_none() && cut_ms.is_some()
}

struct Total {
    wall_ms: u64,
    growth_bytes: i64,
}

impl Total {
    fn of(files: &[FileProfile], cut_ms: Option<u64>) -> Self {
        files.iter().fold(Self { wall_ms: 0, growth_bytes: 0 }, |total, file| Self {
            wall_ms: total.wall_ms.saturating_add(took_ms(file, cut_ms)),
            growth_bytes: total.growth_bytes.saturating_add(file.growth_bytes),
        })
    }

    fn told(&self, files: usize) -> String {
        let files = count(files, "file", "files");
        format!("{files} in {}, {}", Duration::from_ms(self.wall_ms), signed(self.growth_bytes))
    }
}

/// `tests/test_nlp.py +512.0 MiB in 8.1 s, of which spacy +480.0 MiB`.
fn told(file: &FileProfile, cut_ms: Option<u64>, by_growth: bool) -> String {
    let time = Duration::from_ms(took_ms(file, cut_ms));
    let end = if is_open(file, cut_ms) { ", it did not end" } else { "" };
    let largest = match by_growth {
        true => file.imports.iter().max_by_key(|import| import.growth_bytes),
        false => file.imports.iter().max_by_key(|import| import.wall_ms),
    };
    let import = largest.map(|import| format!(", of which {}", imported(import, by_growth))).unwrap_or_default();
    format!("{} {} in {time}{end}{import}", short_line(&file.nodeid, NAME_WIDTH), signed(file.growth_bytes))
}

/// The file that the run ended in took until then; of one whose end was not told nothing is known.
fn took_ms(file: &FileProfile, cut_ms: Option<u64>) -> u64 {
    file.wall_ms.or(cut_ms.map(|end| end.saturating_sub(file.started_ms))).unwrap_or(0)
}

fn imported(import: &ImportProfile, by_growth: bool) -> String {
    let cost = if by_growth { signed(import.growth_bytes) } else { Duration::from_ms(import.wall_ms).to_string() };
    format!("{} {cost}", short_line(&import.module, MODULE_WIDTH))
}
