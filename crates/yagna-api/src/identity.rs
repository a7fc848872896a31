//! Who the app key belongs to.

use serde::{Deserialize, Serialize};

use crate::endpoint::{Request, endpoint};
use crate::id::NodeId;

/// The identity behind an app key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// The node id, also the payment address.
    pub identity: NodeId,
    /// The app key's name.
    #[serde(default)]
    pub name: String,
    /// The app key's role.
    #[serde(default)]
    pub role: String,
}

/// `GET /me`.
#[derive(Debug, Clone)]
pub struct GetMe;
endpoint!(GetMe, "ask who the app key belongs to", Harmless, json Me, |_this| Request::get("/me"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_tells_who_we_are() {
        let text =
            r#"{"identity":"0xabcdef0123456789abcdef0123456789abcdef01","name":"key","role":"manager"}"#;
        let me: Me = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&me).unwrap(), text);
    }
}
