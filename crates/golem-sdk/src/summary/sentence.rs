//! One sentence for each event that people hear of: the log of the SDK and the lines of the program are made of it.

use golem_core::event::{
    Attempt, AttemptFailure, Bill, Event, EventKind, RentalId, Resumed, StopReason, TaskId,
};
use golem_core::words::{amount, duration, one_line, plural, without_details};
use yagna_api::Glm;
use yagna_api::market::Terminator;
use yagna_api::time::between;

/// Characters of a provider's name.
const NAME: usize = 64;

/// The names that sentences about events need.
pub trait Names {
    /// The name of a rental's provider, where it is known.
    fn provider_name(&self, rental: RentalId) -> Option<String>;

    /// The prices of a rental: GLM an hour and GLM for the start.
    fn rental_prices(&self, rental: RentalId) -> Option<(Glm, Glm)>;

    /// The name of a task for people, such as `task 12`.
    fn named_task(&self, task: TaskId) -> String {
        format!("task {}", task.0)
    }

    /// The number of tasks with a result.
    fn tasks_done(&self) -> u64 {
        0
    }

    /// True for a run that only settles its bills, and begins nothing.
    fn only_settles(&self) -> bool {
        false
    }
}

/// The event in one sentence, which begins in lower case and has no dot; none for an event that is only counted.
pub fn sentence(event: &Event, names: &impl Names) -> Option<String> {
    let name = |rental: &RentalId| {
        names.provider_name(*rental).map_or_else(|| "a provider".to_owned(), |name| one_line(&name, NAME))
    };
    let task = |attempt: &Attempt| names.named_task(attempt.task);
    Some(match &event.kind {
        EventKind::AllocationCreated { amount: reserved, .. } => {
            format!("{} GLM reserved for the run", amount(*reserved))
        }
        EventKind::Paused { until, missing } => {
            format!("paused until {until:.0}: the budget is to free {} GLM before", amount(*missing))
        }
        EventKind::PauseEnded => "the pause is over".to_owned(),
        EventKind::Recovered { what } => what.clone(),
        EventKind::DemandPublished { .. } => "demand published, looking for providers".to_owned(),
        EventKind::Trouble { doing, problem } => format!("could not {doing}: {problem}"),
        EventKind::AgreementApproved { rental, .. } => match names.rental_prices(*rental) {
            Some((per_hour, start)) => format!(
                "agreement with {} approved ({} GLM an hour, {} GLM for the start)",
                name(rental),
                amount(per_hour),
                amount(start)
            ),
            None => format!("agreement with {} approved", name(rental)),
        },
        EventKind::AgreementFailed { rental, reason } => {
            format!("no agreement with {}: {}", name(rental), said(reason))
        }
        EventKind::ActivityReady { rental } => format!("{} is ready to work", name(rental)),
        EventKind::ActivityEnded { rental, failure: Some(failure), .. } => {
            format!("the activity on {} failed: {}", name(rental), said(failure))
        }
        EventKind::AgreementEnded { rental, by, reason, .. } => {
            let by = match by {
                Terminator::Requestor => "us",
                Terminator::Provider => "the provider",
            };
            format!("agreement with {} ended by {by}: {}", name(rental), said(&reason.message))
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
        EventKind::BillAccepted { rental, bill: Bill::Invoice(_), amount: due, .. } => {
            format!("invoice of {} accepted: {} GLM", name(rental), amount(*due))
        }
        EventKind::BillRefused { rental, bill, amount: asked, reason, open, .. } => {
            let kind = match bill {
                Bill::DebitNote(_) => "debit note",
                Bill::Invoice(_) => "invoice",
            };
            let of = rental.as_ref().map_or_else(|| "a stranger".to_owned(), name);
            let refused = if *open { "can't be accepted now" } else { "refused" };
            format!("{kind} of {of} over {} GLM {refused}: {reason}", amount(*asked))
        }
        EventKind::BillMissing { rental, .. } => {
            format!("the final bill of {} hasn't come in time", name(rental))
        }
        EventKind::ProviderSetBack { provider, until, reason } => {
            let rest = duration(between(event.at, *until));
            format!("{} gets no tasks for {rest}: {reason}", one_line(&provider.name, NAME))
        }
        EventKind::RunResumed { resumed } => resumed_words(resumed, names),
        EventKind::Waiting { explanation } => explanation.to_string(),
        // That is what was asked for, and said at first.
        EventKind::Stopping { .. } if names.only_settles() => return None,
        EventKind::Stopping { why: StopReason::AllDone } => "stopping: all tasks are finished".to_owned(),
        EventKind::Stopping { why } => format!("stopping: {}", why.words()),
        _ => return None,
    })
}

/// A stranger's reason, without what it carries for programs.
fn said(reason: &str) -> &str {
    if reason.trim().is_empty() { "no reason given" } else { without_details(reason) }
}

/// The number of a failed attempt among those of its task that count.
fn tried(attempt: Attempt, failure: &AttemptFailure) -> u32 {
    if failure.failures == 0 { attempt.number } else { failure.failures }
}

fn resumed_words(resumed: &Resumed, names: &impl Names) -> String {
    let Resumed { tasks, running, adopted, unsettled, .. } = resumed;
    let settles = names.only_settles();
    let mut text = match running {
        _ if *tasks == 0 => "no open tasks".to_owned(),
        // Nobody hears of what still runs.
        _ if settles => format!("{} left to do, for another time", plural(*tasks, "task")),
        0 => format!("{} to do", plural(*tasks, "task")),
        running => format!("{} to do, of which {running} never stopped", plural(*tasks, "task")),
    };
    let agreements = if settles {
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
    match names.tasks_done() {
        0 => text,
        done => format!("{text}; {} done before", plural(done, "task")),
    }
}
