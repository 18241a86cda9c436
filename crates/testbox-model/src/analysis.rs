//! What the rows of many tests say together. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Bytes, PytestEvidence, TestRow};

const MIB: u64 = 1 << 20;
/// Fewer tests are no trend.
const FEWEST_TESTS: usize = 10;
/// Growth from which a leak is told, whatever the limit.
const LARGE_GROWTH: u64 = 64 * MIB;
/// Growth below which none is told, however small the limit.
const SMALL_GROWTH: u64 = 8 * MIB;
/// The mean growth of a test is at least so many of its standard errors. One test that grew by a lot reaches 1, and
/// `n` tests that grew alike among many that did not reach the root of `n`: nine or more are a trend, a few caches none.
const SURE: f64 = 3.0;
/// The straight line through the growing sum explains at least so much of its variance.
const STRAIGHT: f64 = 0.8;
/// One test's growth counts as this at most, either way: what a test can make up must not overflow a sum.
const MOST: i64 = 1 << 40;
/// Places named at most.
const PLACES: usize = 3;

/// Memory that the tests of a run left behind, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// What the tests left behind together, in bytes.
    pub growth_bytes: u64,
    /// How many tests that was.
    pub tests: u64,
    /// Where most of it was left, the largest first; at most three.
    pub places: Vec<LeakPlace>,
}

/// A part of a [`Leak`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeakPlace {
    /// A file, or a test without its parameters.
    pub nodeid: String,
    /// What was left behind there, in bytes.
    pub growth_bytes: u64,
    /// Its share of the whole, 0 to 100; together they can be more, because other places gave memory back.
    pub share_percent: u8,
}

/// The leak of a run, if its rows tell of one.
///
/// It is told if all tests together left behind more than 64 MiB or a tenth of `limit` (and at least 8 MiB), and if the
/// growth of the files with the larger half of it is a trend: ten tests or more, a mean that is three standard errors
/// above 0, and a sum that rises in a straight line (`R^2` of at least 0.8).
///
/// The first test of each file in a worker is not counted, nor one that was tried again: they pay for what the file sets up, and for
/// their worker's first touch of the controller's memory. Nothing is told of workers for so many tests each, which bound
/// every leak.
pub fn suspected_leak(seen: &PytestEvidence, limit: Option<Bytes>) -> Option<Leak> {
    if !matches!(seen.isolate.as_str(), "session" | "file" | "none" | "other") {
        return None;
    }
    let counted = counted(&seen.tests);
    let total: i64 = counted.iter().map(|(_, growth)| growth).sum();
    let tenth = limit.map_or(u64::MAX, |limit| (limit.0 / 10).max(SMALL_GROWTH));
    if total < LARGE_GROWTH.min(tenth) as i64 {
        return None;
    }
    let files = largest(&counted, file_of, total);
    let growing: Vec<i64> =
        counted.iter().filter(|(row, _)| files.contains_key(file_of(row))).map(|(_, growth)| *growth).collect();
    if growing.len() < FEWEST_TESTS || !is_sure(&growing) || !is_straight(&growing) {
        return None;
    }
    Some(Leak {
        growth_bytes: total as u64,
        tests: counted.len() as u64,
        places: places(narrowed(&counted, files, total), total),
    })
}

/// Rows that can show a leak, each with its growth.
fn counted(rows: &[TestRow]) -> Vec<(&TestRow, i64)> {
    let mut files_of_workers = BTreeMap::new();
    let mut counted = vec![];
    for row in rows {
        let first = files_of_workers.insert(row.worker, file_of(row)) != Some(file_of(row));
        if !first && row.killed_before.is_empty() {
            counted.extend(row.growth_bytes.map(|growth| (row, growth.clamp(-MOST, MOST))));
        }
    }
    counted
}

/// The fewest places that make at least half of the total, each with its growth.
fn largest<'a>(
    counted: &[(&'a TestRow, i64)],
    place_of: fn(&'a TestRow) -> &'a str,
    total: i64,
) -> BTreeMap<&'a str, i64> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for (row, growth) in counted {
        *sums.entry(place_of(row)).or_default() += growth;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, growth)| -growth);
    let mut sum = 0;
    let enough = sums.iter().position(|(_, growth)| {
        sum += growth;
        sum * 2 >= total
    });
    sums.into_iter().take(enough.map_or(0, |last| last + 1)).collect()
}

/// The one test that makes half of the total, if there is one, instead of its file.
fn narrowed<'a>(counted: &[(&'a TestRow, i64)], files: BTreeMap<&'a str, i64>, total: i64) -> BTreeMap<&'a str, i64> {
    let tests = largest(counted, test_of, total);
    if tests.len() == 1 { tests } else { files }
}

fn places(sums: BTreeMap<&str, i64>, total: i64) -> Vec<LeakPlace> {
    let mut places: Vec<_> = sums
        .into_iter()
        .map(|(nodeid, growth)| LeakPlace {
            nodeid: nodeid.to_owned(),
            growth_bytes: growth as u64,
            share_percent: (growth as f64 / total as f64 * 100.0).round().min(100.0) as u8,
        })
        .collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.growth_bytes));
    places.truncate(PLACES);
    places
}

fn is_sure(growth: &[i64]) -> bool {
    let n = growth.len() as f64;
    let mean = growth.iter().sum::<i64>() as f64 / n;
    let variance = growth.iter().map(|growth| (*growth as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean > 0.0 && mean >= SURE * (variance / n).sqrt()
}

/// Whether the straight line of least squares explains the running sum.
fn is_straight(growth: &[i64]) -> bool {
    let sums: Vec<f64> = growth
        .iter()
        .scan(0i64, |sum, growth| {
            *sum += growth;
            Some(*sum as f64)
        })
        .collect();
    let n = sums.len() as f64;
    let (mean_x, mean_y) = ((n - 1.0) / 2.0, sums.iter().sum::<f64>() / n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in sums.iter().enumerate().map(|(x, y)| (x as f64 - mean_x, y - mean_y)) {
        (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
    }
    xy > 0.0 && xy * xy >= STRAIGHT * xx * yy
}

fn file_of(row: &TestRow) -> &str {
    row.nodeid.split("::").next().unwrap_or_default()
}

/// The node id without parameters.
fn test_of(row: &TestRow) -> &str {
    row.nodeid.split('[').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
