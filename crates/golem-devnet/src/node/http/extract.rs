//! Reading requests, with the daemon's own words for what can't be read.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use yagna_api::{AppSessionId, Timestamp};

use crate::node::refusal::Refusal;
use crate::node::rfc3339;
use crate::node::{Caller, World};

/// An answer or a refusal.
pub(crate) type Answer = Result<Response, Refusal>;

/// The largest body that is read.
const BODY_LIMIT: usize = 2_097_152;

/// Longer than any wait; what is longer is cut to it.
const MAX_WAIT: f64 = 1e9;

/// Finds out whose key it is.
pub(crate) fn authorise(world: &World, request: &Request) -> Result<Caller, Refusal> {
    let header = request.headers().get(AUTHORIZATION);
    // Another scheme is as good as none.
    let key = match header.and_then(|value| value.as_bytes().trim_ascii().strip_prefix(b"Bearer ")) {
        Some(key) => Some(String::from_utf8_lossy(key)),
        None => {
            pairs(request.uri().query()).find(|(name, _)| name == "authToken").map(|(_, value)| decode(value))
        }
    };
    let key = key.ok_or_else(|| Refusal::text(401, "Missing application key"))?;
    world
        .with(|state| state.keys.get(key.as_ref()).cloned())
        .ok_or_else(|| Refusal::text(401, "Invalid application key"))
}

impl FromRequestParts<World> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _world: &World) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::text(401, "Missing application key"))
    }
}

/// The query string.
#[derive(Debug)]
pub(crate) struct Params(Option<String>);

impl FromRequestParts<World> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _world: &World) -> Result<Self, Infallible> {
        Ok(Self(parts.uri.query().map(str::to_owned)))
    }
}

impl Params {
    /// A parameter as it was sent.
    pub(crate) fn raw(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut found = pairs(self.0.as_deref()).filter(|(key, _)| key == name).map(|(_, value)| value);
        let first = found.next();
        match found.next() {
            Some(_) => Err(Refusal::query(&format!("duplicate field `{name}`"))),
            None => Ok(first),
        }
    }

    /// A parameter as text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Refusal> {
        Ok(self.raw(name)?.map(decode))
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<Cow<'_, str>, Refusal> {
        self.text(name)?.ok_or_else(|| Refusal::query(&format!("missing field `{name}`")))
    }

    /// `timeout`: seconds, zero when negative.
    pub(crate) fn timeout(&self, default: f64) -> Result<Duration, Refusal> {
        let seconds = match self.text("timeout")? {
            Some(text) => text.parse().map_err(|error| Refusal::query(&format!("{error}")))?,
            None => default,
        };
        // Text that is not a number is not a time to wait, either.
        let seconds = if seconds.is_nan() { 0.0 } else { seconds.min(MAX_WAIT) };
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// A whole number.
    pub(crate) fn number<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let text = self.text(name)?;
        text.map(|text| text.parse().map_err(|error| Refusal::query(&format!("{error}")))).transpose()
    }

    /// A time with its zone.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let text = self.text(name)?;
        let read = |text: Cow<'_, str>| rfc3339::read(&text).map_err(Refusal::query);
        text.map(read).transpose()
    }

    /// `appSessionId`.
    pub(crate) fn session(&self) -> Result<Option<AppSessionId>, Refusal> {
        Ok(self.text("appSessionId")?.map(AppSessionId::new))
    }

    /// `maxEvents` of the market: 1 to 100, 20 by default.
    pub(crate) fn max_events(&self) -> Result<usize, Refusal> {
        let max: i32 = self.number("maxEvents")?.unwrap_or(20);
        match usize::try_from(max) {
            Ok(max @ 1..=100) => Ok(max),
            _ => Err(Refusal::new(400, format!("Invalid maxEvents '{max}', should be between 1 and 100."))),
        }
    }
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), value)
    })
}

/// Undoes percent-encoding; a `+` is a space.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = hex {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
            at += 1;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// A request's body, not yet read as anything.
#[derive(Debug)]
pub(crate) struct Payload {
    is_json: bool,
    /// The body, or the length of one that is too large.
    bytes: Result<Bytes, u64>,
}

impl FromRequest<World> for Payload {
    type Rejection = Infallible;

    async fn from_request(request: Request, _world: &World) -> Result<Self, Infallible> {
        let is_json = is_json(request.headers());
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let too_large = length.unwrap_or(BODY_LIMIT as u64 + 1);
        let bytes = match length {
            Some(length) if length > BODY_LIMIT as u64 => Err(length),
            _ => axum::body::to_bytes(request.into_body(), BODY_LIMIT).await.map_err(|_| too_large),
        };
        Ok(Self { is_json, bytes })
    }
}

impl Payload {
    /// The body as the market reads it: its errors are JSON.
    pub(crate) fn market<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        if !self.is_json {
            return Err(Refusal::new(400, "Content type error"));
        }
        let bytes = self.bytes.as_ref().map_err(|length| {
            let text =
                format!("JSON payload ({length} bytes) is larger than allowed (limit: {BODY_LIMIT} bytes).");
            Refusal::new(400, text)
        })?;
        serde_json::from_slice(bytes)
            .map_err(|error| Refusal::new(400, format!("Json deserialize error: {error}")))
    }

    /// The body as all other APIs read it: their errors are plain text.
    pub(crate) fn plain<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        if !self.is_json {
            return Err(Refusal::text(400, "Content type error"));
        }
        let bytes = self.bytes.as_ref().map_err(|length| {
            let text =
                format!("JSON payload ({length} bytes) is larger than allowed (limit: {BODY_LIMIT} bytes).");
            Refusal::text(413, text)
        })?;
        serde_json::from_slice(bytes)
            .map_err(|error| Refusal::text(400, format!("Json deserialize error: {error}")))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Asks for a stream of server-sent events? Only the exact value does.
pub(crate) fn wants_stream(headers: &HeaderMap) -> bool {
    headers.get(http::header::ACCEPT).is_some_and(|value| value == "text/event-stream")
}

/// An answer in JSON.
#[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Answer {
    let body = serde_json::to_vec(value).expect("answers have text keys and plain values");
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// 200 and JSON.
pub(crate) fn ok<T: Serialize + ?Sized>(value: &T) -> Answer {
    json(StatusCode::OK, value)
}

/// 200 and `null`.
pub(crate) fn null() -> Answer {
    ok(&())
}

/// A status alone.
#[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub(crate) fn status(status: StatusCode) -> Answer {
    Ok(status.into_response())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (content_type, body) = self.body();
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(content_type) = content_type {
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        answer
    }
}
