//! The manifest's form, as providers read it. Whatever isn't known here is kept as it was found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The description of a payload and its actions, for providers to agree with.
///
/// Times are kept as instants: how a file wrote them may come out another way. Only a
/// [`SealedManifest`](super::SealedManifest) keeps every character.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The manifest's own version, by the rules of Semantic Versioning.
    pub version: String,
    /// The time at which it was made.
    pub created_at: Timestamp,
    /// The time at which it expires.
    pub expires_at: Timestamp,
    /// The purpose of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// The images: a provider takes the first one that suits its machine.
    pub payload: Vec<ManifestImage>,
    /// The actions of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comp_manifest: Option<CompManifest>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The purpose of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The application's name.
    pub name: String,
    /// The description of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its version, by the rules of Semantic Versioning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The authors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// The address of a page about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An image, and for which machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestImage {
    /// The machines; any where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The addresses from which it is fetched; providers take the first.
    pub urls: Vec<String>,
    /// Its hash: `sha3:<hex>`.
    pub hash: String,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Platform {
    /// Its processor, such as `x86_64`.
    pub arch: String,
    /// Its system, such as `linux`.
    pub os: String,
    /// The system's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The actions of the payload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompManifest {
    /// The version of this part, by the rules of Semantic Versioning.
    pub version: String,
    /// The commands that may be given; any where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// The parts of the network that may be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<Net>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The commands that may be given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    /// Each a line such as `run /bin/date .*`, or an object in JSON as a string.
    pub commands: Vec<String>,
    /// The way to compare a given command with them: strictly unless another one is set.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Match>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The ways to compare commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Match {
    /// Character by character.
    Strict,
    /// By regular expressions.
    Regex,
}

/// The parts of the network that may be reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Net {
    /// The internet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inet: Option<Inet>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The parts of the internet that may be reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inet {
    /// From inside to outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<InetOut>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The targets that may be reached from inside: either some addresses or any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InetOut {
    /// The protocols; `http`, `https`, `ws` and `wss` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<String>>,
    /// The addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    /// Any address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrestricted: Option<Unrestricted>,
    /// Further fields.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Any address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unrestricted {
    /// Always true.
    pub urls: bool,
}

impl Platform {
    pub(super) fn new(arch: &str, os: &str) -> Self {
        Self { arch: arch.to_owned(), os: os.to_owned(), os_version: None, other: Map::new() }
    }
}

impl Manifest {
    /// The outbound access to the internet that it asks for, if any.
    pub fn asks_outbound(&self) -> Option<&InetOut> {
        let out = self.comp_manifest.as_ref()?.net.as_ref()?.inet.as_ref()?.out.as_ref()?;
        let asks = out.unrestricted.is_some() || out.urls.as_ref().is_some_and(|urls| !urls.is_empty());
        asks.then_some(out)
    }
}
