//! The crate on the running kernel: limits that bite, kills that end everything, nothing left.
//!
//! Most need groups that can be made, of cgroup v1 or v2 (`groups`). Elsewhere a test is counted as ignored, with the
//! reason; it fails if `TESTBOX_TEST_MUST` names what it needs.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod ending;
mod ground;
mod limits;
mod slots;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let groups = Requirement::probe("groups", ground::lack_of_groups);
    let v1 = Requirement::probe("cgroup1-memory", ground::lack_of_v1_memory);
    let v2 = Requirement::probe("cgroup2-memory", ground::lack_of_v2_memory);
    let unified = Requirement::probe("cgroup2", ground::lack_of_unified);
    let psi = Requirement::probe("psi", ground::lack_of_pressure);
    let disk = Requirement::probe("disk", ground::lack_of_disk);
    let anywhere: [(&str, fn()); 16] = [
        ("limits_are_in_force_for_who_joined", limits::limits_are_in_force_for_who_joined),
        ("an_oom_is_counted_and_told", limits::an_oom_is_counted_and_told),
        ("enough_memory_is_no_oom", limits::enough_memory_is_no_oom),
        ("refused_forks_are_counted_and_kills_do_not_add", limits::refused_forks_are_counted_and_kills_do_not_add),
        ("a_cpu_limit_throttles", limits::a_cpu_limit_throttles),
        ("a_second_box_of_the_same_name_is_refused", limits::a_second_box_of_the_same_name_is_refused),
        ("a_fork_chain_dies_in_each_of_20_kills", ending::a_fork_chain_dies_in_each_of_20_kills),
        ("stopped_and_deaf_processes_die", ending::stopped_and_deaf_processes_die),
        ("remove_waits_and_names_what_is_left", ending::remove_waits_and_names_what_is_left),
        ("removed_groups_do_not_stay_in_the_kernel", ending::removed_groups_do_not_stay_in_the_kernel),
        (
            "ten_thousand_uses_of_slots_leave_no_group_in_the_kernel",
            slots::ten_thousand_uses_of_slots_leave_no_group_in_the_kernel,
        ),
        (
            "a_fork_chain_in_a_slot_dies_and_the_slot_is_used_again",
            slots::a_fork_chain_in_a_slot_dies_and_the_slot_is_used_again,
        ),
        ("a_box_with_busy_slots_is_killed_and_removed", slots::a_box_with_busy_slots_is_killed_and_removed),
        ("the_peak_of_a_slot_is_that_of_one_use", slots::the_peak_of_a_slot_is_that_of_one_use),
        ("gc_ends_boxes_of_dead_owners_only", ending::gc_ends_boxes_of_dead_owners_only),
        ("a_box_costs_little", ending::a_box_costs_little),
    ];
    let mut trials: Vec<Trial> = anywhere.into_iter().map(|(name, test)| groups.trial(name, test)).collect();
    trials.push(v1.trial("a_threshold_tells_before_the_limit", limits::a_threshold_tells_before_the_limit));
    trials.push(v2.trial("memory_high_tells_before_the_limit", limits::memory_high_tells_before_the_limit));
    trials.push(
        unified.trial("the_unified_hierarchy_kills_fork_chains", ending::the_unified_hierarchy_kills_fork_chains),
    );
    trials.push(psi.trial("stalls_for_want_of_memory_are_counted", limits::stalls_for_want_of_memory_are_counted));
    trials.push(disk.trial("transfer_rates_are_set", limits::transfer_rates_are_set));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Something that tests need of the machine, found out by doing.
struct Requirement {
    name: &'static str,
    lack: Option<String>,
    must: bool,
}

impl Requirement {
    fn probe(name: &'static str, lack: fn() -> Option<String>) -> Self {
        let must = std::env::var("TESTBOX_TEST_MUST").unwrap_or_default();
        Self { name, lack: lack(), must: must.split(',').any(|must| must == name) }
    }

    fn trial(&self, name: &str, test: fn()) -> Trial {
        let (requirement, lack, must) = (self.name, self.lack.clone(), self.must);
        Trial::ignorable_test(name, move || match lack {
            None => {
                test();
                Ok(Completion::Completed)
            }
            Some(lack) if must => Err(Failed::from(format!("`{requirement}` is required: {lack}"))),
            Some(lack) => Ok(Completion::ignored_with(format!("needs {requirement}: {lack}"))),
        })
    }
}
