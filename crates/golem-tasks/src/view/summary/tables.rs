//! The summary of a run as text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use golem_core::event::StopReason;
use golem_core::explain::Explanation;

use crate::store::{FailedTask, RunSummary, TaskCounts};
use crate::view::Facts;
use crate::view::text::{clean, duration, money, money_places, named_task, one_amount, plural, progress};

/// Lines shown of a failed task's standard error.
const STDERR_LINES: usize = 4;
/// Reasons shown of each kind.
const REASONS: usize = 5;
/// Characters shown of a provider's name.
const NAME: usize = 32;

/// The last words of a run: what was done, by whom, for how much, and what went wrong.
pub(in crate::view) fn write_summary(summary: &RunSummary, facts: &Facts) -> String {
    let mut text = String::from("\n");
    headline(&mut text, summary, facts.total);
    providers(&mut text, summary);
    failures(&mut text, summary);
    obstacles(&mut text, summary);
    bills(&mut text, summary);
    let run_id = &summary.run_id;
    let _ = writeln!(text, "\nKept as run `{run_id}` in {}", facts.place);
    if may_go_on(summary) {
        let _ = writeln!(text, "The same command with --run-id {run_id} goes on with it");
    }
    let ended_by = |why| summary.ended.as_ref().is_some_and(|ended| ended.end.why == why);
    if ended_by(StopReason::PartDone) {
        let _ = writeln!(
            text,
            "The same command with --run-id {run_id} and without --only goes on with the rest"
        );
    }
    if ended_by(StopReason::TooManyFailed) {
        let _ = writeln!(
            text,
            "The same command with --run-id {run_id} and a higher --halt goes on without what failed"
        );
    }
    if summary.tasks.failed > 0
        && let Some(command) = &facts.retry
    {
        let _ = writeln!(text, "To try again what failed: {command}");
    }
    text
}

/// True if the run left work that it would do when it is resumed.
fn may_go_on(summary: &RunSummary) -> bool {
    summary.ended.as_ref().is_none_or(|ended| ended.end.why.may_go_on())
}

fn headline(text: &mut String, summary: &RunSummary, total: Option<u64>) {
    // A task that still ran when it was given up is as unfinished as one that never began.
    let TaskCounts { done, failed, .. } = summary.tasks;
    let tasks = TaskCounts { done, failed, waiting: summary.tasks.unfinished(), ..TaskCounts::default() };
    text.push_str(&progress(tasks, total));
    if summary.tasks.no_result > 0 {
        let _ = write!(text, ", {} of them without a result", summary.tasks.no_result);
    }
    if tasks.waiting > 0 {
        let _ = write!(text, ", {} unfinished", tasks.waiting);
    }
    if tasks.failed > 0 || tasks.waiting > 0 {
        text.push(',');
    }
    if let Some(time) = summary.wall_time() {
        let _ = write!(text, " in {}", duration(time));
    }
    let _ = writeln!(text, " for {} GLM", one_amount(summary.cost));
    match &summary.ended {
        Some(ended)
            if matches!(
                ended.end.why,
                StopReason::AllDone | StopReason::ResultsReached | StopReason::PartDone
            ) => {}
        Some(ended) => {
            let _ = writeln!(text, "The run ended early: {}", ended.end.why.words());
        }
        None => text.push_str("The run didn't come to its end\n"),
    }
}

fn providers(text: &mut String, summary: &RunSummary) {
    if summary.providers.is_empty() {
        return;
    }
    let places = money_places(summary.providers.iter().map(|provider| provider.cost).chain([summary.cost]));
    let mut rows =
        vec![["provider", "tasks", "failed attempts", "attempts took", "GLM", ""].map(str::to_owned)];
    for provider in &summary.providers {
        let note = match provider.unsettled {
            0 => String::new(),
            n => format!("{} not settled", plural(n, "rental")),
        };
        rows.push([
            clean(&provider.name).chars().take(NAME).collect(),
            provider.tasks_done.to_string(),
            provider.failed_attempts.to_string(),
            duration(provider.busy),
            money(provider.cost, places),
            note,
        ]);
    }
    rows.push([
        "total".to_owned(),
        summary.providers.iter().map(|provider| provider.tasks_done).sum::<u64>().to_string(),
        summary.providers.iter().map(|provider| provider.failed_attempts).sum::<u64>().to_string(),
        duration(summary.providers.iter().map(|provider| provider.busy).sum()),
        money(summary.cost, places),
        String::new(),
    ]);
    text.push('\n');
    table(text, &rows);
}

/// Columns: the first and the last to the left, the others to the right.
fn table<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let widths: [usize; N] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
            if at > 0 {
                line.push_str("  ");
            }
            let _ = if at == 0 || at == N - 1 {
                write!(line, "{cell:<width$}")
            } else {
                write!(line, "{cell:>width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn failures(text: &mut String, summary: &RunSummary) {
    if summary.tasks.failed == 0 {
        return;
    }
    text.push_str("\nFailed tasks:\n");
    for failure in &summary.failures {
        failed_task(text, failure);
    }
    more(text, summary.tasks.failed, summary.failures.len());
}

fn failed_task(text: &mut String, failure: &FailedTask) {
    let task = named_task(failure.task, failure.name.as_deref());
    let _ = write!(text, "  {task}, attempt {}", failure.tried);
    if let Some(provider) = &failure.provider {
        let _ = write!(text, ", on {}", clean(provider));
    }
    let _ = writeln!(text, ": {}", clean(&failure.message).replace('\n', " "));
    let stderr = clean(failure.stderr.to_text().trim_end());
    let lines: Vec<_> = stderr.lines().collect();
    for line in &lines[lines.len().saturating_sub(STDERR_LINES)..] {
        let _ = writeln!(text, "    | {line}");
    }
}

/// Writes the obstacles, when there were any.
fn obstacles(text: &mut String, summary: &RunSummary) {
    let why = summary.ended.as_ref().map(|ended| ended.end.why);
    if summary.tasks.unfinished() == 0
        && matches!(why, Some(StopReason::AllDone | StopReason::ResultsReached | StopReason::PartDone))
    {
        return;
    }
    let title = match why {
        Some(StopReason::NothingRuns) => Some("Why nothing ran:"),
        Some(StopReason::BudgetReached) => Some("Why no more was bought:"),
        _ => None,
    };
    let explanation = title.zip(summary.waiting.as_ref());
    let (by_us, by_them, failed) = match explanation {
        Some((title, explanation)) => {
            // Its reasons follow as lists, which are bounded.
            let counts = Explanation {
                refused_by_us: BTreeMap::new(),
                refused_by_them: BTreeMap::new(),
                failures: BTreeMap::new(),
                ..explanation.clone()
            };
            let _ = writeln!(text, "\n{title}\n  {}", clean(&counts.to_string()));
            (&explanation.refused_by_us, &explanation.refused_by_them, &explanation.failures)
        }
        None => (&summary.offers_refused, &summary.refused_by_providers, &summary.rentals_failed),
    };
    reasons(text, "Offers refused by us:", by_us);
    reasons(text, "Refused by providers:", by_them);
    reasons(text, "Agreements and activities that failed:", failed);
}

fn reasons(text: &mut String, title: &str, reasons: &BTreeMap<String, u64>) {
    if reasons.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    let mut sorted: Vec<_> = reasons.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    let width = sorted.iter().take(REASONS).map(|(_, n)| n.to_string().len()).max().unwrap_or(1);
    for (reason, n) in sorted.iter().take(REASONS) {
        let reason = if reason.is_empty() { "no reason given" } else { reason.as_str() };
        let _ = writeln!(text, "  {n:>width$}× {}", clean(reason).replace('\n', " "));
    }
    let others = sorted.len().saturating_sub(REASONS);
    if others > 0 {
        let _ = writeln!(text, "  … and {}", plural(u64::try_from(others).unwrap_or(0), "other reason"));
    }
}

fn bills(text: &mut String, summary: &RunSummary) {
    if summary.bills_refused > 0 {
        text.push_str("\nBills refused:\n");
        for bill in &summary.refused_bills {
            let provider = bill.provider.as_deref().unwrap_or("a stranger");
            let _ = writeln!(
                text,
                "  {} GLM from {}: {}",
                one_amount(bill.amount),
                clean(provider),
                clean(&bill.reason).replace('\n', " ")
            );
        }
        more(text, summary.bills_refused, summary.refused_bills.len());
    }
    if summary.unsettled > 0 {
        let _ = writeln!(
            text,
            "\n{} not settled: the final bill hasn't come, or isn't accepted yet; `golem-tasks settle` looks again",
            plural(summary.unsettled, "rental")
        );
    }
}

fn more(text: &mut String, all: u64, shown: usize) {
    let rest = all.saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
    if rest > 0 {
        let _ = writeln!(text, "  … and {rest} more");
    }
}
