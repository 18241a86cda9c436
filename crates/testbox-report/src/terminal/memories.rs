//! The memory of tests: the table of those that used most, and a suspected leak.

use std::cmp::Reverse;

use testbox_model::{Bytes, Duration, Leak, PytestEvidence, RunRecord, TestRow, VerdictKind, suspected_leak};

use super::Style;
use super::paint::{Ink, paint};
use super::row::{NAME_WIDTH, signed};
use crate::harmless::short_line;

/// Rows that nobody asked for, where memory ended the run.
const UNASKED: usize = 3;
const TITLES: [&str; 6] = ["peak", "growth", "cache", "CPU", "wall", "pids"];

pub(super) fn lines(record: &RunRecord, kind: VerdictKind, style: Style) -> Vec<String> {
    let Some(seen) = &record.evidence.pytest else { return vec![] };
    let mut lines = vec![];
    lines.extend(suspected_leak(seen, record.evidence.memory.limit_bytes).map(|leak| told(&leak, style)));
    let asked = record.plan.testing.memories.value as usize;
    let unasked = if kind == VerdictKind::Memory { UNASKED } else { 0 };
    lines.extend(table(seen, if asked > 0 { asked } else { unasked }));
    lines
}

fn told(leak: &Leak, style: Style) -> String {
    let mean = Bytes(leak.growth_bytes / leak.tests.max(1));
    let share = |place: &testbox_model::LeakPlace| {
        format!("{} % in {}", place.share_percent, short_line(&place.nodeid, NAME_WIDTH))
    };
    let places: Vec<String> = leak.places.iter().map(share).collect();
    format!(
        "{}: memory grew by {} over {} tests ({mean} a test); {}",
        paint("leak", Ink::Caution, style),
        Bytes(leak.growth_bytes),
        leak.tests,
        places.join(", ")
    )
}

/// The tests with the highest memory, in columns; nothing if none was measured.
fn table(seen: &PytestEvidence, wanted: usize) -> Vec<String> {
    let mut measured: Vec<&TestRow> = seen.tests.iter().filter(|row| row.peak_bytes.is_some()).collect();
    let shown = wanted.min(measured.len());
    if shown == 0 {
        return vec![];
    }
    measured.sort_by_key(|row| Reverse(row.peak_bytes));
    let cells: Vec<[String; 6]> = measured[..shown].iter().map(|row| cells(row)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].len()).fold(TITLES[column].len(), usize::max);
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6], name: &str| {
        let columns: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}  ")).collect();
        format!("  {columns}{name}")
    };
    let mut lines = vec![format!("highest memory: {shown} of {} tests", measured.len())];
    lines.push(line(&TITLES.map(str::to_owned), "test"));
    lines.extend(cells.iter().zip(&measured).map(|(row, test)| line(row, &short_line(&test.nodeid, NAME_WIDTH))));
    lines
}

fn cells(row: &TestRow) -> [String; 6] {
    let bytes = |value: Option<u64>| value.map(|bytes| Bytes(bytes).to_string());
    let or_unknown = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
    [
        or_unknown(bytes(row.peak_bytes)),
        or_unknown(row.growth_bytes.map(signed)),
        or_unknown(bytes(row.cache_bytes)),
        or_unknown(row.cpu_ms.map(|ms| Duration::from_ms(ms).to_string())),
        Duration::from_ms(row.wall_ms).to_string(),
        or_unknown(row.pids.map(|pids| pids.to_string())),
    ]
}
