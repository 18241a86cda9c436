//! Automation of this project, in Rust so that a bare machine needs nothing but cargo: `cargo xtask --help`.
//!
//! Each subcommand has a folder or file of its own. Nothing here is part of testbox itself.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program speaks to a developer's terminal")]

mod bench;
mod cache;
mod cli;
mod demo;
mod dist;
mod error;
mod guest;
mod program;
mod scratch;
mod setup;
mod stats;
mod test;
mod testbox;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Task};
use crate::error::Error;
use crate::scratch::Scratch;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprint!("{}", error::describe(&error));
            ExitCode::FAILURE
        }
    }
}

/// Nothing below ends the process by itself: the folder of temporary files is removed here.
fn run(cli: &Cli) -> Result<ExitCode, Error> {
    let _scratch = Scratch::make()?.for_all();
    let workspace = Workspace::find()?;
    match &cli.task {
        Task::Test(options) => return test::run(&workspace, options),
        Task::Guest(options) => return Ok(guest::run(&workspace, options)),
        Task::Setup(options) => setup::run(&workspace, options),
        Task::Demo(options) => demo::run(&workspace, options),
        Task::Bench(options) => bench::run(&workspace, options),
        Task::Stats(options) => stats::run(&workspace, options),
        Task::Dist(options) => dist::run(&workspace, options),
    }?;
    Ok(ExitCode::SUCCESS)
}
