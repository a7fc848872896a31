//! Offers: what a provider's proposal says, read once and strictly.
//!
//! Whether we take it is decided in [`crate::caps`] and [`crate::terms`].

mod gpu;
pub(crate) mod prices;

use serde_json::Value;
use yagna_api::properties::name;
use yagna_api::{NodeId, Properties};

pub use self::gpu::{GPU_CAPABILITY, GPU_RUNTIME, Gpu, GpuWanted};
use crate::pricing::Pricing;

/// The length of a stranger's text that is shown.
const SHOWN: usize = 64;
const PLATFORM_PREFIX: &str = "golem.com.payment.platform.";
const PLATFORM_SUFFIX: &str = ".address";

/// The offer of a provider: its prices, its machine as far as prices need it, and its payment platforms.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferTerms {
    /// The provider.
    pub provider: NodeId,
    /// Its own name for itself, fit to be shown; the beginning of its id where it has none.
    pub name: String,
    /// The prices.
    pub pricing: Pricing,
    /// CPU threads of an activity, at least 1.
    pub threads: u32,
    /// The payment platforms it takes, each `driver-network-token`.
    pub platforms: Vec<String>,
    /// All that the offer says.
    pub properties: Properties,
}

/// The reasons why an offer can't be read. It concerns that offer alone.
///
/// What it quotes of the offer is cut and cleaned, so that it can be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferProblem {
    /// A property that every offer has.
    #[error("the offer lacks `{0}`")]
    Missing(&'static str),
    /// Prices aren't linear.
    #[error("the pricing model is `{0}`, not `linear`")]
    Model(String),
    /// Payment isn't by usage.
    #[error("the payment scheme is `{0}`, not `payu`")]
    Scheme(String),
    /// A single value or none where there should be several.
    #[error("`{0}` is not a list")]
    NoList(&'static str),
    /// A usage counter that is no name.
    #[error("the usage counter `{0}` is not a name")]
    Counter(String),
    /// Prices and usage counters don't belong together.
    #[error(
        "there must be one price for each usage counter and one for the start, but for {counters} counters there are \
         {prices} prices"
    )]
    Length {
        /// Prices, that for the start included.
        prices: usize,
        /// Usage counters.
        counters: usize,
    },
    /// A price that is not a number.
    #[error("the price `{0}` is not a number")]
    NoPrice(String),
    /// A price below zero.
    #[error("the price `{0}` is negative")]
    Negative(String),
    /// A price above all the GLM there is.
    #[error("the price `{0}` is more than all the GLM there is")]
    TooHigh(String),
    /// The number of CPU threads is no whole number from 1.
    #[error("`{0}` is not a valid number of CPU threads")]
    Threads(String),
}

impl OfferTerms {
    /// Reads what its issuer says.
    ///
    /// **Errors**: an [`OfferProblem`] when it lacks what every offer has, or says what can't be.
    pub fn read(issuer: &NodeId, properties: &Properties) -> Result<Self, OfferProblem> {
        Ok(Self {
            provider: issuer.clone(),
            name: provider_name(issuer, properties),
            pricing: Pricing::read(properties)?,
            threads: threads(properties)?,
            platforms: platforms(properties),
            properties: properties.clone(),
        })
    }
}

/// A stranger's text, fit for a line on a terminal: no control characters, not too long.
pub(crate) fn plain(text: &str) -> String {
    let mut chars = text.trim().chars().filter(|c| !c.is_control() && !is_format(*c));
    let mut shown: String = chars.by_ref().take(SHOWN).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Characters that turn the text around them about without being seen.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A whole number that 32 bits hold, `8.0` as well as `8`.
pub(crate) fn whole(value: &Value) -> Option<u32> {
    let whole = value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked first"
        )]
        (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)).then_some(number as u64)
    });
    u32::try_from(whole?).ok()
}

fn provider_name(issuer: &NodeId, properties: &Properties) -> String {
    let name = properties.text(name::NODE_NAME).map(plain).unwrap_or_default();
    if name.is_empty() { issuer.as_str().chars().take(10).collect() } else { name }
}

fn threads(properties: &Properties) -> Result<u32, OfferProblem> {
    let value = properties.get(name::CPU_THREADS).ok_or(OfferProblem::Missing(name::CPU_THREADS))?;
    whole(value)
        .filter(|threads| *threads > 0)
        .ok_or_else(|| OfferProblem::Threads(plain(&value.to_string())))
}

fn platforms(properties: &Properties) -> Vec<String> {
    properties
        .iter()
        .filter_map(|(property, address)| {
            let platform = property.strip_prefix(PLATFORM_PREFIX)?.strip_suffix(PLATFORM_SUFFIX)?;
            let usable = matches!(address, Value::String(address) if !address.is_empty());
            (usable && !platform.is_empty()).then(|| platform.to_owned())
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn issuer() -> NodeId {
        "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap()
    }

    /// As a real provider sends it.
    pub(crate) fn properties() -> Properties {
        serde_json::from_value(json!({
            "golem.node.id.name": "mighty-badger",
            "golem.node.debug.subnet": "public",
            "golem.inf.cpu.cores": 4,
            "golem.inf.cpu.threads": 8,
            "golem.inf.mem.gib": 16.0,
            "golem.inf.storage.gib": 50.0,
            "golem.runtime.name": "vm",
            "golem.runtime.capabilities": ["inet", "vpn"],
            "golem.srv.caps.multi-activity": true,
            "golem.com.pricing.model": "linear",
            "golem.com.pricing.model.linear.coeffs": [0.0001, 0.0002, 0],
            "golem.com.usage.vector": ["golem.usage.duration_sec", "golem.usage.cpu_sec"],
            "golem.com.scheme": "payu",
            "golem.com.scheme.payu.debit-note.interval-sec?": 120,
            "golem.com.scheme.payu.payment-timeout-sec?": 120,
            "golem.com.payment.debit-notes.accept-timeout?": 240,
            "golem.com.payment.platform.erc20-hoodi-tglm.address": "0xabcdef0123456789abcdef0123456789abcdef01",
            "golem.com.payment.protocol.version": 3
        }))
        .unwrap()
    }

    pub(crate) fn terms() -> OfferTerms {
        OfferTerms::read(&issuer(), &properties()).unwrap()
    }

    #[test]
    fn a_real_offer_is_read() {
        let terms = terms();
        assert_eq!((terms.name.as_str(), terms.threads), ("mighty-badger", 8));
        assert_eq!(terms.platforms, ["erc20-hoodi-tglm"]);
        assert_eq!(terms.properties, properties());
        assert_eq!(terms.pricing.rates.len(), 2);
    }

    #[test]
    fn names_are_fit_to_be_shown() {
        for (name, shown) in [
            (json!("a\u{1b}[31m\nb\u{202e}"), "a[31mb"),
            (json!("  "), "0xabcdef01"),
            (json!(null), "0xabcdef01"),
            (json!(7), "0xabcdef01"),
        ] {
            let offer = properties().with(name::NODE_NAME, name);
            assert_eq!(OfferTerms::read(&issuer(), &offer).unwrap().name, shown);
        }
        assert_eq!(plain(&"x".repeat(65)).chars().count(), 65);
        assert_eq!(plain(&"x".repeat(64)), "x".repeat(64));
    }

    #[test]
    fn threads_are_whole_and_at_least_one() {
        for (value, threads) in [(json!(1), 1), (json!(8.0), 8), (json!(u32::MAX), u32::MAX)] {
            let offer = properties().with(name::CPU_THREADS, value);
            assert_eq!(OfferTerms::read(&issuer(), &offer).unwrap().threads, threads);
        }
        for value in [
            json!(0),
            json!(0.0),
            json!(-1),
            json!(1.5),
            json!(1e10),
            json!(u64::MAX),
            json!("8"),
            json!(null),
            json!([8]),
            json!(-1e300),
        ] {
            let offer = properties().with(name::CPU_THREADS, value.clone());
            let problem = OfferTerms::read(&issuer(), &offer).unwrap_err();
            assert!(matches!(problem, OfferProblem::Threads(_)), "{value}");
        }
        let mut offer = properties();
        offer.remove(name::CPU_THREADS);
        let problem = OfferTerms::read(&issuer(), &offer).unwrap_err();
        assert_eq!(problem.to_string(), "the offer lacks `golem.inf.cpu.threads`");
    }

    #[test]
    fn only_platforms_with_an_address_count() {
        let offer = properties()
            .with("golem.com.payment.platform.erc20-polygon-glm.address", "0x1")
            .with("golem.com.payment.platform.null.address", json!(null))
            .with("golem.com.payment.platform.empty.address", "")
            .with("golem.com.payment.platform..address", "0x1")
            .with("golem.com.payment.platform.address", "0x1");
        let terms = OfferTerms::read(&issuer(), &offer).unwrap();
        assert_eq!(terms.platforms, ["erc20-hoodi-tglm", "erc20-polygon-glm"]);
    }
}
