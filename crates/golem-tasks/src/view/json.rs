//! JSON for machines: one object a line on stdout. `docs/json-output.md` is its documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use golem_core::event::{AttemptFailure, Event, EventKind, FailureKind, Printed, RentalId, StopReason};
use serde::Serialize;
use serde_json::Value;
use yagna_api::{Glm, NodeId, Timestamp};

use super::output::Output;
use super::plain::Lines;
use super::{Beginning, Facts, View};
use crate::store::{FailedTask, PaymentTotals, RefusedBill, RunSummary};

/// Changes when a field changes its meaning or goes; not when one is added.
pub(crate) const VERSION: u32 = 1;

/// One JSON object a line on stdout, lines for people on stderr.
#[derive(Debug)]
pub struct Json {
    lines: Lines,
    out: Output,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Run { version: u32, run: &'a str, started: Timestamp, tasks: Option<u64>, resumed: bool },
    Result(TaskResult<'a>),
    Summary(Summary<'a>),
}

#[derive(Serialize)]
struct TaskResult<'a> {
    task: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    status: &'static str,
    attempt: u32,
    provider: Option<Provider<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(flatten)]
    output: Outputs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure<'a>>,
}

/// The output of commands: text as it is; where it isn't UTF-8, base64 of the bytes in a field of its own instead.
#[derive(Serialize)]
pub(super) struct Outputs<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Provider<'a> {
    pub(super) id: &'a NodeId,
    pub(super) name: &'a str,
}

#[derive(Serialize)]
pub(super) struct Failure<'a> {
    pub(super) kind: FailureKind,
    pub(super) message: &'a str,
}

/// The numbers of a run.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    version: u32,
    run: &'a str,
    started: Timestamp,
    ended: Option<Timestamp>,
    wall_seconds: Option<f64>,
    /// The reason why it stopped; none when it didn't end properly.
    why: Option<StopReason>,
    tasks: Tasks,
    providers: Vec<ProviderLine<'a>>,
    cost: Glm,
    unsettled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payments: Option<Payments<'a>>,
    failures: Vec<FailureLine<'a>>,
    bills_refused: u64,
    refused_bills: Vec<BillLine<'a>>,
    offers_refused: &'a BTreeMap<String, u64>,
    refused_by_providers: &'a BTreeMap<String, u64>,
    rentals_failed: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Tasks {
    done: u64,
    no_result: u64,
    failed: u64,
    unfinished: u64,
}

#[derive(Serialize)]
struct ProviderLine<'a> {
    id: &'a NodeId,
    name: &'a str,
    agreements: u64,
    tasks_done: u64,
    failed_attempts: u64,
    busy_seconds: f64,
    cost: Glm,
    unsettled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payments: Option<Payments<'a>>,
}

/// The payments of accepted money.
#[derive(Serialize)]
pub(super) struct Payments<'a> {
    as_of: Timestamp,
    accepted: Glm,
    scheduled: Glm,
    paid: Glm,
    unknown_rentals: u64,
    failures: &'a BTreeSet<String>,
}

#[derive(Serialize)]
struct FailureLine<'a> {
    task: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    attempt: u32,
    provider: Option<&'a str>,
    kind: FailureKind,
    message: &'a str,
    #[serde(flatten)]
    output: Outputs<'a>,
}

#[derive(Serialize)]
struct BillLine<'a> {
    provider: Option<&'a str>,
    amount: Glm,
    reason: &'a str,
}

impl Json {
    /// Creates the view of a new run.
    pub fn new(facts: Facts, mut out: Output, err: Output) -> Self {
        let (run, tasks, resumed) =
            (facts.run_id.clone(), facts.total, !matches!(facts.beginning, Beginning::New));
        let lines = Lines::new(facts, err);
        let started = lines.fold.counts().started;
        out.write(&line(&Line::Run { version: VERSION, run: &run, started, tasks, resumed }));
        Self { lines, out }
    }

    fn provider(&self, rental: Option<RentalId>) -> Option<Provider<'_>> {
        let provider = self.lines.fold.provider(rental?)?;
        Some(Provider { id: &provider.id, name: &provider.name })
    }

    fn result<'a>(&'a self, event: &'a Event) -> Option<TaskResult<'a>> {
        match &event.kind {
            EventKind::TaskDone { attempt, rental, output, took } => Some(TaskResult {
                task: attempt.task.0,
                name: self.lines.fold.task_name(attempt.task),
                status: if output.no_result { "no_result" } else { "done" },
                attempt: attempt.number,
                provider: self.provider(Some(*rental)),
                took_seconds: Some(seconds(*took)),
                result: Some(&output.result),
                output: Outputs::of(Some(&output.stdout), &output.stderr),
                failure: None,
            }),
            EventKind::TaskFailed {
                attempt,
                rental,
                failure: AttemptFailure { kind, message, stderr, .. },
            } => Some(TaskResult {
                task: attempt.task.0,
                name: self.lines.fold.task_name(attempt.task),
                status: "failed",
                attempt: attempt.number,
                provider: self.provider(*rental),
                took_seconds: None,
                result: None,
                output: Outputs::of(None, stderr),
                failure: Some(Failure { kind: *kind, message }),
            }),
            _ => None,
        }
    }
}

impl View for Json {
    fn on(&mut self, events: &[Event]) {
        self.lines.on(events);
        let mut text = String::new();
        for event in events {
            if let Some(result) = self.result(event) {
                text.push_str(&line(&Line::Result(result)));
            }
        }
        self.out.write(&text);
    }

    fn tick(&mut self, now: Timestamp) {
        self.lines.tick(now);
    }

    fn note(&mut self, now: Timestamp, text: &str) {
        self.lines.write(now, text);
    }

    fn finish(&mut self, summary: &RunSummary) {
        self.lines.finish(summary);
        self.out.write(&line(&Line::Summary(Summary::of(summary))));
    }

    fn lost(&self) -> Option<&io::Error> {
        self.out.lost()
    }
}

impl<'a> Summary<'a> {
    pub(super) fn of(summary: &'a RunSummary) -> Self {
        let ended = summary.ended.as_ref();
        Self {
            version: VERSION,
            run: &summary.run_id,
            started: summary.started,
            ended: ended.map(|ended| ended.at),
            wall_seconds: summary.wall_time().map(seconds),
            why: ended.map(|ended| ended.end.why),
            tasks: Tasks {
                done: summary.tasks.done,
                no_result: summary.tasks.no_result,
                failed: summary.tasks.failed,
                unfinished: ended.map_or_else(|| summary.tasks.unfinished(), |ended| ended.end.unfinished),
            },
            providers: summary
                .providers
                .iter()
                .map(|provider| ProviderLine {
                    id: &provider.id,
                    name: &provider.name,
                    agreements: provider.agreements,
                    tasks_done: provider.tasks_done,
                    failed_attempts: provider.failed_attempts,
                    busy_seconds: seconds(provider.busy),
                    cost: provider.cost,
                    unsettled: provider.unsettled,
                    payments: provider.payments.as_ref().map(Payments::of),
                })
                .collect(),
            cost: summary.cost,
            unsettled: summary.unsettled,
            payments: summary.payments.as_ref().map(Payments::of),
            failures: summary.failures.iter().map(FailureLine::of).collect(),
            bills_refused: summary.bills_refused,
            refused_bills: summary.refused_bills.iter().map(BillLine::of).collect(),
            offers_refused: &summary.offers_refused,
            refused_by_providers: &summary.refused_by_providers,
            rentals_failed: &summary.rentals_failed,
        }
    }
}

impl<'a> Outputs<'a> {
    /// The output of a result; a failure has no standard output.
    pub(super) fn of(stdout: Option<&'a Printed>, stderr: &'a Printed) -> Self {
        Self {
            stdout: stdout.and_then(Printed::as_text),
            stdout_base64: stdout.and_then(Printed::to_base64),
            stderr: stderr.as_text(),
            stderr_base64: stderr.to_base64(),
        }
    }
}

impl<'a> Payments<'a> {
    pub(super) fn of(totals: &'a PaymentTotals) -> Self {
        Self {
            as_of: totals.as_of,
            accepted: totals.accepted,
            scheduled: totals.scheduled,
            paid: totals.paid,
            unknown_rentals: totals.unknown,
            failures: &totals.failures,
        }
    }
}

impl<'a> FailureLine<'a> {
    fn of(failure: &'a FailedTask) -> Self {
        Self {
            task: failure.task,
            name: failure.name.as_deref(),
            attempt: failure.attempt,
            provider: failure.provider.as_deref(),
            kind: failure.kind,
            message: &failure.message,
            output: Outputs::of(None, &failure.stderr),
        }
    }
}

impl<'a> BillLine<'a> {
    fn of(bill: &'a RefusedBill) -> Self {
        Self { provider: bill.provider.as_deref(), amount: bill.amount, reason: &bill.reason }
    }
}

/// One object in a line.
pub(crate) fn line(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).expect("every key of a line is a string");
    text.push('\n');
    text
}

/// The summary of a run as the last line of `--json` has it.
pub fn summary_json(summary: &RunSummary) -> Value {
    // Every key of it is a text, so it can be written.
    serde_json::to_value(Line::Summary(Summary::of(summary))).unwrap_or_default()
}

/// A duration as a number.
pub(super) fn seconds(time: Duration) -> f64 {
    // Through microseconds, so that sums print as short as their parts.
    #[expect(clippy::cast_precision_loss, reason = "exact for the first 285 years")]
    let micros = time.as_micros() as f64;
    micros / 1e6
}
