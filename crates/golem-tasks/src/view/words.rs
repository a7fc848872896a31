//! Events in words, for people.

use golem_core::defaults::STOP_GRACE;
use golem_core::event::{Attempt, AttemptFailure, Bill, Event, EventKind, RentalId, Resumed, StopReason};
use yagna_api::market::Terminator;

use super::summary::SummaryFold;
use super::text::{duration, named_task, one_amount, one_line, plural};

/// The number of a failed attempt among those of its task that count.
fn tried(attempt: Attempt, failure: &AttemptFailure) -> u32 {
    if failure.failures == 0 { attempt.number } else { failure.failures }
}

/// The event in one line for people; none for an event that is only counted.
pub(super) fn line(event: &Event, fold: &SummaryFold) -> Option<String> {
    let name =
        |rental: &RentalId| fold.provider(*rental).map_or("a provider", |provider| provider.name.as_str());
    let task = |attempt: &Attempt| named_task(attempt.task.0, fold.task_name(attempt.task));
    let text = match &event.kind {
        EventKind::AllocationCreated { amount, .. } => {
            format!("{} GLM reserved for the run", one_amount(*amount))
        }
        EventKind::Paused { until, missing } => {
            format!("paused until {until:.0}: the budget is to free {} GLM before", one_amount(*missing))
        }
        EventKind::PauseEnded => "the pause is over".to_owned(),
        EventKind::Recovered { what } => what.clone(),
        EventKind::DemandPublished { .. } => "demand published, looking for providers".to_owned(),
        EventKind::Trouble { doing, problem } => format!("could not {doing}: {problem}"),
        EventKind::AgreementApproved { rental, .. } => match fold.prices(*rental) {
            Some((per_hour, start)) => format!(
                "agreement with {} approved ({} GLM an hour, {} GLM for the start)",
                name(rental),
                one_amount(per_hour),
                one_amount(start)
            ),
            None => format!("agreement with {} approved", name(rental)),
        },
        EventKind::AgreementFailed { rental, reason } => {
            format!("no agreement with {}: {reason}", name(rental))
        }
        EventKind::ActivityReady { rental } => format!("{} is ready to work", name(rental)),
        EventKind::ActivityEnded { rental, failure: Some(failure), .. } => {
            format!("the activity on {} failed: {failure}", name(rental))
        }
        EventKind::AgreementEnded { rental, by, reason, .. } => {
            let by = match by {
                Terminator::Requestor => "us",
                Terminator::Provider => "the provider",
            };
            format!("agreement with {} ended by {by}: {}", name(rental), reason.message)
        }
        EventKind::AttemptFailed { attempt, rental, failure } => format!(
            "{} failed on {} (attempt {}) and will be retried: {}",
            task(attempt),
            name(rental),
            tried(*attempt, failure),
            failure.message
        ),
        EventKind::TaskFailed { attempt, failure, .. } => {
            let tried = tried(*attempt, failure);
            format!("{} failed for good at attempt {tried}: {}", task(attempt), failure.message)
        }
        EventKind::BillAccepted { rental, bill: Bill::Invoice(_), amount, .. } => {
            format!("invoice of {} accepted: {} GLM", name(rental), one_amount(*amount))
        }
        EventKind::BillRefused { rental, bill, amount, reason, open, .. } => {
            let kind = match bill {
                Bill::DebitNote(_) => "debit note",
                Bill::Invoice(_) => "invoice",
            };
            let of = rental.as_ref().map_or("a stranger", |rental| name(rental));
            let refused = if *open { "can't be accepted now" } else { "refused" };
            format!("{kind} of {of} over {} GLM {refused}: {reason}", one_amount(*amount))
        }
        EventKind::BillMissing { rental, .. } => {
            format!("the final bill of {} hasn't come in time", name(rental))
        }
        EventKind::ProviderSetBack { provider, until, reason } => {
            let rest = yagna_api::time::between(event.at, *until);
            format!("{} gets no tasks for {}: {reason}", provider.name, duration(rest))
        }
        EventKind::RunResumed { resumed } => {
            let Resumed { tasks, running, adopted, unsettled, .. } = resumed;
            let mut text = match running {
                _ if *tasks == 0 => "no open tasks".to_owned(),
                // Nobody hears of what still runs.
                _ if fold.settles() => format!("{} left to do, for another time", plural(*tasks, "task")),
                0 => format!("{} to do", plural(*tasks, "task")),
                running => format!("{} to do, of which {running} never stopped", plural(*tasks, "task")),
            };
            let agreements = if fold.settles() {
                ("agreement is to be ended", "agreements are to be ended")
            } else {
                ("agreement goes on", "agreements go on")
            };
            let bills = ("final bill is awaited", "final bills are awaited");
            for (n, (one, more)) in [(*adopted, agreements), (*unsettled, bills)] {
                match n {
                    0 => {}
                    1 => text = format!("{text}, 1 {one}"),
                    n => text = format!("{text}, {n} {more}"),
                }
            }
            match fold.counts().tasks.done {
                0 => text,
                done => format!("{text}; {} done before", plural(done, "task")),
            }
        }
        EventKind::Waiting { explanation } => explanation.to_string(),
        // That is what was asked for, and said at first.
        EventKind::Stopping { .. } if fold.settles() => return None,
        EventKind::Stopping { why: StopReason::Cancelled } => format!(
            "cancelled: running tasks get {} s, then agreements are ended and bills settled; \
             Ctrl+C again leaves at once",
            STOP_GRACE.as_secs()
        ),
        EventKind::Stopping { why: StopReason::AllDone } => "stopping: all tasks are finished".to_owned(),
        EventKind::Stopping { why } => format!("stopping: {}", why.words()),
        _ => return None,
    };
    Some(one_line(&text))
}
