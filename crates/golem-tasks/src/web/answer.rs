//! Answers of the server: JSON, and errors with what to do.

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::metrics::{MetricsError, TYPE};
use crate::store::StoreError;

/// JSON that is made already.
pub(super) fn json_text(text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(text.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A refusal in words.
pub(super) fn refused(status: StatusCode, message: &str) -> Response {
    let mut response = json_text(json!({ "error": message }).to_string());
    *response.status_mut() = status;
    response
}

/// Metrics for a collector.
pub(super) fn metrics(text: Result<String, MetricsError>) -> Response {
    match text {
        Ok(text) => ([(CONTENT_TYPE, TYPE), (CACHE_CONTROL, "no-store")], text).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// What the store couldn't tell, with advice where there is some.
#[derive(Debug)]
pub(super) struct Trouble(pub(super) StoreError);

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl Trouble {
    /// The error as JSON.
    pub(super) fn json(&self) -> String {
        json!({ "error": self.0.to_string(), "advice": self.0.advice() }).to_string()
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            StoreError::NoSuchRun { .. }
            | StoreError::NoSuchProvider { .. }
            | StoreError::NothingYet { .. } => StatusCode::NOT_FOUND,
            StoreError::SeveralRuns { .. } | StoreError::SeveralProviders { .. } => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = json_text(self.json());
        *response.status_mut() = status;
        response
    }
}
