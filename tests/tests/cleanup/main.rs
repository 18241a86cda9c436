//! What is left when a box ends, however it ends: nothing. One test a promise: `p1_` to `p17_`, `degraded_`.
//!
//! What could hurt the host if testbox failed runs in a cgroup of the test's own. `TESTBOX_TEST_NIGHTLY=1` makes the
//! repeated tests as long as the promises say; otherwise they are cut to what fits into minutes.

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "tests start processes, look at the host, and fail by panicking"
)]

mod crowds;
mod degraded;
mod endings;
mod kills;
mod traced;
mod truth;

use std::sync::RwLock;

use testbox_tests::{Case, Need, case, run};

/// Tests that measure the host take it for themselves; all others share it.
static HOST: RwLock<()> = RwLock::new(());

macro_rules! cases {
    ($($needs:expr, $lock:ident => $module:ident :: { $($name:ident),+ $(,)? });+ $(;)?) => {
        vec![$($(case(stringify!($name), $needs, || {
            let _others_that_failed_do_no_harm = HOST.$lock();
            $module::$name();
        })),+),+]
    };
}

const BOX: &[Need] = &[Need::Box, Need::Python3];
const ENFORCED: &[Need] = &[Need::Enforced, Need::Python3];
const ROOT: &[Need] = &[Need::Enforced, Need::Python3, Need::Root];
const DEGRADED: &[Need] = &[Need::Degraded, Need::Python3];

fn main() {
    run(all())
}

fn all() -> Vec<Case> {
    cases! {
        ENFORCED, read => endings::{
            p1_nothing_is_left_after_the_memory_limit,
            p1_nothing_is_left_after_a_fork_bomb,
        };
        BOX, read => endings::{
            p1_nothing_is_left_after_a_normal_end,
            p1_nothing_is_left_after_a_timeout,
            p1_nothing_is_left_after_an_interrupt,
            p1_nothing_is_left_of_a_box_that_could_not_start,
            p4_a_fork_chain_dies,
            p13_a_stopped_command_is_killed_in_time,
            p13_a_command_blocked_in_vfork_is_killed_in_time,
            p13_a_command_that_holds_the_gil_is_killed_in_time,
            p13_a_command_that_ignores_signals_is_killed_in_time,
        };
        BOX, read => kills::{
            p2_a_killed_supervisor_leaves_nothing,
            p2_other_deadly_signals_leave_nothing_either,
            p2_without_its_reaper_the_next_run_cleans_up,
            p2_a_killed_reaper_does_no_harm,
            p8_a_killed_run_leaves_a_whole_report,
            p17_a_terminal_is_intact_after_sigkill,
        };
        ROOT, read => kills::{ p3_gc_touches_only_the_boxes_of_dead_runs };
        ENFORCED, read => truth::{
            p11_what_was_set_up_is_read_back,
            p12_a_killed_child_is_not_hidden_by_exit_code_0,
            p12_a_limit_that_holds_is_not_a_verdict,
        };
        BOX, read => truth::{
            p12_exit_codes_alone_are_never_a_limit,
            p12_a_kill_by_the_command_itself_is_a_crash,
        };
        ROOT, read => truth::{
            p12_a_limit_around_testbox_is_not_called_the_boxs,
            p16_nothing_of_root_is_left_in_a_users_project,
            p16_nothing_of_root_is_left_in_a_users_writable_project,
        };
        DEGRADED, read => degraded::{
            p10_no_usable_cgroup_is_a_named_error,
            p10_degraded_walls_are_told_everywhere,
            degraded_memory_is_watched,
            degraded_forks_are_bounded,
            degraded_timeouts_end_everything,
            degraded_kills_of_testbox_leave_nothing,
        };
        BOX, write => crowds::{ p6_sixty_four_boxes_at_once };
        ENFORCED, write => crowds::{ p14_the_host_stays_usable };
        ROOT, write => crowds::{ p7_short_runs_leave_no_dead_groups };
    }
}

/// How often: as the promise says, or what fits into minutes.
fn times(nightly: u32, otherwise: u32) -> u32 {
    if std::env::var_os("TESTBOX_TEST_NIGHTLY").is_some() { nightly } else { otherwise }
}
