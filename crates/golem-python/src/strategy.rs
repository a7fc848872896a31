//! Strategies that call a function of Python.

use golem_core::caps::{PriceCaps, Refusal};
use golem_core::strategy::{Candidate, LeastExpensive, Score, Strategy};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rust_decimal::Decimal;
use yagna_api::Glm;
use yagna_api::properties::name;

use crate::error::in_a_line;
use crate::json;

/// Asks a function of Python, after the caps.
pub(crate) struct PyStrategy {
    pub(crate) function: Py<PyAny>,
    pub(crate) caps: PriceCaps,
}

impl Strategy for PyStrategy {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        if let Some(refusal) = self.caps.refuse(candidate.offer) {
            return Err(refusal);
        }
        let answer = Python::try_attach(|py| match self.ask(py, candidate) {
            Ok(answer) => answer,
            Err(error) => {
                let told = in_a_line(error.value(py));
                error.write_unraisable(py, Some(self.function.bind(py)));
                Err(Refusal::because(format!("the strategy failed: {told}")))
            }
        });
        answer.unwrap_or_else(|| Err(Refusal::because("the program is ending")))
    }
}

impl PyStrategy {
    fn ask(&self, py: Python<'_>, candidate: &Candidate<'_>) -> PyResult<Result<Score, Refusal>> {
        let answer = self.function.call1(py, (described(py, candidate)?,))?;
        let answer = answer.bind(py);
        if answer.is_none() {
            return Ok(Err(Refusal::because("the strategy doesn't want it")));
        }
        if let Ok(reason) = answer.cast::<PyString>() {
            return Ok(Err(Refusal::because(reason.to_cow()?)));
        }
        Ok(Score::new(answer.extract()?))
    }
}

fn described<'py>(py: Python<'py>, candidate: &Candidate<'_>) -> PyResult<Bound<'py, PyDict>> {
    let (offer, record) = (candidate.offer, candidate.record);
    let told = PyDict::new(py);
    told.set_item("id", candidate.id().as_str())?;
    told.set_item("name", candidate.name())?;
    told.set_item("per_hour", candidate.per_hour().to_string())?;
    told.set_item("start", offer.pricing.start_price().to_string())?;
    let hour = |counter: &str| {
        let rate = offer.pricing.rates.iter().find(|(name, _)| name == counter)?;
        Some((rate.1 * Decimal::from(3600)).normalize().to_string())
    };
    told.set_item("cpu_per_hour", hour(name::USAGE_CPU))?;
    told.set_item("duration_per_hour", hour(name::USAGE_DURATION))?;
    told.set_item("threads", offer.threads)?;
    let number = |name: &str| offer.properties.get(name).and_then(serde_json::Value::as_f64);
    told.set_item("mem_gib", number("golem.inf.mem.gib"))?;
    told.set_item("storage_gib", number("golem.inf.storage.gib"))?;
    told.set_item("properties", json::of(py, &offer.properties)?)?;
    told.set_item("tasks_done", record.tasks_done)?;
    told.set_item("failures", record.failures_in_a_row)?;
    told.set_item("not_approved", record.not_approved_in_a_row)?;
    let expected = LeastExpensive::new(PriceCaps::none()).appraise(candidate).ok().map(Score::get);
    told.set_item("expected", expected)?;
    Ok(told)
}

/// The caps of settings; the usual ones where none is set.
pub(crate) fn caps(
    start: Option<Glm>,
    per_hour: Option<Glm>,
    cpu: Option<Glm>,
    duration: Option<Glm>,
) -> PriceCaps {
    let mut caps = golem_core::defaults::price_caps();
    if let Some(start) = start {
        caps = caps.start_at_most(start);
    }
    if let Some(per_hour) = per_hour {
        caps = caps.per_hour_at_most(per_hour);
    }
    for (counter, cap) in [(name::USAGE_CPU, cpu), (name::USAGE_DURATION, duration)] {
        if let Some(cap) = cap {
            caps = caps.unit_at_most(counter, hourly(cap));
        }
    }
    caps
}

/// The price of a second, of a price of an hour.
fn hourly(cap: Glm) -> Glm {
    Glm::from_decimal_rounding_down(cap.to_decimal() / Decimal::from(3600)).unwrap_or(Glm::ZERO)
}
