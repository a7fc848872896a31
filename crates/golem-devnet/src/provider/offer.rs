//! The offer of a provider: what it says of itself, and what it asks of a demand.

use serde_json::{Value, json};
use yagna_api::constraints::{Constraints, Operator};
use yagna_api::properties::name;
use yagna_api::{NodeId, Properties, Timestamp};

use super::behaviour::OfferFlaw;
use super::config::ProviderConfig;
use crate::port::Terms;

/// The capability of runtimes whose machines can be in virtual networks.
pub(crate) const VPN: &str = "vpn";

/// Builds the offer as Golem's own agent would; with `vpn` only where the runtime serves it.
pub(crate) fn offer(
    config: &ProviderConfig,
    vpn: bool,
    node: &NodeId,
    now: Timestamp,
    flaw: Option<OfferFlaw>,
) -> Terms {
    let hardware = config.hardware;
    let limits = &config.limits;
    let served = |capability: &&String| vpn || *capability != VPN;
    let capabilities: Vec<_> = config.capabilities.iter().filter(served).cloned().collect();
    let mut properties = Properties::new()
        .with(name::NODE_NAME, config.name.as_str())
        .with("golem.node.net.is-public", false)
        .with(name::CPU_ARCHITECTURE, "x86_64")
        .with(name::CPU_CORES, hardware.cores)
        .with(name::CPU_THREADS, hardware.threads)
        .with("golem.inf.cpu.vendor", "GenuineIntel")
        .with("golem.inf.cpu.brand", "Devnet CPU")
        .with(name::MEMORY_GIB, hardware.memory_gib)
        .with(name::STORAGE_GIB, hardware.storage_gib)
        .with(name::RUNTIME_NAME, config.runtime_name.as_str())
        .with(name::RUNTIME_VERSION, config.runtime_version.as_str())
        .with(name::RUNTIME_CAPABILITIES, capabilities)
        .with("golem.activity.caps.transfer.protocol", vec!["http", "https", "gftp"])
        .with("golem.activity.caps.transfer.report-progress", true)
        .with("golem.activity.caps.deploy.report-progress", true)
        .with(name::MULTI_ACTIVITY, true)
        .with(
            "golem.srv.caps.payload-manifest",
            config.capabilities.iter().any(|capability| capability == "manifest-support"),
        )
        .with(name::PAYMENT_SCHEME, "payu")
        .with(name::PAYMENT_PROTOCOL, 3)
        .with(name::PRICING_MODEL, "linear")
        .with(name::PRICING_COEFFICIENTS, config.coefficients())
        .with(name::USAGE_VECTOR, config.usage_vector())
        .with(name::ACCEPT_TIMEOUT, limits.accept_timeout.as_secs())
        .with(name::DEBIT_NOTE_INTERVAL, limits.debit_note_interval.as_secs())
        .with(name::PAYMENT_TIMEOUT, limits.payment_timeout.as_secs());
    if let Some(gpu) = &config.gpu {
        const GPU: &str = "golem.!exp.gap-35.v1.inf.gpu.d0";
        properties.set(format!("{GPU}.model"), gpu.model.as_str());
        properties.set(format!("{GPU}.quantity"), gpu.quantity);
        properties.set(format!("{GPU}.memory.total.gib"), gpu.memory_gib);
    }
    for platform in &config.platforms {
        properties.set(name::platform_address(platform), node.as_str());
    }
    let mut asked =
        Constraints::compare(name::EXPIRATION, Operator::Greater, now.as_millisecond()).to_string();
    if let Some(subnet) = &config.subnet {
        properties.set(name::SUBNET, subnet.as_str());
        // Golem's own agent writes each of its constraints into a line of its own.
        asked = format!("(&\n  {asked}\n  {}\n)", Constraints::equals(name::SUBNET, subnet));
    }
    if let Some(flaw) = flaw {
        spoil(&mut properties, flaw);
    }
    Terms { properties, constraints: asked }
}

fn spoil(properties: &mut Properties, flaw: OfferFlaw) {
    match flaw {
        OfferFlaw::PricesAsText => each_price(properties, |price| json!(price.to_string())),
        OfferFlaw::PriceNotANumber => first_price(properties, json!("NaN")),
        OfferFlaw::PriceNull => first_price(properties, Value::Null),
        OfferFlaw::PriceNegative => first_price(properties, json!(-1.0)),
        OfferFlaw::TooFewPrices => properties.set(name::PRICING_COEFFICIENTS, json!([0.0])),
        OfferFlaw::NoPrices => drop(properties.remove(name::PRICING_COEFFICIENTS)),
        OfferFlaw::WholePrices => properties.set(name::PRICING_COEFFICIENTS, json!([0, 0, 1])),
        OfferFlaw::NoUsageVector => drop(properties.remove(name::USAGE_VECTOR)),
        OfferFlaw::NoPricingModel => drop(properties.remove(name::PRICING_MODEL)),
        OfferFlaw::MemoryAsText => properties.set(name::MEMORY_GIB, "plenty"),
        OfferFlaw::NameAsNumber => properties.set(name::NODE_NAME, 42),
    }
}

fn each_price(properties: &mut Properties, change: impl Fn(&Value) -> Value) {
    if let Some(Value::Array(prices)) = properties.get(name::PRICING_COEFFICIENTS) {
        let prices: Vec<_> = prices.iter().map(change).collect();
        properties.set(name::PRICING_COEFFICIENTS, prices);
    }
}

fn first_price(properties: &mut Properties, price: Value) {
    if let Some(Value::Array(prices)) = properties.get(name::PRICING_COEFFICIENTS) {
        let mut prices = prices.clone();
        prices[0] = price;
        properties.set(name::PRICING_COEFFICIENTS, prices);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Prices;

    fn config() -> ProviderConfig {
        ProviderConfig {
            subnet: Some("public".into()),
            platforms: vec!["erc20-hoodi-tglm".into()],
            prices: Prices::per_hour("0.5", "0.36", "0.036").unwrap(),
            ..ProviderConfig::new("ada")
        }
    }

    fn node() -> NodeId {
        "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap()
    }

    #[test]
    fn an_offer_says_what_clients_read() {
        let now = "2026-11-21T21:17:19.355Z".parse().unwrap();
        let offer = offer(&config(), true, &node(), now, None);
        assert_eq!(
            offer.constraints,
            "(&\n  (golem.srv.comp.expiration>1795295839355)\n  (golem.node.debug.subnet=public)\n)"
        );
        let said = Value::from(offer.properties);
        for (name, value) in [
            ("golem.com.pricing.model", json!("linear")),
            ("golem.com.pricing.model.linear.coeffs", json!([0.00001, 0.0001, 0.5])),
            ("golem.com.usage.vector", json!(["golem.usage.duration_sec", "golem.usage.cpu_sec"])),
            ("golem.com.scheme", json!("payu")),
            ("golem.com.payment.protocol.version", json!(3)),
            ("golem.com.payment.debit-notes.accept-timeout?", json!(240)),
            ("golem.com.scheme.payu.debit-note.interval-sec?", json!(120)),
            ("golem.com.scheme.payu.payment-timeout-sec?", json!(120)),
            ("golem.com.payment.platform.erc20-hoodi-tglm.address", json!(node().as_str())),
            ("golem.inf.mem.gib", json!(8.0)),
            ("golem.inf.cpu.threads", json!(4)),
            ("golem.runtime.name", json!("vm")),
            ("golem.srv.caps.multi-activity", json!(true)),
            ("golem.node.id.name", json!("ada")),
            ("golem.node.debug.subnet", json!("public")),
        ] {
            assert_eq!(said[name], value, "{name}");
        }
    }

    #[test]
    fn the_capability_vpn_is_offered_only_where_it_is_served() {
        for (vpn, capabilities) in [
            (true, json!(["inet", "vpn", "manifest-support", "start-entrypoint"])),
            (false, json!(["inet", "manifest-support", "start-entrypoint"])),
        ] {
            let offer = offer(&config(), vpn, &node(), Timestamp::UNIX_EPOCH, None);
            assert_eq!(offer.properties.get(name::RUNTIME_CAPABILITIES), Some(&capabilities));
        }
    }

    #[test]
    fn prices_follow_the_order_of_the_usage_counters() {
        let gpu = || config().counting("golem.usage.gpu-sec", "0.25".parse().unwrap());
        for (config, counters, prices) in [
            (
                ProviderConfig { cpu_first: true, ..config() },
                json!(["golem.usage.cpu_sec", "golem.usage.duration_sec"]),
                json!([0.0001, 0.00001, 0.5]),
            ),
            (
                ProviderConfig { cpu_first: true, ..gpu() },
                json!(["golem.usage.cpu_sec", "golem.usage.duration_sec", "golem.usage.gpu-sec"]),
                json!([0.0001, 0.00001, 0.25, 0.5]),
            ),
            (
                gpu(),
                json!(["golem.usage.duration_sec", "golem.usage.cpu_sec", "golem.usage.gpu-sec"]),
                json!([0.00001, 0.0001, 0.25, 0.5]),
            ),
        ] {
            let offer = offer(&config, true, &node(), Timestamp::UNIX_EPOCH, None).properties;
            assert_eq!(offer.get(name::USAGE_VECTOR), Some(&counters));
            assert_eq!(offer.get(name::PRICING_COEFFICIENTS), Some(&prices));
        }
    }

    #[test]
    fn every_flaw_spoils_the_offer() {
        use OfferFlaw::{
            MemoryAsText, NameAsNumber, NoPrices, NoPricingModel, NoUsageVector, PriceNegative,
            PriceNotANumber, PriceNull, PricesAsText, TooFewPrices, WholePrices,
        };
        let now = Timestamp::UNIX_EPOCH;
        let good = offer(&config(), true, &node(), now, None);
        for (flaw, name, value) in [
            (PricesAsText, name::PRICING_COEFFICIENTS, Some(json!(["0.00001", "0.0001", "0.5"]))),
            (PriceNotANumber, name::PRICING_COEFFICIENTS, Some(json!(["NaN", 0.0001, 0.5]))),
            (PriceNull, name::PRICING_COEFFICIENTS, Some(json!([null, 0.0001, 0.5]))),
            (PriceNegative, name::PRICING_COEFFICIENTS, Some(json!([-1.0, 0.0001, 0.5]))),
            (TooFewPrices, name::PRICING_COEFFICIENTS, Some(json!([0.0]))),
            (NoPrices, name::PRICING_COEFFICIENTS, None),
            (WholePrices, name::PRICING_COEFFICIENTS, Some(json!([0, 0, 1]))),
            (NoUsageVector, name::USAGE_VECTOR, None),
            (NoPricingModel, name::PRICING_MODEL, None),
            (MemoryAsText, name::MEMORY_GIB, Some(json!("plenty"))),
            (NameAsNumber, name::NODE_NAME, Some(json!(42))),
        ] {
            let bad = offer(&config(), true, &node(), now, Some(flaw));
            assert_eq!(bad.properties.get(name), value.as_ref(), "{flaw:?}");
            let others = |terms: &Terms| {
                let mut properties = terms.properties.clone();
                drop(properties.remove(name));
                properties
            };
            assert_eq!(others(&bad), others(&good), "{flaw:?} spoils one property only");
        }
    }
}
