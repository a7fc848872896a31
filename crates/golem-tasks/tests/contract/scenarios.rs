//! All scenarios. Each is played on every ground, unless its line says otherwise.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use crate::grounds::Ground;
use crate::stage::Scene;

mod access;
mod activities;
mod agreement_events;
mod agreements;
mod allocations;
mod bill_events;
mod bills;
mod bus;
mod cut_off;
mod files;
mod killed;
mod market;
mod negotiation;
mod networks;
mod output;
mod program;
mod restarts;
mod sdk;
mod vanished;

/// How long a scenario may take, on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(120);

/// One scenario.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) play: fn(Scene) -> LocalBoxFuture<'static, ()>,
    pub(crate) grounds: &'static [Ground],
    pub(crate) deadline: Duration,
}

/// Where a program of its own can be pointed at the daemon: not at a devnet within this process.
const WITH_AN_ADDRESS: &[Ground] = &[Ground::Http, Ground::Daemons];
/// Where providers can join: the devnet has no bus that others reach.
const WITH_A_BUS: &[Ground] = &[Ground::Daemons];

/// Lists functions of modules as scenarios. One that makes no sense on every ground names those where it is played:
/// `name @ GROUNDS`.
macro_rules! scenarios {
    (@grounds) => { &Ground::ALL };
    (@grounds $grounds:ident) => { $grounds };
    ($($module:ident: $($name:ident $(@ $grounds:ident)?),+;)+) => {
        vec![$($(Scenario {
            name: concat!(stringify!($module), "::", stringify!($name)),
            play: |scene| $module::$name(scene).boxed_local(),
            grounds: scenarios!(@grounds $($grounds)?),
            deadline: DEADLINE,
        }),+),+]
    };
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    scenarios! {
        activities:
            an_activity_from_its_begin_to_its_end, one_activity_follows_another, creations_that_are_refused,
            an_ended_agreement_has_no_activities, a_frozen_agent_neither_creates_nor_destroys,
            commands_have_their_order, a_failed_command_harms_nothing_else, a_batch_ends_at_its_first_failure,
            polls_wait_for_what_they_ask, scripts_that_are_none, scripts_have_many_forms, one_batch_at_a_time,
            an_agreements_end_ends_its_batch, a_provider_that_is_gone, activities_that_are_none;
        access:
            a_key_opens_the_door, a_key_may_be_in_the_query, some_doors_are_open, paths_that_lead_nowhere,
            bodies_that_cant_be_read, requestors_are_apart, proposals_are_open_to_who_knows_them;
        agreement_events:
            events_have_many_kinds, an_end_needs_no_reason, the_cursor_is_strict, events_belong_to_sessions,
            a_poll_is_woken_by_an_event, polls_for_events_have_limits;
        agreements:
            an_agreement_from_its_begin_to_its_end, agreements_that_cant_be_made, a_draft_makes_one_agreement,
            an_agreement_is_spoilt_by_a_counter, the_end_of_validity_has_many_forms, agreements_that_are_none,
            an_agreement_is_cancelled, a_cancel_ends_the_wait, an_agreement_is_rejected, the_second_comes_too_late, an_agreement_expires,
            an_agreement_is_born_expired, a_provider_ends_the_agreement, an_offer_comes_back, agreements_are_listed;
        allocations:
            an_allocation_is_made_and_given_back, all_fields_are_kept, a_platform_has_many_forms,
            an_amount_has_many_forms, an_allocation_ends_by_itself, an_allocation_is_amended, a_demand_is_decorated,
            allocations_are_listed_by_their_ends, an_allocation_is_its_owners_alone,
            accounts_pay_from_the_first_allocation_on;
        bills:
            bills_come, an_invoice_is_accepted, an_allocation_is_spent, an_invoice_is_refused,
            bodies_are_read_with_care, debit_notes_add_up,
            two_activities_have_one_invoice, a_debit_note_may_be_payable, a_bill_may_be_too_high, an_invoice_may_come_twice,
            nothing_is_billed_for_nothing, an_invoice_may_never_come, bills_are_for_two_only, what_is_accepted_is_scheduled;
        bill_events: events_are_read_by_cursor, a_stream_of_events_goes_on;
        bus: an_address_is_bound_once, addresses_have_many_forms, unknown_services_are_refused,
            services_are_everybodys, a_newer_socket_replaces_an_older_one, a_socket_ends_with_its_services, answers_to_nobody_do_no_harm,
            networks_have_many_forms, a_network_has_addresses_and_nodes, a_network_is_its_owners_alone,
            nobody_answers_in_an_empty_network;
        networks: a_machine_is_reached_by_its_requestor;
        cut_off: a_confirmation_is_cut_off, a_cancellation_is_cut_off, an_end_is_cut_off;
        files:
            files_of_all_sizes, a_large_file_there_and_back, several_take_the_same_file, files_that_are_none, files_that_nobody_serves,
            a_file_that_is_refused, a_wrong_hash_is_found, a_transfer_tells_its_progress,
            a_file_that_is_served_late, a_file_that_goes_midway;
        killed:
            before_an_agreement @ WITH_AN_ADDRESS, when_an_agreement_is_approved @ WITH_AN_ADDRESS,
            when_an_activity_is_ready @ WITH_AN_ADDRESS, while_batches_run @ WITH_AN_ADDRESS,
            when_the_last_task_is_done @ WITH_AN_ADDRESS, when_an_agreement_is_ended @ WITH_AN_ADDRESS,
            while_bills_are_accepted @ WITH_AN_ADDRESS, what_it_left_is_settled @ WITH_AN_ADDRESS,
            what_ctrl_c_stopped_goes_on @ WITH_AN_ADDRESS;
        market:
            a_demand_lives_until_it_is_withdrawn, a_demand_has_many_forms, demands_are_listed_by_their_age,
            an_offer_is_found, the_event_of_an_offer, constraints_decide_what_is_found, properties_decide_who_finds,
            events_are_taken_a_few_at_a_time, polls_have_limits, a_withdrawal_ends_all_polls,
            an_event_goes_to_one_of_two_polls, a_later_offer_is_found_too, ids_that_are_none,
            a_scan_shows_each_offer_once, a_scan_is_streamed, scans_that_are_none, a_scan_shows_no_demands;
        negotiation:
            a_counter_is_answered_by_a_draft, a_negotiation_may_go_on, both_sides_agree_upon_terms,
            a_proposal_is_countered_once, a_counter_must_match, proposals_that_are_none,
            we_refuse_an_initial_proposal, we_refuse_a_draft, we_are_refused, a_busy_provider_comes_back,
            negotiations_are_apart, an_offer_that_is_gone, a_demand_that_is_gone;
        program:
            hello_world, hello_world_with_a_provider_that_fails @ WITH_AN_ADDRESS, hello_world_with_a_provider_that_vanishes @ WITH_AN_ADDRESS,
            hello_world_on_providers_of_the_program @ WITH_A_BUS;
        restarts: a_killed_daemon_remembers_rentals, a_stream_outlives_a_daemon, a_run_outlives_its_daemon;
        output:
            captures_have_many_modes, nothing_written_is_null, what_is_no_text, large_output_arrives_whole,
            a_batch_tells_its_events, bytes_are_streamed_as_they_are, stream_and_poll_agree,
            a_stream_tells_of_a_failure, a_stream_of_an_unknown_batch,
            a_stream_of_a_lost_activity;
        sdk:
            output_and_progress_are_followed, a_local_image_is_published_and_fetched,
            several_activities_share_an_agreement_and_its_invoice, files_and_documents_travel_within_their_limits,
            a_rejected_task_is_done_elsewhere;
        vanished: a_dead_providers_activity_falls_silent, an_idle_activity_falls_silent,
            a_provider_that_comes_back_knows_nothing;
    }
}
