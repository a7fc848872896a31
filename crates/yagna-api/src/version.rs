//! Which daemon answers.

use serde::{Deserialize, Serialize};

use crate::endpoint::{Request, endpoint};

/// The daemon's version, and the one it could be updated to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The running one.
    pub current: Release,
    /// A newer one, if it knows of any.
    #[serde(default)]
    pub pending: Option<Release>,
}

/// One release of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Such as `0.17.6`.
    pub version: String,
    /// Its name or commit.
    #[serde(default)]
    pub name: String,
}

/// `GET /version/get`; needs no key.
#[derive(Debug, Clone)]
pub struct GetVersion;
endpoint!(GetVersion, "ask the daemon's version", Harmless, json Version, |_this| Request::get("/version/get"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_tolerated() {
        let version: Version = serde_json::from_str(
            r#"{"current":{"version":"0.17.6","name":"(a98d28015 2026-03-13)","seen":true,"releaseTs":"2015-10-13T15:43:00",
            "insertionTs":"2026-11-21T21:00:00","updateTs":null},"pending":null}"#,
        )
        .unwrap();
        assert_eq!(version.current.version, "0.17.6");
    }
}
