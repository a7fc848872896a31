//! The headers that a proxy takes away, adds and leaves alone (RFC 9110, section 7.6).

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The protocol that a message wants to change to, if it does.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    connection_options(headers)
        .any(|option| option.eq_ignore_ascii_case("upgrade"))
        .then(|| headers.get(UPGRADE).cloned())
        .flatten()
}

/// The names in `Connection`.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|option| !option.is_empty())
}

/// Takes away what belongs to one connection only.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        connection_options(headers).filter_map(|option| option.to_ascii_lowercase().parse().ok()).collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

/// Makes a client's request one for an instance at `target`.
pub(super) fn to_instance(parts: &mut Parts, peer: SocketAddr, target: &str, upgrade: Option<&HeaderValue>) {
    let host = parts.headers.get(HOST).cloned().or_else(|| {
        let authority = parts.uri.authority().map_or(target, |authority| authority.as_str());
        HeaderValue::from_str(authority).ok()
    });
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from(path);
    parts.version = Version::HTTP_11;
    let wants_trailers =
        parts.headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip(&mut parts.headers);
    parts.headers.remove(TE);
    // The server at this end answers it itself, when the body is first read.
    parts.headers.remove(EXPECT);
    if wants_trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol.clone());
    } else {
        // A server that would close the connection to mark the end of its reply is told not to.
        parts.headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    forwarded(&mut parts.headers, peer, host.as_ref());
    if let Some(host) = host {
        parts.headers.insert(HOST, host);
    }
}

/// Says for whom a request is forwarded.
fn forwarded(headers: &mut HeaderMap, peer: SocketAddr, host: Option<&HeaderValue>) {
    let trusted = peer.ip().to_canonical().is_loopback();
    let all = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let before: Vec<_> = all.filter(|_| trusted).collect();
    let chain = [before.join(", "), peer.ip().to_canonical().to_string()];
    let chain =
        chain.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
    if !trusted || !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !trusted || !headers.contains_key(FORWARDED_HOST) {
        match host {
            Some(host) => headers.insert(FORWARDED_HOST, host.clone()),
            None => headers.remove(FORWARDED_HOST),
        };
    }
}

/// Makes an instance's response one for the client.
pub(super) fn to_client(parts: &mut http::response::Parts) {
    strip(&mut parts.headers);
    parts.version = Version::HTTP_11;
}

/// Makes an instance's consent to an upgrade one for the client.
pub(super) fn to_client_upgraded(parts: &mut http::response::Parts) {
    let protocol = parts.headers.get(UPGRADE).cloned();
    to_client(parts);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        parts.headers.insert(UPGRADE, protocol);
    }
}

/// True if a response ends only with its connection.
pub(super) fn ends_by_closing(method: &Method, parts: &http::response::Parts) -> bool {
    let status = parts.status;
    let has_body = method != Method::HEAD
        && !status.is_informational()
        && status != http::StatusCode::NO_CONTENT
        && status != http::StatusCode::NOT_MODIFIED;
    has_body && !parts.headers.contains_key(CONTENT_LENGTH) && !parts.headers.contains_key(TRANSFER_ENCODING)
}

/// The time for which a server keeps an unused connection, if it says so.
pub(super) fn kept_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let mut settings = text.split(',').filter_map(|setting| setting.split_once('='));
    let (_, seconds) = settings.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// True if a request can be sent twice without harm (RFC 9110, section 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("http://example.org/a?b=c");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn listed(parts: &Parts) -> Vec<String> {
        let mut all: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_belongs_to_one_connection_is_taken_away() {
        let mut parts = parts(&[
            ("host", "web.example"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        assert_eq!(upgrade(&parts.headers), None, "without `Connection: upgrade` it is only a hint");
        to_instance(&mut parts, "127.0.0.1:9".parse().unwrap(), "10.0.0.2:80", None);
        assert_eq!(parts.uri, "/a?b=c");
        assert_eq!(
            listed(&parts),
            [
                "accept: */*",
                "connection: keep-alive",
                "host: web.example",
                "te: trailers",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-host: web.example",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn an_upgrade_is_passed_on() {
        let mut parts = parts(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        let protocol = upgrade(&parts.headers);
        assert_eq!(protocol, Some(HeaderValue::from_static("websocket")));
        to_instance(&mut parts, "127.0.0.1:9".parse().unwrap(), "10.0.0.2:80", protocol.as_ref());
        assert_eq!(parts.headers[CONNECTION], "upgrade");
        assert_eq!(parts.headers[UPGRADE], "websocket");
        assert_eq!(parts.headers[HOST], "example.org", "the address of an absolute target is the host");
    }

    #[test]
    fn only_proxies_of_this_machine_are_believed() {
        let said = [
            ("host", "web.example"),
            ("x-forwarded-for", "8.8.8.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ];
        let mut near = parts(&said);
        to_instance(&mut near, "[::ffff:127.0.0.1]:9".parse().unwrap(), "10.0.0.2:80", None);
        assert_eq!(near.headers[FORWARDED_FOR], "8.8.8.8, 127.0.0.1");
        assert_eq!(near.headers[FORWARDED_PROTO], "https");
        assert_eq!(near.headers[FORWARDED_HOST], "shop.example");
        let mut far = parts(&said);
        to_instance(&mut far, "192.0.2.7:9".parse().unwrap(), "10.0.0.2:80", None);
        assert_eq!(far.headers[FORWARDED_FOR], "192.0.2.7");
        assert_eq!(far.headers[FORWARDED_PROTO], "http");
        assert_eq!(far.headers[FORWARDED_HOST], "web.example");
    }

    #[test]
    fn a_server_says_how_long_it_keeps_a_connection() {
        let kept = |text: &'static str| {
            kept_for(&[(KEEP_ALIVE, HeaderValue::from_static(text))].into_iter().collect())
        };
        assert_eq!(kept("timeout=5, max=100"), Some(Duration::from_secs(5)));
        assert_eq!(kept("max=100, Timeout = 7"), Some(Duration::from_secs(7)));
        assert_eq!(kept("timeout=soon"), None);
        assert_eq!(kept(""), None);
    }
}
