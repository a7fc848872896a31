//! A newtype for every id, so that an agreement can't be passed where an activity is meant.
//!
//! Ids are opaque to a requestor: they are compared and sent back, never taken apart. They are cheap to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes an id as the daemon gave it.
            pub fn new(id: impl AsRef<str>) -> Self {
                Self(Arc::from(id.as_ref()))
            }

            /// The id as the daemon writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }
    )*};
}

ids! {
    /// A subscription of a demand: `<32 hex>-<64 hex>`.
    DemandId;
    /// A subscription of an offer.
    OfferId;
    /// A proposal of either side: `R-<64 hex>` as the requestor sees it, `P-<64 hex>` as the provider does.
    ProposalId;
    /// An agreement: 64 hex digits, the same on both sides.
    AgreementId;
    /// An activity: 32 hex digits.
    ActivityId;
    /// A batch, that is one exe-script sent to an activity: 32 hex digits.
    BatchId;
    /// Money set aside for payments: a UUID.
    AllocationId;
    /// A debit note: a UUID.
    DebitNoteId;
    /// An invoice: a UUID.
    InvoiceId;
    /// A payment on the chain: a UUID.
    PaymentId;
    /// A scan of the market: a small number in a string.
    ScanId;
    /// A virtual network.
    NetworkId;
    /// A bundle of services on the daemon's bus: the bus address in base64url.
    ServicesId;
    /// The id that a requestor gives when it confirms an agreement, so that it later sees only its own events.
    AppSessionId;
}

/// A node of the Golem Network: `0x` and 40 lowercase hex digits, also its payment address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

/// A text that is no [`NodeId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid node id: expected 0x and 40 hex digits")]
pub struct NodeIdError(String);

impl NodeId {
    /// The id in lowercase, with its `0x`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").ok_or_else(|| NodeIdError(text.to_owned()))?;
        if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NodeIdError(text.to_owned()));
        }
        Ok(Self(Arc::from(text.to_ascii_lowercase())))
    }
}

impl AsRef<str> for NodeId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.0)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The secret that opens the daemon's REST API.
///
/// It prints as `<app key>` everywhere; only [`AppKey::expose`] gives it out, and only a transport calls that.
#[derive(Clone, PartialEq, Eq)]
pub struct AppKey(Arc<str>);

impl AppKey {
    /// Takes the key as `yagna app-key list` shows it; white space around it is dropped.
    pub fn new(key: impl AsRef<str>) -> Self {
        Self(Arc::from(key.as_ref().trim()))
    }

    /// The key itself, for the `Authorization` header and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<app key>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_are_checked_and_lowered() {
        let id: NodeId = "0xABCDEF0123456789abcdef0123456789abcdef01".parse().unwrap();
        assert_eq!(id.as_str(), "0xabcdef0123456789abcdef0123456789abcdef01");
        for bad in [
            "",
            "0x",
            "abcdef0123456789abcdef0123456789abcdef01",
            "0xzbcdef0123456789abcdef0123456789abcdef01",
        ] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_app_key_never_prints() {
        let key = AppKey::new(" s3cret\n");
        assert_eq!(format!("{key:?} {key:#?}"), "<app key> <app key>");
        assert_eq!(key.expose(), "s3cret");
    }

    #[test]
    fn ids_travel_as_strings() {
        let id: AgreementId = serde_json::from_str("\"ab12\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"ab12\"");
    }
}
