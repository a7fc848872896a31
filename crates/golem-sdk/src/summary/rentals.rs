//! Lines about agreements, bills, money, and the end of the run.

use golem_core::event::{Bill, Event, EventKind, JobEndReason, JobId, RentalId, RunEnd, StopReason};
use golem_core::words::{amount, plural};
use tracing::Level;
use yagna_api::market::{Reason, Terminator};
use yagna_api::{Glm, Timestamp};

use super::notes::Rental;
use super::words::{each, left, name, part, reaches, replaced};
use super::{LogSummary, hour};

/// Providers that a list names, at most.
const LISTED: usize = 50;
/// Percent of the budget whose use is told of.
const MARKS: [u32; 3] = [50, 75, 90];

impl LogSummary {
    pub(super) fn on_rental(&mut self, event: &Event) {
        match &event.kind {
            EventKind::AllocationCreated { amount: reserved, .. } => {
                // One that takes a lost one's place holds what is left.
                self.budget.get_or_insert(*reserved);
                self.tell(Level::INFO, event);
            }
            EventKind::AllocationProlonged { expires, .. } => {
                self.debug(format!("The money is set aside until {} now", hour(*expires)));
            }
            EventKind::AllocationAmended { amount: set_aside, .. } => {
                self.budget = Some(*set_aside);
                self.told_of = 0;
                self.debug(format!("{} GLM are set aside now, what is spent included", amount(*set_aside)));
            }
            EventKind::AllocationLost { .. } => self.warn(
                "The daemon no longer has the money that was set aside; nothing is signed before there is more",
            ),
            EventKind::BudgetRaised { budget } => {
                self.budget = Some(*budget);
                self.told_of = 0;
                let left = left(*budget, self.cost);
                self.info(format!("The budget is {} GLM now, {left} GLM left", amount(*budget)));
            }
            EventKind::BudgetNotRaised { budget, reason } => {
                self.warn(format!("The budget couldn't be raised to {} GLM: {}", amount(*budget), part(reason)));
            }
            EventKind::AllocationReleased { .. } => self.debug("The rest of the money was given back"),
            EventKind::AgreementIntended { rental, provider, per_hour, start, .. } => {
                // The provider of the agreement was chosen before.
                self.count(event.at);
                let entry = Rental {
                    provider: provider.clone(),
                    prices: (*per_hour, *start),
                    job: JobId::FIRST,
                    approved: false,
                    used: false,
                    ended: false,
                    invoiced: false,
                    cost: Glm::ZERO,
                };
                self.rentals.insert(*rental, entry);
            }
            EventKind::AgreementCreated { rental, agreement } => {
                self.info(format!("Agreement proposed to provider {} ({agreement})", self.provider(*rental)));
            }
            EventKind::AgreementApproved { rental, .. } => {
                if let Some(entry) = self.rentals.get_mut(*rental) {
                    entry.approved = true;
                    self.tally.agree(*rental, &entry.provider);
                }
                self.tell(Level::INFO, event);
            }
            EventKind::AgreementFailed { rental, .. } => {
                if let Some(entry) = self.rentals.get_mut(*rental) {
                    entry.ended = true;
                }
                self.tell(Level::WARN, event);
            }
            EventKind::AgreementEnded { rental, by, reason, .. } => self.ended(event, *rental, *by, reason),
            EventKind::BillReceived { rental, bill, amount: asked, .. } => {
                self.debug(format!(
                    "Received {} {}, amount: {} GLM",
                    kind(bill),
                    self.from(*rental),
                    amount(*asked)
                ));
            }
            EventKind::BillAccepted { rental, bill, amount: due, total } => {
                if let Some(entry) = self.rentals.get_mut(*rental) {
                    entry.invoiced |= matches!(bill, Bill::Invoice(_));
                    let before = std::mem::replace(&mut entry.cost, *total);
                    self.cost = replaced(self.cost, before, *total);
                    let share = self.tally.share(&entry.provider);
                    share.cost = replaced(share.cost, before, *total);
                }
                self.accepted(event, *rental, bill, *due);
            }
            EventKind::BillRefused { .. } => {
                self.bills_refused += 1;
                self.tell(Level::WARN, event);
            }
            EventKind::BillMissing { .. } => self.tell(Level::WARN, event),
            // Intents are told of when something came of them.
            _ => {}
        }
    }

    /// Says once that only bills are awaited, where that is so.
    pub(super) fn settling(&mut self) {
        let in_use = self.rentals.values().any(|entry| entry.approved && !entry.ended);
        if self.stopping.is_none() || in_use || self.settling {
            return;
        }
        self.settling = true;
        let unpaid = self.rentals.values().filter(|entry| entry.used && !entry.invoiced).count() as u64;
        if unpaid > 0 {
            self.info(format!("{} still unpaid, waiting for invoices...", plural(unpaid, "agreement")));
        }
    }

    fn ended(&mut self, event: &Event, rental: RentalId, by: Terminator, reason: &Reason) {
        if let Some(entry) = self.rentals.get_mut(rental) {
            entry.ended = true;
        }
        let key = match by {
            Terminator::Requestor => "golem.requestor.code",
            Terminator::Provider => "golem.provider.code",
        };
        let is_usual = reason.extra.get(key).and_then(|code| code.as_str()) == Some("Success");
        self.tell(
            match (by, is_usual) {
                (Terminator::Provider, false) => Level::WARN,
                (Terminator::Requestor, true) => Level::DEBUG,
                _ => Level::INFO,
            },
            event,
        );
    }

    fn accepted(&mut self, event: &Event, rental: RentalId, bill: &Bill, due: Glm) {
        match bill {
            Bill::Invoice(_) => {
                self.tell(Level::INFO, event);
                self.info(format!("The cost so far: {}", self.money()));
            }
            Bill::DebitNote(_) => {
                let from = self.from(Some(rental));
                self.debug(format!("Debit note {from} accepted: {} GLM", amount(due)));
            }
        }
        let Some(budget) = self.budget.filter(|budget| !budget.is_zero()) else { return };
        let reached = MARKS.into_iter().rev().find(|mark| reaches(self.cost, budget, *mark)).unwrap_or(0);
        if reached > self.told_of {
            self.told_of = reached;
            let level = if reached >= 90 { Level::WARN } else { Level::INFO };
            let left = left(budget, self.cost);
            self.say(level, format!("{reached} % of the budget is used, {left} GLM left"));
        }
    }

    pub(super) fn run_ended(&mut self, at: Timestamp, end: &RunEnd) {
        while let Some((id, job)) = self.jobs.pop_first() {
            let why = match end.why {
                StopReason::AllDone | StopReason::ResultsReached | StopReason::PartDone => {
                    JobEndReason::Finished
                }
                StopReason::Cancelled => JobEndReason::Cancelled,
                _ => JobEndReason::Stopped,
            };
            self.job_ended(at, id, &job, why, end.unfinished);
        }
        if self.jobs_over > 1 {
            self.negotiated("");
        }
        let mut shares: Vec<_> = self.tally.ranked().into_iter().cloned().collect();
        shares.retain(|share| !share.cost.is_zero());
        shares.sort_by_key(|share| std::cmp::Reverse(share.cost));
        for share in shares.iter().take(LISTED) {
            let each = each(share.cost, share.computed).map_or_else(String::new, |each| {
                format!(" for {}, {} GLM a task", plural(share.computed, "task"), amount(each))
            });
            self.info(format!("Provider {} cost {} GLM{each}", name(&share.name), amount(share.cost)));
        }
        if let Some(refusals) = self.refusals() {
            self.info(format!("Offers refused: {refusals}"));
        }
        if self.bills_refused > 0 {
            self.warn(format!("{} refused", plural(self.bills_refused, "bill")));
        }
        if end.unsettled > 0 {
            self.warn(format!(
                "Unpaid agreements: {}; the final bill hasn't come, or isn't accepted yet",
                end.unsettled
            ));
        }
        self.cost = end.cost;
        let mut total = format!("Total cost: {} GLM", amount(end.cost));
        if let Some(each) = each(end.cost, end.done) {
            total = format!("{total}, {} GLM for each of {}", amount(each), plural(end.done, "task"));
        }
        if let Some(budget) = self.budget {
            total = format!("{total}, {} GLM of the budget left", left(budget, end.cost));
        }
        self.info(total);
        match end.why {
            StopReason::AllDone | StopReason::ResultsReached | StopReason::PartDone | StopReason::Closed => {
                self.info("Golem engine has shut down");
            }
            StopReason::Broken => {
                self.say(Level::ERROR, format!("Golem engine has shut down: {}", end.why.words()));
            }
            why => self.warn(format!("Golem engine has shut down: {}", why.words())),
        }
    }

    /// The name of the provider that sent the bill.
    fn from(&self, rental: Option<RentalId>) -> String {
        match rental {
            Some(rental) => format!("from {}", self.provider(rental)),
            None => "from a stranger".to_owned(),
        }
    }

    /// Writes the work of each provider in the whole run, or in a job whose lines begin with this.
    pub(super) fn negotiated(&mut self, prefix: &str) {
        let tally = std::mem::take(&mut self.tally);
        self.tallied(prefix, &tally);
        self.tally = tally;
    }

    pub(super) fn tallied(&mut self, prefix: &str, tally: &super::Tally) {
        let (agreements, providers) = (tally.agreements, tally.providers());
        self.info(format!(
            "{prefix}Negotiated {} with {}",
            plural(agreements, "agreement"),
            plural(providers, "provider")
        ));
        let shares = tally.ranked();
        for share in shares.iter().take(LISTED) {
            let name = name(&share.name);
            if share.computed > 0 {
                let tasks = plural(share.computed, "task");
                self.info(format!("{prefix}Provider {name} computed {tasks}"));
            } else {
                self.info(format!("{prefix}Provider {name} did not compute any tasks"));
            }
        }
        if let Some(rest) = shares.get(LISTED..).filter(|rest| !rest.is_empty()) {
            let computed = rest.iter().map(|share| share.computed).sum();
            let (others, tasks) = (plural(rest.len() as u64, "other provider"), plural(computed, "task"));
            self.info(format!("{prefix}{others} computed {tasks}"));
        }
        for share in shares.iter().filter(|share| share.activities_failed > 0).take(LISTED) {
            let (times, name) = (plural(share.activities_failed, "time"), name(&share.name));
            self.info(format!("{prefix}Activity failed {times} on provider {name}"));
        }
        if tally.attempts_failed() > 0 {
            let attempts = if tally.attempts_failed() == 1 {
                "1 attempt"
            } else {
                &format!("{} attempts", tally.attempts_failed())
            };
            self.info(format!("{prefix}{attempts} of tasks failed"));
        }
    }
}

fn kind(bill: &Bill) -> &'static str {
    match bill {
        Bill::DebitNote(_) => "debit note",
        Bill::Invoice(_) => "invoice",
    }
}
