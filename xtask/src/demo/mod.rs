//! `cargo xtask demo`: the main job on the sample project. Each runaway runs in a box; what came out is compared with
//! what must come out; the host is looked at before and after.

mod cases;
mod host;
mod report;
mod stage;

use std::time::Instant;

use crate::cache::is_root;
use crate::demo::cases::{CASES, Case};
use crate::demo::host::Host;
use crate::demo::report::Report;
use crate::demo::stage::Stage;
use crate::error::Error;
use crate::program::{Ended, Program, path_after, tail};
use crate::setup;
use crate::testbox::{self, Testbox};
use crate::workspace::Workspace;

/// Lines of each run's output that are shown.
const SHOWN_LINES: usize = 14;
/// A testbox that does not come back is a failure and not a hang.
const OUTER_LIMIT_S: &str = "120";

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only cases whose name contains this
    #[arg(value_name = "NAME")]
    only: Option<String>,
}

/// Whose output is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// That of every case.
    All,
    /// That of cases which came out in another way than expected: what runaways print looks like failed tests.
    Unexpected,
}

/// One row of the closing table.
struct Row {
    case: &'static Case,
    verdict: String,
    seconds: f64,
    complaints: Vec<String>,
}

/// Runs the cases; an error if one came out in another way than expected.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    match cases(workspace, options.only.as_deref(), Shown::All)? {
        (_, 0) => Ok(()),
        (total, failed) => Err(Error::NotAllHeld { what: "demo", failed, total }),
    }
}

/// Sets up, builds, runs the cases and prints the table; how many there were, and how many came out in another way.
pub(crate) fn cases(workspace: &Workspace, only: Option<&str>, shown: Shown) -> Result<(usize, usize), Error> {
    let venv = setup::sample(workspace, true)?;
    println!("demo  building testbox (release)");
    let binary = testbox::build(workspace)?;
    let stage = Stage::new(workspace, venv)?;
    let testbox = Testbox::probe(&binary, &stage.project, |binary| Program::new(binary))?;
    introduce(&stage, &testbox);
    let host = Host::watch(&stage)?;
    let wanted = |case: &&'static Case| only.is_none_or(|name| case.name.contains(name));
    let mut rows = vec![];
    for case in CASES.iter().filter(wanted) {
        rows.push(run_case(case, &stage, &testbox, &host, shown)?);
    }
    print_table(&rows);
    Ok((rows.len(), rows.iter().filter(|row| !row.complaints.is_empty()).count()))
}

fn introduce(stage: &Stage, testbox: &Testbox) {
    println!("demo  the sample project: {}", stage.project.display());
    if !testbox.degraded.is_empty() {
        let who = if is_root() { "root" } else { "an ordinary user" };
        println!("demo  for {who} this host cannot enforce: {}", testbox.degraded.join(", "));
        println!("demo  so each run gets `{}`, and nothing else is given up", testbox.degraded_flags().join(" "));
    }
}

fn run_case(case: &'static Case, stage: &Stage, testbox: &Testbox, host: &Host, shown: Shown) -> Result<Row, Error> {
    let arguments = case.arguments(&testbox.degraded_flags());
    println!("\n=== {}: {}", case.name, case.about);
    println!("$ {}", Program::new("testbox").args(&arguments).shown());
    stage.forget_report()?;
    let started = Instant::now();
    let ended = start(stage, testbox, &arguments)?;
    let seconds = started.elapsed().as_secs_f64();
    let report = Report::read(&stage.project);
    let mut complaints = case.complaints(ended.status.code(), report.as_ref(), &testbox.degraded);
    complaints.extend(host.complaints(report.as_ref().map(|report| report.box_id.as_str()))?);
    if shown == Shown::All || !complaints.is_empty() {
        println!("{}", tail(&ended.stdout, SHOWN_LINES));
    }
    match complaints.is_empty() {
        true => println!("--- as expected: {}; nothing outside the box was touched, nothing is left", case.expected()),
        false => complaints.iter().for_each(|complaint| println!("--- NOT AS EXPECTED: {complaint}")),
    }
    let verdict = report.map_or_else(|| "no report".to_owned(), |report| report.verdict);
    Ok(Row { case, verdict, seconds, complaints })
}

fn start(stage: &Stage, testbox: &Testbox, arguments: &[String]) -> Result<Ended, Error> {
    Program::new("timeout")
        .args(["--kill-after=10", OUTER_LIMIT_S])
        .arg(&testbox.binary)
        .args(arguments)
        .clean_env()
        .env("VIRTUAL_ENV", &stage.venv)
        .env("PATH", path_after(&stage.venv.join("bin")))
        .dir(&stage.project)
        .logged(&stage.log())
}

fn print_table(rows: &[Row]) {
    println!("\n{:<24} {:<24} {:<16} {:>7}   host", "case", "expected", "verdict", "time");
    for row in rows {
        let state = if row.complaints.is_empty() { "untouched, nothing left: ok" } else { "FAILED" };
        println!(
            "{:<24} {:<24} {:<16} {:>5.1} s   {state}",
            row.case.name,
            row.case.expected(),
            row.verdict,
            row.seconds
        );
        row.complaints.iter().for_each(|complaint| println!("    {complaint}"));
    }
    let held = rows.iter().filter(|row| row.complaints.is_empty()).count();
    println!("\n{held} of {} cases came out as expected", rows.len());
}
