//! testbox: run tests in a box that they cannot break, and learn what went wrong.

mod boxes;
mod bundle;
mod cli;
mod device;
mod doctor;
mod fault;
mod gc;
mod help;
mod kill;
mod logs;
mod notes;
mod plan;
mod print;
mod ps;
mod run;

use std::process::ExitCode;

use cli::Command;
use fault::Outcome;

fn main() -> ExitCode {
    let cli = cli::parse();
    let outcome = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Bundle(args) => bundle::bundle(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Ps(args) => ps::ps(args),
        Command::Logs(args) => logs::logs(args),
        Command::Kill(args) => kill::kill(args),
        Command::Gc(_) => gc::gc(),
        Command::Completions(args) => print::with(|out| cli::completions(args.shell, out)),
        Command::Man(args) => man(args),
        Command::Help(args) => print::text(&cli::help(args).unwrap_or_else(|error| error.exit())),
    };
    ExitCode::from(outcome.unwrap_or_else(|fault| print::fault(&fault)))
}

fn man(args: &cli::ManArgs) -> Outcome {
    let Some(dir) = &args.dir else { return print::with(cli::man_page) };
    let pages = cli::man_pages(dir).map_err(|error| fault::of(&error, None))?;
    let lines: String = pages.iter().map(|page| format!("{}\n", page.display())).collect();
    print::text(&lines)
}
