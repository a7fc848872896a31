//! From the rentals of earlier runs to what is known of their providers.
//!
//! Prices and times of different work can't be compared, so each run is looked at by itself first: how did a rental do
//! beside the others of its run? Only that is added up over runs.

use std::collections::HashMap;
use std::time::Duration;

use rust_decimal::Decimal;
use yagna_api::time::between;
use yagna_api::{Glm, NodeId, Timestamp};

use super::Records;
use super::known::Known;

const MICROS_AN_HOUR: u64 = 3_600_000_000;

/// A rental of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RentalOutcome {
    /// The time at which it was last heard of.
    pub at: Timestamp,
    /// True if its agreement was approved. None where that was never known.
    pub approved: Option<bool>,
    /// Tasks that were done in it.
    pub tasks_done: u64,
    /// Attempts of tasks that failed in it.
    pub tasks_failed: u64,
    /// The number of its provider's failures in it: activities that didn't come to work, were lost or had to be ended.
    pub failures: u32,
    /// GLM accepted for it.
    pub cost: Glm,
    /// GLM an hour that was agreed on, at full use.
    pub per_hour: Glm,
    /// The time that its activities lasted.
    pub active: Duration,
    /// The time that a task took there, the middle one of all that were done.
    pub task_took: Option<Duration>,
}

impl RentalOutcome {
    /// A rental of which nothing else is known but when it was.
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            approved: None,
            tasks_done: 0,
            tasks_failed: 0,
            failures: 0,
            cost: Glm::ZERO,
            per_hour: Glm::ZERO,
            active: Duration::ZERO,
            task_took: None,
        }
    }

    /// Hours of its offer that a result cost: comparable with other rentals of the same run, whatever their prices.
    fn hours_per_task(&self) -> Option<f64> {
        let priced = |amount: Glm| float(amount).filter(|amount| *amount > 0.0);
        let tasks = number(self.tasks_done);
        (tasks > 0.0).then_some(())?;
        Some(priced(self.cost)? / priced(self.per_hour)? / tasks)
    }

    fn seconds_per_task(&self) -> Option<f64> {
        self.task_took.map(|took| took.as_secs_f64()).filter(|took| *took > 0.0)
    }
}

/// The rentals of earlier runs, by their providers.
#[derive(Debug, Clone, Default)]
pub struct Memory(HashMap<NodeId, Vec<Remembered>>);

/// A rental beside the others of its run.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    rental: RentalOutcome,
    /// The middle of its run over its own time: how many times as fast it was.
    speed: Option<f64>,
    dearness: Option<f64>,
}

impl Memory {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all rentals of one run.
    pub fn add_run(&mut self, rentals: impl IntoIterator<Item = (NodeId, RentalOutcome)>) {
        let rentals: Vec<_> = rentals.into_iter().collect();
        // A provider that had a run to itself gives nothing to compare with.
        let middle_of = |measure: fn(&RentalOutcome) -> Option<f64>| {
            let measured = || rentals.iter().filter(|(_, rental)| measure(rental).is_some());
            let (first, _) = measured().next()?;
            measured().any(|(provider, _)| provider != first).then_some(())?;
            middle(measured().filter_map(|(_, rental)| Some((measure(rental)?, rental.tasks_done))).collect())
        };
        let seconds = middle_of(RentalOutcome::seconds_per_task);
        let hours = middle_of(RentalOutcome::hours_per_task);
        for (provider, rental) in rentals {
            let remembered = Remembered {
                rental,
                speed: rental.seconds_per_task().and_then(|own| Some(seconds? / own)),
                dearness: rental.hours_per_task().and_then(|own| Some(own / hours?)),
            };
            self.0.entry(provider).or_default().push(remembered);
        }
    }

    /// The knowledge of each provider at this moment.
    pub fn known(&self, now: Timestamp) -> HashMap<NodeId, Known> {
        self.0.iter().map(|(provider, rentals)| (provider.clone(), known(rentals, now))).collect()
    }

    /// The records of all providers, for a run to begin with.
    pub fn records(&self, now: Timestamp) -> Records {
        self.known(now).into_iter().collect()
    }
}

fn known(rentals: &[Remembered], now: Timestamp) -> Known {
    let mut known = Known { as_of: Some(now), ..Known::default() };
    let (mut cost, mut billed_tasks, mut billed_micros) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    let (mut speed, mut dearness) = (Mean::default(), Mean::default());
    let mut rentals = rentals.to_vec();
    rentals.sort_by_key(|remembered| remembered.rental.at);
    for Remembered { rental, speed: fast, dearness: dear } in rentals {
        let weight = Known::weight_after(between(rental.at, now));
        let tasks_done = weight * number(rental.tasks_done);
        let failures = weight * f64::from(rental.failures);
        known.rentals += 1;
        known.last_seen = Some(rental.at);
        match rental.approved {
            Some(true) => {
                known.approved += weight;
                known.not_approved_in_a_row = 0.0;
            }
            Some(false) => {
                known.not_approved += weight;
                known.not_approved_in_a_row += weight;
            }
            None => {}
        }
        if rental.tasks_done > 0 {
            known.failures_in_a_row = 0.0;
        }
        // A failure is what a rental ends with: it comes after the tasks that were done.
        known.failures_in_a_row += failures;
        known.failures += failures;
        known.tasks_done += tasks_done;
        known.tasks_failed += weight * number(rental.tasks_failed);
        speed.add(fast, tasks_done);
        dearness.add(dear, tasks_done);
        if !rental.cost.is_zero() {
            let micros = u64::try_from(rental.active.as_micros()).unwrap_or(u64::MAX);
            cost = weighted(cost, weight, rental.cost.to_decimal());
            billed_tasks = weighted(billed_tasks, weight, rental.tasks_done.into());
            billed_micros = weighted(billed_micros, weight, micros.into());
        }
    }
    let each =
        |n: Decimal| Glm::from_decimal_rounding_down(cost.checked_div(n)?).filter(|cost| !cost.is_zero());
    known.cost_per_task = each(billed_tasks);
    known.cost_per_hour = each(billed_micros / Decimal::from(MICROS_AN_HOUR));
    (known.speed, known.dearness) = (speed.get(), dearness.get());
    known
}

/// The mean of ratios: twice and half make one.
#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, ratio: Option<f64>, weight: f64) {
        if let Some(ratio) = ratio {
            self.sum += weight * ratio.ln();
            self.weight += weight;
        }
    }

    fn get(&self) -> Option<f64> {
        let mean = (self.sum / self.weight).exp();
        (mean.is_finite() && mean > 0.0).then_some(mean)
    }
}

/// The middle one of these values, each as often as its number says.
fn middle(mut values: Vec<(f64, u64)>) -> Option<f64> {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: u64 = values.iter().map(|(_, n)| n).sum();
    let mut before = 0;
    values
        .into_iter()
        .find(|(_, n)| {
            before += n;
            before >= total.div_ceil(2)
        })
        .map(|(value, _)| value)
}

fn number(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn float(amount: Glm) -> Option<f64> {
    amount.to_string().parse().ok()
}

/// The sum with this added by its weight, which is exact to a millionth of a millionth; without it where it is beyond all
/// bounds.
fn weighted(sum: Decimal, weight: f64, more: Decimal) -> Decimal {
    let weight = Decimal::try_from(weight).map(|weight| weight.round_dp(12)).unwrap_or_default();
    weight.checked_mul(more).and_then(|more| sum.checked_add(more)).unwrap_or(sum)
}

#[cfg(test)]
mod tests;
