//! The values that hold where nobody names others: the same for the SDK, for job files and for flags.

use std::time::Duration;

use rust_decimal::Decimal;
use yagna_api::Glm;

use crate::budget::Budget;
use crate::caps::PriceCaps;
use crate::pricing::round_up;

/// Providers that work at the same time, at most.
pub const WORKERS: u32 = 5;

/// The number of times that a failed task is tried again.
pub const RETRIES: u32 = 3;

/// The budget of a run: 1 GLM in all.
pub const BUDGET: Budget = Budget::in_all(Glm::ONE);

/// The longest time that an agreement may last.
pub const EXPIRATION: Duration = Duration::from_secs(3600);

/// The time that a run waits with nothing running before it gives up.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The time that a provider may work before its results are held against their price.
pub const PRICE_GRACE: Duration = Duration::from_secs(5 * 60);

/// The time that a run waits for its last bills.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The time that running tasks may go on once their run is stopping.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// The part of the market to buy on.
pub const SUBNET: &str = "public";

/// The payment driver.
pub const DRIVER: &str = "erc20";

/// The chain to pay on.
pub const NETWORK: &str = "hoodi";

/// The highest prices that are paid: 0.5 GLM for the start of an activity and 5 GLM for an hour at full use.
pub fn price_caps() -> PriceCaps {
    let half = round_up(Decimal::new(5, 1));
    PriceCaps::none().start_at_most(half).per_hour_at_most(round_up(Decimal::from(5)))
}
