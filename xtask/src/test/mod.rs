//! `cargo xtask test`: every check and test, part by part, cheap ones first.

mod advisories;
mod arrows;
mod cargo_parts;
mod checks;
mod counts;
pub(crate) mod dependencies;
mod guest;
mod packages;
mod part;
mod plugin;
mod recipes;
mod sample;
mod shape;

use std::process::ExitCode;
use std::time::Instant;

use clap::builder::PossibleValuesParser;

use crate::error::Error;
use crate::setup;
use crate::test::counts::Counts;
use crate::test::part::{Context, Outcome, Part};
use crate::workspace::Workspace;

/// Options of `test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run only this part; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(PARTS.map(|part| part.name)))]
    part: Vec<String>,
    /// List the parts and end
    #[arg(long)]
    list: bool,
}

/// The parts, in the order in which they run.
const PARTS: [Part; 17] = [
    Part { name: "fmt", about: "sources are formatted", run: cargo_parts::fmt },
    Part {
        name: "arrows",
        about: "crates depend only along the allowed arrows; unsafe only in one file",
        run: arrows::run,
    },
    Part { name: "dependencies", about: "lock file, minimum versions, a reason for each", run: dependencies::run },
    Part { name: "stats", about: "lengths of functions and files, messages with data", run: shape::run },
    Part { name: "clippy", about: "no lint in any target", run: cargo_parts::clippy },
    Part { name: "audit", about: "cargo-audit: no known vulnerability", run: advisories::audit },
    Part { name: "deny", about: "cargo-deny: licences, sources, bans", run: advisories::deny },
    Part { name: "doc", about: "documentation without warnings", run: cargo_parts::doc },
    Part { name: "unit", about: "tests beside the code", run: cargo_parts::unit },
    Part { name: "fuzz", about: "hostile input for everything that is parsed, about a minute", run: cargo_parts::fuzz },
    Part { name: "sample", about: "the sample project under plain pytest; runaways refuse", run: sample::run },
    Part { name: "plugin", about: "the pytest plugin under plain pytest", run: plugin::run },
    Part {
        name: "recipes",
        about: "recipes for CI services, scripts of packages: linted and tried",
        run: recipes::run,
    },
    Part { name: "packages", about: "Debian package and wheel: built, installed, run, removed", run: packages::run },
    Part { name: "demo", about: "`cargo xtask demo`: runaways contained and explained", run: sample::demo },
    Part { name: "blackbox", about: "tests of the release binary", run: cargo_parts::blackbox },
    Part {
        name: "guest",
        about: "the same on cgroup v2 with systemd: as root, as users, in a container",
        run: guest::run,
    },
];

/// The parts that need what `setup` makes; it leaves alone what is there.
const PREPARED: [&str; 4] = ["unit", "sample", "plugin", "blackbox"];

/// Runs the parts and prints the closing lines.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode, Error> {
    if options.list {
        PARTS.iter().for_each(|part| println!("{:<13} {}", part.name, part.about));
        return Ok(ExitCode::SUCCESS);
    }
    let context = Context::new(workspace, &options.part)?;
    let wanted: Vec<&Part> =
        PARTS.iter().filter(|part| options.part.is_empty() || context.is_asked(part.name)).collect();
    if wanted.iter().any(|part| PREPARED.contains(&part.name)) {
        setup::run(workspace, &setup::Options::default())?;
    }
    let started = Instant::now();
    let outcomes: Vec<(&Part, Outcome)> = wanted.into_iter().map(|part| (part, run_part(part, &context))).collect();
    Ok(close(&outcomes, started))
}

fn run_part(part: &Part, context: &Context<'_>) -> Outcome {
    println!("test {:<13} {} ...", part.name, part.about);
    let started = Instant::now();
    let outcome = (part.run)(context).unwrap_or_else(|error| Outcome::failed(crate::error::describe(&error)));
    let seconds = started.elapsed().as_secs_f64();
    println!("test {:<13} {} ({}; {seconds:.1} s)", part.name, outcome.word(), outcome.counts());
    if let Some(text) = &outcome.failure {
        println!("{}", indented(text));
    }
    outcome
}

fn close(outcomes: &[(&Part, Outcome)], started: Instant) -> ExitCode {
    let skips: Vec<String> = outcomes.iter().flat_map(|(part, outcome)| outcome.skips(part.name)).collect();
    if !skips.is_empty() {
        println!("\nskipped:");
        skips.iter().for_each(|skip| println!("  {skip}"));
    }
    let failed: Vec<String> = outcomes.iter().flat_map(|(part, outcome)| outcome.failures(part.name)).collect();
    if !failed.is_empty() {
        println!("\nfailed, with more of it above:");
        failed.iter().for_each(|failure| println!("  {failure}"));
    }
    let total: Counts = outcomes.iter().map(|(_, outcome)| outcome.counts()).sum();
    println!("\nparts: {}, in {:.0} s", outcomes.len(), started.elapsed().as_secs_f64());
    println!("{total}");
    // The closing line stays the last one: the exit code alone says that something failed.
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_of_their_own() {
        let mut names = PARTS.map(|part| part.name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PARTS.len());
        assert!(PREPARED.iter().all(|name| names.contains(name)));
    }
}
