//! The store's contract: one suite of tests over SQLite in memory, SQLite in a file, and PostgreSQL.
//!
//! A test is a function of a `Ground` and says on which ones it makes sense. `GOLEM_TASKS_TEST_PG` names a server on which
//! databases may be made (`scripts/postgres` starts one); without it PostgreSQL is left out, which is said, and is a
//! failure where `CI` or `GOLEM_GROUNDS=all` is set.

#![expect(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

mod asking;
mod deleting;
mod explaining;
mod files;
mod grounds;
mod histories;
mod installing;
mod leases;
mod mixing;
mod paying;
mod python;
mod remembered;
#[path = "../runs/scene.rs"]
#[expect(dead_code, reason = "shared with other tests, which need more of it")]
mod scene;
mod seeing;
mod servers;
mod state;
mod writing;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::grounds::{Ground, Kind};

/// No test takes longer, on the slowest machine.
const DEADLINE: Duration = Duration::from_secs(120);

type Test = fn(Ground) -> BoxFuture<'static, ()>;

/// `module::test` for each, with the grounds it is for.
macro_rules! tests {
    ($($kinds:ident: $($module:ident::$name:ident),+;)+) => {
        &[$($((
            concat!(stringify!($module), "::", stringify!($name)),
            Kind::$kinds,
            (|ground| Box::pin($module::$name(ground))) as Test,
        )),+),+]
    };
}

const TESTS: &[(&str, &[Kind], Test)] = tests! {
    ALL:
        writing::tasks_are_read_with_what_became_of_them,
        writing::invariant_3_an_outcome_of_an_old_attempt_is_dropped,
        writing::a_commit_may_hold_several_attempts_of_one_task,
        writing::a_commit_is_all_or_nothing,
        writing::a_bill_that_was_decided_stays_decided,
        writing::an_activity_can_follow_another_one_in_the_same_rental,
        writing::tasks_given_up_with_their_job_are_told_apart,
        writing::ten_thousand_tasks_are_written_in_batches_and_counted_right,
        writing::any_text_and_any_number_come_back_as_they_were,
        writing::any_bytes_that_were_printed_come_back_as_they_were,
        mixing::both_counts_agree_after_every_event,
        state::invariant_4_a_state_read_back_is_the_fold_of_the_events,
        state::a_run_with_nearly_everything_is_read_back,
        state::a_commit_that_failed_left_nothing,
        state::a_run_resumed_is_running,
        state::what_several_write_at_once_is_kept_whole,
        paying::what_became_of_the_money_is_recorded_and_added_up,
        paying::the_daemon_is_asked_and_its_answers_are_kept,
        deleting::runs_are_deleted_together_and_the_others_stay,
        deleting::a_run_that_a_live_process_holds_is_not_deleted,
        leases::a_run_is_held_by_one,
        leases::a_dead_holder_is_replaced_at_once,
        asking::what_a_rental_cost_is_shared_by_its_activities_and_their_results,
        asking::every_error_is_told_once_the_newest_first,
        explaining::each_provider_counts_once_however_often_its_offer_comes,
        explaining::a_task_has_its_attempts_waits_and_neighbours,
        asking::results_are_streamed_in_the_order_of_the_tasks,
        asking::whoever_holds_a_run_hears_that_it_is_to_be_cancelled,
        seeing::a_timeline_tells_the_same_one_by_one_and_added_up,
        seeing::a_part_of_a_timeline_has_what_ran_in_it,
        seeing::times_and_costs_are_summed_up,
        seeing::tasks_are_found_by_state_text_and_provider_in_any_order,
        seeing::the_last_attempts_are_read_a_page_at_a_time,
        seeing::a_pulse_tells_that_something_was_written,
        remembered::providers_are_remembered_across_runs_and_fade,
        remembered::a_run_tells_the_same_before_and_after_its_end_however_it_is_written,
        remembered::who_fails_other_runs_is_heard_of_while_they_go_on,
        remembered::who_did_not_approve_while_the_run_was_stopping_is_not_to_blame,
        remembered::providers_are_blocked_by_id_or_name_and_unblocked;
    KEPT:
        seeing::a_job_log_has_the_columns_of_gnu_parallel,
        deleting::a_deleted_run_leaves_no_row_however_it_is_deleted,
        deleting::a_big_run_is_deleted_in_seconds,
        state::a_hundred_thousand_tasks_are_read_back_in_seconds,
        asking::the_program_answers_the_same_on_every_database,
        explaining::the_program_explains_the_same_on_every_database,
        asking::a_run_that_pauses_says_until_when,
        asking::a_run_without_anything_is_shown_as_such,
        paying::the_program_tells_accepted_scheduled_and_paid_apart,
        asking::a_run_that_is_not_there_is_told_with_those_that_look_like_it,
        asking::results_are_written_whole_or_not_at_all,
        remembered::the_program_lists_blocks_and_unblocks_providers,
        remembered::what_a_deleted_run_told_is_forgotten_and_blocks_stay,
        writing::a_run_is_kept_and_found_again,
        writing::invariant_1_what_was_committed_is_seen_by_another_process_at_once,
        writing::everything_an_event_says_has_a_column,
        leases::a_silent_holder_elsewhere_is_replaced_and_can_write_no_more,
        leases::the_lease_of_a_killed_process_is_free_at_once,
        leases::of_many_that_ask_at_once_one_gets_the_run,
        installing::it_is_said_what_was_done,
        installing::the_program_installs_by_flag_or_variable_and_says_so,
        installing::several_processes_may_begin_with_the_same_new_database,
        installing::invariant_10_a_store_of_a_newer_version_is_refused_untouched,
        installing::a_database_of_another_program_is_refused_untouched;
    SQLITE:
        files::a_file_that_goes_away_under_a_run_is_noticed_at_the_next_commit,
        files::what_is_only_read_needs_no_right_to_write,
        files::what_is_the_matter_with_a_file_is_named,
        files::whoever_keeps_it_locked_is_told_apart_from_a_file_that_cant_be_locked,
        installing::what_is_no_database_at_all_is_refused;
    POSTGRES:
        mixing::random_events_in_random_groups_read_back_the_same_everywhere,
        python::its_tables_are_recognised_and_left_alone,
        python::its_queries_work_and_mean_the_same,
        servers::what_is_wrong_with_a_server_is_said_with_what_to_do,
        servers::whoever_may_not_make_tables_is_told_who_can,
        servers::nothing_weaker_than_durable_is_taken_from_the_server,
        servers::a_big_table_is_still_written_by_its_keys;
};

#[expect(clippy::print_stderr, reason = "a test program talks to who started it")]
fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(leases::CHILD) {
        return leases::child(&role.to_string_lossy());
    }
    let arguments = Arguments::from_args();
    let with_postgres = grounds::server().is_some();
    if !with_postgres && !arguments.list {
        let set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
        if set("CI") || std::env::var_os("GOLEM_GROUNDS").is_some_and(|wanted| wanted == "all") {
            eprintln!("error: the store can't be tested on PostgreSQL: GOLEM_TASKS_TEST_PG names no server");
            return ExitCode::FAILURE;
        }
        eprintln!("NOTE: the store was not tested on PostgreSQL: use scripts/postgres");
    }
    let mut trials = Vec::new();
    for (name, kinds, test) in TESTS {
        for kind in kinds.iter().filter(|kind| **kind != Kind::Postgres || with_postgres) {
            trials.push(trial(name, *kind, *test));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, kind: Kind, test: Test) -> Trial {
    Trial::test(format!("{kind}::{name}"), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async {
            let ground = Ground::new(kind).await;
            let held = ground.clone();
            let done = tokio::time::timeout(DEADLINE, test(ground)).await;
            held.end().await;
            done.map_err(|_| Failed::from(format!("not done within {DEADLINE:?}")))
        })
    })
}
