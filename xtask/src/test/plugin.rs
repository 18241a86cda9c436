//! The pytest plugin: its style, by ruff, and its own tests: plain pytest, in each environment of a table of interpreters
//! and pytest versions.

use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use serde::Deserialize;

use crate::cache::Cache;
use crate::error::Error;
use crate::program::Program;
use crate::setup;
use crate::test::counts::{self, Counts};
use crate::test::part::{Context, Outcome};

/// The plugin's folder, below the workspace, with the rules of its style.
const PYTHON: &str = "crates/testbox-pytest/python";

/// What holds the plugin to these rules.
const RUFF: &str = "ruff==0.17.6";

/// The folder of the tests, below the workspace.
const TESTS: &str = "crates/testbox-pytest/python/tests";

/// Environments tested at the same time.
const AT_ONCE: usize = 2;

/// `matrix.toml`.
#[derive(Debug, Deserialize)]
struct Matrix {
    environment: Vec<Environment>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    name: String,
    python: String,
    /// All packages, pinned: none is added.
    requirements: Vec<String>,
    /// Files with tests, by name.
    tests: Vec<String>,
}

/// Runs them; what has no interpreter here is skipped by name.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    let root = &context.workspace.root;
    let path = root.join(TESTS).join("matrix.toml");
    let text = fs_err::read_to_string(&path)?;
    let matrix: Matrix = toml::from_str(&text).map_err(|source| Error::Toml { path, source })?;
    let cache = Cache::open(context.workspace)?;
    let mut failures: Vec<String> = style(&cache, root)?.into_iter().collect();
    let (mut ready, mut skipped) = (vec![], vec![]);
    for environment in &matrix.environment {
        let Some(python) = setup::python_of(&environment.python) else {
            skipped.push(format!("environment `{}`: no Python {} here", environment.name, environment.python));
            continue;
        };
        let requirements: Vec<&str> = environment.requirements.iter().map(String::as_str).collect();
        let venv = setup::venv(&cache, &format!("plugin-{}", environment.name), &python, &requirements)?;
        ready.push((venv, environment));
    }
    let mut total = Counts::default();
    for pair in ready.chunks(AT_ONCE) {
        let ended: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> =
                pair.iter().map(|(venv, environment)| scope.spawn(|| run_in(venv, environment, root))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        for (result, (_, environment)) in ended.into_iter().zip(pair) {
            let (counts, failure) = result?;
            total = [total, counts].into_iter().sum();
            failures.extend(failure.map(|text| format!("in environment `{}`:\n{text}", environment.name)));
        }
    }
    let failure = (!failures.is_empty()).then(|| failures.join("\n"));
    Ok(Outcome::tests(total, skipped, failure))
}

/// What ruff finds fault with.
fn style(cache: &Cache, root: &Path) -> Result<Option<String>, Error> {
    let venv = setup::venv(cache, "ruff", &setup::python_since((3, 8))?, &[RUFF])?;
    for arguments in [&["check", "--no-cache"][..], &["format", "--check", "--no-cache"]] {
        let ended = Program::new(venv.join("bin/ruff")).args(arguments).arg(PYTHON).clean_env().dir(root).capture()?;
        if !ended.status.success() {
            return Ok(Some(format!("ruff {}:\n{}", arguments[0], ended.both())));
        }
    }
    Ok(None)
}

fn run_in(venv: &Path, environment: &Environment, root: &Path) -> Result<(Counts, Option<String>), Error> {
    let ended = Program::new(venv.join("bin/python"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"])
        .args(environment.tests.iter().map(|name| format!("{TESTS}/{name}")))
        .clean_env()
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .dir(root)
        .capture()?;
    let counts = counts::of_pytest(&ended.stdout);
    let failed = !ended.status.success() || counts.is_empty();
    Ok((counts, failed.then(|| ended.both())))
}
