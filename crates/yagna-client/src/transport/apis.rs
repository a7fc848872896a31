//! Which part of the daemon's API is somewhere else than the rest.

use reqwest::Url;

/// Addresses of single APIs, each in full; what is left out is where the daemon is.
///
/// Each replaces its API's whole base, such as `http://127.0.0.1:7465/market-api/v1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApiUrls {
    /// Instead of `<daemon>/market-api/v1`.
    pub market: Option<Url>,
    /// Instead of `<daemon>/payment-api/v1`.
    pub payment: Option<Url>,
    /// Instead of `<daemon>/activity-api/v1`.
    pub activity: Option<Url>,
    /// Instead of `<daemon>/net-api/v1`.
    pub net: Option<Url>,
}

/// An environment variable names no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is `{address}`, which is not a valid address of an API: {reason}; one is {example}")]
pub struct ApiUrlError {
    /// The variable.
    pub variable: &'static str,
    /// The value of the variable.
    pub address: String,
    /// The reason why it is refused.
    pub reason: String,
    /// A value that would be accepted.
    pub example: String,
}

impl ApiUrls {
    /// The environment variables, in the order of the fields, each with the base that it replaces.
    pub const VARIABLES: [(&str, &str); 4] = [
        ("YAGNA_MARKET_URL", yagna_api::market::BASE),
        ("YAGNA_PAYMENT_URL", yagna_api::payment::BASE),
        ("YAGNA_ACTIVITY_URL", yagna_api::activity::BASE),
        ("YAGNA_NET_URL", yagna_api::net::BASE),
    ];

    /// Reads them from environment variables; one that is empty says nothing.
    ///
    /// **Errors**: [`ApiUrlError`] for the first that is no HTTP address.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ApiUrlError> {
        let read = |(variable_name, base): (&'static str, &str)| {
            let Some(address) = variable(variable_name).map(|text| text.trim().to_owned()) else {
                return Ok(None);
            };
            if address.is_empty() {
                return Ok(None);
            }
            let refused = |reason: String| ApiUrlError {
                variable: variable_name,
                address: address.clone(),
                reason,
                example: format!("http://127.0.0.1:7465{base}"),
            };
            let url = Url::parse(&address).map_err(|error| refused(error.to_string()))?;
            if matches!(url.scheme(), "http" | "https") && url.has_host() {
                Ok(Some(url))
            } else {
                Err(refused("it isn't of http:// or https://".to_owned()))
            }
        };
        let [market, payment, activity, net] = Self::VARIABLES;
        Ok(Self {
            market: read(market)?,
            payment: read(payment)?,
            activity: read(activity)?,
            net: read(net)?,
        })
    }

    /// These, and where they say nothing those.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            market: self.market.or(others.market),
            payment: self.payment.or(others.payment),
            activity: self.activity.or(others.activity),
            net: self.net.or(others.net),
        }
    }

    /// True if every API is at the daemon's own address.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each address that is set, with the base that it replaces.
    pub(super) fn bases(&self) -> impl Iterator<Item = (&'static str, &Url)> {
        let urls = [&self.market, &self.payment, &self.activity, &self.net];
        Self::VARIABLES.into_iter().zip(urls).filter_map(|((_, base), url)| Some((base, url.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_moves_its_own_api() {
        let urls = ApiUrls::read(|name| match name {
            "YAGNA_PAYMENT_URL" => Some(" http://pay:1/p ".to_owned()),
            "YAGNA_NET_URL" => Some(String::new()),
            _ => None,
        })
        .unwrap();
        assert_eq!(urls, ApiUrls { payment: Some("http://pay:1/p".parse().unwrap()), ..ApiUrls::default() });
        let given = ApiUrls { payment: Some("http://mine:2/".parse().unwrap()), ..ApiUrls::default() };
        assert_eq!(given.clone().or(urls), given);
    }

    #[test]
    fn a_wrong_address_is_told_with_its_variable_and_an_example() {
        for (wrong, reason) in [("market", "relative URL without a base"), ("ftp://market/x", "http://")] {
            let error = ApiUrls::read(|name| (name == "YAGNA_MARKET_URL").then(|| wrong.to_owned()));
            let said = error.unwrap_err().to_string();
            for part in ["YAGNA_MARKET_URL", wrong, reason, "http://127.0.0.1:7465/market-api/v1"] {
                assert!(said.contains(part), "{part} in {said}");
            }
        }
    }
}
