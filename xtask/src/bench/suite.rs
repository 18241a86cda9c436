//! A suite of 500 tests under testbox and under plain pytest: what a box costs while tests run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::bench::Effort;
use crate::bench::line::Line;
use crate::bench::pairs::{Rounds, Run};
use crate::bench::place::{Place, User};
use crate::bench::pytest::Pytest;
use crate::error::Error;
use crate::setup::Places;

/// At most this many times the wall time of plain pytest.
const BOUND: f64 = 1.03;
const FILES: usize = 20;
const TESTS_PER_FILE: usize = 25;

/// What the tests of a suite do.
struct Variant {
    name: &'static str,
    imports: &'static str,
    body: &'static str,
}

/// About 4 ms of work in each test.
const VARIANTS: [Variant; 2] = [
    Variant {
        name: "CPU-bound",
        imports: "import hashlib",
        body: "    data = b'x' * 65536\n    for _ in range(40):\n        data = hashlib.sha256(data).digest() * 2048\n    assert len(data) == 65536\n",
    },
    Variant {
        name: "I/O-bound",
        imports: "from pathlib import Path\n\nDATA = Path(__file__).parent / 'data'",
        body: "    for number in range(40):\n        text = (DATA / f'{number}.txt').read_text()\n        (tmp_path / f'{number % 8}.txt').write_text(text)\n    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == 8 * 4096\n",
    },
];

/// One line for each kind of suite.
pub(crate) fn measure(place: &Place<'_>, effort: Effort) -> Result<Vec<Line>, Error> {
    let file = Places::file(place.workspace);
    let venv = Places::read(place.workspace)?.and_then(|places| places.sample_venv);
    let venv = venv.ok_or(Error::NotSetUp { path: file })?;
    VARIANTS.iter().map(|variant| variant.measure(place, &venv, effort)).collect()
}

impl Variant {
    fn measure(&self, place: &Place<'_>, venv: &Path, effort: Effort) -> Result<Line, Error> {
        let pytest = Pytest::new(place, venv, self.generate(place)?)?;
        let programs: [Run<'_>; 2] =
            [Box::new(|| pytest.boxed(&[], &[]).timed()), Box::new(|| pytest.bare(&[]).timed())];
        let rounds = Rounds::run(&programs, effort.suites)?;
        let ratio = rounds.ratio(0, 1);
        Ok(Line {
            name: format!("{} tests, {}: testbox / plain pytest", FILES * TESTS_PER_FILE, self.name),
            value: ratio.median,
            unit: "x",
            bound: Some(BOUND),
            enforced: effort.enforced,
            detail: rounds.detail(&["testbox", "plain pytest"], &ratio),
        })
    }

    fn generate(&self, place: &Place<'_>) -> Result<PathBuf, Error> {
        let project = place.project(&format!("suite-{}", self.name.replace('/', "")), User::Caller)?;
        fs_err::create_dir_all(project.join("data"))?;
        for number in 0..40 {
            fs_err::write(project.join(format!("data/{number}.txt")), "0123456\n".repeat(512))?;
        }
        for file in 0..FILES {
            fs_err::write(project.join(format!("test_{file:02}.py")), self.file())?;
        }
        Ok(project)
    }

    fn file(&self) -> String {
        let mut text = format!("{}\n", self.imports);
        for test in 0..TESTS_PER_FILE {
            let _ = write!(text, "\n\ndef test_{test:02}(tmp_path):\n{}", self.body);
        }
        text
    }
}
