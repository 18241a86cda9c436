//! faulthandler's dumps, which end anywhere and can be written to by the tests.

#![expect(clippy::unwrap_used, reason = "checks fail by panicking")]

use std::path::Path;

use testbox_fuzz::{bytes, run};
use testbox_pytest::calls;

fn check(dump: &[u8]) {
    let text = String::from_utf8_lossy(dump);
    let calls = calls(&text, Path::new("/p"));
    assert!(calls.len() <= 64, "{}", calls.len());
    for call in &calls {
        let (_, function) = call.rsplit_once(" in ").unwrap();
        let is_source = |line: &str| line.starts_with("  File \"") && line.ends_with(function);
        assert!(text.split('\n').any(is_source), "{call}");
    }
}

#[test]
fn stacks() {
    run("stacks", bytes, check);
}
