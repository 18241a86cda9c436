//! Hostile input for everything that testbox reads: each target in `tests/` gets the seeds of `corpus/TARGET`, first as
//! they are, then mutated again and again.
//!
//! An ordinary test run spends a moment on each target, `cargo xtask test --part fuzz` some seconds. What fails prints
//! its seed, and `ARBTEST_SEED=0x... cargo test -p testbox-fuzz --test TARGET` does it again. An input that found a
//! fault belongs into the corpus.

mod mutation;

use std::path::Path;

use arbtest::arbtest;
use fs_err as fs;

pub use mutation::{bytes, lines};

/// Bytes that a target's process may have grown by at its end: nothing that it reads may pile up.
const MAX_GROWTH: u64 = 64 << 20;

/// Random bytes that one input is made with, at most.
const ENTROPY: u32 = 2048;

/// How an input is made of the seeds.
pub type Mutation = fn(&mut arbtest::arbitrary::Unstructured<'_>, &[Vec<u8>]) -> arbtest::arbitrary::Result<Vec<u8>>;

/// Checks every seed of a target, then mutations of them on two threads until the time is over (`ARBTEST_BUDGET_MS`,
/// else a moment).
///
/// # Panics
/// Where `check` panics, where there are no seeds, and where the process grew.
pub fn run(target: &str, mutation: Mutation, check: impl Fn(&[u8]) + Sync) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| check(seed));
    let before = resident_bytes();
    let search = || {
        let property = |random: &mut arbtest::arbitrary::Unstructured<'_>| {
            check(&mutation(random, &seeds)?);
            Ok(())
        };
        arbtest(property).size_max(ENTROPY).run();
    };
    std::thread::scope(|scope| {
        scope.spawn(search);
        scope.spawn(search);
    });
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < MAX_GROWTH, "{target}: the process grew by {growth} bytes");
}

/// The seeds of a target.
#[expect(clippy::expect_used, reason = "a corpus that cannot be read is a fault of the checkout")]
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).expect("the corpus").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let seeds: Vec<_> = paths.into_iter().map(|path| fs::read(path).expect("a seed")).collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// Resident memory of this process, in bytes.
///
/// # Panics
/// Without /proc.
#[expect(clippy::expect_used, reason = "without /proc nothing of testbox works")]
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}
