//! The names of payment drivers and networks: a slip of the pen is found before anything is asked or recorded.

use crate::exit::{Exit, Failure};

/// The drivers that yagna has had, those of test builds too.
const DRIVERS: [&str; 2] = ["erc20", "dummy"];
/// The networks that yagna's erc20 driver knows, as of 0.17: those with real money, then those for tests.
const NETWORKS: [&str; 9] =
    ["mainnet", "polygon", "hoodi", "holesky", "sepolia", "amoy", "mumbai", "goerli", "rinkeby"];
/// The likeness, of 1, that two names must have for one to be meant by the other.
const ALIKE: f64 = 0.7;

/// A name that no daemon knows.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is not a valid payment {what}{}", nearest.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default())]
struct Unknown {
    what: &'static str,
    name: String,
    nearest: Option<&'static str>,
}

/// The number of providers of an emulated network, unless another one is named.
pub(super) const DEVNET_PROVIDERS: u32 = 3;

/// Refuses a driver or a network that there isn't.
pub(super) fn check(driver: &str, network: &str) -> Result<(), Failure> {
    known("driver", driver, &DRIVERS, "--driver or YAGNA_PAYMENT_DRIVER")?;
    known("network", network, &NETWORKS, "--network or YAGNA_PAYMENT_NETWORK")
}

fn known(what: &'static str, name: &str, known: &[&'static str], said_by: &str) -> Result<(), Failure> {
    if known.contains(&name) {
        return Ok(());
    }
    let wanted = name.to_lowercase();
    let alike = known.iter().map(|known| (strsim::jaro_winkler(&wanted, known), *known));
    let nearest =
        alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known);
    let unknown = Unknown { what, name: name.to_owned(), nearest };
    let advice = format!("{said_by} names one of {}", known.join(", "));
    Err(Failure::new(Exit::Usage, unknown).advise(advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_network_or_driver_is_refused_with_the_one_that_was_meant() {
        for (driver, network, said) in [
            ("erc20", "polygn", "`polygn` is not a valid payment network: did you mean `polygon`?"),
            ("erc20", "Hoodi", "did you mean `hoodi`?"),
            ("erc20", "main", "did you mean `mainnet`?"),
            ("erc-20", "hoodi", "`erc-20` is not a valid payment driver: did you mean `erc20`?"),
            ("erc20", "bitcoin", "`bitcoin` is not a valid payment network"),
        ] {
            let refused = check(driver, network).expect_err("nobody knows it");
            assert_eq!(refused.exit(), Exit::Usage);
            assert!(refused.to_string().contains(said), "{refused}");
            assert!(refused.advice().is_some_and(|advice| advice.contains("one of ")));
        }
        assert!(!check("erc20", "bitcoin").unwrap_err().to_string().contains("did you mean"));
        assert!(NETWORKS.iter().all(|network| check("erc20", network).is_ok()));
    }
}
