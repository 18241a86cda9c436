//! The supervisor on a real memory and pids cgroup: what the kernel did is what the evidence says.
//!
//! Needs cgroup v1 hierarchies in which groups can be made. Elsewhere each test is counted as ignored, with the reason,
//! unless `TESTBOX_TEST_MUST` names `cgroup1-memory`.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod ground;
mod limits;
mod plugin;
mod workers;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

const REQUIREMENT: &str = "cgroup1-memory";

fn main() -> std::process::ExitCode {
    let lack = ground::lack();
    let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
    let must = must.split(',').any(|name| name == REQUIREMENT);
    let tests: Vec<(&str, fn())> = vec![
        ("an_oom_kill_is_told_and_the_largest_named", limits::an_oom_kill_is_told_and_the_largest_named),
        ("enough_memory_is_no_oom", limits::enough_memory_is_no_oom),
        ("a_fork_bomb_is_a_storm", limits::a_fork_bomb_is_a_storm),
        ("a_worker_runs_its_batch_in_its_slot", workers::a_worker_runs_its_batch_in_its_slot),
        ("a_worker_that_takes_all_its_memory_is_named", workers::a_worker_that_takes_all_its_memory_is_named),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let lack = lack.clone();
        Trial::ignorable_test(name, move || match lack {
            None => {
                test();
                Ok(Completion::Completed)
            }
            Some(lack) if must => Err(Failed::from(format!("`{REQUIREMENT}` is required: {lack}"))),
            Some(lack) => Ok(Completion::ignored_with(format!("needs {REQUIREMENT}: {lack}"))),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}
