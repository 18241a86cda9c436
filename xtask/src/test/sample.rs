//! The sample project: under plain pytest its ordinary tests pass and its runaways refuse to run; in boxes all of them
//! come out as README.md says.

use std::path::{Path, PathBuf};

use crate::demo::{self, Shown};
use crate::error::Error;
use crate::program::Program;
use crate::setup::Places;
use crate::test::counts::{self, Counts};
use crate::test::part::{Context, Outcome};

/// Runs both.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    let Some(venv) = Places::read(context.workspace)?.and_then(|places| places.sample_venv) else {
        return Ok(Outcome::failed("the sample project has no environment: run `cargo xtask setup`"));
    };
    let sample = context.workspace.sample();
    let ordinary = pytest(&venv, &sample).capture()?;
    let ordinary_counts = counts::of_pytest(&ordinary.stdout);
    let mut complaints = vec![];
    if !ordinary.status.success() || ordinary_counts.is_empty() {
        complaints.push(ordinary.both());
    }
    let mut refusals = 0;
    for runaway in runaways(&sample)? {
        match refuses(&venv, &sample, &runaway)? {
            true => refusals += 1,
            false => complaints.push(format!("{} does not refuse to run outside a box", runaway.display())),
        }
    }
    let counts = [ordinary_counts, Counts { passed: refusals, ..Counts::default() }].into_iter().sum();
    let failure = (!complaints.is_empty()).then(|| complaints.join("\n"));
    Ok(Outcome::tests(counts, vec![], failure))
}

/// Runs all cases of the demonstration.
pub(crate) fn demo(context: &Context<'_>) -> Result<Outcome, Error> {
    let (total, failed) = demo::cases(context.workspace, None, Shown::Unexpected)?;
    let counts = Counts { passed: (total - failed) as u64, failed: failed as u64, skipped: 0 };
    let failure = (failed > 0).then(|| format!("{failed} of {total} cases came out in another way, see above"));
    Ok(Outcome::tests(counts, vec![], failure))
}

fn pytest(venv: &Path, sample: &Path) -> Program {
    Program::new(venv.join("bin/python"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .clean_env()
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(sample)
}

/// All files of the folder but the safety itself.
fn runaways(sample: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = vec![];
    for entry in fs_err::read_dir(sample.join("tests/runaway"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py") && !path.ends_with("boxed.py") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads the file before it is run: a runaway without the safety must never be started here.
fn refuses(venv: &Path, sample: &Path, runaway: &Path) -> Result<bool, Error> {
    if !fs_err::read_to_string(runaway)?.contains("\nrequire_box()\n") {
        return Ok(false);
    }
    let ended = pytest(venv, sample).arg(runaway).capture()?;
    Ok(counts::of_pytest(&ended.stdout) == Counts { passed: 0, failed: 0, skipped: 1 })
}
