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
mod setup;
mod stats;
mod test;
mod testbox;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Task};
use crate::error::Error;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", error::describe(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Error> {
    let workspace = Workspace::find()?;
    match &cli.task {
        Task::Setup(options) => setup::run(&workspace, options),
        Task::Demo(options) => demo::run(&workspace, options),
        Task::Test(options) => test::run(&workspace, options),
        Task::Bench(options) => bench::run(&workspace, options),
        Task::Stats(options) => stats::run(&workspace, options),
        Task::Guest(options) => guest::run(&workspace, options),
        Task::Dist(options) => dist::run(&workspace, options),
    }
}
