//! The opening handshake of a WebSocket (RFC 6455, section 4) and the headers that every request has.

use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use yagna_api::{AppKey, Request};

use super::{SetupError, TransportError};

const KEY: HeaderName = http::header::SEC_WEBSOCKET_KEY;
const ACCEPTED: HeaderName = http::header::SEC_WEBSOCKET_ACCEPT;
const VERSION: HeaderName = http::header::SEC_WEBSOCKET_VERSION;
const PROTOCOL: HeaderName = http::header::SEC_WEBSOCKET_PROTOCOL;

/// The header that opens the daemon's API; it prints as `Sensitive`.
pub(super) fn bearer(key: &AppKey) -> Result<HeaderValue, SetupError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).map_err(|_| SetupError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The headers of a plain request.
pub(super) fn headers(request: &Request, bearer: &HeaderValue) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 3);
    headers.insert(AUTHORIZATION, bearer.clone());
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if request.body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &request.headers {
        let name = HeaderName::try_from(*name).map_err(TransportError::unsendable)?;
        headers.insert(name, HeaderValue::try_from(value).map_err(TransportError::unsendable)?);
    }
    Ok(headers)
}

/// One handshake, from its request's headers to the check of its answer.
pub(super) struct Handshake {
    key: String,
}

impl Handshake {
    pub(super) fn new() -> Self {
        Self { key: generate_key() }
    }

    /// The headers of the request that asks for a WebSocket.
    pub(super) fn headers(
        &self,
        bearer: &HeaderValue,
        subprotocol: Option<&'static str>,
    ) -> Result<HeaderMap, TransportError> {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(AUTHORIZATION, bearer.clone());
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(VERSION, HeaderValue::from_static("13"));
        headers.insert(KEY, HeaderValue::try_from(&self.key).map_err(TransportError::unsendable)?);
        if let Some(subprotocol) = subprotocol {
            headers.insert(PROTOCOL, HeaderValue::from_static(subprotocol));
        }
        Ok(headers)
    }

    /// Checks that the answer to a 101 is one to this very request.
    ///
    /// A daemon that leaves the sub-protocol out of its answer is believed: there is only one to choose.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), TransportError> {
        let expected = derive_accept_key(self.key.as_bytes());
        match headers.get(ACCEPTED) {
            Some(accepted) if accepted.as_bytes() == expected.as_bytes() => Ok(()),
            _ => Err(TransportError::lost("the answer to the WebSocket's handshake isn't for this request")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_with_the_key_in_them_print_without_it() {
        let bearer = bearer(&AppKey::new("s3cr3t")).unwrap();
        assert_eq!(bearer.as_bytes(), b"Bearer s3cr3t");
        let plain = headers(&Request::get("/me"), &bearer).unwrap();
        let socket = Handshake::new().headers(&bearer, Some("x")).unwrap();
        for headers in [plain, socket] {
            assert_eq!(headers[AUTHORIZATION], "Bearer s3cr3t");
            let shown = format!("{headers:?}");
            assert!(!shown.contains("s3cr3t"), "{shown}");
        }
    }

    #[test]
    fn only_the_answer_to_this_very_request_is_taken() {
        let handshake = Handshake::new();
        let mut headers = HeaderMap::new();
        assert!(handshake.check(&headers).is_err());
        headers.insert(ACCEPTED, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(handshake.check(&headers).is_err());
        // The example of RFC 6455, section 1.3.
        let example = Handshake { key: "dGhlIHNhbXBsZSBub25jZQ==".to_owned() };
        assert!(example.check(&headers).is_ok());
    }
}
