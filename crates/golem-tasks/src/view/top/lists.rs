//! The lists of the view: their columns, their rows, and their orders.

use std::cmp::Reverse;
use std::collections::HashMap;

use golem_core::event::Provider;
use yagna_api::Glm;
use yagna_api::time::between;

use super::super::kept::{moment, state_text};
use super::super::text::{clean, duration, money, money_places, named_task, one_line, used_money};
use super::{Snapshot, Tab};
use crate::store::{ActivityRow, ActivityStatus};

/// The titles of a list's columns, those to the right marked.
pub(super) fn columns(tab: Tab) -> &'static [(&'static str, bool)] {
    match tab {
        Tab::Providers => &[
            ("provider", false),
            ("state", false),
            ("task", false),
            ("done", true),
            ("failed", true),
            ("a task", true),
            ("GLM", true),
        ],
        Tab::Tasks => {
            &[("task", true), ("attempt", true), ("for", true), ("provider", false), ("name", false)]
        }
        Tab::Failures => &[("count", true), ("newest", false), ("reason", false)],
        Tab::Runs => &[
            ("run", false),
            ("done", true),
            ("failed", true),
            ("left", true),
            ("GLM", true),
            ("state", false),
        ],
    }
}

/// The names of a list's orders.
pub(super) fn orders(tab: Tab) -> &'static [&'static str] {
    match tab {
        Tab::Providers => &["state", "done", "failed", "cost", "name"],
        Tab::Tasks => &["longest", "task", "provider"],
        Tab::Failures => &["count", "newest"],
        Tab::Runs => &["newest", "cost"],
    }
}

/// A line of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    /// The provider that it is about.
    pub(super) provider: Option<Provider>,
    /// The task that it is about.
    pub(super) task: Option<u64>,
    /// The run that it is about.
    pub(super) run: Option<String>,
    /// A text with more about it.
    pub(super) text: Option<(String, String)>,
    /// True if it is about something that has failed.
    pub(super) is_bad: bool,
    /// True if it is about something that is over.
    pub(super) is_over: bool,
}

/// The rows of a list with this text in them, in one of its orders.
pub(super) fn rows(snapshot: &Snapshot, tab: Tab, sort: usize, filter: &str) -> Vec<Row> {
    let order = orders(tab)[sort % orders(tab).len()];
    let mut rows = match tab {
        Tab::Providers => providers(snapshot, order),
        Tab::Tasks => tasks(snapshot, order),
        Tab::Failures => failures(snapshot, order),
        Tab::Runs => runs(snapshot, order),
    };
    let filter = filter.to_lowercase();
    rows.retain(|row| {
        filter.is_empty() || row.cells.iter().any(|cell| cell.to_lowercase().contains(&filter))
    });
    rows
}

fn providers(snapshot: &Snapshot, order: &str) -> Vec<Row> {
    let mut at_work: HashMap<_, Vec<_>> = HashMap::new();
    for task in &snapshot.at_work {
        at_work.entry(&task.provider.id).or_default().push(task);
    }
    let mut activities: Vec<&ActivityRow> = snapshot.activities.iter().collect();
    let state = |activity: &ActivityRow| match activity.status {
        ActivityStatus::Ready => 0,
        ActivityStatus::New => 1,
        ActivityStatus::Stopped => 2,
    };
    activities.sort_by_key(|activity| (state(activity), Reverse(activity.results)));
    match order {
        "done" => activities.sort_by_key(|activity| Reverse(activity.results)),
        "failed" => activities.sort_by_key(|activity| Reverse(activity.failed)),
        "cost" => activities.sort_by_key(|activity| Reverse(activity.estimate(snapshot.now))),
        "name" => activities.sort_by(|a, b| a.provider.name.cmp(&b.provider.name)),
        _ => {}
    }
    let places = money_places(activities.iter().map(|activity| activity.cost)).min(8);
    let rows = activities.into_iter().map(|activity| {
        let is_ready = activity.status == ActivityStatus::Ready;
        let tasks = at_work.get(&activity.provider.id).filter(|_| is_ready);
        let first = tasks.and_then(|tasks| tasks.first());
        let more = tasks.map_or(0, |tasks| tasks.len() - 1);
        let task = first.map(|task| {
            let name = task.name.as_deref().map_or_else(|| task.task.to_string(), one_line);
            if more > 0 { format!("{name} +{more}") } else { name }
        });
        let results = u32::try_from(activity.results).unwrap_or(u32::MAX);
        let each = activity.results_took.checked_div(results).map(duration);
        Row {
            cells: vec![
                clean(&activity.provider.name),
                match activity.status {
                    ActivityStatus::Ready if first.is_some() => "works",
                    ActivityStatus::Ready => "idle",
                    ActivityStatus::New => "starts",
                    ActivityStatus::Stopped => "over",
                }
                .to_owned(),
                task.or_else(|| activity.stop_reason.as_deref().map(one_line)).unwrap_or_default(),
                activity.results.to_string(),
                activity.failed.to_string(),
                each.unwrap_or_default(),
                used_money(activity.cost, activity.estimate(snapshot.now), places),
            ],
            provider: Some(activity.provider.clone()),
            task: first.map(|task| task.task),
            is_bad: activity.failed > activity.results,
            is_over: activity.status == ActivityStatus::Stopped,
            text: activity.stop_reason.as_ref().map(|reason| (clean(&activity.provider.name), clean(reason))),
            ..Row::default()
        }
    });
    rows.collect()
}

fn tasks(snapshot: &Snapshot, order: &str) -> Vec<Row> {
    let mut tasks: Vec<_> = snapshot.at_work.iter().collect();
    match order {
        "task" => tasks.sort_by_key(|task| task.task),
        "provider" => tasks.sort_by(|a, b| a.provider.name.cmp(&b.provider.name)),
        _ => tasks.sort_by_key(|task| task.started),
    }
    let rows = tasks.into_iter().map(|task| Row {
        cells: vec![
            task.task.to_string(),
            task.attempt.to_string(),
            duration(between(task.started, snapshot.now)),
            clean(&task.provider.name),
            task.name.as_deref().map(one_line).unwrap_or_default(),
        ],
        provider: Some(task.provider.clone()),
        task: Some(task.task),
        ..Row::default()
    });
    rows.collect()
}

fn failures(snapshot: &Snapshot, order: &str) -> Vec<Row> {
    let mut groups: Vec<_> = snapshot.errors.iter().collect();
    match order {
        "newest" => groups.sort_by_key(|group| Reverse(group.newest.at)),
        _ => groups.sort_by_key(|group| Reverse(group.count)),
    }
    let rows = groups.into_iter().map(|group| {
        let newest = &group.newest;
        let task = newest.attempt.map(|(task, _)| task);
        let place = newest.provider.as_ref().map(|provider| format!(" on {}", clean(&provider.name)));
        let about = task.map(|task| named_task(task, newest.task_name.as_deref())).unwrap_or_default();
        let text = format!(
            "{}×, the newest at {}{}\n{about}\n\n{}\n\n{}",
            group.count,
            moment(newest.at),
            place.unwrap_or_default(),
            clean(&newest.reason),
            clean(&newest.stderr.to_text()),
        );
        Row {
            cells: vec![group.count.to_string(), moment(newest.at), one_line(&group.reason)],
            provider: newest.provider.clone(),
            text: Some(("Failure".to_owned(), text)),
            is_bad: true,
            ..Row::default()
        }
    });
    rows.collect()
}

fn runs(snapshot: &Snapshot, order: &str) -> Vec<Row> {
    let mut runs: Vec<_> = snapshot.runs.iter().collect();
    if order == "cost" {
        runs.sort_by_key(|run| Reverse(run.settled.cost));
    }
    let places = money_places(runs.iter().map(|run| run.settled.cost)).min(8);
    let cost = |cost: Glm| money(cost, places);
    let rows = runs.into_iter().map(|run| Row {
        cells: vec![
            run.run_id.clone(),
            run.done.to_string(),
            run.failed.to_string(),
            run.left.to_string(),
            cost(run.settled.cost),
            clean(&state_text(&run.status, run.paused_until)),
        ],
        run: Some(run.run_id.clone()),
        is_over: run.status.holder().is_none(),
        is_bad: run.failed > 0,
        ..Row::default()
    });
    rows.collect()
}
