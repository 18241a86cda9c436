//! The pytest plugin's own tests: plain pytest in the sample project's environment.

use crate::error::Error;
use crate::program::Program;
use crate::setup::Places;
use crate::test::counts;
use crate::test::part::{Context, Outcome};

/// Runs them.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    let Some(venv) = Places::read(context.workspace)?.and_then(|places| places.sample_venv) else {
        return Ok(Outcome::failed("the plugin's tests have no environment: run `cargo xtask setup`"));
    };
    let ended = Program::new(venv.join("bin/python"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "crates/testbox-pytest/python/tests"])
        .clean_env()
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(&context.workspace.root)
        .capture()?;
    let counts = counts::of_pytest(&ended.stdout);
    let failed = !ended.status.success() || counts.is_empty();
    Ok(Outcome::tests(counts, vec![], failed.then(|| ended.both())))
}
