//! Budgets, and why one couldn't be raised.

pub use golem_core::budget::{Budget, BudgetParseError, Window};
pub use golem_core::run::OnBudget;

use golem_core::run::NotRaised;
use serde_json::Value;
use yagna_api::Glm;
use yagna_client::ClientError;

/// A value that stands for a budget: a [`Budget`], an amount of GLM in all as [`Glm`] or as a number, or text such as
/// `"10,3/h"`.
pub trait IntoBudget {
    /// The budget.
    ///
    /// # Errors
    /// [`BudgetParseError`] where the value is not a valid budget.
    fn into_budget(self) -> Result<Budget, BudgetParseError>;
}

impl IntoBudget for Budget {
    fn into_budget(self) -> Result<Budget, BudgetParseError> {
        Ok(self)
    }
}

impl IntoBudget for Glm {
    fn into_budget(self) -> Result<Budget, BudgetParseError> {
        Ok(self.into())
    }
}

impl IntoBudget for &str {
    fn into_budget(self) -> Result<Budget, BudgetParseError> {
        self.parse()
    }
}

/// A number is read by its decimal form: `0.1` is exactly 0.1 GLM.
macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl IntoBudget for $number {
            fn into_budget(self) -> Result<Budget, BudgetParseError> {
                self.to_string().parse()
            }
        })*
    };
}

numbers!(f64, i32, u32, u64);

/// The reason why a budget couldn't be raised. It is what it was, and so is what is set aside for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The account doesn't hold so much more.
    #[error(
        "the account can't set {amount} GLM more aside{}: `yagna payment status` shows what it holds, on test \
         networks `yagna payment fund` brings more",
        available.map_or_else(String::new, |available| format!(", it has {available} GLM left"))
    )]
    NotEnoughFunds {
        /// The additional amount that was wanted.
        amount: Glm,
        /// The amount that the account could still reserve, if the daemon said so.
        available: Option<Glm>,
        /// The daemon's error.
        source: ClientError,
    },
    /// The daemon couldn't do it, or its answer was lost.
    #[error("the daemon couldn't set {amount} GLM more aside")]
    Daemon {
        /// The additional amount that was wanted.
        amount: Glm,
        /// The error of the request.
        source: ClientError,
    },
    /// The daemon no longer has the run's allocation. A new one is being made: try again then.
    #[error("the daemon no longer has the run's allocation; once there is a new one, try again")]
    AllocationLost,
    /// There isn't so much GLM.
    #[error("there isn't so much GLM")]
    TooMuch,
    /// Nothing is said of the whole: there are limits for any hour or day only.
    #[error("the budget has no limit in all that could be raised, only such for any hour or day")]
    NotLimitedInAll,
    /// The run begins no more work: more money would change nothing.
    #[error("the run is stopping: more budget would change nothing")]
    Stopping,
    /// The run is over.
    #[error("the run is over")]
    RunOver,
}

impl BudgetError {
    pub(crate) fn refused(amount: Glm, source: ClientError) -> Self {
        let problem = source.api().and_then(|error| error.problem.as_ref());
        let Some(problem) = problem.filter(|problem| problem.short() == "insufficient-account-funds") else {
            return if source.is_not_found() || source.is_gone() {
                Self::AllocationLost
            } else {
                Self::Daemon { amount, source }
            };
        };
        let available = problem.fields.get("availableFunds").and_then(Value::as_str);
        let available = available.and_then(|available| available.parse().ok());
        Self::NotEnoughFunds { amount, available, source }
    }
}

impl From<NotRaised> for BudgetError {
    fn from(why: NotRaised) -> Self {
        match why {
            NotRaised::Stopping => Self::Stopping,
            NotRaised::AllocationLost => Self::AllocationLost,
            NotRaised::TooMuch => Self::TooMuch,
            NotRaised::NotLimitedInAll => Self::NotLimitedInAll,
        }
    }
}
