//! What a box costs while its command does nothing. How fast it starts is measured by `cargo xtask bench`.

use testbox_tests::{Need, Project, case};

fn main() {
    testbox_tests::run(vec![case("an idle box uses no CPU", &[Need::Box], idle)]);
}

/// The box's init is in the box's groups: a busy loop in it would be all of the time.
fn idle() {
    let project = Project::new();
    project.run(&["--", "sleep", "2"]).expect_code(0);
    let cpu_ms = project.report()["peaks"]["cpu_ms"].as_u64();
    assert!(cpu_ms.is_some_and(|cpu_ms| cpu_ms < 1000), "{cpu_ms:?} ms of CPU in 2 s of sleep");
}
