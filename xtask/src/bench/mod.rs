//! `cargo xtask bench`: testbox beside its yardsticks, in paired and interleaved runs; every number has its bound.

mod line;
mod memory;
mod pairs;
mod place;
mod priority;
mod pytest;
mod size;
mod start;
mod suite;
mod workers;

use std::path::PathBuf;

use crate::bench::line::Line;
use crate::bench::place::Place;
use crate::error::Error;
use crate::workspace::Workspace;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Write the numbers to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few runs, and only the bounds of sizes are enforced: for CI, where times mean little
    #[arg(long)]
    quick: bool,
    /// Measure only this; may be given more than once
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Vec<What>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum What {
    /// Start to exit of /bin/true, beside bubblewrap and runc
    Start,
    /// A suite of 500 tests, beside plain pytest
    Suite,
    /// 500 small tests in workers, beside plain pytest, pytest-xdist and pytest-forked; and 100,000 tests
    Workers,
    /// Memory of supervisor and init
    Memory,
    /// Size of the static binary
    Size,
}

/// How often things are run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Pairs of short runs.
    pub(crate) starts: usize,
    /// Pairs of whole suites.
    pub(crate) suites: usize,
    /// Bounds of times are enforced.
    pub(crate) enforced: bool,
}

const FULL: Effort = Effort { starts: 100, suites: 30, enforced: true };
const QUICK: Effort = Effort { starts: 12, suites: 3, enforced: false };

/// Measures what was asked for, and fails if a bound that is enforced is not kept.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    let wanted = |what| options.only.is_empty() || options.only.contains(&what);
    let effort = if options.quick { QUICK } else { FULL };
    let place = Place::new(workspace)?;
    let mut lines = vec![];
    if wanted(What::Start) {
        lines.extend(shown(start::measure(&place, effort)?));
    }
    if wanted(What::Suite) {
        lines.extend(shown(suite::measure(&place, effort)?));
    }
    if wanted(What::Workers) {
        lines.extend(workers::measure(&place, effort)?);
    }
    if wanted(What::Memory) {
        lines.extend(shown(memory::measure(&place)?));
    }
    if wanted(What::Size) {
        lines.extend(shown(vec![size::measure(workspace)?]));
    }
    if let Some(file) = &options.json {
        line::write_json(file, &lines)?;
    }
    match lines.iter().filter(|line| line.state() == "FAIL").count() {
        0 => Ok(()),
        failed => Err(Error::NotAllHeld { what: "bench", failed, total: lines.len() }),
    }
}

/// The same lines, once they are printed.
fn shown(lines: Vec<Line>) -> Vec<Line> {
    lines.iter().for_each(|line| println!("{line}"));
    lines
}
