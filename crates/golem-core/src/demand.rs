//! The demand: payload, expiration and ways to pay, as they are put on the market.
//!
//! How it is answered to one offer is decided in [`crate::terms`].

use std::time::Duration;

use yagna_api::market::NewDemand;
use yagna_api::payment::Decoration;
use yagna_api::properties::name;
use yagna_api::{Constraints, Timestamp};

use crate::payload::{Payload, equals, parsed};

/// All that a demand is made of.
#[derive(Debug, Clone, Copy)]
pub struct DemandSpec<'a> {
    /// The machine that the work needs.
    pub payload: &'a Payload,
    /// The part of the market to look in; all of it otherwise.
    pub subnet: Option<&'a str>,
    /// The name of our node.
    pub node_name: Option<&'a str>,
    /// The latest end of agreements made from it. The market takes milliseconds, the rest is dropped.
    pub expires: Timestamp,
    /// The properties of payment that the daemon asks for.
    pub decoration: &'a Decoration,
    /// The longest time that we take to accept a debit note, in whole seconds.
    pub accept_timeout: Duration,
}

impl DemandSpec<'_> {
    /// The demand, ready to be published.
    ///
    /// What the payload says gives way to what the daemon wants said, and that to what is said here. A
    /// constraint that can't be read matches nothing: better no offer than a wrong one.
    pub fn build(&self) -> NewDemand {
        let mut properties = self.payload.properties();
        for (property, value) in &self.decoration.properties {
            properties.set(property, value.clone());
        }
        properties.set(name::EXPIRATION, self.expires.as_millisecond());
        properties.set(name::MULTI_ACTIVITY, true);
        properties.set(name::ACCEPT_TIMEOUT, self.accept_timeout.as_secs());
        if let Some(subnet) = self.subnet {
            properties.set(name::SUBNET, subnet);
        }
        if let Some(node_name) = self.node_name {
            properties.set(name::NODE_NAME, node_name);
        }

        let mut constraints = Vec::new();
        if let Some(subnet) = self.subnet {
            constraints.push(equals(name::SUBNET, subnet));
        }
        constraints.extend(self.decoration.constraints.iter().map(|text| parsed(text)));
        constraints.push(Constraints::equals(name::PRICING_MODEL, "linear"));
        match self.payload.constraints() {
            Constraints::All(parts) => constraints.extend(parts),
            other => constraints.push(other),
        }
        NewDemand { properties, constraints: Constraints::all(constraints).to_string() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use yagna_api::Properties;

    pub(crate) fn decoration() -> Decoration {
        Decoration {
            properties: Properties::new()
                .with("golem.com.payment.platform.erc20-hoodi-tglm.address", "0x1")
                .with(name::PAYMENT_PROTOCOL, "3"),
            constraints: vec![
                "(|\n  (golem.com.payment.platform.erc20-hoodi-tglm.address=*)\n)".to_owned(),
                "(golem.com.payment.protocol.version>1)".to_owned(),
            ],
        }
    }

    pub(crate) fn demand(expires: Timestamp) -> NewDemand {
        DemandSpec {
            payload: &Payload::default(),
            subnet: Some("public"),
            node_name: Some("requestor"),
            expires,
            decoration: &decoration(),
            accept_timeout: Duration::from_secs(120),
        }
        .build()
    }

    #[test]
    fn a_demand_says_and_asks_what_providers_expect() {
        let expires = Timestamp::from_millisecond(1_800_000_000_123).unwrap();
        let demand = demand(expires);
        assert_eq!(
            demand.properties,
            Properties::from_value(json!({
                "golem.com.payment.debit-notes.accept-timeout?": 120,
                "golem.com.payment.platform.erc20-hoodi-tglm.address": "0x1",
                "golem.com.payment.protocol.version": "3",
                "golem.node.debug.subnet": "public",
                "golem.node.id.name": "requestor",
                "golem.srv.caps.multi-activity": true,
                "golem.srv.comp.expiration": 1_800_000_000_123_i64,
            }))
        );
        assert_eq!(
            demand.constraints,
            "(&(golem.node.debug.subnet=public)(|(golem.com.payment.platform.erc20-hoodi-tglm.address=*))\
             (golem.com.payment.protocol.version>1)(golem.com.pricing.model=linear)(golem.inf.mem.gib>=0.5)\
             (golem.inf.storage.gib>=2)(golem.inf.cpu.threads>=1)(golem.runtime.name=vm))"
        );
    }

    #[test]
    fn a_payload_cant_change_the_expiration_or_the_payment() {
        let payload = Payload {
            properties: Properties::new()
                .with(name::EXPIRATION, 1)
                .with(name::PAYMENT_PROTOCOL, "9")
                .with("golem.own", true),
            ..Payload::default()
        };
        let demand = DemandSpec {
            payload: &payload,
            subnet: None,
            node_name: None,
            expires: Timestamp::from_millisecond(2).unwrap(),
            decoration: &decoration(),
            accept_timeout: Duration::from_secs(120),
        }
        .build();
        assert_eq!(demand.properties.number(name::EXPIRATION), Some(2.0));
        assert_eq!(demand.properties.text(name::PAYMENT_PROTOCOL), Some("3"));
        assert_eq!(demand.properties.get("golem.own"), Some(&json!(true)));
        assert_eq!(demand.properties.get(name::SUBNET), None);
        assert!(!demand.constraints.contains(name::SUBNET));
    }

    proptest! {
        #[test]
        fn every_demand_can_be_read(
            subnet in prop::option::of(".{0,10}"),
            decorated in "[()&|!=<>a* \\n]{0,20}",
            asked in prop::collection::vec("[()&|!=<>a* ]{0,20}", 0..3),
        ) {
            let payload = Payload { constraints: asked, ..Payload::default() };
            let decoration = Decoration { properties: Properties::new(), constraints: vec![decorated] };
            let demand = DemandSpec {
                payload: &payload,
                subnet: subnet.as_deref(),
                node_name: None,
                expires: Timestamp::UNIX_EPOCH,
                decoration: &decoration,
                accept_timeout: Duration::from_secs(120),
            }
            .build();
            prop_assert!(demand.constraints.parse::<Constraints>().is_ok(), "{}", demand.constraints);
        }
    }
}
