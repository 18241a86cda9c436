//! The parts that cargo does.

use std::time::Duration;

use crate::error::Error;
use crate::program::{Ended, Program, cargo, cargo_within, tail};
use crate::setup::Places;
use crate::test::counts;
use crate::test::part::{Context, Outcome};
use crate::testbox;

/// Lines of output shown for a failed part; all of it is in the log.
const SHOWN_LINES: usize = 120;
/// Outer limits: a hang is a failure of its part, not of the whole run.
const UNIT_LIMIT: Duration = Duration::from_secs(15 * 60);
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
    let program = cargo_within(UNIT_LIMIT).args([
        "test",
        "--locked",
        "--workspace",
        "--exclude",
        "testbox-tests",
        "--no-fail-fast",
    ]);
    many_tests(context, "unit", program)
}

/// The tests that see nothing but the release binary; the environment tells them where it is and what setup made.
pub(crate) fn blackbox(context: &Context<'_>) -> Result<Outcome, Error> {
    let binary = testbox::build(context.workspace)?;
    let mut program = cargo_within(BLACKBOX_LIMIT)
        .args(["test", "--locked", "--package", "testbox-tests", "--no-fail-fast"])
        .env("TESTBOX_BIN", binary);
    if let Some(places) = Places::read(context.workspace)? {
        program = match &places.sample_venv {
            Some(venv) => program.env("TESTBOX_TEST_VENV", venv),
            None => program,
        };
        if places.twin_venv.is_some() {
            program = program.env("TESTBOX_TEST_TWINS", Places::file(context.workspace));
        }
    }
    many_tests(context, "blackbox", program)
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
    Ok(Outcome::tests(counts, counts::skips_of_cargo_test(&ended.stdout), failure))
}

fn logged(context: &Context<'_>, name: &str, program: Program) -> Result<Ended, Error> {
    program.dir(&context.workspace.root).logged(&context.logs.join(format!("{name}.log")))
}

/// What of a failed part's output is worth reading, and where the rest is.
fn excerpt(context: &Context<'_>, name: &str, ended: &Ended) -> String {
    let passed = |line: &&str| line.starts_with("test ") && (line.ends_with("... ok") || line.contains("... ignored"));
    let text: Vec<&str> = ended.stdout.lines().filter(|line| !passed(line)).collect();
    let why = match ended.status.code() {
        Some(124 | 137) => format!("ended by its outer time limit after {:.0} s\n", ended.elapsed.as_secs_f64()),
        _ => String::new(),
    };
    let log = context.logs.join(format!("{name}.log"));
    format!("{}\n{why}all of it: {}", tail(&text.join("\n"), SHOWN_LINES), context.workspace.short(&log))
}
