//! Tests in workers: a killed test is named and reported, the others run, and what each used is known.

#![expect(clippy::disallowed_methods, clippy::expect_used, reason = "tests start processes and fail by panicking")]

mod bad_suites;
mod divide;
mod evidence;
mod junit;
mod liars;
mod stories;
mod survive;
mod threads;
mod timeouts;

use serde_json::Value;
use testbox_tests::{Case, Project, run};

fn main() {
    let parts = [
        survive::cases(),
        timeouts::cases(),
        divide::cases(),
        evidence::cases(),
        junit::cases(),
        liars::cases(),
        stories::cases(),
        threads::cases(),
        bad_suites::cases(),
    ];
    run(parts.into_iter().flatten().collect())
}

/// The rows of the report, in the order of their begin.
fn rows(project: &Project) -> Vec<Value> {
    project.report()["tests"].as_array().cloned().unwrap_or_default()
}

/// The row of a test.
#[track_caller]
fn row(project: &Project, nodeid: &str) -> Value {
    let rows = rows(project);
    let found = rows.iter().find(|row| row["nodeid"] == nodeid).cloned();
    found.unwrap_or_else(|| panic!("no row of {nodeid} in {rows:#?}"))
}

/// Node id (from its last `::` on) and verdict of each row.
fn verdicts(project: &Project) -> Vec<(String, String)> {
    let name = |row: &Value| row["nodeid"].as_str().and_then(|id| id.rsplit("::").next().map(str::to_owned));
    let verdict = |row: &Value| row["verdict"].as_str().map(str::to_owned);
    rows(project).iter().map(|row| (name(row).unwrap_or_default(), verdict(row).unwrap_or_default())).collect()
}

/// Fails unless the verdicts are these.
#[track_caller]
fn expect_verdicts(project: &Project, expected: &[(&str, &str)]) {
    let found = verdicts(project);
    let mut found: Vec<(&str, &str)> = found.iter().map(|(name, verdict)| (name.as_str(), verdict.as_str())).collect();
    let mut expected = expected.to_vec();
    // What a killed worker leaves is run by a fresh one, maybe after a worker that was ready to begin already.
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Needs of every test here.
const NEEDS: &[testbox_tests::Need] = &[testbox_tests::Need::Box, testbox_tests::Need::Pytest];

/// Needs of tests whose workers have limits and counters of their own: without cgroups they share the box's.
const GROUPED: &[testbox_tests::Need] = &[testbox_tests::Need::Enforced, testbox_tests::Need::Pytest];

const fn grouped(name: &'static str, work: fn()) -> Case {
    testbox_tests::case(name, GROUPED, work)
}

const fn case(name: &'static str, work: fn()) -> Case {
    testbox_tests::case(name, NEEDS, work)
}
