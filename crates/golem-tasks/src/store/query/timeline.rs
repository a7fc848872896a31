//! The timeline of a run: the providers with their rentals and what ran there when. Many attempts are added up in the
//! database, so that any number of them is quick to read and to draw.

use std::collections::HashMap;
use std::time::Duration;

use golem_core::event::Provider;
use yagna_api::time::between;
use yagna_api::{NodeId, Timestamp};

use super::{Reader, RunStatus, provider};
use crate::store::database::{Row, Statement, damaged};
use crate::store::{Store, StoreError};

/// Providers of a timeline at most; those with the most attempts are kept.
const LANES: usize = 150;

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its begin.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

/// The providers of a run with their work.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// The whole time of the run so far.
    pub run: Span,
    /// The part of it that is told here.
    pub span: Span,
    /// The length of a cell, in which attempts are added up.
    pub cell: Duration,
    /// True if [`Lane::pieces`] has each attempt; otherwise [`Lane::cells`] adds them up.
    pub one_by_one: bool,
    /// The providers, in the order of their first rentals.
    pub lanes: Vec<Lane>,
    /// Providers that are left out.
    pub left_out: u64,
    /// For each cell the number of results that came in it, and that of failed attempts, of all providers.
    pub pace: Vec<(u64, u64)>,
}

/// A provider with its work.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// The provider.
    pub provider: Provider,
    /// Its rentals, in order.
    pub stays: Vec<Stay>,
    /// Its attempts, where they are told one by one.
    pub pieces: Vec<Piece>,
    /// Its attempts added up, where they aren't; only cells in which something was.
    pub cells: Vec<Cell>,
    /// Attempts in the span.
    pub attempts: u64,
}

/// A rental on a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The time at which it was asked for.
    pub asked: Timestamp,
    /// The time at which the provider approved it.
    pub approved: Option<Timestamp>,
    /// The time at which its first activity took tasks.
    pub ready: Option<Timestamp>,
    /// The time at which it ended.
    pub ended: Option<Timestamp>,
    /// The failure of it or of one of its activities.
    pub failure: Option<String>,
}

/// One attempt on a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The task.
    pub task: u64,
    /// The number of the attempt.
    pub number: u64,
    /// Its begin: of a result the time that it took before its end, for others the moment at which it was handed out.
    pub from: Timestamp,
    /// Its end; none while it runs.
    pub until: Option<Timestamp>,
    /// Its outcome: `done`, `failed`, `cancelled` or `lost`; none while it runs.
    pub outcome: Option<String>,
}

/// Attempts of a provider, added up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cell {
    /// The place of the cell in the span, from 0.
    pub at: usize,
    /// The part of the cell's time in which attempts ran, from 0 to 1.
    pub busy: f64,
    /// Results that came.
    pub done: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that were cancelled or lost.
    pub other: u64,
}

/// Attempts of a run `$1` between `$2` and `$3`, microseconds since 1970, as a table `c` with their begin `b` and their end
/// `e` in microseconds since `$2`. What shares a script begins with it, as far as is known; a result tells how long it took.
macro_rules! attempts {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM (SELECT a.task_no, a.number, a.rental_no, a.outcome, a.started_at, a.ended_at, a.took_us, CASE \
             WHEN a.outcome = 'done' AND {us}a.ended_at{/us} - a.took_us > {us}a.started_at{/us} \
             AND {us}a.ended_at{/us} - a.took_us > $2 THEN {us}a.ended_at{/us} - a.took_us - $2 \
             WHEN {us}a.started_at{/us} < $2 THEN 0 ELSE {us}a.started_at{/us} - $2 END AS b, \
             CASE WHEN a.ended_at IS NULL OR {us}a.ended_at{/us} > $3 THEN $3 - $2 \
             ELSE {us}a.ended_at{/us} - $2 END AS e FROM attempts AS a WHERE a.run_no = $1 \
             AND {us}a.started_at{/us} < $3 AND (a.ended_at IS NULL OR {us}a.ended_at{/us} > $2)) AS c",
            $after
        )
    };
}

impl Store {
    /// Reads what happened when, in a part of a run's time or in all of it, in so many cells. Up to `one_by_one` attempts are
    /// told one by one.
    pub async fn timeline(
        &self,
        run_id: &str,
        part: Option<Span>,
        cells: usize,
        one_by_one: u64,
    ) -> Result<Timeline, StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let run = reader.span().await?;
        let span = part.map_or(run, |part| part.within(run));
        let micros = i64::try_from(between(span.from, span.until).as_micros()).unwrap_or(i64::MAX).max(1);
        let cells = cells.clamp(1, 4000);
        let cell = (micros / i64::try_from(cells).unwrap_or(1)).max(1);
        let cells = usize::try_from((micros - 1) / cell + 1).unwrap_or(cells);
        let (from, until) = (span.from.as_microsecond(), span.from.as_microsecond().saturating_add(micros));
        let (mut lanes, by_rental) = reader.lanes().await?;
        let mut pace = vec![(0, 0); cells];
        let counted =
            Statement::new(attempts!("SELECT count(*) AS n", "")).int(reader.run_no).int(from).int(until);
        let counted = reader.read(counted).await?;
        let count = counted.first().map_or(Ok(0), |row| row.unsigned("n"))?;
        let one_by_one = count <= one_by_one;
        let place = |end: i64| usize::try_from(end.max(0) / cell).unwrap_or(0).min(cells - 1);
        if one_by_one {
            let all = Statement::new(attempts!(
                "SELECT c.task_no, c.number, c.rental_no, c.outcome, c.started_at, c.ended_at, c.took_us, c.e",
                " ORDER BY c.started_at, c.task_no, c.number"
            ));
            for row in reader.read(all.int(reader.run_no).int(from).int(until)).await? {
                let Some(lane) = by_rental.get(&row.int("rental_no")?).and_then(|at| lanes.get_mut(*at))
                else {
                    continue; // can't be: every attempt refers to a rental
                };
                let piece = piece(&row)?;
                if piece.until.is_some_and(|ended| ended <= span.until) {
                    let pace = &mut pace[place(row.int("e")?)];
                    match piece.outcome.as_deref() {
                        Some("done") => pace.0 += 1,
                        Some("failed") => pace.1 += 1,
                        _ => {}
                    }
                }
                lane.attempts += 1;
                lane.pieces.push(piece);
            }
        } else {
            let sums = Statement::new(attempts!(
                "SELECT c.rental_no, c.outcome, c.b / $4 AS first, c.e / $4 AS last, count(*) AS n, \
                 CAST(sum(c.b) AS bigint) AS begins, CAST(sum(c.e) AS bigint) AS ends, \
                 CAST(sum(CASE WHEN c.ended_at IS NULL OR {us}c.ended_at{/us} > $3 THEN 0 ELSE 1 END) AS bigint) AS over",
                " GROUP BY c.rental_no, c.outcome, c.b / $4, c.e / $4"
            ));
            let mut sums_of = Cells::new();
            for row in reader.read(sums.int(reader.run_no).int(from).int(until).int(cell)).await? {
                let Some(at) = by_rental.get(&row.int("rental_no")?).copied() else { continue };
                let sum = Sum::of(&row, cell)?;
                lanes[at].attempts += sum.n;
                let (done, failed) = sum.add(at, cells, &mut sums_of);
                let pace = &mut pace[sum.last.min(cells - 1)];
                pace.0 += done;
                pace.1 += failed;
            }
            for ((lane, _), mut cell) in sums_of {
                cell.busy = cell.busy.min(1.0);
                lanes[lane].cells.push(cell);
            }
            for lane in &mut lanes {
                lane.cells.sort_by_key(|cell| cell.at);
            }
        }
        let cell = Duration::from_micros(u64::try_from(cell).unwrap_or(1));
        let left_out = keep_busiest(&mut lanes);
        Ok(Timeline { run, span, cell, one_by_one, lanes, left_out, pace })
    }
}

impl Span {
    /// The part of it that is within another one; all of the other where nothing is.
    fn within(self, whole: Self) -> Self {
        let part = Self { from: self.from.max(whole.from), until: self.until.min(whole.until) };
        if part.from < part.until { part } else { whole }
    }
}

/// Cells by their lane and their place there.
type Cells = HashMap<(usize, usize), Cell>;

/// Attempts of one rental and one outcome that began in one cell and ended in another.
struct Sum {
    first: usize,
    last: usize,
    n: u64,
    /// Of them, those that have come to their end in the span.
    over: u64,
    outcome: Option<String>,
    /// The parts of the first and the last cell, added up over all of them.
    in_first: f64,
    in_last: f64,
}

impl Sum {
    #[expect(clippy::cast_precision_loss, reason = "parts of a cell's length, for the eye")]
    fn of(row: &Row, cell: i64) -> Result<Self, StoreError> {
        let (first, last) = (row.int("first")?, row.int("last")?);
        let (begins, ends) = (row.int("begins")? as f64, row.int("ends")? as f64);
        let n = row.unsigned("n")?;
        let length = cell as f64;
        let (in_first, in_last) = if first >= last {
            ((ends - begins) / length, 0.0)
        } else {
            ((n as f64) * ((first + 1) as f64) - begins / length, ends / length - (n as f64) * (last as f64))
        };
        Ok(Self {
            first: usize::try_from(first).unwrap_or(0),
            last: usize::try_from(last).unwrap_or(0),
            n,
            over: row.unsigned("over")?,
            outcome: row.optional_text("outcome")?,
            in_first: in_first.max(0.0),
            in_last: in_last.max(0.0),
        })
    }

    /// Adds them to the cells of their lane, and tells how many are done and how many failed.
    #[expect(clippy::cast_precision_loss, reason = "parts of a cell's length, for the eye")]
    fn add(&self, lane: usize, cells: usize, into: &mut Cells) -> (u64, u64) {
        let last = self.last.min(cells - 1);
        let first = self.first.min(last);
        let mut busy = |at: usize, part: f64| {
            let cell = into.entry((lane, at)).or_insert_with(|| Cell { at, ..Cell::default() });
            cell.busy += part;
        };
        busy(first, self.in_first);
        for at in first + 1..last {
            busy(at, self.n as f64);
        }
        busy(last, self.in_last);
        let end = into.entry((lane, last)).or_insert_with(|| Cell { at: last, ..Cell::default() });
        match self.outcome.as_deref() {
            None => (0, 0),
            Some("done") => {
                end.done += self.over;
                (self.over, 0)
            }
            Some("failed") => {
                end.failed += self.over;
                (0, self.over)
            }
            Some(_) => {
                end.other += self.over;
                (0, 0)
            }
        }
    }
}

impl Reader<'_> {
    /// The time of the run so far: until its end, until now while it goes on, else until something was last heard of it.
    async fn span(&mut self) -> Result<Span, StoreError> {
        let status = self.status().await?;
        let rows = self
            .rows(
                "SELECT r.created_at, r.ended_at, l.heard_at, {now} AS now, \
                 (SELECT max(a.ended_at) FROM attempts AS a WHERE a.run_no = r.run_no) AS newest_at \
                 FROM runs AS r LEFT JOIN leases AS l ON l.run_no = r.run_no WHERE r.run_no = $1",
            )
            .await?;
        let row = rows.first().ok_or_else(|| damaged("run_no", "the run is gone"))?;
        let from = row.time("created_at")?;
        let until = match status {
            RunStatus::Running(_) | RunStatus::Stopping(..) => Some(row.time("now")?),
            RunStatus::Ended(_) => row.optional_time("ended_at")?,
            RunStatus::Interrupted(_) => row.optional_time("heard_at")?,
        };
        let until = until.max(row.optional_time("newest_at")?).unwrap_or(from);
        Ok(Span { from, until: until.max(from) })
    }

    /// The providers with their rentals, and the place of each rental's provider.
    async fn lanes(&mut self) -> Result<(Vec<Lane>, HashMap<i64, usize>), StoreError> {
        let rows = self
            .rows(
                "SELECT r.rental_no, r.provider_id, r.provider_name, r.intended_at, r.approved_at, r.ended_at, r.status, \
                 coalesce(r.failure, (SELECT min(a.failure) FROM activities AS a WHERE a.run_no = r.run_no \
                 AND a.rental_no = r.rental_no)) AS failure, (SELECT min(b.ready_at) FROM activities AS b \
                 WHERE b.run_no = r.run_no AND b.rental_no = r.rental_no) AS ready_at \
                 FROM rentals AS r WHERE r.run_no = $1 ORDER BY r.intended_at, r.rental_no",
            )
            .await?;
        let mut lanes: Vec<Lane> = Vec::new();
        let mut places: HashMap<NodeId, usize> = HashMap::new();
        let mut by_rental = HashMap::with_capacity(rows.len());
        for row in &rows {
            let provider = provider(row)?.ok_or_else(|| damaged("provider_name", "there is no value"))?;
            let place = *places.entry(provider.id.clone()).or_insert(lanes.len());
            if place == lanes.len() {
                let (stays, pieces, cells) = (Vec::new(), Vec::new(), Vec::new());
                lanes.push(Lane { provider: provider.clone(), stays, pieces, cells, attempts: 0 });
            }
            by_rental.insert(row.int("rental_no")?, place);
            let asked = row.time("intended_at")?;
            let ended = match row.optional_time("ended_at")? {
                // One that didn't come to be has no other end.
                None if row.text("status")? == "failed" => Some(asked),
                ended => ended,
            };
            lanes[place].provider.name = provider.name;
            lanes[place].stays.push(Stay {
                asked,
                approved: row.optional_time("approved_at")?,
                ready: row.optional_time("ready_at")?,
                ended,
                failure: row.optional_text("failure")?,
            });
        }
        Ok((lanes, by_rental))
    }
}

/// Leaves the providers with the most attempts, in their order, and tells how many others there were.
fn keep_busiest(lanes: &mut Vec<Lane>) -> u64 {
    if lanes.len() <= LANES {
        return 0;
    }
    let mut counts: Vec<_> = lanes.iter().map(|lane| lane.attempts).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let least = counts[LANES - 1];
    // Of those with as few as the last one, the first ones stay.
    let mut room = LANES - counts.iter().filter(|count| **count > least).count();
    let before = lanes.len();
    lanes.retain(|lane| {
        let stays = lane.attempts > least || (lane.attempts == least && room > 0);
        room -= usize::from(stays && lane.attempts == least);
        stays
    });
    u64::try_from(before - lanes.len()).unwrap_or(u64::MAX)
}

fn piece(row: &Row) -> Result<Piece, StoreError> {
    let (started, until) = (row.time("started_at")?, row.optional_time("ended_at")?);
    let outcome = row.optional_text("outcome")?;
    let took = row.optional_int("took_us")?.filter(|_| outcome.as_deref() == Some("done"));
    let began = until.zip(took).and_then(|(until, took)| {
        Timestamp::from_microsecond(until.as_microsecond().saturating_sub(took)).ok()
    });
    Ok(Piece {
        task: row.unsigned("task_no")?,
        number: row.unsigned("number")?,
        from: began.map_or(started, |began| began.max(started)),
        until,
        outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(number: usize, attempts: u64) -> Lane {
        let provider = Provider { id: format!("0x{number:040x}").parse().unwrap(), name: number.to_string() };
        Lane { provider, stays: Vec::new(), pieces: Vec::new(), cells: Vec::new(), attempts }
    }

    #[test]
    fn the_busiest_providers_are_kept_in_their_order() {
        let mut lanes: Vec<_> = (0..LANES + 50).map(|n| lane(n, u64::from(n % 2 == 0))).collect();
        assert_eq!(keep_busiest(&mut lanes), 50);
        assert_eq!(lanes.len(), LANES);
        assert_eq!(lanes.iter().filter(|lane| lane.attempts == 1).count(), LANES.midpoint(50));
        let names: Vec<usize> = lanes.iter().map(|lane| lane.provider.name.parse().unwrap()).collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn attempts_fill_the_cells_in_which_they_ran() {
        let sum = |first, last, n, in_first, in_last| {
            let outcome = Some("done".to_owned());
            Sum { first, last, n, over: n, outcome, in_first, in_last }
        };
        let mut cells = Cells::new();
        assert_eq!(sum(1, 3, 1, 0.5, 0.25).add(0, 5, &mut cells), (1, 0));
        assert_eq!(sum(4, 4, 2, 0.75, 0.0).add(0, 5, &mut cells), (2, 0));
        // The end of the span belongs to its last cell.
        assert_eq!(sum(4, 5, 1, 0.125, 0.0).add(0, 5, &mut cells), (1, 0));
        let mut all: Vec<_> = cells.values().map(|cell| (cell.at, cell.busy, cell.done)).collect();
        all.sort_by_key(|(at, ..)| *at);
        assert_eq!(all, [(1, 0.5, 0), (2, 1.0, 0), (3, 0.25, 1), (4, 0.875, 3)]);
    }
}
