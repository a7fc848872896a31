//! The numbers behind the page's drawings: few enough for any browser, however large the run is.

use std::time::Duration;

use golem_core::budget::{Budget, Window};
use serde::Serialize;
use serde_json::{Value, json};
use yagna_api::{Glm, NodeId, Timestamp};

use crate::store::{Lane, Span, Stay, Timeline, TimesTaken};

/// Cells across a timeline.
pub(super) const CELLS: usize = 240;
/// Attempts that are drawn one by one at most.
pub(super) const ONE_BY_ONE: u64 = 1500;
/// Points of a line at most.
const POINTS: usize = 240;
/// Columns of the spread of times at most.
const COLUMNS: usize = 30;
/// The least width of a column, as the ratio of its ends.
const NARROWEST: f64 = 1.05;

/// A moment in milliseconds since 1970, as scripts know it.
#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit into a float's 53 bits")]
fn millis(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1000.0
}

/// Who did what when, as it is told to the page.
#[derive(Serialize)]
pub(super) struct TimelineJson<'a> {
    run: SpanJson,
    span: SpanJson,
    cell_ms: f64,
    one_by_one: bool,
    left_out: u64,
    pace: &'a [(u64, u64)],
    lanes: Vec<LaneJson<'a>>,
}

#[derive(Serialize)]
struct SpanJson {
    from: f64,
    until: f64,
}

#[derive(Serialize)]
struct LaneJson<'a> {
    id: &'a NodeId,
    name: &'a str,
    attempts: u64,
    stays: Vec<StayJson<'a>>,
    pieces: Vec<PieceJson<'a>>,
    /// The place, the busy part, results, failed attempts and others.
    cells: Vec<(usize, f64, u64, u64, u64)>,
}

/// When a rental was asked for, approved, ready and ended, and its failure.
type StayJson<'a> = (f64, Option<f64>, Option<f64>, Option<f64>, Option<&'a str>);

/// A task, an attempt's number, its begin, its end and its outcome.
type PieceJson<'a> = (u64, u64, f64, Option<f64>, Option<&'a str>);

/// Who did what when.
pub(super) fn timeline(timeline: &Timeline) -> TimelineJson<'_> {
    let span = |span: Span| SpanJson { from: millis(span.from), until: millis(span.until) };
    TimelineJson {
        run: span(timeline.run),
        span: span(timeline.span),
        cell_ms: timeline.cell.as_secs_f64() * 1000.0,
        one_by_one: timeline.one_by_one,
        left_out: timeline.left_out,
        pace: &timeline.pace,
        lanes: timeline.lanes.iter().map(lane).collect(),
    }
}

fn lane(lane: &Lane) -> LaneJson<'_> {
    let stays = lane.stays.iter().map(|stay| {
        let Stay { asked, approved, ready, ended, failure } = stay;
        let later = [approved, ready, ended].map(|at| at.map(millis));
        (millis(*asked), later[0], later[1], later[2], failure.as_deref())
    });
    let pieces = lane.pieces.iter().map(|piece| {
        let until = piece.until.map(millis);
        (piece.task, piece.number, millis(piece.from), until, piece.outcome.as_deref())
    });
    let cells = lane.cells.iter().map(|cell| {
        let busy = (cell.busy * 100.0).round() / 100.0;
        (cell.at, busy, cell.done, cell.failed, cell.other)
    });
    LaneJson {
        id: &lane.provider.id,
        name: &lane.provider.name,
        attempts: lane.attempts,
        stays: stays.collect(),
        pieces: pieces.collect(),
        cells: cells.collect(),
    }
}

/// The cost over time: in all, and in each window that the budget limits.
pub(super) fn spending(run: Span, bills: &[(Timestamp, Glm)], budget: Option<&Budget>) -> Value {
    let until = bills.last().map_or(run.until, |(at, _)| run.until.max(*at));
    let moments = moments(run.from, until, bills);
    let within = |window: Option<Duration>| -> Vec<Value> {
        let (mut sum, mut oldest, mut newest) = (Glm::ZERO, 0, 0);
        let mut points = Vec::with_capacity(moments.len());
        for at in &moments {
            while let Some((_, cost)) = bills.get(newest).filter(|(paid, _)| paid <= at) {
                sum = [sum, *cost].into_iter().sum();
                newest += 1;
            }
            while let Some((_, cost)) = bills.get(oldest).filter(|(paid, _)| {
                oldest < newest && window.is_some_and(|window| yagna_api::time::between(*paid, *at) >= window)
            }) {
                sum = sum.saturating_sub(*cost);
                oldest += 1;
            }
            points.push(json!([millis(*at), sum]));
        }
        points
    };
    let limits = budget.map_or_else(Vec::new, |budget| {
        let windows = budget.windows().map(|(window, limit)| {
            let name = match window {
                Window::Hour => "hour",
                Window::Day => "day",
            };
            json!({ "window": name, "limit": limit, "points": within(Some(window.length())) })
        });
        windows.collect()
    });
    json!({ "points": within(None), "limit": budget.and_then(Budget::total), "windows": limits })
}

/// The moments at which a line is told: those of the bills where they are few, else evenly spread ones.
fn moments(from: Timestamp, until: Timestamp, bills: &[(Timestamp, Glm)]) -> Vec<Timestamp> {
    let mut moments: Vec<_> = if bills.len() < POINTS {
        bills.iter().map(|(at, _)| *at).collect()
    } else {
        let length = until.as_microsecond() - from.as_microsecond();
        let steps = i64::try_from(POINTS).unwrap_or(1);
        let at = |step| Timestamp::from_microsecond(from.as_microsecond() + length / steps * step);
        (0..steps).filter_map(|step| at(step).ok()).collect()
    };
    moments.insert(0, from);
    moments.push(until);
    moments
}

/// The spread of the times that attempts took, in columns that widen with the time, and the usual summary of it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of columns and attempts, for the eye"
)]
pub(super) fn times(times: &[TimesTaken]) -> Value {
    let shortest = Duration::from_micros(100);
    let seconds = |took: Duration| took.max(shortest).as_secs_f64();
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return json!({ "columns": [], "done": 0 });
    };
    let (low, high) = (seconds(first.took), seconds(last.took) * 1.01);
    let n = ((high / low).ln() / NARROWEST.ln()).ceil().clamp(1.0, COLUMNS as f64);
    let ratio = (high / low).powf(1.0 / n);
    let n = n as usize;
    let edge = |column: usize| low * ratio.powi(i32::try_from(column).unwrap_or(0));
    let mut columns = vec![(0, 0); n];
    for row in times {
        let column = ((seconds(row.took) / low).ln() / ratio.ln()) as usize;
        let column = &mut columns[column.min(n - 1)];
        if row.done {
            column.0 += row.count;
        } else {
            column.1 += row.count;
        }
    }
    let columns: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(at, (done, failed))| json!([edge(at), edge(at + 1), done, failed]))
        .collect();
    let done: u64 = times.iter().filter(|row| row.done).map(|row| row.count).sum();
    let part = |part: f64| {
        let place = (part * done as f64).ceil().max(1.0) as u64;
        let mut passed = 0;
        let found = times.iter().filter(|row| row.done).find(|row| {
            passed += row.count;
            passed >= place
        });
        found.map(|row| row.took.as_secs_f64())
    };
    json!({
        "columns": columns,
        "done": done,
        "p50": part(0.5),
        "p90": part(0.9),
        "p99": part(0.99),
        "longest": part(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn glm(text: &str) -> Glm {
        text.parse().unwrap()
    }

    fn values(points: &Value) -> Vec<&str> {
        points.as_array().unwrap().iter().map(|point| point[1].as_str().unwrap()).collect()
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let bills = [(at(0), glm("1")), (at(1800), glm("0.5")), (at(3600), glm("0.25"))];
        let budget: Budget = "10,3/h".parse().unwrap();
        let told = spending(Span { from: at(-10), until: at(7300) }, &bills, Some(&budget));
        assert_eq!(values(&told["points"]), ["0", "1", "1.5", "1.75", "1.75"]);
        assert_eq!((&told["limit"], &told["windows"][0]["limit"]), (&json!("10"), &json!("3")));
        assert_eq!(values(&told["windows"][0]["points"]), ["0", "1", "1.5", "0.75", "0"]);
    }

    #[test]
    fn many_bills_become_few_points_and_the_last_one_has_all_of_them() {
        let bills: Vec<_> = (0..10_000).map(|n| (at(n), glm("0.001"))).collect();
        let told = spending(Span { from: at(0), until: at(10_000) }, &bills, None);
        let points = values(&told["points"]);
        assert_eq!((points.len(), *points.last().unwrap()), (POINTS + 2, "10"));
    }

    #[test]
    fn every_attempt_is_in_one_column() {
        let row = |micros, done, count| TimesTaken { took: Duration::from_micros(micros), done, count };
        let rows =
            [row(0, true, 1), row(1_000_000, false, 2), row(1_000_000, true, 6), row(90_000_000, true, 3)];
        let told = times(&rows);
        let columns = told["columns"].as_array().unwrap();
        let sum = |place: usize| columns.iter().map(|column| column[place].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum(2), sum(3), columns.len()), (10, 2, COLUMNS));
        assert_eq!((&told["p50"], &told["p90"]), (&json!(1.0), &json!(90.0)));
        let alike = times(&[row(1_000_000, true, 5)]);
        assert_eq!(alike["columns"].as_array().unwrap().len(), 1);
        assert_eq!(times(&[])["done"], 0);
    }
}
