//! Python as the tool that does for a test what safe Rust cannot: install filters, call libseccomp.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A script of this folder.
pub(super) fn script(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/seccomp/tests")).join(name)
}

/// Whether Python runs with these arguments. A requirement that is not met is told, and fails the test where
/// `TESTBOX_TEST_MUST` demands it by name.
pub(super) fn has(requirement: &str, arguments: &[&str]) -> bool {
    let quiet = python().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let met = quiet.is_ok_and(|status| status.success());
    let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
    assert!(met || !must.split(',').any(|name| name == requirement), "TESTBOX_TEST_MUST demands {requirement}");
    if !met {
        eprintln!("skipped: no {requirement}");
    }
    met
}

/// Runs Python with this input.
pub(super) fn run(arguments: impl FnOnce(&mut Command) -> &mut Command, input: &str) -> Output {
    let mut python = python();
    arguments(&mut python);
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "these tests need a process of its own for the filters")]
fn python() -> Command {
    Command::new("python3")
}
