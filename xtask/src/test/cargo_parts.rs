//! The parts that cargo does.

use std::time::Duration;

use crate::error::Error;
use crate::program::{Ended, Program, cargo, cargo_within, path_after, tail};
use crate::setup::Places;
use crate::test::counts;
use crate::test::part::{Context, Outcome};
use crate::testbox;

/// Lines of output shown for a failed part; all of it is in the log.
const SHOWN_LINES: usize = 120;
/// Outer limits: a hang is a failure of its part, not of the whole run.
const UNIT_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Time of each of the five targets: about a minute in all.
const FUZZ_BUDGET_MS: u32 = 10_000;
const BLACKBOX_LIMIT: Duration = Duration::from_secs(35 * 60);

/// Formatting.
pub(crate) fn fmt(context: &Context<'_>) -> Result<Outcome, Error> {
    one_test(context, "fmt", cargo().args(["fmt", "--all", "--check", "--", "--color", "never"]))
}

/// Lints in all targets of all packages.
pub(crate) fn clippy(context: &Context<'_>) -> Result<Outcome, Error> {
    let program = cargo().args([
        "clippy",
        "--quiet",
        "--keep-going",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    one_test(context, "clippy", program)
}

/// Documentation.
pub(crate) fn doc(context: &Context<'_>) -> Result<Outcome, Error> {
    let program = cargo()
        .args(["doc", "--quiet", "--keep-going", "--locked", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    one_test(context, "doc", program)
}

/// The tests beside the code, and those in documentation.
pub(crate) fn unit(context: &Context<'_>) -> Result<Outcome, Error> {
    let elsewhere = ["--exclude", "testbox-tests", "--exclude", "testbox-fuzz"];
    let tests = ["test", "--locked", "--workspace", "--no-fail-fast"].into_iter().chain(elsewhere);
    many_tests(context, "unit", with_places(context, cargo_within(UNIT_LIMIT).args(tests))?)
}

/// Hostile input from seeds, one target after the other, each on two threads. With debug assertions, so that an overflow
/// is a failure.
pub(crate) fn fuzz(context: &Context<'_>) -> Result<Outcome, Error> {
    let tests = ["test", "--locked", "--package", "testbox-fuzz", "--tests", "--no-fail-fast"];
    let program = cargo_within(UNIT_LIMIT).args(tests).env("ARBTEST_BUDGET_MS", FUZZ_BUDGET_MS.to_string());
    many_tests(context, "fuzz", program.env("RUST_BACKTRACE", "0"))
}

/// The tests that see nothing but the release binary.
pub(crate) fn blackbox(context: &Context<'_>) -> Result<Outcome, Error> {
    let binary = testbox::build(context.workspace)?;
    let tests = ["test", "--locked", "--package", "testbox-tests", "--no-fail-fast"];
    let program = cargo_within(BLACKBOX_LIMIT).args(tests).env("TESTBOX_BIN", binary);
    many_tests(context, "blackbox", with_places(context, program)?)
}

/// Tells tests what setup made: in the environment, and a `python3` with pytest in PATH.
fn with_places(context: &Context<'_>, program: Program) -> Result<Program, Error> {
    let mut program = program.env("RUST_BACKTRACE", "0");
    let Some(places) = Places::read(context.workspace)? else { return Ok(program) };
    if let Some(venv) = &places.sample_venv {
        program = program.env("TESTBOX_TEST_VENV", venv).env("PATH", path_after(&venv.join("bin")));
    }
    if places.twin_venv.is_some() {
        program = program.env("TESTBOX_TEST_TWINS", Places::file(context.workspace));
    }
    Ok(program)
}

fn one_test(context: &Context<'_>, name: &str, program: Program) -> Result<Outcome, Error> {
    let ended = logged(context, name, program)?;
    Ok(if ended.status.success() { Outcome::passed() } else { Outcome::failed(excerpt(context, name, &ended)) })
}

fn many_tests(context: &Context<'_>, name: &str, program: Program) -> Result<Outcome, Error> {
    let ended = logged(context, name, program)?;
    let counts = counts::of_cargo_test(&ended.stdout);
    let failure = match ended.status.success() {
        true if counts.is_empty() => Some("no test was run".to_owned()),
        true => None,
        false => Some(excerpt(context, name, &ended)),
    };
    let skips = counts::skips_of_cargo_test(&ended.stdout).into_iter();
    Ok(Outcome::tests(counts, skips.map(|(name, reason)| format!("{name}: {reason}")).collect(), failure))
}

fn logged(context: &Context<'_>, name: &str, program: Program) -> Result<Ended, Error> {
    program.dir(&context.workspace.root).logged(&context.logs.join(format!("{name}.log")))
}

/// Lines that harnesses print for what passed.
fn is_noise(line: &str) -> bool {
    const STARTS: [&str; 5] = ["running ", "test result: ok", "Doc-tests ", "Running ", "Compiling "];
    line.trim().is_empty() || STARTS.iter().any(|start| line.trim_start().starts_with(start))
}

/// What of a failed part's output is worth reading: which tests failed, the end of the rest, and where all of it is.
fn excerpt(context: &Context<'_>, name: &str, ended: &Ended) -> String {
    let is_test = |line: &&str| line.starts_with("test ") && line.contains(" ... ");
    let failed = ended.stdout.lines().filter(|line| is_test(line) && line.ends_with("FAILED"));
    let mut text: Vec<String> = failed.map(str::to_owned).collect();
    let rest: Vec<&str> = ended.stdout.lines().filter(|line| !is_test(line) && !is_noise(line)).collect();
    text.push(tail(&rest.join("\n"), SHOWN_LINES));
    if let Some(124 | 137) = ended.status.code() {
        text.push(format!("ended by its outer time limit after {:.0} s", ended.elapsed.as_secs_f64()));
    }
    let log = context.logs.join(format!("{name}.log"));
    text.push(format!("all of it: {}", context.workspace.short(&log)));
    text.join("\n")
}
