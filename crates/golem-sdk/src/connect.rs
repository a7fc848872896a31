//! The way to the daemon that the environment names. An executor finds it by itself; whatever needs no executor, such as
//! a look at the market, begins here.

use std::sync::Arc;

use yagna_api::AppKey;
use yagna_client::{ApiUrls, Client, HttpTransport, Url};

use crate::executor::StartError;

/// The address at which a daemon listens by default.
pub const API_URL: &str = "http://127.0.0.1:7465";

/// The daemon at `YAGNA_API_URL`, or else at [`API_URL`], with the key in `YAGNA_APPKEY`. Single APIs of it may be
/// elsewhere: `YAGNA_MARKET_URL`, `YAGNA_PAYMENT_URL`, `YAGNA_ACTIVITY_URL`, `YAGNA_NET_URL`. Nobody is asked anything yet.
///
/// **Errors**: [`StartError`] says what is missing and what mends it.
pub fn from_env() -> Result<Client, StartError> {
    with(None, None, ApiUrls::default(), |name| std::env::var(name).ok())
}

/// Connects with the given address, key and addresses of single APIs; what is missing is looked up in these variables.
pub(crate) fn with(
    address: Option<String>,
    key: Option<AppKey>,
    apis: ApiUrls,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Client, StartError> {
    let variable =
        |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let address = address.or_else(|| variable("YAGNA_API_URL")).unwrap_or_else(|| API_URL.to_owned());
    let key = key.or_else(|| variable("YAGNA_APPKEY").map(AppKey::new)).ok_or(StartError::NoAppKey)?;
    let apis = apis.or(ApiUrls::read(variable)?);
    let url: Url = match address.parse() {
        Ok(url) => url,
        Err(error) => return Err(StartError::Address { address, reason: format!("{error}") }),
    };
    Ok(Client::new(Arc::new(HttpTransport::with_apis(&url, &apis, &key)?)))
}
