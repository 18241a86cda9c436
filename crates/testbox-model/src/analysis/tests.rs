//! Synthetic runs: what is a leak, and what only looks like one.

use super::*;
use crate::TestVerdict;

const GIB: u64 = 1 << 30;

type Growth<'a> = &'a dyn Fn(u32) -> i64;

/// A run whose tests of `file` number `n` left `growth(n)` KiB behind; the first test of each file left 300 MiB.
fn run(files: &[(&str, u32, Growth<'_>)]) -> PytestEvidence {
    let mut seen = PytestEvidence { isolate: "session".to_owned(), ..PytestEvidence::default() };
    for (file, tests, growth) in files {
        let grown = |n: u32| if n == 0 { 300 << 20 } else { growth(n) * 1024 };
        seen.tests.extend((0..=*tests).map(|n| row(&format!("{file}::test_{n}"), grown(n))));
    }
    seen
}

fn row(nodeid: &str, growth: i64) -> TestRow {
    TestRow { nodeid: nodeid.to_owned(), growth_bytes: Some(growth), ..TestRow::default() }
}

fn leak(files: &[(&str, u32, Growth<'_>)]) -> Option<Leak> {
    suspected_leak(&run(files), Some(Bytes(2 * GIB)))
}

/// -1000 to 1000, the same each time.
fn noise(n: u32) -> i64 {
    i64::from(n.wrapping_mul(2_654_435_761) >> 16) % 2001 - 1000
}

fn names(leak: &Leak) -> Vec<(&str, u8)> {
    leak.places.iter().map(|place| (place.nodeid.as_str(), place.share_percent)).collect()
}

#[test]
fn a_steady_leak_is_found_and_its_file_named() {
    let found = leak(&[("a.py", 100, &|_| 0), ("b.py", 100, &|_| 1024), ("c.py", 200, &|_| 100)]).unwrap();
    assert_eq!((found.growth_bytes, found.tests), ((100 * 1024 + 200 * 100) * 1024, 400));
    assert_eq!(names(&found), [("b.py", 84)]);
}

#[test]
fn a_few_leaking_tests_among_a_thousand_are_found() {
    let found = leak(&[("a.py", 500, &|_| 0), ("b.py", 40, &|_| 2048), ("c.py", 500, &noise)]).unwrap();
    assert_eq!(found.places[0].nodeid, "b.py");
}

#[test]
fn a_leak_of_everything_is_told_with_its_largest_files() {
    let every = |_: u32| 512;
    let found = leak(&[("a.py", 60, &every), ("b.py", 100, &every), ("c.py", 80, &every), ("d.py", 70, &every)]);
    assert_eq!(names(&found.unwrap()), [("b.py", 32), ("c.py", 26)]);
}

#[test]
fn a_leak_under_noise_is_found() {
    assert!(leak(&[("a.py", 300, &|n| 700 + noise(n) * 2)]).is_some());
}

#[test]
fn a_leak_of_one_test_with_many_parameters_is_named_without_them() {
    let mut seen = run(&[("a.py", 10, &|_| 100)]);
    seen.tests.extend((0..50).map(|n| row(&format!("a.py::TestB::test_c[{n}-x]"), 3 << 20)));
    let found = suspected_leak(&seen, None).unwrap();
    assert_eq!(names(&found), [("a.py::TestB::test_c", 99)]);
}

#[test]
fn what_does_not_go_on_is_no_leak() {
    let growths: [(&str, Growth<'_>); 10] = [
        ("one large cache", &|n| if n == 50 { 500 << 10 } else { 0 }),
        ("three caches", &|n| if n % 30 == 1 { 200 << 10 } else { 0 }),
        ("a cache amid noise", &|n| noise(n) + if n == 9 { 100 << 10 } else { 0 }),
        ("caches that fill up", &|n| if n <= 12 { 40 << 10 } else { 0 }),
        ("imports at the beginning", &|n| (100 << 10) / i64::from(n * n)),
        ("noise", &noise),
        ("given back at the end", &|n| if n <= 60 { 2048 } else { -2048 * 60 / 40 }),
        ("given back each second time", &|n| if n % 2 == 0 { 4096 } else { -4096 }),
        ("too little", &|_| 600),
        ("giving back", &|_| -4096),
    ];
    for (what, growth) in growths {
        assert_eq!(leak(&[("a.py", 100, growth)]), None, "{what}");
    }
}

#[test]
fn few_tests_are_no_trend() {
    assert_eq!(leak(&[("a.py", 9, &|_| 50 << 10)]), None);
    assert!(leak(&[("a.py", 10, &|_| 50 << 10)]).is_some());
}

#[test]
fn a_tenth_of_a_small_limit_is_enough() {
    let seen = run(&[("a.py", 100, &|_| 150)]);
    assert_eq!(suspected_leak(&seen, None), None);
    assert_eq!(suspected_leak(&seen, Some(Bytes(GIB))), None);
    assert!(suspected_leak(&seen, Some(Bytes(128 << 20))).is_some());
    let little = run(&[("a.py", 100, &|_| 70)]);
    assert_eq!(suspected_leak(&little, Some(Bytes(1 << 20))), None);
}

#[test]
fn the_first_touch_of_a_worker_is_no_leak() {
    let each_file_once = |n: u32| if n == 1 { 0i64 } else { 10 };
    let names: Vec<String> = (0..50).map(|n| format!("f{n}.py")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), 3, &each_file_once as Growth<'_>)).collect();
    assert_eq!(leak(&files), None);
}

#[test]
fn files_that_run_side_by_side_are_told_apart_by_their_workers() {
    let mut seen = run(&[]);
    for n in 0..=50 {
        let first = if n == 0 { 300 << 20 } else { 2 << 20 };
        seen.tests.push(TestRow { worker: 0, ..row(&format!("a.py::test_{n}"), first) });
        seen.tests.push(TestRow { worker: 1, ..row(&format!("b.py::test_{n}"), n * 1024) });
    }
    let found = suspected_leak(&seen, None).unwrap();
    assert_eq!((found.tests, names(&found)), (100, vec![("a.py", 99)]));
}

#[test]
fn tests_that_were_tried_again_or_not_measured_do_not_count() {
    let mut seen = run(&[("a.py", 100, &|_| 2048)]);
    seen.tests.iter_mut().for_each(|row| row.killed_before = vec![TestVerdict::Memory]);
    assert_eq!(suspected_leak(&seen, None), None);
    let mut seen = run(&[("a.py", 100, &|_| 2048)]);
    seen.tests.iter_mut().for_each(|row| row.growth_bytes = None);
    assert_eq!(suspected_leak(&seen, None), None);
}

#[test]
fn workers_that_end_after_some_tests_bound_a_leak() {
    let mut seen = run(&[("a.py", 100, &|_| 2048)]);
    for (isolate, found) in [("none", true), ("file", true), ("session", true), ("test", false), ("3", false)] {
        seen.isolate = isolate.to_owned();
        assert_eq!(suspected_leak(&seen, None).is_some(), found, "{isolate}");
    }
}

#[test]
fn numbers_that_a_hostile_plugin_could_send_do_no_harm() {
    for growth in [i64::MAX, i64::MIN, i64::MAX / 3] {
        let mut seen = run(&[("a.py", 5, &|_| 0)]);
        seen.tests.extend((0..50).map(|n| row(&format!("a.py::test[{n}]"), growth)));
        assert!(suspected_leak(&seen, Some(Bytes(u64::MAX))).is_none_or(|leak| leak.places.len() <= 3));
    }
}
