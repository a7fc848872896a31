//! The answers of the proxy itself.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::content::{Body, whole};

/// A refusal, with its reason in words.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    /// No instance can answer at the moment.
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, reason: reason.into() }
    }

    /// An instance can't be reached, or broke off.
    pub(super) fn bad_gateway(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, reason: reason.into() }
    }

    /// An instance took too long.
    pub(super) fn timeout(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::GATEWAY_TIMEOUT, reason: reason.into() }
    }

    /// The request itself can't be passed on.
    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.into() }
    }

    /// The method isn't one for this proxy.
    pub(super) fn not_implemented(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_IMPLEMENTED, reason: reason.into() }
    }

    /// The reason in words.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// The response that says so.
    pub(super) fn response(&self) -> Response<Body> {
        let text = format!("{}: {}\n", self.status, self.reason);
        let mut response = Response::new(whole(Bytes::from(text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
