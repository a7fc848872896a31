//! Instances of services in a table.

use golem_sdk::service::{InstanceInfo, InstanceState};
use yagna_api::Timestamp;
use yagna_api::time::between;

use super::kept::Room;
use super::table::{Column, Table};
use super::text::duration;

/// An instance to be listed.
pub(crate) struct Listed<'a> {
    pub(crate) stack: &'a str,
    pub(crate) info: &'a InstanceInfo,
    /// True if nobody keeps it up any more.
    pub(crate) is_stale: bool,
    pub(crate) now: Timestamp,
}

/// The table of instances.
pub(crate) fn table(rows: &[Listed<'_>], room: Room) -> String {
    let mut table = Table::new(vec![
        Column::text("instance"),
        Column::text("state"),
        Column::text("address"),
        Column::text("provider").at_least(12).rank(1),
        Column::number("for").rank(2),
        Column::number("restarts").rank(3),
        Column::text("stack").rank(4),
        Column::text("reason").at_least(20).rank(5),
    ]);
    for Listed { stack, info, is_stale, now } in rows {
        let state = if *is_stale { format!("{} (not kept up)", info.state) } else { info.state.to_string() };
        let reason = info.last_end.as_ref().filter(|_| info.state != InstanceState::Ready);
        table.row([
            info.name(),
            state,
            info.address.map(|address| address.to_string()).unwrap_or_default(),
            info.provider.as_ref().map(|provider| provider.name.clone()).unwrap_or_default(),
            duration(between(info.since, *now)),
            info.restarts.to_string(),
            (*stack).to_owned(),
            reason.map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table.text(room.width)
}
