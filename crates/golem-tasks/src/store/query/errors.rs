//! The errors of a run: attempts, rentals, bills and everything else that has a reason, the newest first.

mod alike;

use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use golem_core::event::{Printed, Provider};
use serde_json::Value;
use yagna_api::Timestamp;

use self::alike::alike;
use super::{Reader, provider};
use crate::store::database::{Row, Statement, damaged};
use crate::store::{Store, StoreError, task_name};

/// Errors read at once.
const PAGE: i64 = 200;
/// Errors read by their keys at once.
const AT_ONCE: usize = 10;

/// The subjects of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An attempt of a task failed, or a task before its first attempt.
    Task,
    /// An agreement didn't come to be.
    Agreement,
    /// An activity failed.
    Activity,
    /// A bill was refused.
    Bill,
    /// The run itself had trouble, such as a daemon that didn't answer.
    Run,
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRow {
    /// The subject of the error.
    pub kind: ErrorKind,
    /// The time at which it was known.
    pub at: Timestamp,
    /// The reason in words.
    pub reason: String,
    /// The kind of failure of a task. Of a bill: which kind of bill. Of trouble: what was being done.
    pub detail: Option<String>,
    /// The task and the number of its attempt.
    pub attempt: Option<(u64, u64)>,
    /// The number of the task's attempts that count, up to this one. Those that were given back don't.
    pub tried: u64,
    /// The task itself, where it is short.
    pub task_name: Option<String>,
    /// The provider.
    pub provider: Option<Provider>,
    /// The end of what the task's commands wrote to standard error.
    pub stderr: Printed,
}

/// Everything that went wrong for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroup {
    /// The newest of them.
    pub newest: ErrorRow,
    /// The reason, as far as all of them have it in common.
    pub reason: String,
    /// The number of errors.
    pub count: u64,
    /// On how many providers.
    pub providers: u64,
    /// The time at which the oldest of them was known.
    pub first: Timestamp,
}

/// All that went wrong in run `$1`, as a table `f`; `key` tells those of one moment apart.
macro_rules! errors {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM (SELECT a.ended_at AS at, 'task/' || CAST(a.task_no AS text) || '/' || CAST(a.number AS text) AS key, \
             'task' AS what, a.failure_kind AS detail, a.failure AS reason, a.task_no, a.number, a.rental_no, \
             a.stderr, a.stderr_bytes FROM attempts AS a WHERE a.run_no = $1 AND a.outcome = 'failed' \
             UNION ALL SELECT t.finished_at, 'unbegun/' || CAST(t.task_no AS text), 'task', t.failure_kind, t.failure, \
             t.task_no, t.attempt, NULL, t.stderr, t.stderr_bytes FROM tasks AS t WHERE t.run_no = $1 AND t.status = 'failed' \
             AND NOT EXISTS (SELECT 1 FROM attempts AS b WHERE b.run_no = t.run_no AND b.task_no = t.task_no \
             AND b.number = t.attempt AND b.outcome = 'failed') \
             UNION ALL SELECT coalesce(d.ended_at, d.intended_at), 'agreement/' || CAST(d.rental_no AS text), 'agreement', \
             NULL, d.failure, NULL, NULL, d.rental_no, NULL, NULL FROM rentals AS d WHERE d.run_no = $1 \
             AND d.failure IS NOT NULL \
             UNION ALL SELECT coalesce(y.ended_at, y.intended_at), \
             'activity/' || CAST(y.rental_no AS text) || '/' || CAST(y.activity_no AS text), 'activity', NULL, \
             y.failure, NULL, NULL, y.rental_no, NULL, NULL FROM activities AS y WHERE y.run_no = $1 \
             AND y.failure IS NOT NULL \
             UNION ALL SELECT coalesce(c.decided_at, c.received_at), 'bill/' || c.bill_id, 'bill', c.kind, c.reason, \
             NULL, NULL, c.rental_no, NULL, NULL FROM bills AS c WHERE c.run_no = $1 AND c.status = 'refused' \
             UNION ALL SELECT n.at, 'note/' || CAST(n.note_no AS text), 'run', \
             CASE n.kind WHEN 'trouble' THEN n.body ->> 'doing' END, n.text, NULL, NULL, NULL, NULL, NULL \
             FROM notes AS n WHERE n.run_no = $1 AND n.kind IN ('trouble', 'budget_not_raised')) AS f \
             LEFT JOIN rentals AS r ON r.run_no = $1 AND r.rental_no = f.rental_no \
             LEFT JOIN tasks AS k ON k.run_no = $1 AND k.task_no = f.task_no",
            $after
        )
    };
}

impl ErrorKind {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Agreement => "agreement",
            Self::Activity => "activity",
            Self::Bill => "bill",
            Self::Run => "run",
        }
    }
}

impl Store {
    /// Groups the errors of a run by what they have in common, such as the step and its exit code; the group with the
    /// newest first, at most so many groups. Also how many groups there are in all.
    pub async fn error_groups(&self, run_id: &str, limit: u32) -> Result<(Vec<ErrorGroup>, u64), StoreError> {
        let mut reader = Reader::new(self, run_id).await?;
        let counted = reader
            .rows(errors!(
                "SELECT f.what, f.detail, f.reason, r.provider_id, r.provider_name, count(*) AS n, min(f.at) AS first_at",
                " GROUP BY f.what, f.detail, f.reason, r.provider_id, r.provider_name"
            ))
            .await?;
        let mut groups: HashMap<Group, Counted> = HashMap::new();
        for row in &counted {
            let (n, first) = (row.unsigned("n")?, row.time("first_at")?);
            let counted = groups.entry(group(row)?).or_insert_with(|| Counted::new(first));
            counted.count += n;
            counted.first = counted.first.min(first);
            counted.providers.extend(row.optional_text("provider_id")?);
            counted.reasons.insert(reason(row)?);
        }
        let newest = reader
            .rows(errors!(
                "SELECT * FROM (SELECT f.what, f.detail, f.reason, f.at, f.key, r.provider_name, row_number() OVER \
                 (PARTITION BY f.what, f.detail, f.reason, r.provider_name ORDER BY f.at DESC, f.key DESC) AS place",
                ") AS g WHERE g.place = 1 ORDER BY g.at DESC, g.key DESC"
            ))
            .await?;
        let total = u64::try_from(groups.len()).unwrap_or(u64::MAX);
        let mut listed = Vec::new();
        for row in &newest {
            if u32::try_from(listed.len()).unwrap_or(u32::MAX) >= limit {
                break;
            }
            let group = group(row)?;
            // The first one is the newest of its group.
            if let Some(counted) = groups.remove(&group) {
                listed.push((row.text("key")?, group.reason, counted));
            }
        }
        let mut rows = reader.errors_of(listed.iter().map(|(key, ..)| key.as_str())).await?;
        let groups = listed.into_iter().filter_map(|(key, common, counted)| {
            let newest = rows.remove(&key)?;
            let reason = if counted.reasons.len() > 1 { common } else { newest.reason.clone() };
            let providers = u64::try_from(counted.providers.len()).unwrap_or(u64::MAX);
            Some(ErrorGroup { newest, reason, count: counted.count, providers, first: counted.first })
        });
        Ok((groups.collect(), total))
    }

    /// Everything that went wrong in a run so far, one by one, the newest first, in memory that doesn't grow with it.
    pub fn errors<'a>(
        &'a self,
        run_id: &'a str,
    ) -> impl Stream<Item = Result<ErrorRow, StoreError>> + Send + 'a {
        let before = (Timestamp::MAX, String::new());
        stream::try_unfold((None, before), move |(run_no, (at, key))| async move {
            let run_no = match run_no {
                Some(run_no) => run_no,
                None => self.run_no(run_id).await?,
            };
            let page = Statement::new(errors!(
                "SELECT f.*, k.data AS task_data, r.provider_id, r.provider_name, (SELECT count(*) FROM attempts AS c \
                 WHERE c.run_no = $1 AND c.task_no = f.task_no AND c.outcome = 'failed' AND c.number <= f.number \
                 AND (c.number > k.forgiven OR f.number <= k.forgiven)) AS tried",
                " WHERE (f.at, f.key) < ($2, $3) ORDER BY f.at DESC, f.key DESC LIMIT $4"
            ))
            .int(run_no)
            .time(at)
            .text(key.as_str())
            .int(PAGE);
            let rows =
                self.database.rows(page).await.map_err(|source| self.failed("read the errors", source))?;
            let Some(last) = rows.last() else {
                return Ok::<_, StoreError>(None);
            };
            let next = (Some(run_no), (last.time("at")?, last.text("key")?));
            let errors = rows.iter().map(error).collect::<Result<Vec<_>, _>>()?;
            Ok(Some((stream::iter(errors.into_iter().map(Ok)), next)))
        })
        .try_flatten()
        .boxed()
    }
}

impl Reader<'_> {
    /// The errors with these keys.
    async fn errors_of(
        &mut self,
        keys: impl Iterator<Item = &str>,
    ) -> Result<HashMap<String, ErrorRow>, StoreError> {
        let keys: Vec<_> = keys.collect();
        let mut errors = HashMap::new();
        for keys in keys.chunks(AT_ONCE) {
            let some = Statement::new(errors!(
                "SELECT f.*, k.data AS task_data, r.provider_id, r.provider_name, (SELECT count(*) FROM attempts AS c \
                 WHERE c.run_no = $1 AND c.task_no = f.task_no AND c.outcome = 'failed' AND c.number <= f.number \
                 AND (c.number > k.forgiven OR f.number <= k.forgiven)) AS tried",
                " WHERE f.key IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
            ))
            .int(self.run_no);
            // The unused keys are empty; no row has an empty key.
            let all = keys.iter().copied().chain(std::iter::repeat("")).take(AT_ONCE);
            for row in self.read(all.fold(some, Statement::text)).await? {
                errors.insert(row.text("key")?, error(&row)?);
            }
        }
        Ok(errors)
    }
}

/// The key by which errors are grouped.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Group {
    what: String,
    detail: Option<String>,
    reason: String,
}

/// The errors of a group, counted.
struct Counted {
    count: u64,
    providers: HashSet<String>,
    first: Timestamp,
    reasons: HashSet<String>,
}

impl Counted {
    fn new(first: Timestamp) -> Self {
        Self { count: 0, providers: HashSet::new(), first, reasons: HashSet::new() }
    }
}

fn group(row: &Row) -> Result<Group, StoreError> {
    let provider = row.optional_text("provider_name")?;
    let reason = alike(&reason(row)?, provider.as_deref());
    Ok(Group { what: row.text("what")?, detail: row.optional_text("detail")?, reason })
}

fn reason(row: &Row) -> Result<String, StoreError> {
    Ok(row.optional_text("reason")?.unwrap_or_default())
}

fn error(row: &Row) -> Result<ErrorRow, StoreError> {
    let kind = match row.text("what")?.as_str() {
        "task" => ErrorKind::Task,
        "agreement" => ErrorKind::Agreement,
        "activity" => ErrorKind::Activity,
        "bill" => ErrorKind::Bill,
        "run" => ErrorKind::Run,
        other => return Err(damaged("what", format!("`{other}` is nothing that goes wrong"))),
    };
    let attempt = match row.optional_int("task_no")? {
        Some(_) => Some((row.unsigned("task_no")?, row.unsigned("number")?)),
        None => None,
    };
    let data = row.optional_json::<Value>("task_data")?;
    Ok(ErrorRow {
        kind,
        at: row.time("at")?,
        reason: reason(row)?,
        detail: row.optional_text("detail")?,
        attempt,
        tried: row.unsigned("tried")?.max(1),
        task_name: attempt.zip(data).and_then(|((task, _), data)| task_name(task, &data)),
        provider: provider(row)?,
        stderr: row.printed("stderr", "stderr_bytes")?,
    })
}
