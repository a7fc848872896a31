//! `show`: a row for each activity, with the columns of golem-tasks-python first.

use std::fmt::Write as _;

use serde::Serialize;
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, Glm, Timestamp};

use super::super::json::{self, line, seconds};
use super::super::table::{Column, Table};
use super::super::text::{money, money_places, used_money};
use super::{Head, NAME, Room, State, moment, named};
use crate::store::{ActivityRow, ActivityStatus, Overview};

/// The activities of a run, beside where the run stands.
#[derive(Debug)]
pub(crate) struct Show {
    pub(crate) overview: Overview,
    pub(crate) activities: Vec<ActivityRow>,
}

#[derive(Serialize)]
struct ShowJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    state: State<'a>,
    activities: Vec<ActivityJson<'a>>,
}

#[derive(Serialize)]
struct ActivityJson<'a> {
    ix: usize,
    activity_id: Option<&'a ActivityId>,
    status: &'static str,
    batches: u64,
    cost: Glm,
    cost_per_result: Option<Glm>,
    results: u64,
    stop_reason: Option<&'a str>,
    provider: json::Provider<'a>,
    agreement_id: Option<&'a AgreementId>,
    price_per_hour: Glm,
    start_price: Glm,
    failed_attempts: u64,
    results_took_seconds: f64,
    began: Timestamp,
    ended: Option<Timestamp>,
}

impl Show {
    /// The table. Where there is too little room for all rows, activities that are over are left out.
    pub(crate) fn text(&self, room: Room) -> String {
        if self.activities.is_empty() {
            let none = format!("run {} has no activities so far\n", self.overview.summary.run_id);
            return none + &self.pause();
        }
        // While a process works on the run, what goes on is told by our own meter.
        let now = self.overview.status.holder().map(|held| after(held.heard, held.silent));
        let estimate = |row: &ActivityRow| now.map_or(row.cost, |now| row.estimate(now));
        let amounts = self.activities.iter().flat_map(|row| [Some(estimate(row)), row.cost_per_result()]);
        let places = money_places(amounts.flatten());
        let prices = money_places(self.activities.iter().flat_map(|row| [row.per_hour, row.start]));
        let mut table = Table::new(vec![
            Column::number("ix"),
            Column::text("activity_id").rank(6),
            Column::text("status"),
            Column::number("batches").rank(2),
            Column::number("GLM"),
            Column::number("GLM/result").rank(3),
            Column::number("results"),
            Column::text("stop_reason").at_least(12).rank(1),
            Column::text("provider").at_least(NAME),
            Column::text("agreement_id").rank(7),
            Column::number("GLM/hour").rank(4),
            Column::number("GLM at start").rank(5),
        ]);
        let pause = self.pause();
        // Two lines of titles, one that says what is left out, and one for the pause.
        let others = 3 + pause.lines().count();
        let left_out = self.left_out(room.height.map_or(usize::MAX, |height| height.saturating_sub(others)));
        for (ix, row) in self.activities.iter().enumerate() {
            if left_out.get(ix).copied().unwrap_or(false) {
                continue;
            }
            table.row([
                (ix + 1).to_string(),
                row.activity.as_ref().map(ToString::to_string).unwrap_or_default(),
                row.status.word().to_owned(),
                row.attempts.to_string(),
                used_money(row.cost, estimate(row), places),
                row.cost_per_result().map(|cost| money(cost, places)).unwrap_or_default(),
                row.results.to_string(),
                row.stop_reason.clone().unwrap_or_default(),
                row.provider.name.clone(),
                row.agreement.as_ref().map(ToString::to_string).unwrap_or_default(),
                money(row.per_hour, prices),
                money(row.start, prices),
            ]);
        }
        let mut text = table.text(room.width);
        let n = left_out.iter().filter(|left_out| **left_out).count();
        if n > 0 {
            let _ = writeln!(text, "({n} more, for which there is no room)");
        }
        text + &pause
    }

    /// A line that says until when the run pauses, if it does.
    fn pause(&self) -> String {
        let until = self.overview.paused_until();
        until.map(|until| format!("paused until {}\n", moment(until))).unwrap_or_default()
    }

    /// The activities as one JSON object.
    pub(crate) fn json(&self) -> String {
        line(&ShowJson {
            head: Head::of("show", &self.overview.summary.run_id),
            state: State::of(&self.overview.status, self.overview.paused_until()),
            activities: self.activities.iter().enumerate().map(|(at, row)| activity(at + 1, row)).collect(),
        })
    }

    /// The rows that aren't shown where there is room for so many: the oldest of those that are over, then the oldest.
    fn left_out(&self, most: usize) -> Vec<bool> {
        let mut left_out = vec![false; self.activities.len()];
        let mut too_many = self.activities.len().saturating_sub(most);
        for over in [true, false] {
            for (row, left_out) in self.activities.iter().zip(&mut left_out) {
                if too_many > 0 && !*left_out && (row.status == ActivityStatus::Stopped) == over {
                    *left_out = true;
                    too_many -= 1;
                }
            }
        }
        left_out
    }
}

fn activity(ix: usize, row: &ActivityRow) -> ActivityJson<'_> {
    ActivityJson {
        ix,
        activity_id: row.activity.as_ref(),
        status: row.status.word(),
        batches: row.attempts,
        cost: row.cost,
        cost_per_result: row.cost_per_result(),
        results: row.results,
        stop_reason: row.stop_reason.as_deref(),
        provider: named(&row.provider),
        agreement_id: row.agreement.as_ref(),
        price_per_hour: row.per_hour,
        start_price: row.start,
        failed_attempts: row.failed,
        results_took_seconds: seconds(row.results_took),
        began: row.began,
        ended: row.ended,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use golem_core::event::{Provider, RentalId};

    use super::*;
    use crate::store::{RunStatus, RunSummary};

    fn show(statuses: &[ActivityStatus]) -> Show {
        let began: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let activities = statuses.iter().zip(1..).map(|(status, n)| ActivityRow {
            rental: RentalId(n),
            number: 1,
            activity: Some(ActivityId::new(format!("{n:032x}"))),
            status: *status,
            attempts: n,
            failed: 0,
            results: n,
            results_took: Duration::from_secs(n),
            cost: "0.01".parse().unwrap(),
            stop_reason: None,
            provider: Provider {
                id: format!("0x{n:040x}").parse().unwrap(),
                name: format!("lively-lynx-{n}"),
            },
            agreement: Some(AgreementId::new(format!("{n:064x}"))),
            per_hour: "0.1".parse().unwrap(),
            start: Glm::ZERO,
            began,
            ended: None,
            settled: false,
        });
        let activities = activities.collect();
        let summary = RunSummary::new("r", began);
        let status = RunStatus::Interrupted(None);
        let overview = Overview {
            summary,
            status,
            ready: 0,
            new: 0,
            other: 0,
            attempts: 0,
            open_agreements: 0,
            estimate: Glm::ZERO,
        };
        Show { overview, activities }
    }

    #[test]
    fn where_there_is_little_room_the_oldest_that_are_over_go_first() {
        use ActivityStatus::{New, Ready, Stopped};
        let show = show(&[Stopped, Ready, Stopped, New, Stopped]);
        for (room, left) in [(9, "1 2 3 4 5"), (4, "2 3 4 5"), (2, "2 4"), (1, "4"), (0, "")] {
            let shown = show.left_out(room);
            let shown: Vec<_> = (1..)
                .zip(shown)
                .filter(|(_, left_out)| !left_out)
                .map(|(ix, _): (u32, _)| ix.to_string())
                .collect();
            assert_eq!(shown.join(" "), left, "{room}");
        }
        let text = show.text(Room { width: Some(80), height: Some(6) });
        assert!(text.contains("(2 more, for which there is no room)"), "{text}");
        assert!(text.lines().count() <= 7 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
