//! `plan`: who would be hired for a job, why others wouldn't, and what it would take and cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use golem_core::raise::Raise;
use rust_decimal::Decimal;
use serde::Serialize;
use yagna_api::Glm;

use super::json::{VERSION, line};
use super::kept::{RaiseJson, Room};
use super::market::Offered;
use super::table::{Column, Table};
use super::text::{clean, duration, money, money_places, one_amount, one_line, plural};
use crate::job::Limits;
use crate::store::RememberedProvider;

/// Characters of a name that are always shown.
const NAME: usize = 24;
/// Rows that are shown at least, where there are so many.
const ROWS: usize = 10;

/// A run that was planned.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The job.
    pub(crate) job: String,
    /// The part of the market.
    pub(crate) subnet: String,
    /// The number of tasks, or of wanted results, if it is known.
    pub(crate) tasks: Option<u64>,
    /// The most providers at once.
    pub(crate) workers: u32,
    /// The budget in words.
    pub(crate) budget: String,
    /// Offers that were seen.
    pub(crate) offers: u64,
    /// Offers that fit.
    pub(crate) fitting: u64,
    /// The others, by the reason why they don't fit.
    pub(crate) refused: BTreeMap<String, u64>,
    /// The raise of a cap that lets in providers that are missing.
    pub(crate) raise: Option<Raise>,
    /// The providers that would be hired, the best first.
    pub(crate) hired: Vec<Hired>,
    /// Others that fit, the best first.
    pub(crate) others: Vec<Hired>,
    /// What it would take and cost, where the time of a task is known.
    pub(crate) estimate: Option<Estimate>,
}

/// An offer that fits, and what is remembered of its provider.
#[derive(Debug)]
pub(crate) struct Hired {
    pub(crate) offered: Offered,
    pub(crate) remembered: Option<RememberedProvider>,
}

/// What a run would take and cost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimate {
    /// The time that a task takes.
    pub(crate) task: Duration,
    /// The source of that time.
    pub(crate) from: TimeFrom,
    /// Tasks that it is an estimate of.
    pub(crate) tasks: u64,
    /// Providers at work at the same time.
    pub(crate) providers: u64,
    /// The time that the run takes.
    pub(crate) time: Duration,
    /// GLM by the offers of those who would be hired.
    pub(crate) cost: Glm,
    /// GLM at the middle price of all offers that fit.
    pub(crate) at_p50: Glm,
    /// GLM where every provider is as expensive as the caps allow; none where there are no caps.
    pub(crate) at_caps: Option<Glm>,
    /// The thing that limits it.
    pub(crate) limit: String,
}

/// The source of the time that a task takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimeFrom {
    /// It was said.
    Flag,
    /// An earlier run of the same job with so many results.
    Run { run_id: String, tasks: u64 },
}

#[derive(Serialize)]
struct PlanJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    version: u32,
    job: &'a str,
    subnet: &'a str,
    tasks: Option<u64>,
    workers: u32,
    budget: &'a str,
    offers: u64,
    fitting: u64,
    refused: &'a BTreeMap<String, u64>,
    raise: Option<RaiseJson>,
    hired: Vec<HiredJson<'a>>,
    others: Vec<HiredJson<'a>>,
    estimate: Option<EstimateJson<'a>>,
}

#[derive(Serialize)]
struct HiredJson<'a> {
    #[serde(flatten)]
    offered: &'a Offered,
    remembered: Option<RememberedJson>,
}

#[derive(Serialize)]
struct RememberedJson {
    standing: &'static str,
    results: u64,
    failed_attempts: u64,
    failures: u64,
    speed: Option<f64>,
}

#[derive(Serialize)]
struct EstimateJson<'a> {
    task_seconds: f64,
    from_run: Option<&'a str>,
    tasks: u64,
    providers: u64,
    seconds: f64,
    cost: Glm,
    cost_at_p50: Glm,
    cost_at_caps: Option<Glm>,
    limit: &'a str,
}

impl Estimate {
    /// The estimate for these offers and limits; none where nobody fits, the tasks can't be counted, or numbers are beyond all
    /// measure.
    pub(crate) fn of(plan: &Plan, limits: &Limits, task: Duration, from: TimeFrom) -> Option<Self> {
        let tasks = plan.tasks?;
        let providers = u64::try_from(plan.hired.len()).ok().filter(|n| *n > 0)?;
        let rounds = u32::try_from(tasks.div_ceil(providers)).ok()?;
        let time = task.checked_mul(rounds)?;
        let prices = |offered: &Offered| (offered.per_hour, offered.start);
        let of_one = |(per_hour, start): (Glm, Glm)| cost(per_hour, start, time);
        let costs = plan.hired.iter().map(|hired| of_one(prices(&hired.offered)));
        let expected = costs.sum::<Option<Decimal>>()?;
        let mut all: Vec<_> =
            plan.hired.iter().chain(&plan.others).map(|hired| prices(&hired.offered)).collect();
        all.sort_unstable();
        let middle = *all.get(all.len().saturating_sub(1) / 2)?;
        let times = |one: Decimal| one.checked_mul(Decimal::from(providers));
        let caps = limits.max_price_per_hour.zip(limits.max_start_price);
        let cost = amount(expected)?;
        Some(Self {
            limit: limit(plan, limits, cost, time, tasks),
            task,
            from,
            tasks,
            providers,
            time,
            cost,
            at_p50: amount(times(of_one(middle)?)?)?,
            at_caps: caps.and_then(of_one).and_then(times).and_then(amount),
        })
    }
}

/// The cost of one provider that works all the time.
fn cost(per_hour: Glm, start: Glm, time: Duration) -> Option<Decimal> {
    let millis = Decimal::from(u64::try_from(time.as_millis()).ok()?);
    let used = per_hour.to_decimal().checked_mul(millis)?.checked_div(3_600_000_u64.into())?;
    used.checked_add(start.to_decimal())
}

fn amount(cost: Decimal) -> Option<Glm> {
    Glm::from_decimal_rounding_down(cost.round_sf(3)?)
}

/// The thing that keeps the run from being done sooner, or at all.
fn limit(plan: &Plan, limits: &Limits, cost: Glm, time: Duration, tasks: u64) -> String {
    let hired = plan.hired.len() as u64;
    if let Some(total) = limits.budget.total().filter(|total| cost > *total) {
        let share = total.to_decimal().checked_div(cost.to_decimal()).unwrap_or_default();
        let done = share.checked_mul(Decimal::from(tasks)).map(|done| done.trunc()).unwrap_or_default();
        return format!(
            "the budget of {total} GLM is exhausted after about {done} of {}",
            plural(tasks, "task")
        );
    }
    let an_hour = plan.hired.iter().map(|hired| hired.offered.per_hour.to_decimal()).sum::<Decimal>();
    for (window, most) in limits.budget.windows() {
        let hours = Decimal::from(window.length().min(time).as_secs()) / Decimal::from(3600_u32);
        if an_hour.checked_mul(hours).is_none_or(|cost| cost > most.to_decimal()) {
            return format!("the budget: {}", plan.budget);
        }
    }
    if hired >= tasks {
        "the tasks: each has a provider of its own".to_owned()
    } else if hired < u64::from(plan.workers) {
        format!("the offers: only {} and {} may work at once", plural_fit(hired), plan.workers)
    } else {
        format!("the number of providers at once: {} (--workers)", plan.workers)
    }
}

fn plural_fit(n: u64) -> String {
    if n == 1 { "1 provider fits".to_owned() } else { format!("{n} providers fit") }
}

impl Plan {
    /// The table of offers, the reasons of the others, and the estimate.
    pub(crate) fn text(&self, room: Room) -> String {
        let tasks = self.tasks.map_or_else(|| "an unknown number of tasks".to_owned(), |n| plural(n, "task"));
        let mut text = format!(
            "{}: {tasks}, {} at once, {}\n\n",
            one_line(&self.job),
            plural(self.workers.into(), "provider"),
            self.budget
        );
        text.push_str(&self.table().text(room.width));
        let more = (self.hired.len() + self.others.len()).saturating_sub(self.shown());
        if more > 0 {
            let _ = writeln!(text, "… and {} that fit", plural(more as u64, "other provider"));
        }
        let hired = match self.hired.len() as u64 {
            0 => "nobody would be hired".to_owned(),
            n => format!("{} would be hired, if they agree", plural(n, "provider")),
        };
        if !(self.hired.is_empty() && self.others.is_empty()) {
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "{} of {} in the subnet `{}` fit; {hired}",
            self.fitting,
            plural(self.offers, "offer"),
            one_line(&self.subnet)
        );
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        for (reason, n) in refused {
            let _ = writeln!(text, "  {n}× {}", one_line(reason));
        }
        if let Some(raise) = self.raise {
            let _ = writeln!(text, "try: {raise}");
        }
        text.push('\n');
        match &self.estimate {
            Some(estimate) => estimate.tell(&mut text),
            None if self.hired.is_empty() => {}
            None if self.tasks.is_none() => text.push_str(
                "no estimate: the number of tasks isn't known; --results N limits it\n",
            ),
            None => text.push_str(
                "no estimate: this database has no run of this job; --task-takes 2m says how long a task takes\n",
            ),
        }
        text.push_str("Nothing was bought.\n");
        text
    }

    /// The number of rows that are shown.
    fn shown(&self) -> usize {
        self.hired.len().max(ROWS).min(self.hired.len() + self.others.len())
    }

    fn table(&self) -> Table {
        let rows: Vec<_> = self.hired.iter().chain(&self.others).take(self.shown()).collect();
        let places = money_places(rows.iter().map(|row| row.offered.per_hour));
        let starts = money_places(rows.iter().map(|row| row.offered.start));
        let has_gpus = rows.iter().any(|row| row.offered.gpu.is_some());
        let mut columns = vec![
            Column::text("hire"),
            Column::text("provider").at_least(NAME),
            Column::number("GLM/hour"),
            Column::number("GLM at start").rank(2),
            Column::number("threads").rank(1),
            Column::number("GiB memory").rank(3),
        ];
        if has_gpus {
            columns.push(Column::text("GPU").rank(2));
        }
        columns.push(Column::text("remembered").rank(4));
        let mut table = Table::new(columns);
        for (place, row) in rows.iter().enumerate() {
            let Offered { name, per_hour, start, threads, mem_gib, gpu, .. } = &row.offered;
            let mut cells = vec![
                if place < self.hired.len() { "yes" } else { "" }.to_owned(),
                clean(name),
                money(*per_hour, places),
                money(*start, starts),
                threads.to_string(),
                mem_gib.map(|gib| format!("{gib:.0}")).unwrap_or_default(),
            ];
            if has_gpus {
                cells.push(gpu.as_ref().map(ToString::to_string).unwrap_or_default());
            }
            cells.push(row.remembered.as_ref().map_or_else(|| "new".to_owned(), remembered));
            table.row(cells);
        }
        table
    }

    /// The plan as one JSON object.
    pub(crate) fn json(&self) -> String {
        line(&PlanJson {
            of: "plan",
            version: VERSION,
            job: &self.job,
            subnet: &self.subnet,
            tasks: self.tasks,
            workers: self.workers,
            budget: &self.budget,
            offers: self.offers,
            fitting: self.fitting,
            refused: &self.refused,
            raise: self.raise.map(RaiseJson::from),
            hired: self.hired.iter().map(hired_json).collect(),
            others: self.others.iter().map(hired_json).collect(),
            estimate: self.estimate.as_ref().map(|estimate| EstimateJson {
                task_seconds: estimate.task.as_secs_f64(),
                from_run: match &estimate.from {
                    TimeFrom::Flag => None,
                    TimeFrom::Run { run_id, .. } => Some(run_id),
                },
                tasks: estimate.tasks,
                providers: estimate.providers,
                seconds: estimate.time.as_secs_f64(),
                cost: estimate.cost,
                cost_at_p50: estimate.at_p50,
                cost_at_caps: estimate.at_caps,
                limit: &estimate.limit,
            }),
        })
    }
}

fn hired_json(hired: &Hired) -> HiredJson<'_> {
    HiredJson {
        offered: &hired.offered,
        remembered: hired.remembered.as_ref().map(|known| RememberedJson {
            standing: known.standing(),
            results: known.tasks_done,
            failed_attempts: known.failed_attempts,
            failures: known.failures,
            speed: known.known.speed,
        }),
    }
}

/// What is remembered of a provider, in few words.
fn remembered(known: &RememberedProvider) -> String {
    let mut words = plural(known.tasks_done, "result");
    if known.failed_attempts > 0 {
        let _ = write!(words, ", {} failed", known.failed_attempts);
    }
    if let Some(speed) = known.known.speed {
        let _ = write!(words, ", speed {speed:.2}x");
    }
    words
}

impl Estimate {
    fn tell(&self, text: &mut String) {
        let from = match &self.from {
            TimeFrom::Flag => "as --task-takes says".to_owned(),
            TimeFrom::Run { run_id, tasks } => {
                format!("the middle one of {} of run {run_id}", plural(*tasks, "result"))
            }
        };
        let caps = self.at_caps.map(|cost| format!(", {} at the caps", one_amount(cost)));
        let _ = writeln!(
            text,
            "estimate  {} for a task, {from}\n\
             time      {} on {}\n\
             cost      {} GLM by these offers, {} at the middle price{}\n\
             limit     {}\n",
            duration(self.task),
            duration(self.time),
            plural(self.providers, "provider"),
            one_amount(self.cost),
            one_amount(self.at_p50),
            caps.unwrap_or_default(),
            self.limit,
        );
    }
}

#[cfg(test)]
mod tests {
    use yagna_api::Timestamp;

    use super::*;

    fn glm(text: &str) -> Glm {
        text.parse().unwrap()
    }

    fn hired(price: &str) -> Hired {
        let offered = Offered {
            name: format!("p{price}"),
            provider: format!("0x{:040x}", 7).parse().unwrap(),
            offer: String::new(),
            published: Timestamp::UNIX_EPOCH,
            per_hour: glm(price),
            start: glm("0.01"),
            threads: 4,
            mem_gib: Some(8.0),
            storage_gib: None,
            runtime: None,
            runtime_version: None,
            gpu: None,
        };
        Hired { offered, remembered: None }
    }

    fn plan(tasks: Option<u64>, workers: u32, prices: &[&str]) -> Plan {
        let all: Vec<_> = prices.iter().map(|price| hired(price)).collect();
        let n = all.len();
        let mut plan = Plan {
            job: "job.toml".to_owned(),
            subnet: "public".to_owned(),
            tasks,
            workers,
            budget: "1 GLM".to_owned(),
            offers: n as u64 + 3,
            fitting: n as u64,
            refused: [
                ("fewer than 4 CPU threads".to_owned(), 1),
                ("another runtime than `vm`".to_owned(), 2),
            ]
            .into(),
            raise: None,
            hired: all,
            others: Vec::new(),
            estimate: None,
        };
        plan.others = plan.hired.split_off(n.min(workers as usize));
        plan
    }

    #[test]
    fn an_estimate_is_the_work_shared_by_those_who_would_be_hired() {
        let limits = Limits::default().budget(golem_sdk::Budget::in_all(glm("100")));
        let plan = plan(Some(10), 2, &["0.6", "0.9", "1.2", "3", "6"]);
        let estimate = Estimate::of(&plan, &limits, Duration::from_secs(12 * 60), TimeFrom::Flag).unwrap();
        assert_eq!((estimate.providers, estimate.time), (2, Duration::from_secs(3600)));
        assert_eq!((estimate.cost, estimate.at_p50), (glm("1.52"), glm("2.42")));
        assert_eq!(estimate.at_caps, Some(glm("11")));
        assert_eq!(estimate.limit, "the number of providers at once: 2 (--workers)");
        let poor = limits.budget(golem_sdk::Budget::in_all(glm("0.76")));
        let estimate = Estimate::of(&plan, &poor, Duration::from_secs(12 * 60), TimeFrom::Flag).unwrap();
        assert_eq!(estimate.limit, "the budget of 0.76 GLM is exhausted after about 5 of 10 tasks");
    }

    #[test]
    fn what_limits_a_run_is_said() {
        let limits = Limits::default().budget(golem_sdk::Budget::in_all(glm("100")));
        let limit = |plan: &Plan, limits: &Limits| {
            Estimate::of(plan, limits, Duration::from_secs(3600), TimeFrom::Flag)
                .map(|estimate| estimate.limit)
        };
        let few = plan(Some(9), 5, &["1", "1"]);
        assert_eq!(limit(&few, &limits).unwrap(), "the offers: only 2 providers fit and 5 may work at once");
        assert!(limit(&plan(Some(2), 5, &["1", "1"]), &limits).unwrap().starts_with("the tasks:"));
        let hourly = limits.clone().budget("1/h".parse::<golem_sdk::Budget>().unwrap());
        assert!(limit(&few, &hourly).unwrap().starts_with("the budget: "));
        assert_eq!(limit(&plan(None, 5, &["1"]), &limits), None, "nobody knows how many tasks there are");
        assert_eq!(limit(&plan(Some(2), 5, &[]), &limits), None, "nobody fits");
    }

    #[test]
    fn a_plan_is_a_table_reasons_and_an_estimate() {
        let limits = Limits::default();
        let mut plan = plan(Some(10), 2, &["0.6", "0.9", "1.2"]);
        plan.estimate = Estimate::of(&plan, &limits, Duration::from_secs(60), TimeFrom::Flag);
        insta::assert_snapshot!(plan.text(Room::default()));
    }
}
