//! `runs`: a row for each run, the newest first.

use golem_core::event::StopReason;
use serde::Serialize;
use yagna_api::{Glm, Timestamp};

use super::super::json::{VERSION, line};
use super::super::table::{Column, Table};
use super::super::text::{money, money_places};
use super::{Room, State, moment};
use crate::store::{LEASE_TIMEOUT, RunRow, RunStatus};

#[derive(Serialize)]
struct RunsJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    version: u32,
    runs: Vec<RunJson<'a>>,
}

#[derive(Serialize)]
struct RunJson<'a> {
    run: &'a str,
    #[serde(flatten)]
    state: State<'a>,
    why: Option<StopReason>,
    tasks: TasksJson,
    cost: Glm,
    unsettled: u64,
    began: Timestamp,
    ended: Option<Timestamp>,
}

#[derive(Serialize)]
struct TasksJson {
    done: u64,
    failed: u64,
    left: u64,
}

/// The table.
pub(crate) fn text(runs: &[RunRow], room: Room) -> String {
    let places = money_places(runs.iter().map(|run| run.settled.cost));
    let mut table = Table::new(vec![
        Column::text("run_id"),
        Column::text("state").at_least(11),
        Column::number("done").rank(1),
        Column::number("failed").rank(2),
        Column::number("left").rank(4),
        Column::number("GLM").rank(3),
        Column::text("began").rank(5),
        Column::text("ended").rank(7),
        Column::number("unsettled").rank(6),
    ]);
    for run in runs {
        table.row([
            run.run_id.clone(),
            state_text(&run.status, run.paused_until),
            run.done.to_string(),
            run.failed.to_string(),
            run.left.to_string(),
            money(run.settled.cost, places),
            moment(run.began),
            run.ended.map(moment).unwrap_or_default(),
            run.settled.unsettled.to_string(),
        ]);
    }
    table.text(room.width)
}

/// The runs as one JSON object.
pub(crate) fn json(runs: &[RunRow]) -> String {
    let runs = runs
        .iter()
        .map(|run| RunJson {
            run: &run.run_id,
            state: State::of(&run.status, run.paused_until),
            why: match run.status {
                RunStatus::Stopping(_, why) | RunStatus::Ended(why) => Some(why),
                RunStatus::Running(_) | RunStatus::Interrupted(_) => None,
            },
            tasks: TasksJson { done: run.done, failed: run.failed, left: run.left },
            cost: run.settled.cost,
            unsettled: run.settled.unsettled,
            began: run.began,
            ended: run.ended,
        })
        .collect();
    line(&RunsJson { of: "runs", version: VERSION, runs })
}

/// The status of a run, in words; and the end of its pause, if it pauses.
pub(crate) fn state_text(state: &RunStatus, paused_until: Option<Timestamp>) -> String {
    let word = state.word();
    match state {
        RunStatus::Running(held) if let Some(until) = paused_until => {
            format!("paused until {}: {}", moment(until), held.holder)
        }
        RunStatus::Running(held) => format!("{word}: {}", held.holder),
        RunStatus::Stopping(held, why) => format!("{word}: {}; {}", why.words(), held.holder),
        RunStatus::Ended(why) => format!("{word}: {}", why.words()),
        RunStatus::Interrupted(Some(held)) if held.silent > LEASE_TIMEOUT => {
            format!("{word}: nothing was heard of {} since {}", held.holder, moment(held.heard))
        }
        RunStatus::Interrupted(Some(held)) => format!("{word}: {} is gone", held.holder),
        RunStatus::Interrupted(None) => format!("{word}: nobody works on it"),
    }
}
