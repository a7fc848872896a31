//! Who may see the page, and who may act.
//!
//! - On an address of this machine alone, the request must be meant for this machine: otherwise a page of a stranger could
//!   read it under a name of its own that leads here.
//! - Anywhere else, and wherever runs may be controlled, the request brings the token: in the first address, then as a
//!   cookie, or as `Authorization: Bearer`.
//! - What changes something also names a second secret, which only this page can read.
//!
//! Every answer forbids the page to ask anybody else.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION,
    ORIGIN, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha3::{Digest, Sha3_256};
use uuid::Uuid;

use super::answer::refused;

/// The header that names the secret of a change.
pub(super) const CHANGE: &str = "x-golem-tasks-change";

/// The page asks its own server alone, and is shown in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The rules for one address.
pub(super) struct Guard {
    address: SocketAddr,
    token: Option<String>,
    change: String,
    control: bool,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, control: bool) -> Self {
        let is_open = address.ip().is_loopback() && !control;
        Self { address, token: (!is_open).then(secret), change: secret(), control }
    }

    /// The token that requests need, if they do.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// True if runs may be controlled.
    pub(super) fn allows_control(&self) -> bool {
        self.control
    }

    /// The secret that a change names.
    pub(super) fn change(&self) -> &str {
        &self.change
    }

    /// The cookie's name: pages at other ports of this host have their own.
    fn cookie(&self) -> String {
        format!("golem_tasks_{}", self.address.port())
    }

    /// True if the request is meant for this machine.
    fn knows_host(&self, headers: &HeaderMap) -> bool {
        if !self.address.ip().is_loopback() {
            return true;
        }
        let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let own = match self.address {
            SocketAddr::V4(own) => own.ip().to_string(),
            SocketAddr::V6(own) => format!("[{}]", own.ip()),
        };
        name.eq_ignore_ascii_case("localhost") || ["127.0.0.1", "[::1]", &own].contains(&name)
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = self.bearer(headers);
        let name = self.cookie();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let mut cookies = cookies.flat_map(|cookies| cookies.split(';'));
        bearer
            || cookies.any(|cookie| {
                cookie.trim().split_once('=').is_some_and(|(key, value)| key == name && is_same(value, token))
            })
    }

    /// True if the request brings the token by itself, which no browser does for a stranger's page.
    fn bearer(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|given| given.to_str().ok());
        let given = given.and_then(|given| given.strip_prefix("Bearer "));
        given.zip(self.token.as_deref()).is_some_and(|(given, token)| is_same(given.trim(), token))
    }

    /// The reason why a request may not change anything, if there is one.
    fn no_change(&self, headers: &HeaderMap) -> Option<&'static str> {
        if !self.control {
            return Some(
                "this page only shows: start it with --allow-control to cancel runs and to block providers",
            );
        }
        if self.bearer(headers) {
            return None;
        }
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_own = match (text(ORIGIN), text(HOST)) {
            (Some(origin), Some(host)) => origin.strip_prefix("http://").is_some_and(|origin| origin == host),
            (None, _) => true,
            (Some(_), None) => false,
        };
        let named = text(HeaderName::from_static(CHANGE)).is_some_and(|given| is_same(given, &self.change));
        (!is_own || !named).then_some("the request doesn't come from this page: reload the page")
    }
}

/// Lets a request through, or answers it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let response = if !guard.knows_host(headers) {
        let message = "this address is for this machine alone: open it as http://127.0.0.1 or http://localhost, with its port";
        refused(StatusCode::FORBIDDEN, message)
    } else if let Some(there) = welcome(&guard, request.uri()) {
        there
    } else if !guard.has_token(headers) {
        no_token()
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        match guard.no_change(headers) {
            Some(reason) => refused(StatusCode::FORBIDDEN, reason),
            None => next.run(request).await,
        }
    } else {
        next.run(request).await
    };
    protected(response)
}

/// The answer to an address with the token in it: the token becomes a cookie, and the address loses it.
fn welcome(guard: &Guard, uri: &Uri) -> Option<Response> {
    let token = guard.token.as_deref()?;
    let given = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    if !is_same(given, token) {
        return None;
    }
    let cookie = format!("{}={token}; Path=/; HttpOnly; SameSite=Strict", guard.cookie());
    let headers = [
        (LOCATION, HeaderValue::from_str(uri.path()).ok()?),
        (SET_COOKIE, HeaderValue::from_str(&cookie).ok()?),
    ];
    Some((StatusCode::SEE_OTHER, headers).into_response())
}

fn no_token() -> Response {
    let page = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><title>golem-tasks</title>\
        <p>This page needs its token: open the address that <code>golem-tasks</code> has printed, with <code>?token=..</code> \
        at its end.\n";
    let response = (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "text/html; charset=utf-8")], page);
    response.into_response()
}

/// The answer with what browsers are to know about it.
fn protected(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let rules = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, rule) in rules {
        headers.insert(name, HeaderValue::from_static(rule));
    }
    response
}

/// A secret that nobody can guess.
fn secret() -> String {
    [Uuid::new_v4(), Uuid::new_v4()].map(|uuid| uuid.simple().to_string()).concat()
}

/// Compares secrets by their digests, so that the time that it takes tells nothing of them.
fn is_same(given: &str, secret: &str) -> bool {
    Sha3_256::digest(given.as_bytes()) == Sha3_256::digest(secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn guard(address: &str, control: bool) -> Guard {
        Guard::new(address.parse().unwrap(), control)
    }

    #[test]
    fn a_strangers_name_for_this_machine_is_refused() {
        let guard = guard("127.0.0.1:8899", false);
        for (host, known) in [
            ("127.0.0.1:8899", true),
            ("LOCALHOST:8899", true),
            ("localhost", true),
            ("[::1]:8899", true),
            ("evil.example:8899", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(guard.knows_host(&headers(&[(HOST, host)])), known, "{host}");
        }
        assert!(!guard.knows_host(&HeaderMap::new()));
    }

    #[test]
    fn a_token_is_needed_where_others_can_reach_the_page_or_runs_can_be_controlled() {
        assert_eq!(guard("127.0.0.1:8899", false).token(), None);
        for guard in [guard("0.0.0.0:8899", false), guard("[::1]:8899", true)] {
            let token = guard.token().unwrap().to_owned();
            assert_eq!(token.len(), 64);
            let cookie = format!("other=1; golem_tasks_8899={token}");
            for (given, let_in) in [
                (headers(&[]), false),
                (headers(&[(COOKIE, &cookie)]), true),
                (headers(&[(COOKIE, &cookie.replace("8899", "8898"))]), false),
                (headers(&[(AUTHORIZATION, &format!("Bearer {token}"))]), true),
                (headers(&[(AUTHORIZATION, "Bearer 1")]), false),
            ] {
                assert_eq!(guard.has_token(&given), let_in, "{given:?}");
            }
        }
    }

    #[test]
    fn only_the_page_itself_may_change_anything() {
        let change = HeaderName::from_static(CHANGE);
        let open = guard("127.0.0.1:8899", true);
        let secret = open.change().to_owned();
        let host = (HOST, "127.0.0.1:8899");
        let own = (ORIGIN, "http://127.0.0.1:8899");
        assert!(open.no_change(&headers(&[host.clone(), own.clone(), (change.clone(), &secret)])).is_none());
        let bearer = format!("Bearer {}", open.token().unwrap());
        assert!(open.no_change(&headers(&[(AUTHORIZATION, &bearer)])).is_none());
        let stranger = (ORIGIN, "http://evil.example");
        for refused in [
            headers(&[host.clone(), own.clone()]),
            headers(&[host.clone(), own.clone(), (change.clone(), "x")]),
            headers(&[host.clone(), stranger, (change.clone(), &secret)]),
        ] {
            assert!(open.no_change(&refused).is_some(), "{refused:?}");
        }
        let shut = guard("127.0.0.1:8899", false);
        let secret = shut.change().to_owned();
        assert!(
            shut.no_change(&headers(&[host, own, (change, &secret)])).unwrap().contains("--allow-control")
        );
    }

    #[test]
    fn the_token_leaves_the_address_for_a_cookie() {
        let guard = guard("0.0.0.0:8899", false);
        let token = guard.token().unwrap();
        let there = welcome(&guard, &format!("/?token={token}").parse().unwrap()).unwrap();
        assert_eq!(there.status(), StatusCode::SEE_OTHER);
        assert_eq!(there.headers()[LOCATION], "/");
        assert!(there.headers()[SET_COOKIE].to_str().unwrap().contains("HttpOnly; SameSite=Strict"));
        assert!(welcome(&guard, &"/?token=x".parse().unwrap()).is_none());
    }
}
