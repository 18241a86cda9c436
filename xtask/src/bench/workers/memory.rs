//! What running tests side by side takes of memory, as the kernel counts it for a box.

use crate::bench::line::Line;
use crate::bench::pytest::Pytest;
use crate::error::Error;

/// At most this many times the memory of pytest-xdist.
const BOUND: f64 = 0.7;

/// Both in a box, so that both are counted alike: two workers of testbox's, two of pytest-xdist's.
pub(crate) fn beside_xdist(name: &str, pytest: &Pytest<'_>) -> Result<Line, Error> {
    let peak = |flags: &[&str], args: &[&str]| {
        let program = pytest.boxed(flags, args);
        let command = program.shown();
        program.timed()?;
        let report = pytest.report()?;
        let bytes = report["peaks"]["memory_bytes"].as_f64();
        bytes.ok_or_else(|| Error::NotAsExpected { complaint: format!("no peak in the report of {command}") })
    };
    let (testbox, xdist) = (peak(&["-j", "2"], &[])?, peak(&["--no-plugin"], &["-n", "2"])?);
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    Ok(Line {
        name: format!("500 {name} tests, peak memory: testbox -j 2 / pytest -n 2"),
        value: testbox / xdist,
        unit: "x",
        bound: (name == "heavy").then_some(BOUND),
        enforced: true,
        detail: format!("of the whole box: testbox {:.1} MiB, pytest -n 2 {:.1} MiB", mib(testbox), mib(xdist)),
    })
}
