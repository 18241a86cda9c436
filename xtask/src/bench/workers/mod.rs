//! Workers: 500 small tests in processes of their own, beside plain pytest, pytest-xdist and pytest-forked.

mod many;
mod memory;

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::bench::line::Line;
use crate::bench::pairs::{Rounds, Run};
use crate::bench::place::{Place, User};
use crate::bench::pytest::Pytest;
use crate::bench::{Effort, shown};
use crate::cache::Cache;
use crate::error::Error;
use crate::program::Program;
use crate::setup;

const REQUIREMENTS: &str = include_str!("requirements.txt");
/// What forks and waits for each test, and does nothing else.
const FLOOR: &str = include_str!("floor.py");
const FILES: usize = 20;
const TESTS_PER_FILE: usize = 25;

/// A suite of small tests.
struct Suite {
    name: &'static str,
    conftest: &'static str,
}

const SUITES: [Suite; 2] = [
    Suite { name: "trivial", conftest: "" },
    Suite { name: "heavy", conftest: "import pandas\nimport sklearn.linear_model\n" },
];

/// A way to run a suite.
type Way<'a> = (&'static str, Box<dyn Fn() -> Program + 'a>);

/// A ratio of two ways, by their places among those that are run in turns, and where it must not be above.
type Bound = (usize, usize, Option<f64>);

/// Lines for each suite, then those of many tests.
pub(crate) fn measure(place: &Place<'_>, effort: Effort) -> Result<Vec<Line>, Error> {
    let venv = environment(place)?;
    let mut lines = vec![];
    for suite in &SUITES {
        let pytest = Pytest::new(place, &venv, suite.generate(place)?)?;
        lines.extend(shown(suite.at_once(&pytest, effort)?));
        lines.extend(shown(suite.one_by_one(&pytest, effort)?));
        lines.extend(shown(vec![memory::beside_xdist(suite.name, &pytest)?]));
    }
    lines.extend(shown(many::measure(place, &venv, effort)?));
    Ok(lines)
}

/// Made when it is needed for the first time: the packages come from PyPI through pip, as its settings say.
fn environment(place: &Place<'_>) -> Result<PathBuf, Error> {
    let python = setup::python_since((3, 11))?;
    let lines: Vec<&str> = REQUIREMENTS.lines().filter(|line| !line.starts_with('#')).collect();
    setup::venv(&Cache::open(place.workspace)?, "bench", &python, &lines)
}

impl Suite {
    fn generate(&self, place: &Place<'_>) -> Result<PathBuf, Error> {
        let project = place.project(&format!("workers-{}", self.name), User::Caller)?;
        fs_err::write(project.join("conftest.py"), self.conftest)?;
        fs_err::write(project.join("floor.py"), FLOOR)?;
        for file in 0..FILES {
            let mut text = String::new();
            for test in 0..TESTS_PER_FILE {
                let _ = write!(text, "def test_{test:02}():\n    assert sum(range({test})) >= 0\n\n\n");
            }
            fs_err::write(project.join(format!("test_{file:02}.py")), text)?;
        }
        Ok(project)
    }

    /// Few workers for all tests: nothing of it may cost more than a hundredth or three.
    fn at_once(&self, pytest: &Pytest<'_>, effort: Effort) -> Result<Vec<Line>, Error> {
        let ways: [Way<'_>; 5] = [
            ("testbox", Box::new(|| pytest.boxed(&[], &[]))),
            ("testbox --isolate file", Box::new(|| pytest.boxed(&["--isolate", "file"], &[]))),
            ("testbox -j 2", Box::new(|| pytest.boxed(&["-j", "2"], &[]))),
            ("plain pytest", Box::new(|| pytest.bare(&[]))),
            ("pytest -n 2", Box::new(|| pytest.bare(&["-n", "2"]))),
        ];
        let bounds = [(0, 3, Some(1.03)), (1, 3, Some(1.0)), (2, 3, Some(1.0)), (2, 4, Some(0.8))];
        self.ratios(&ways, &bounds, effort.suites.div_ceil(2), effort)
    }

    /// A process for each test.
    fn one_by_one(&self, pytest: &Pytest<'_>, effort: Effort) -> Result<Vec<Line>, Error> {
        let ways: [Way<'_>; 4] = [
            ("testbox --isolate test", Box::new(|| pytest.boxed(&["--isolate", "test"], &[]))),
            ("testbox --isolate test -j 2", Box::new(|| pytest.boxed(&["--isolate", "test", "-j", "2"], &[]))),
            ("pytest --forked", Box::new(|| pytest.bare(&["--forked"]))),
            ("fork and wait", Box::new(|| pytest.bare(&["-p", "floor"]))),
        ];
        let bounds = [(0, 2, Some(1.0)), (1, 0, Some(0.6)), (0, 3, None)];
        self.ratios(&ways, &bounds, effort.suites.div_ceil(6), effort)
    }

    fn ratios(&self, ways: &[Way<'_>], bounds: &[Bound], rounds: usize, effort: Effort) -> Result<Vec<Line>, Error> {
        let programs: Vec<Run<'_>> = ways.iter().map(|(_, way)| Box::new(|| way().timed()) as Run<'_>).collect();
        let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
        let rounds = Rounds::run(&programs, rounds)?;
        let line = |(over, under, bound): &Bound| {
            let ratio = rounds.ratio(*over, *under);
            Line {
                name: format!("{} {} tests: {} / {}", FILES * TESTS_PER_FILE, self.name, names[*over], names[*under]),
                value: ratio.median,
                unit: "x",
                bound: *bound,
                enforced: effort.enforced,
                detail: rounds.detail(&names, &ratio),
            }
        };
        Ok(bounds.iter().map(line).collect())
    }
}
