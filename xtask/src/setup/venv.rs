//! Python environments, one for each list of requirements.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, key};
use crate::error::Error;
use crate::program::Program;
use crate::setup::python::Python;
use crate::setup::say;

/// The environment for these requirements; made only if there is none for exactly them and this Python.
pub(crate) fn ensure(cache: &Cache, name: &str, python: &Python, requirements: &[&str]) -> Result<PathBuf, Error> {
    let interpreter = python.program.to_string_lossy();
    let hash = key(&[&requirements.join("\n"), &interpreter, &python.version]);
    let dir_name = format!("venv-{name}-{hash}");
    let (venv, was_there) = cache.ensure(&dir_name, |dir| {
        say(name, &format!("making an environment of Python {} with {} packages", python.version, requirements.len()));
        Program::new(&python.program).args(["-m", "venv"]).arg(dir).stdout()?;
        pip(dir).args(["install", "--quiet", "--no-deps"]).args(requirements).stdout().map(drop)
    })?;
    say(name, &format!("environment {}{}", venv.display(), if was_there { ": found" } else { ": made" }));
    Ok(venv)
}

/// What a Debian can run, the newest first.
const PLATFORMS: [&str; 4] =
    ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"];

/// The packages of a list of requirements as files in this new folder, for an environment on another machine; the list
/// itself is there as `requirements.txt`. With `python`, wheels for this version.
pub(crate) fn download(venv: &Path, requirements: &Path, into: &Path, python: Option<&str>) -> Result<(), Error> {
    fs_err::create_dir(into)?;
    fs_err::copy(requirements, into.join("requirements.txt"))?;
    let mut program = pip(venv).args(["download", "--quiet", "--no-deps", "--requirement"]).arg(requirements);
    if let Some(version) = python {
        program = program.args(["--only-binary=:all:", "--implementation=cp", "--python-version", version]);
        program = program.args(PLATFORMS.iter().flat_map(|platform| ["--platform", platform]));
    }
    program.arg("--dest").arg(into).stdout().map(drop)
}

/// pip of this environment, with whatever settings the user's machine has for it.
pub(crate) fn pip(venv: &Path) -> Program {
    Program::new(venv.join("bin/python"))
        .args(["-m", "pip", "--no-input"])
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore")
}
