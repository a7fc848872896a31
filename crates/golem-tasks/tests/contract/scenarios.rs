//! All scenarios. Each is played on every ground, unless it says otherwise.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use crate::grounds::Ground;
use crate::stage::Scene;

mod bus;
mod market;

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
    }
}
