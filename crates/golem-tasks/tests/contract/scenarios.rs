//! All scenarios. Each is played on every ground, unless it says otherwise.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use crate::grounds::Ground;
use crate::stage::Scene;

mod allocations;
mod bills;
mod bus;
mod market;
mod program;
mod restarts;

/// How long a scenario may take, on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(120);

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) play: fn(Scene) -> LocalBoxFuture<'static, ()>,
    pub(crate) grounds: &'static [Ground],
    pub(crate) deadline: Duration,
}

/// Lists functions of modules as scenarios.
macro_rules! scenarios {
    ($($module:ident: $($name:ident),+;)+) => {
        vec![$($(Scenario {
            name: concat!(stringify!($module), "::", stringify!($name)),
            play: |scene| $module::$name(scene).boxed_local(),
            grounds: &Ground::ALL,
            deadline: DEADLINE,
        }),+),+]
    };
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    scenarios! {
        bus: an_address_is_bound_once, addresses_have_many_forms, unknown_services_are_refused,
            services_are_everybodys, a_newer_socket_replaces_an_older_one, a_socket_ends_with_its_services, answers_to_nobody_do_no_harm,
            networks_have_many_forms, a_network_has_addresses_and_nodes, a_network_is_its_owners_alone,
            nobody_answers_in_an_empty_network;
        market: a_demand_lives_until_it_is_withdrawn, an_offer_is_found;
        allocations:
            an_allocation_is_made_and_given_back, all_fields_are_kept, a_platform_has_many_forms,
            an_amount_has_many_forms, an_allocation_ends_by_itself, an_allocation_is_amended, a_demand_is_decorated,
            allocations_are_listed_by_their_ends, an_allocation_is_its_owners_alone,
            accounts_pay_from_the_first_allocation_on;
        bills:
            bills_come, an_invoice_is_accepted, an_allocation_is_spent, an_invoice_is_refused,
            bodies_are_read_with_care, debit_notes_add_up, a_bill_may_be_too_high, an_invoice_may_come_twice,
            nothing_is_billed_for_nothing, an_invoice_may_never_come, bills_are_for_two_only,
            events_are_read_by_cursor, a_stream_of_events_goes_on;
        program:
            hello_world, hello_world_with_a_provider_that_fails, hello_world_with_a_provider_that_vanishes;
        restarts: a_killed_daemon_remembers_deals, a_stream_outlives_a_daemon, a_run_outlives_its_daemon;
    }
}
