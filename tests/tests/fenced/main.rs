//! Hosts that make no namespaces: refused by name, and with the user's word a weaker box that is told and still holds.
//!
//! Such a host is played by a seccomp filter on testbox, or by a user namespace in which no other one may be made; the
//! host's own switches stay as they are. What could hurt the host runs in a cgroup of the test's own.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests start processes, look at the host, and fail by panicking"
)]

mod endings;
mod files;
mod ground;
mod others;
mod told;

use testbox_tests::{Case, Need, cases, run};

const USER: &[Need] = &[Need::Landlock, Need::Root, Need::User, Need::Python3];
const ROOT: &[Need] = &[Need::Landlock, Need::Root, Need::Enforced, Need::Python3];
const PYTEST: &[Need] = &[Need::Landlock, Need::Root, Need::Enforced, Need::Python3, Need::Pytest];

fn main() {
    run(all())
}

fn all() -> Vec<Case> {
    cases! {
        USER => told::{
            without_the_users_word_it_is_refused_and_the_word_is_named,
            a_switch_of_the_kernel_is_met_as_well,
            the_flag_that_the_doctor_names_makes_a_run_possible,
            exit_codes_are_as_ever,
            an_interrupt_ends_it,
            a_terminal_works,
        };
        ROOT => told::{
            every_report_tells_the_weaker_walls,
            where_namespaces_can_be_made_nothing_changes,
            roots_box_is_somebody_elses,
        };
        PYTEST => told::{
            pytest_names_the_killed_test,
            pytest_has_the_hosts_network_where_it_is_asked_for,
        };
        USER => files::{
            only_what_is_shown_is_read_and_nothing_of_it_written,
            a_writable_project_keeps_what_the_host_obeys,
            flags_open_and_close,
            scratch_space_is_bounded_by_file_and_gone_afterwards,
        };
        USER => others::{
            processes_of_the_user_are_out_of_reach,
            sockets_and_queues_lead_nowhere,
            semaphores_work,
        };
        USER => endings::{
            a_daemon_is_dead_when_testbox_returns,
            a_fork_chain_dies,
            a_fork_bomb_dies,
            a_sigkill_of_testbox_leaves_nothing,
            without_its_reaper_the_next_run_cleans_up,
            gc_takes_only_folders_of_dead_runs,
        };
        ROOT => endings::{ with_cgroups_nothing_gets_away_either };
    }
}
