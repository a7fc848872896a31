//! Payment platforms: the chains this daemon knows, and the many ways to name one.

use serde::{Deserialize, Serialize};

const DEFAULT_DRIVER: &str = "erc20";
const TEST_NETWORK: &str = "holesky";
const MAIN_NETWORK: &str = "polygon";

/// The chains this daemon knows, and the token on each.
const NETWORKS: [(&str, &str); 9] = [
    ("mainnet", "glm"),
    ("rinkeby", "tglm"),
    ("goerli", "tglm"),
    ("holesky", "tglm"),
    ("hoodi", "tglm"),
    ("sepolia", "tglm"),
    ("polygon", "glm"),
    ("mumbai", "tglm"),
    ("amoy", "tglm"),
];

/// A platform as a requestor names it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged, expecting = "data did not match any variant of untagged enum PaymentPlatformEnum")]
pub(crate) enum NamedPlatform {
    /// `driver-network-token`.
    Whole(String),
    /// The parts that were named.
    Parts { driver: Option<String>, network: Option<String>, token: Option<String> },
}

impl NamedPlatform {
    /// The platform that is meant, or what is wrong in the daemon's own words.
    pub(crate) fn resolve(named: Option<&Self>) -> Result<String, String> {
        let (driver, network, token, form) = match named {
            None => (DEFAULT_DRIVER, TEST_NETWORK, None, 0),
            Some(Self::Whole(text)) => {
                let parts: Vec<_> = text.split('-').collect();
                let [driver, network, token] = parts[..] else {
                    return Err(format!(
                        "paymentPlatform must be of the form driver-network-token instead of {text}"
                    ));
                };
                (driver, network, Some(token), 2)
            }
            Some(Self::Parts { driver, network, token }) => {
                let driver = driver.as_deref().unwrap_or(DEFAULT_DRIVER);
                let network = match network {
                    Some(network) => network,
                    None if driver == DEFAULT_DRIVER => network_of(token.as_deref())?,
                    None => TEST_NETWORK,
                };
                (driver, network, token.as_deref(), 1)
            }
        };
        let known = token_of(network)
            .ok_or_else(|| format!("Validate network failed ({form}): Invalid network name: {network}"))?;
        if driver != DEFAULT_DRIVER {
            return Err(format!("Validate driver failed ({form}): Invalid driver name {driver}"));
        }
        match token {
            Some(token) if token != known => Err(format!(
                "Validate token failed ({form}): Token {token} does not match expected token {known} for driver \
                 {driver} and network {network}. Note that for test networks expected token name is tglm and for \
                 production networks it is glm"
            )),
            _ => Ok(format!("{driver}-{network}-{known}")),
        }
    }
}

/// A chain that this daemon knows?
pub(crate) fn is_network(name: &str) -> bool {
    token_of(name).is_some()
}

/// `erc20-holesky-tglm` taken apart, and its token as accounts write it.
pub(crate) fn platform_parts(platform: &str) -> (String, String, String) {
    let mut parts = platform.splitn(3, '-').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (driver, network, token) = (next(), next(), next());
    let token = if token == "tglm" { "tGLM".to_owned() } else { token.to_uppercase() };
    (driver, network, token)
}

fn token_of(network: &str) -> Option<&'static str> {
    NETWORKS.iter().find(|(name, _)| *name == network).map(|(_, token)| *token)
}

/// The default network of a token.
fn network_of(token: Option<&str>) -> Result<&'static str, String> {
    match token {
        None | Some("tglm") => Ok(TEST_NETWORK),
        Some("glm") => Ok(MAIN_NETWORK),
        Some(token @ ("GLM" | "tGLM")) => Err(format!(
            "Uppercase token names are not supported. Use lowercase glm or tglm instead of {token}"
        )),
        Some(token) => Err(format!("Only glm or tglm token values are accepted vs {token} provided")),
    }
}
