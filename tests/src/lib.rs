//! Black-box tests of the testbox binary: what they need, how they run it, and what must not be left behind.
//!
//! Each test file has its own `main` ([`run`]): a test states its [`Need`]s, which are probed once by doing. A test with
//! an unmet need is counted as ignored, with the reason in its name; `TESTBOX_TEST_MUST=root,pytest,...` turns that into
//! a failure. The environment says where things are: `TESTBOX_BIN` (the binary), `TESTBOX_TEST_VENV` (a venv with pytest),
//! `TESTBOX_TEST_CHECKOUT` (this repository's own files, those of them that tests read);
//! and `TESTBOX_TEST_DEGRADED` which walls every run does without, where a place cannot enforce them.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests start processes, look at the host, and fail by panicking"
)]

mod canary;
mod host;
mod need;
mod outer;
mod project;

pub use canary::Canaries;
pub use host::{Snapshot, groups_of, left_of, leftovers, pause, processes_with, root_group, wait_until};
pub use need::Need;
pub use outer::Outer;
pub use project::{Finished, HUNGRY, Project, checked_in, starter, testbox, testbox_bin, unprivileged};

use libtest_mimic::{Arguments, Failed, Trial};

/// One test: a name, what it needs, and what it does. It fails by panicking or by an error.
pub struct Case {
    name: &'static str,
    needs: &'static [Need],
    work: fn(),
}

/// A test with its needs.
pub const fn case(name: &'static str, needs: &'static [Need], work: fn()) -> Case {
    Case { name, needs, work }
}

/// The tests of a file's modules, each named as its function: `NEEDS => module::{ name, name }; ...`.
#[macro_export]
macro_rules! cases {
    ($($needs:expr => $module:ident :: { $($name:ident),+ $(,)? });+ $(;)?) => {
        vec![$($($crate::case(stringify!($name), $needs, $module::$name)),+),+]
    };
}

/// Runs the tests of a file, then checks that none of them left a cgroup, process or mount behind.
pub fn run(cases: Vec<Case>) -> ! {
    let arguments = Arguments::from_args();
    let before = Snapshot::take();
    let trials = cases.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let left = if arguments.list { Vec::new() } else { before.left() };
    for what in &left {
        report(&format!("left behind: {what}"));
    }
    if left.is_empty() { conclusion.exit() } else { std::process::exit(102) }
}

fn trial(case: Case) -> Trial {
    let unmet = case.needs.iter().find_map(|need| need.missing().map(|why| (need, why)));
    let Some((need, why)) = unmet else {
        return Trial::test(case.name, move || guarded(case.work));
    };
    if need.is_a_must() {
        let message = format!("needs {}: {why}", need.name());
        return Trial::test(case.name, move || Err(Failed::from(message)));
    }
    Trial::test(case.name, || Ok(()))
        .with_kind(format!("skipped, needs {}: {why}", need.name()))
        .with_ignored_flag(true)
}

fn guarded(work: fn()) -> Result<(), Failed> {
    work();
    Ok(())
}

/// A number for the reader of the tests' output.
pub fn note(line: &str) {
    report(&format!("note: {line}"));
}

#[expect(clippy::print_stderr, reason = "the test runner's own report")]
fn report(line: &str) {
    eprintln!("{line}");
}
