//! Hostile programs in the box, one test a requirement; what they aim at on the host is looked at before and after.
//!
//! The names start with the requirement: `r1_` to `r18_`, `seccomp_`, `quota_`.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests start processes, look at the host, and fail by panicking"
)]

mod attack;
mod escape;
mod hand_out;
mod privileges;

use testbox_tests::{Case, Need, cases, run};

const BOX: &[Need] = &[Need::Box];
const PYTEST: &[Need] = &[Need::Box, Need::Pytest];
const ROOT: &[Need] = &[Need::Box, Need::Root];

fn main() {
    run(all())
}

fn all() -> Vec<Case> {
    cases! {
        BOX => privileges::{
            r1_the_box_never_sees_the_host_binary,
            r1_executing_ones_own_exe_gives_no_handle_on_the_host_binary,
            r1_a_binary_that_others_may_write_runs_as_a_sealed_copy,
            r5_no_environment_variable_changes_a_wall,
            r5_the_init_is_closed_to_the_command,
            r5_the_environment_of_the_host_does_not_leak,
            r9_no_core_files_and_no_settings_of_the_host,
            r17_no_privileges_at_all,
            r17_foreign_abis_are_killed,
            seccomp_floor_refuses_what_reaches_beyond_the_box,
            seccomp_no_file_becomes_setuid,
            quota_inotify_of_the_host_user_is_not_drained,
        };
        PYTEST => hand_out::{ r12_xml_is_written_and_never_read };
        ROOT => privileges::{ r9_nobody_in_the_box_is_root_on_the_host };
        BOX => escape::{
            r2_leaked_descriptors_do_not_reach_the_box,
            r2_the_working_directory_lies_in_the_box,
            r3_the_mounts_are_fixed_and_none_belongs_to_the_host,
            r3_links_of_the_project_do_not_choose_what_is_mounted,
            r4_no_terminal_unless_asked_for,
            r4_nothing_is_typed_into_a_terminal,
            r6_no_control_group_is_writable,
            r7_no_socket_of_the_host_is_reachable,
            r7_abstract_sockets_are_scoped_on_the_hosts_network,
            devices_and_kernel_are_out_of_reach,
            host_files_are_out_of_reach,
            kill_everybody_kills_only_the_box,
        };
        BOX => hand_out::{
            r10_planted_outputs_stay_in_the_box,
            r10_links_of_the_project_are_not_followed_outwards,
            r10_what_the_host_obeys_is_not_carried_out,
            r10_a_writable_project_keeps_what_the_host_obeys,
            r10_a_planted_report_folder_is_refused,
            r13_the_terminal_gets_no_control_sequences,
            r13_a_ci_system_gets_no_commands,
            r13_names_of_processes_are_harmless_in_the_verdict,
            r14_output_is_cut_at_its_limit,
            r14_p15_a_gibibyte_of_output_takes_no_memory,
            r14_p15_long_lines_and_garbage_take_no_memory,
        };
    }
}
