//! Bills: whether a debit note or an invoice asks for no more than its activities can have cost.
//!
//! The measure is our own: when an activity began and ended by our clock, the threads it was rented with, and the
//! usage that was reported on the way. Whether there is money left for what is owed, and what the daemon has
//! already promised, is the caller's and the daemon's business.

use std::collections::BTreeSet;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use yagna_api::payment::{DebitNote, Invoice, RejectionReason};
use yagna_api::time::{after, between};
use yagna_api::{ActivityId, Glm, Timestamp};

use crate::offer::plain;
use crate::pricing::{Counter, Pricing, round_up, seconds, usage_amount};
use crate::terms::AgreedTerms;

/// The time that an activity may have run beyond our own measure: messages and clocks differ.
pub const GRACE: Duration = Duration::from_secs(30);
/// The greatest age, at an activity's end, of the last usage reported of it: after so long without a report a
/// provider's daemon holds an activity for dead.
pub const USAGE_DELAY: Duration = Duration::from_secs(5);
/// The time by which a debit note may fall due sooner than agreed, since it is dated before it is sent.
const PAYMENT_GRACE: Duration = Duration::from_secs(5 * 60);
/// One billionth: what providers lose by computing in floats, and far less than they could gain by it.
const TOLERANCE: Decimal = Decimal::from_parts(1, 0, 0, false, 9);

/// Our own measure of an activity, by which its provider's bills are checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meter {
    /// The time at which we asked for it.
    pub started: Timestamp,
    /// The time at which its end was confirmed.
    pub ended: Option<Timestamp>,
    /// The CPU threads it was rented with.
    pub threads: u32,
    /// The highest usage seen so far, in the order of the agreement's usage vector.
    pub reported: Option<Vec<f64>>,
    /// True if usage was seen after the end was confirmed. Then it grows no more, but for what wasn't reported yet.
    pub complete: bool,
    /// The highest `total_amount_due` accepted so far.
    pub noted: Glm,
    /// True if its provider has asked for more than there was. Then it is given nothing on trust any more.
    pub overbilled: bool,
}

impl Meter {
    /// An activity that begins, nothing known of it yet.
    pub fn new(started: Timestamp, threads: u32) -> Self {
        Self {
            started,
            ended: None,
            threads,
            reported: None,
            complete: false,
            noted: Glm::ZERO,
            overbilled: false,
        }
    }

    /// Notes a usage vector, wherever it came from. Counters never fall; what is not a valid amount of use is passed over,
    /// and so is a vector of another length than those before it.
    pub fn report(&mut self, usage: &[f64]) {
        let counter = |used: &f64| if usage_amount(*used).is_some() { *used } else { 0.0 };
        match &mut self.reported {
            None => self.reported = Some(usage.iter().map(counter).collect()),
            Some(highest) if highest.len() == usage.len() => {
                for (highest, used) in highest.iter_mut().zip(usage) {
                    *highest = highest.max(counter(used));
                }
            }
            Some(_) => {}
        }
    }

    /// Notes a debit note that was refused. Where it asked for more than there was, the usage it names, as far as
    /// that is possible, is the most that will be believed without another report.
    pub fn refused(&mut self, note: &DebitNote, problem: &BillProblem) {
        self.overbilled |= problem.is_overbilling();
        if let Some(usage) = problem.believed(note) {
            self.report(&usage);
        }
    }

    /// Notes an accepted debit note. Older ones that come late change nothing.
    pub fn accepted(&mut self, total_amount_due: Glm) {
        self.noted = self.noted.max(total_amount_due);
    }

    /// For how long it has run, or did run, by our measure.
    pub fn life(&self, now: Timestamp) -> Duration {
        between(self.started, self.ended.unwrap_or(now))
    }

    /// The most that a bill may ask for this activity by now: what is owed when it kept every thread busy, [`GRACE`]
    /// included, but for CPU no more than was reported and can have been added since.
    ///
    /// Counters nobody knows are trusted as far as they were reported. What was accepted stays owed.
    ///
    /// Once the usage is complete it is no more than that costs, with full use for [`USAGE_DELAY`].
    pub fn ceiling(&self, pricing: &Pricing, now: Timestamp) -> Glm {
        let by_clock = self.by_clock(pricing, now);
        let unreported = || pricing.usage_at_full_use(USAGE_DELAY, self.threads, Decimal::ZERO);
        let by_reports = self
            .by_reports(pricing, now)
            .filter(|_| self.complete)
            .and_then(|cost| cost.checked_add(unreported()?));
        round_up(by_reports.map_or(by_clock, |cost| cost.min(by_clock))).max(self.noted)
    }

    /// The cost so far, as far as is known: its start, its time by our clock, and of all else what was last reported.
    /// Where nothing was, every thread was busy. What was accepted stays owed.
    ///
    /// Reports may be old, or never come again: its time goes on all the same.
    pub fn cost_so_far(&self, pricing: &Pricing, now: Timestamp) -> Glm {
        let reported = self.reported.as_deref().filter(|reported| reported.len() == pricing.rates.len());
        let Some(reported) = reported else {
            return pricing.cost_at_full_use(self.life(now), self.threads).max(self.noted);
        };
        let life = seconds(self.life(now));
        let rates = pricing.rates.iter().zip(reported);
        let cost = rates.fold(pricing.start, |cost, ((counter, rate), used)| {
            let used = match Counter::of(counter) {
                Counter::Duration => life,
                Counter::Cpu | Counter::Other => usage_amount(*used).unwrap_or_default(),
            };
            cost.saturating_add(rate.saturating_mul(used))
        });
        round_up(cost).max(self.noted)
    }

    /// The most that an invoice may ask for this activity: [`Meter::ceiling`], but from a provider that is given
    /// nothing on trust, no more than what it reported costs.
    fn owed(&self, pricing: &Pricing, trusted: bool, now: Timestamp) -> Glm {
        let ceiling = self.ceiling(pricing, now);
        match self.by_reports(pricing, now).filter(|_| !trusted) {
            Some(cost) => round_up(cost).min(ceiling).max(self.noted),
            None => ceiling,
        }
    }

    /// The cost of the usage that was reported, or the accepted amount, if that is more: an invoice of that much needs
    /// no trust.
    fn known(&self, pricing: &Pricing, now: Timestamp) -> Glm {
        self.by_reports(pricing, now)
            .map_or(Glm::ZERO, round_up)
            .min(self.ceiling(pricing, now))
            .max(self.noted)
    }

    /// The cost of the usage that was reported, as far as it is possible at all; `None` where none was reported.
    fn by_reports(&self, pricing: &Pricing, now: Timestamp) -> Option<Decimal> {
        let reported = self.reported.as_deref()?;
        if reported.len() != pricing.rates.len() {
            return None;
        }
        let most = seconds(self.life(now).saturating_add(GRACE));
        let rates = pricing.rates.iter().zip(reported);
        let cost = rates.fold(pricing.start, |cost, ((counter, rate), used)| {
            let used = usage_amount(*used).unwrap_or_default();
            let used = match Counter::of(counter) {
                Counter::Duration => used.min(most),
                Counter::Cpu => used.min(most.saturating_mul(self.threads.into())),
                Counter::Other => used,
            };
            cost.saturating_add(rate.saturating_mul(used))
        });
        Some(cost)
    }

    fn by_clock(&self, pricing: &Pricing, now: Timestamp) -> Decimal {
        let reported = self.reported.as_deref().filter(|reported| reported.len() == pricing.rates.len());
        let reported = |place: usize| reported.and_then(|reported| usage_amount(reported[place]));
        let most = seconds(self.life(now).saturating_add(GRACE));
        let rates = pricing.rates.iter().enumerate();
        let seen_until = rates
            .clone()
            .filter(|(_, (counter, _))| Counter::of(counter) == Counter::Duration)
            .filter_map(|(place, _)| reported(place))
            .max()
            .unwrap_or_default()
            .min(most);

        let mut cost = pricing.start;
        for (place, (counter, rate)) in rates {
            let used = match Counter::of(counter) {
                Counter::Duration => most,
                Counter::Cpu => {
                    let threads = Decimal::from(self.threads);
                    let full = most.saturating_mul(threads);
                    let since = (most - seen_until).saturating_mul(threads);
                    reported(place).map_or(full, |used| used.saturating_add(since).min(full))
                }
                Counter::Other => reported(place).unwrap_or_default(),
            };
            cost = cost.saturating_add(rate.saturating_mul(used));
        }
        cost
    }
}

/// The reasons why a bill isn't owed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum BillProblem {
    /// Less than nothing.
    #[error("asks for {asked} GLM")]
    Negative { asked: Glm },
    /// A debit note below one that was accepted: an old one that came late, or a mistake. There is nothing to
    /// accept, the newer one stands.
    #[error("asks for {asked} GLM in all, less than the {accepted} GLM accepted before")]
    Shrank {
        asked: Glm,
        /// Accepted before.
        accepted: Glm,
    },
    /// A debit note to be paid at once, though no such payments were agreed.
    #[error("is to be paid before the agreement ends, which was not agreed")]
    PaymentNotAgreed {
        /// Accepted before.
        accepted: Glm,
    },
    /// A debit note to be paid sooner than was agreed.
    #[error("is to be paid by {due}, but agreed was not before {agreed}")]
    DueTooSoon {
        due: Timestamp,
        agreed: Timestamp,
        /// Accepted before.
        accepted: Glm,
    },
    /// More debit notes than were agreed.
    #[error("is number {notes} in {} s, more often than agreed", .age.as_secs())]
    TooManyNotes {
        /// The number of notes for its activity.
        notes: u32,
        /// The age of the activity.
        age: Duration,
        /// Accepted before.
        accepted: Glm,
    },
    /// More debit notes to be paid before the agreement ends than were agreed.
    #[error("is number {notes} to be paid on the way in {} s, more often than agreed", .age.as_secs())]
    TooManyPayableNotes {
        /// The number of such notes for its activity.
        notes: u32,
        /// The age of the activity.
        age: Duration,
        /// Accepted before.
        accepted: Glm,
    },
    /// Its usage vector doesn't fit the agreement's counters.
    #[error("its usage is not a list of {counters} amounts")]
    Usage {
        /// The number of counters.
        counters: usize,
        /// Accepted before.
        accepted: Glm,
    },
    /// It charges for more use than there can have been.
    #[error("charges for {claimed} of `{counter}`, but no more than {most} can have been used")]
    Implausible {
        counter: String,
        /// The amount that it states.
        claimed: Decimal,
        /// The most by our measure.
        most: Decimal,
        /// Accepted before.
        accepted: Glm,
    },
    /// It asks for more than its own usage costs.
    #[error("asks for {asked} GLM, but its usage costs {owed} GLM")]
    AboveUsage {
        asked: Glm,
        /// The cost of its usage.
        owed: Glm,
    },
    /// It asks for more than can have been used.
    #[error("asks for {asked} GLM, but no more than {owed} GLM can have been used")]
    AboveMeasure {
        asked: Glm,
        /// The most by our measure.
        owed: Glm,
    },
    /// An invoice for an activity that isn't ours.
    #[error("asks for {asked} GLM, also for the activity {activity}, which isn't ours")]
    UnknownActivity {
        asked: Glm,
        activity: ActivityId,
        /// Accepted before, for those that are ours.
        accepted: Glm,
    },
    /// An invoice for nothing.
    #[error("asks for {asked} GLM, but names no activity")]
    NoActivity { asked: Glm },
}

impl BillProblem {
    /// The reason as the daemon is told it.
    pub fn rejection_reason(&self) -> RejectionReason {
        match self {
            Self::UnknownActivity { .. }
            | Self::NoActivity { .. }
            | Self::PaymentNotAgreed { .. }
            | Self::DueTooSoon { .. }
            | Self::TooManyNotes { .. }
            | Self::TooManyPayableNotes { .. } => RejectionReason::UnsolicitedService,
            Self::Negative { .. }
            | Self::Shrank { .. }
            | Self::Usage { .. }
            | Self::Implausible { .. }
            | Self::AboveUsage { .. }
            | Self::AboveMeasure { .. } => RejectionReason::IncorrectAmount,
        }
    }

    /// The code of an agreement's end for this reason.
    pub fn ending_code(&self) -> &'static str {
        match self {
            Self::TooManyNotes { .. } => "TooManyDebitNotes",
            Self::TooManyPayableNotes { .. } => "TooManyPayableDebitNotes",
            Self::PaymentNotAgreed { .. } | Self::DueTooSoon { .. } => "PaymentNotAgreed",
            _ => "IncorrectAmount",
        }
    }

    /// True if it isn't held against the provider. So it is with a debit note that was overtaken by a newer one:
    /// nothing is to be done about it.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Shrank { .. })
    }

    /// The part of the refused note's usage that is believed all the same.
    pub(crate) fn believed(&self, note: &DebitNote) -> Option<Vec<f64>> {
        note.usage().filter(|_| matches!(self, Self::AboveUsage { .. }))
    }

    /// True if it asks for more than there was.
    pub(crate) fn is_overbilling(&self) -> bool {
        matches!(self, Self::Implausible { .. } | Self::AboveUsage { .. } | Self::AboveMeasure { .. })
    }

    /// The most that may be owed, where that is known; otherwise the amount accepted before.
    pub fn owed(&self) -> Glm {
        match self {
            Self::Negative { .. } | Self::NoActivity { .. } => Glm::ZERO,
            Self::Shrank { accepted, .. }
            | Self::PaymentNotAgreed { accepted }
            | Self::DueTooSoon { accepted, .. }
            | Self::TooManyNotes { accepted, .. }
            | Self::TooManyPayableNotes { accepted, .. }
            | Self::Usage { accepted, .. }
            | Self::Implausible { accepted, .. }
            | Self::UnknownActivity { accepted, .. } => *accepted,
            Self::AboveUsage { owed, .. } | Self::AboveMeasure { owed, .. } => *owed,
        }
    }
}

/// Checks whether a debit note is owed.
///
/// Its amount may not exceed what its own usage vector costs, beyond a billionth that floats lose, and of what
/// a clock bounds, that vector may not claim more than can have been used: time no longer than by our measure
/// and [`GRACE`], CPU no more than all threads in that time. Usage below what was last seen is fine: the note is
/// the older then, and asks for less. Other counters can't be checked: what is reported is what is owed.
/// Without a usage vector, and once the usage is complete, the note may ask for up to [`Meter::ceiling`].
pub fn check_debit_note(
    note: &DebitNote,
    pricing: &Pricing,
    meter: &Meter,
    agreed: &AgreedTerms,
    now: Timestamp,
) -> Result<(), BillProblem> {
    let asked = note.total_amount_due;
    let accepted = meter.noted;
    if asked.is_negative() {
        return Err(BillProblem::Negative { asked });
    }
    if asked < accepted {
        return Err(BillProblem::Shrank { asked, accepted });
    }
    if asked.is_zero() {
        return Ok(());
    }
    check_due_date(note, meter, agreed)?;
    if note.usage_counter_vector.is_none() {
        return check_amount(asked, meter.ceiling(pricing, now));
    }
    let counters = pricing.rates.len();
    let unreadable = BillProblem::Usage { counters, accepted };
    let usage = note.usage().ok_or_else(|| unreadable.clone())?;
    let cost = pricing.cost(&usage).ok_or(unreadable)?;
    check_plausible(&usage, pricing, meter, now)?;
    if exceeds(asked, cost) {
        let owed = Glm::from_decimal_rounding_down(cost).unwrap_or(accepted);
        return Err(BillProblem::AboveUsage { asked, owed });
    }
    if meter.complete { check_amount(asked, meter.ceiling(pricing, now)) } else { Ok(()) }
}

/// Checks that no more debit notes have come for an activity than were agreed, this one included.
///
/// Those that are to be paid on the way are counted apart.
pub fn check_frequency(
    notes: u32,
    payable_notes: u32,
    meter: &Meter,
    agreed: &AgreedTerms,
    now: Timestamp,
) -> Result<(), BillProblem> {
    let (age, accepted) = (between(meter.started, now), meter.noted);
    if !agreed.allows_notes(notes, age) {
        Err(BillProblem::TooManyNotes { notes, age, accepted })
    } else if !agreed.allows_payable_notes(payable_notes, age) {
        Err(BillProblem::TooManyPayableNotes { notes: payable_notes, age, accepted })
    } else {
        Ok(())
    }
}

/// Checks whether an invoice is owed.
///
/// It may ask for no more than the [`Meter::ceiling`] of each activity that it names, together; all of them must
/// be ours. Where a debit note for any of `meters`, which are all of the agreement's, asked for more than there was, no
/// more is owed than their reported usage costs. Nothing is always owed. That it isn't below the accepted debit notes is the daemon's business.
pub fn check_invoice(
    invoice: &Invoice,
    pricing: &Pricing,
    meters: &[(&ActivityId, &Meter)],
    now: Timestamp,
) -> Result<(), BillProblem> {
    let asked = invoice.amount;
    if asked.is_negative() {
        return Err(BillProblem::Negative { asked });
    }
    if asked.is_zero() {
        return Ok(());
    }
    if invoice.activity_ids.is_empty() {
        return Err(BillProblem::NoActivity { asked });
    }
    let named: BTreeSet<&ActivityId> = invoice.activity_ids.iter().collect();
    let ours = || meters.iter().filter(|(activity, _)| named.contains(*activity));
    let stranger = named.iter().find(|activity| !meters.iter().any(|(ours, _)| ours == *activity));
    if let Some(activity) = stranger {
        return Err(BillProblem::UnknownActivity {
            asked,
            activity: ActivityId::new(plain(activity.as_str())),
            accepted: total(ours().map(|(_, meter)| meter.noted)),
        });
    }
    let trusted = !meters.iter().any(|(_, meter)| meter.overbilled);
    check_amount(asked, total(ours().map(|(_, meter)| meter.owed(pricing, trusted, now))))
}

/// True if the amount of an invoice is known to be used. Otherwise a debit note that is still on its way may tell more.
///
/// `true` says nothing of whether it is owed: that is [`check_invoice`]'s business.
pub fn is_known(
    invoice: &Invoice,
    pricing: &Pricing,
    meters: &[(&ActivityId, &Meter)],
    now: Timestamp,
) -> bool {
    let named = meters.iter().filter(|(activity, _)| invoice.activity_ids.contains(*activity));
    let known = total(named.map(|(_, meter)| meter.known(pricing, now)));
    !exceeds(invoice.amount, known.to_decimal())
}

fn check_amount(asked: Glm, owed: Glm) -> Result<(), BillProblem> {
    if exceeds(asked, owed.to_decimal()) { Err(BillProblem::AboveMeasure { asked, owed }) } else { Ok(()) }
}

fn check_due_date(note: &DebitNote, meter: &Meter, agreed: &AgreedTerms) -> Result<(), BillProblem> {
    let accepted = meter.noted;
    let Some(due) = note.payment_due_date else {
        return Ok(());
    };
    let Some(timeout) = agreed.payment_timeout else {
        return Err(BillProblem::PaymentNotAgreed { accepted });
    };
    if due < after(note.timestamp, timeout.saturating_sub(PAYMENT_GRACE)) {
        return Err(BillProblem::DueTooSoon { due, agreed: after(note.timestamp, timeout), accepted });
    }
    Ok(())
}

/// Only counters that cost something are looked at.
fn check_plausible(
    usage: &[f64],
    pricing: &Pricing,
    meter: &Meter,
    now: Timestamp,
) -> Result<(), BillProblem> {
    let life = seconds(meter.life(now).saturating_add(GRACE));
    for ((counter, rate), used) in pricing.rates.iter().zip(usage) {
        let most = match Counter::of(counter) {
            Counter::Duration => life,
            Counter::Cpu => life.saturating_mul(meter.threads.into()),
            Counter::Other => continue,
        };
        if let Some(claimed) = usage_amount(*used)
            && !rate.is_zero()
            && claimed > most
        {
            return Err(BillProblem::Implausible {
                counter: plain(counter),
                claimed: claimed.normalize(),
                most: most.normalize(),
                accepted: meter.noted,
            });
        }
    }
    Ok(())
}

fn exceeds(asked: Glm, owed: Decimal) -> bool {
    asked.to_decimal() > owed.saturating_add(owed.saturating_mul(TOLERANCE))
}

/// A sum that stops at GLM's supply instead of failing.
fn total(amounts: impl Iterator<Item = Glm>) -> Glm {
    round_up(amounts.fold(Decimal::ZERO, |sum, amount| sum.saturating_add(amount.to_decimal())))
}

#[cfg(test)]
mod tests;
