//! The values of flags, read from text.

use std::str::FromStr;
use std::time::Duration;

use golem_core::halt::{Halt, HaltParseError};
use golem_sdk::text::chain;
use golem_sdk::{Budget, OnBudget};
use yagna_api::{AppKey, Glm};

use crate::job::{NO_CAP, SHORTEST_AGREEMENT, notified_address};

/// An app key, of a type that never prints it.
#[expect(clippy::unnecessary_wraps, reason = "the parser of a flag may fail")]
pub(crate) fn app_key(text: &str) -> Result<AppKey, String> {
    Ok(AppKey::new(text))
}

/// An amount of GLM that isn't negative.
pub(crate) fn amount(text: &str) -> Result<Glm, String> {
    let amount: Glm = text.parse().map_err(|error: yagna_api::money::GlmError| error.to_string())?;
    if amount.is_negative() {
        return Err("must not be negative".to_owned());
    }
    Ok(amount)
}

/// The highest price that is paid; none where any is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cap(pub(crate) Option<Glm>);

/// An amount of GLM that isn't negative, or `none`.
pub(crate) fn cap(text: &str) -> Result<Cap, String> {
    if text == NO_CAP { Ok(Cap(None)) } else { amount(text).map(|cap| Cap(Some(cap))) }
}

/// A whole number that isn't zero.
pub(crate) fn at_least_one<N: FromStr + Default + PartialEq>(text: &str) -> Result<N, String> {
    match text.trim().parse() {
        Ok(number) if number == N::default() => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number, at least 1".to_owned()),
    }
}

/// A budget such as `5`, `3/h` or `20/d`.
pub(crate) fn budget(text: &str) -> Result<Budget, String> {
    text.parse().map_err(|error| chain(&error))
}

/// A number or a share of failed tasks.
pub(crate) fn halt(text: &str) -> Result<Halt, String> {
    text.parse().map_err(|error: HaltParseError| error.to_string())
}

/// The reaction of a run to an exhausted budget.
pub(crate) fn on_budget(text: &str) -> Result<OnBudget, String> {
    OnBudget::from_word(text).ok_or_else(|| "expected stop or pause".to_owned())
}

/// A duration greater than zero.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let time = time_or_none(text)?;
    if time.is_zero() {
        return Err("must be greater than zero".to_owned());
    }
    Ok(time)
}

/// The duration of an agreement.
pub(crate) fn expiration(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    if time < SHORTEST_AGREEMENT {
        return Err("providers refuse agreements of less than 5 minutes: expected at least 6m; \
                    it limits one agreement, not the run"
            .to_owned());
    }
    Ok(time)
}

/// A duration; zero is valid.
pub(crate) fn time_or_none(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a time such as 90s, 5m or 1h30m; write a day as 24h";
    let time: jiff::SignedDuration = text.trim().parse().map_err(|_| EXPECTED.to_owned())?;
    Duration::try_from(time).map_err(|_| EXPECTED.to_owned())
}

/// An address that is told of a run's end.
pub(crate) fn url(text: &str) -> Result<String, String> {
    notified_address(text)
}

/// The id of a run, or the beginning of one.
pub(crate) fn run_id(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err("expected at most 64 letters, digits, `-`, `_` and `.`".to_owned());
    }
    Ok(text.to_owned())
}
