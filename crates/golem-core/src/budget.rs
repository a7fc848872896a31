//! Budgets: what a run may promise in all, in any hour, in any day; and the ledger of what it promised when.
//!
//! What running rentals can still bill counts as well; that is the run's business.

mod ledger;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use yagna_api::money::GlmError;
use yagna_api::{Glm, Timestamp};

pub use self::ledger::Ledger;

/// A stretch of time that rolls along: any hour is one, not only those of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// Any 60 minutes.
    Hour,
    /// Any 24 hours.
    Day,
}

impl Window {
    /// All of them, the shortest first.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// The longest of them: what was promised before it counts in none.
    pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

    /// The length of the window.
    pub fn length(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(3600),
            Self::Day => Self::LONGEST,
        }
    }

    /// As it is written behind the slash.
    fn letter(self) -> &'static str {
        match self {
            Self::Hour => "h",
            Self::Day => "d",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Hour => "an hour",
            Self::Day => "a day",
        }
    }
}

/// GLM that may be promised: in all, in any hour, in any day; at least one of these, and all that are there hold.
///
/// As text: `10` in all, `3/h` in any hour, `20/d` in any day, `10,3/h` both.
///
/// ```
/// use golem_core::budget::{Budget, Window};
///
/// let budget: Budget = "10, 3/h".parse()?;
/// assert_eq!(budget.total(), Some("10".parse()?));
/// assert_eq!(budget.window(Window::Hour), Some("3".parse()?));
/// assert_eq!(budget.window(Window::Day), None);
/// assert_eq!(budget.to_string(), "10,3/h");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    total: Option<Glm>,
    hour: Option<Glm>,
    day: Option<Glm>,
}

impl Budget {
    /// So much in all.
    pub const fn in_all(total: Glm) -> Self {
        Self { total: Some(total), hour: None, day: None }
    }

    /// So much in any such window, and nothing said of the whole.
    pub const fn within(window: Window, amount: Glm) -> Self {
        match window {
            Window::Hour => Self { total: None, hour: Some(amount), day: None },
            Window::Day => Self { total: None, hour: None, day: Some(amount) },
        }
    }

    /// GLM that may be promised in all, where that is limited.
    pub fn total(&self) -> Option<Glm> {
        self.total
    }

    /// GLM that may be promised in any such window, where that is limited.
    pub fn window(&self, window: Window) -> Option<Glm> {
        match window {
            Window::Hour => self.hour,
            Window::Day => self.day,
        }
    }

    /// The windows that are limited, the shortest first.
    pub fn windows(&self) -> impl Iterator<Item = (Window, Glm)> {
        let budget = *self;
        Window::ALL.into_iter().filter_map(move |window| Some((window, budget.window(window)?)))
    }

    /// Both at once.
    ///
    /// **Errors**: [`BudgetParseError::Twice`] where both limit the same.
    pub fn and(self, other: Self) -> Result<Self, BudgetParseError> {
        let one = |ours: Option<Glm>, other: Option<Glm>, what| match (ours, other) {
            (Some(_), Some(_)) => Err(BudgetParseError::Twice { what }),
            (ours, other) => Ok(ours.or(other)),
        };
        Ok(Self {
            total: one(self.total, other.total, "the whole run (a decimal point is written as in 1.5)")?,
            hour: one(self.hour, other.hour, Window::Hour.words())?,
            day: one(self.day, other.day, Window::Day.words())?,
        })
    }

    /// Checks that every limit is an amount that could buy something.
    ///
    /// **Errors**: [`BudgetParseError::Nothing`] or [`BudgetParseError::Negative`] where one isn't.
    pub fn check(&self) -> Result<(), BudgetParseError> {
        for amount in [self.total, self.hour, self.day].into_iter().flatten() {
            check(amount)?;
        }
        Ok(())
    }

    /// The share of so many parts of the whole, of each limit, rounded down: all shares together never exceed it.
    #[must_use]
    pub fn share(self, parts: u32, whole: u32) -> Self {
        let share = |amount: Option<Glm>| {
            let share = amount?.to_decimal() * Decimal::from(parts) / Decimal::from(whole.max(1));
            Glm::from_decimal_rounding_down(share)
        };
        Self { total: share(self.total), hour: share(self.hour), day: share(self.day) }
    }

    /// Raises the limit in all to this much, if there is one.
    #[must_use]
    pub fn raised_to(self, total: Glm) -> Self {
        Self { total: self.total.map(|before| before.max(total)), ..self }
    }

    /// GLM that may still be promised, where so much was promised in all: the least that any limit leaves.
    pub fn left(&self, promised: Glm, ledger: &Ledger, now: Timestamp) -> Glm {
        let total = self.total.map(|total| total.saturating_sub(promised));
        let windows =
            self.windows().map(|(window, amount)| amount.saturating_sub(ledger.within(window, now)));
        windows.chain(total).min().unwrap_or_default()
    }

    /// GLM that may be promised before anything was.
    pub fn at_first(&self) -> Glm {
        [self.total, self.hour, self.day].into_iter().flatten().min().unwrap_or_default()
    }

    /// The budget in words, such as `10 GLM in all and 3 GLM an hour`; `10 GLM` where nothing else is limited.
    pub fn in_words(&self) -> String {
        let mut words = Vec::new();
        if let Some(total) = self.total {
            let alone = self.hour.is_none() && self.day.is_none();
            words.push(if alone { format!("{total} GLM") } else { format!("{total} GLM in all") });
        }
        words.extend(self.windows().map(|(window, amount)| format!("{amount} GLM {}", window.words())));
        words.join(" and ")
    }
}

impl From<Glm> for Budget {
    /// So much in all.
    fn from(total: Glm) -> Self {
        Self::in_all(total)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        if let Some(total) = self.total {
            write!(f, "{total}")?;
            comma = ",";
        }
        for (window, amount) in self.windows() {
            write!(f, "{comma}{amount}/{}", window.letter())?;
            comma = ",";
        }
        Ok(())
    }
}

impl FromStr for Budget {
    type Err = BudgetParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut limits = text.split(',').map(one);
        let first = limits.next().unwrap_or(Err(BudgetParseError::Missing))?;
        limits.try_fold(first, |budget, limit| budget.and(limit?))
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The reason why a text is not a valid budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetParseError {
    /// There is nothing before or behind a comma, or nothing at all.
    #[error(
        "an amount is missing: expected GLM for the whole run such as 10, for any hour such as 3/h, or both: 10,3/h"
    )]
    Missing,
    /// A part that should be an amount isn't one.
    #[error("`{text}` is not a valid amount of GLM")]
    Amount {
        /// The text of that part.
        text: String,
        /// The error in it.
        source: GlmError,
    },
    /// Nobody knows what stands behind the slash.
    #[error("`{text}` is not a valid budget: write `h` for any hour or `d` for any day behind the slash")]
    Window {
        /// The text of that part.
        text: String,
    },
    /// Less than nothing.
    #[error("must not be negative")]
    Negative,
    /// Nothing at all.
    #[error("nothing can be bought with a budget of 0 GLM")]
    Nothing,
    /// One window is limited twice.
    #[error("there are two amounts for {what}: leave one of them out")]
    Twice {
        /// The window.
        what: &'static str,
    },
}

fn one(text: &str) -> Result<Budget, BudgetParseError> {
    let text = text.trim();
    let (amount, window) = match text.split_once('/') {
        None => (text, None),
        Some((amount, letter)) => {
            let window = Window::ALL.into_iter().find(|window| window.letter() == letter.trim());
            let unknown = || BudgetParseError::Window { text: text.to_owned() };
            (amount.trim(), Some(window.ok_or_else(unknown)?))
        }
    };
    if amount.is_empty() {
        return Err(BudgetParseError::Missing);
    }
    let amount: Glm =
        amount.parse().map_err(|source| BudgetParseError::Amount { text: amount.to_owned(), source })?;
    check(amount)?;
    Ok(window.map_or_else(|| Budget::in_all(amount), |window| Budget::within(window, amount)))
}

fn check(amount: Glm) -> Result<(), BudgetParseError> {
    if amount.is_negative() {
        Err(BudgetParseError::Negative)
    } else if amount.is_zero() {
        Err(BudgetParseError::Nothing)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
