//! The type of bodies on their way through the proxy.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

/// A failure in the middle of a body.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is passed on.
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is there as a whole.
pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
