//! The crate on the running kernel: limits that bite, kills that end everything, nothing left.
//!
//! Needs cgroup v1 hierarchies in which groups can be made. Elsewhere each test is counted as ignored, with the reason,
//! unless `TESTBOX_TEST_MUST` names `cgroup1-memory`.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod ending;
mod ground;
mod limits;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let lack = ground::lack();
    let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
    let must = must.split(',').any(|name| name == ground::REQUIREMENT);
    let tests: [(&str, fn()); 13] = [
        ("limits_are_in_force_for_who_joined", limits::limits_are_in_force_for_who_joined),
        ("an_oom_is_counted_and_told", limits::an_oom_is_counted_and_told),
        ("enough_memory_is_no_oom", limits::enough_memory_is_no_oom),
        ("a_threshold_tells_before_the_limit", limits::a_threshold_tells_before_the_limit),
        ("refused_forks_are_counted_and_kills_do_not_add", limits::refused_forks_are_counted_and_kills_do_not_add),
        ("a_cpu_limit_throttles", limits::a_cpu_limit_throttles),
        ("a_second_box_of_the_same_name_is_refused", limits::a_second_box_of_the_same_name_is_refused),
        ("a_fork_chain_dies_in_each_of_20_kills", ending::a_fork_chain_dies_in_each_of_20_kills),
        ("stopped_and_deaf_processes_die", ending::stopped_and_deaf_processes_die),
        ("remove_waits_and_names_what_is_left", ending::remove_waits_and_names_what_is_left),
        ("removed_groups_do_not_stay_in_the_kernel", ending::removed_groups_do_not_stay_in_the_kernel),
        ("gc_ends_boxes_of_dead_owners_only", ending::gc_ends_boxes_of_dead_owners_only),
        ("a_box_costs_little", ending::a_box_costs_little),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let lack = lack.clone();
        Trial::ignorable_test(name, move || match lack {
            None => {
                test();
                Ok(Completion::Completed)
            }
            Some(lack) if must => Err(Failed::from(format!("`{}` is required: {lack}", ground::REQUIREMENT))),
            Some(lack) => Ok(Completion::ignored_with(format!("needs {}: {lack}", ground::REQUIREMENT))),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
