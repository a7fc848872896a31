//! Accounts that can pay, and what stands in their way.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BASE;
use crate::endpoint::{Request, endpoint};

/// A way to pay or be paid: a driver on a network, for one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// `driver-network-token`, such as `erc20-hoodi-tglm`.
    pub platform: String,
    /// The address on it.
    pub address: String,
    /// The payment driver, such as `erc20`.
    pub driver: String,
    /// The chain, such as `hoodi`.
    pub network: String,
    /// The token, such as `tGLM`.
    pub token: String,
    /// True if it can pay.
    pub send: bool,
    /// True if it can be paid.
    pub receive: bool,
}

/// `GET /requestorAccounts`: accounts of this identity that have been initialised for paying.
#[derive(Debug, Clone)]
pub struct ListRequestorAccounts;
endpoint!(ListRequestorAccounts, "list accounts that can pay", Harmless, list Account, |_this| {
    Request::get(format!("{BASE}/requestorAccounts"))
});

/// `GET /providerAccounts`: accounts that can be paid.
#[derive(Debug, Clone)]
pub struct ListProviderAccounts;
endpoint!(ListProviderAccounts, "list accounts that can be paid", Harmless, list Account, |_this| {
    Request::get(format!("{BASE}/providerAccounts"))
});

/// `GET /payments/status`: what hinders payments just now; an empty list when nothing does.
#[derive(Debug, Clone, Default)]
pub struct GetStatus {
    /// Only this driver.
    pub driver: Option<String>,
    /// Only this chain.
    pub network: Option<String>,
}
endpoint!(GetStatus, "ask what hinders payments", Harmless, json Vec<Value>, |this| {
    Request::get(format!("{BASE}/payments/status"))
        .query_opt("driver", this.driver.as_ref())
        .query_opt("network", this.network.as_ref())
});
