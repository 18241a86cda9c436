//! Very many trivial tests: what each costs must not depend on how many there are, nor must testbox's memory.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::bench::Effort;
use crate::bench::line::Line;
use crate::bench::place::{Place, User};
use crate::bench::pytest::Pytest;
use crate::error::Error;

/// The cost of a test among the most, divided by that among the fewest.
const FLAT: f64 = 1.2;
/// Of the supervisor, with its report.
const BOUND_MIB: f64 = 64.0;
/// Fewest and most tests, and how often they are run.
const FULL: [(usize, usize); 2] = [(1_000, 9), (100_000, 1)];
const QUICK: [(usize, usize); 2] = [(1_000, 3), (10_000, 1)];

/// The supervisor's memory is looked at this often.
const LOOK: Duration = Duration::from_millis(2);

/// Wall time and the supervisor's highest memory.
struct Cost {
    seconds: f64,
    resident_kib: u64,
}

/// How flat the cost is in a box and, to compare, under plain pytest; and the supervisor's memory.
pub(super) fn measure(place: &Place<'_>, venv: &Path, effort: Effort) -> Result<Vec<Line>, Error> {
    let project = place.project("workers-many", User::Caller)?;
    let pytest = Pytest::new(place, venv, project)?;
    let sizes = if effort.enforced { FULL } else { QUICK };
    let start = [cost_of(&pytest, 1, 9, true)?, cost_of(&pytest, 1, 9, false)?];
    let mut costs = [[0.0; 2]; 2];
    let mut memory_kib = 0;
    for (which, (tests, runs)) in sizes.into_iter().enumerate() {
        for (side, boxed) in [true, false].into_iter().enumerate() {
            let cost = cost_of(&pytest, tests, runs, boxed)?;
            costs[side][which] = (cost.seconds - start[side].seconds) * 1e6 / tests as f64;
            memory_kib = if boxed { cost.resident_kib } else { memory_kib };
        }
    }
    let [(few, _), (many, _)] = sizes;
    let line = |side: usize, name: &str, bound| Line {
        name: format!("cost of a test of {many} / of {few}: {name}"),
        value: costs[side][1] / costs[side][0],
        unit: "x",
        bound,
        enforced: effort.enforced,
        detail: format!("us per test, without the start: {:.0} and {:.0}", costs[side][1], costs[side][0]),
    };
    Ok(vec![
        line(0, "testbox", Some(FLAT)),
        line(1, "plain pytest", None),
        Line {
            name: format!("memory of testbox's supervisor, {many} tests"),
            value: memory_kib as f64 / 1024.0,
            unit: "MiB",
            bound: Some(BOUND_MIB),
            enforced: true,
            detail: "its highest resident memory, reports included".to_owned(),
        },
    ])
}

/// The median of so many runs.
fn cost_of(pytest: &Pytest<'_>, tests: usize, runs: usize, boxed: bool) -> Result<Cost, Error> {
    let text = format!(
        "import pytest\n\n\n@pytest.mark.parametrize('n', range({tests}))\ndef test_one(n):\n    assert n >= 0\n"
    );
    fs_err::write(pytest.project.join("test_many.py"), text)?;
    let mut costs = (0..runs).map(|_| run(pytest, boxed)).collect::<Result<Vec<_>, _>>()?;
    costs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Ok(costs.swap_remove(runs / 2))
}

fn run(pytest: &Pytest<'_>, boxed: bool) -> Result<Cost, Error> {
    let program = if boxed { pytest.boxed(&["--timeout", "1h"], &[]) } else { pytest.bare(&[]) };
    let command = program.shown();
    let started = Instant::now();
    let mut child = program.spawn()?;
    drop(child.stdin.take());
    let mut output = child.stdout.take().ok_or_else(|| std::io::Error::other("no stdout"))?;
    let (is_open, is_closed) = channel::<()>();
    let drain = std::thread::spawn(move || {
        let _until_the_end = is_open;
        std::io::copy(&mut output, &mut std::io::sink())
    });
    let mut resident_kib = 0;
    while is_closed.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        resident_kib = highest_kib(child.id()).max(resident_kib);
    }
    drain.join().unwrap_or_else(|panic| resume_unwind(panic))?;
    let status = child.wait()?;
    match status.success() {
        true => Ok(Cost { seconds: started.elapsed().as_secs_f64(), resident_kib }),
        false => Err(Error::Failed { command, status, tail: String::new() }),
    }
}

/// The highest resident memory that a process has had; 0 once it is gone.
fn highest_kib(pid: u32) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_memory_of_this_process_is_seen() {
        assert!(highest_kib(std::process::id()) > 100);
        assert_eq!(highest_kib(u32::MAX), 0);
    }
}
