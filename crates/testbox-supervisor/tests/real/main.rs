//! The supervisor on a real memory and pids cgroup: what the kernel did is what the evidence says.
//!
//! Needs groups that can be made, of cgroup v1 or v2. Elsewhere each test is counted as ignored, with the reason, unless
//! `TESTBOX_TEST_MUST` names `groups`.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod ground;
mod limits;
mod plugin;
mod workers;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

const REQUIREMENT: &str = "groups";

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
        ("enough_memory_for_a_worker_is_no_oom", workers::enough_memory_for_a_worker_is_no_oom),
        (
            "a_worker_that_fills_the_box_is_the_boxs_own_verdict",
            workers::a_worker_that_fills_the_box_is_the_boxs_own_verdict,
        ),
        (
            "a_child_of_a_test_that_is_killed_is_said_of_the_test",
            workers::a_child_of_a_test_that_is_killed_is_said_of_the_test,
        ),
        (
            "a_test_that_hangs_is_killed_in_time_with_its_stack",
            workers::a_test_that_hangs_is_killed_in_time_with_its_stack,
        ),
        ("a_fork_bomb_in_a_worker_ends_the_worker_alone", workers::a_fork_bomb_in_a_worker_ends_the_worker_alone),
        ("what_a_worker_leaves_behind_is_named_and_ended", workers::what_a_worker_leaves_behind_is_named_and_ended),
        ("a_worker_that_is_not_in_its_slot_gets_no_go", workers::a_worker_that_is_not_in_its_slot_gets_no_go),
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
