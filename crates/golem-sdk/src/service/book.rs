//! The record of instances, by which a later process finds them.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use yagna_api::ActivityId;
use yagna_api::activity::Deploy;

use super::state::InstanceInfo;

/// The way in which an activity was deployed. A later process deploys it in the same words, and so finds that it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployed {
    /// The command that was sent.
    pub deploy: Deploy,
    /// The names that the network had then are part of it; members that came later are announced.
    pub announced: u64,
}

/// The record can't be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the record of instances can't be {doing}")]
pub struct BookError {
    /// `written` or `read`.
    pub doing: &'static str,
    /// The reason.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Records instances where a later process finds them.
pub trait InstanceBook: Send + Sync {
    /// The way in which an earlier process has deployed this activity, if it did.
    fn deployed<'a>(&'a self, activity: &'a ActivityId)
    -> BoxFuture<'a, Result<Option<Deployed>, BookError>>;

    /// Notes that an activity is about to be deployed. Nothing is sent before this has returned.
    fn deploys<'a>(
        &'a self,
        instance: &'a InstanceInfo,
        deployed: &'a Deployed,
    ) -> BoxFuture<'a, Result<(), BookError>>;

    /// Notes how an instance stands.
    fn changed<'a>(&'a self, instance: &'a InstanceInfo) -> BoxFuture<'a, Result<(), BookError>>;
}

/// Records nothing: instances end with their process.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBook;

impl InstanceBook for NoBook {
    fn deployed<'a>(&'a self, _: &'a ActivityId) -> BoxFuture<'a, Result<Option<Deployed>, BookError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn deploys<'a>(&'a self, _: &'a InstanceInfo, _: &'a Deployed) -> BoxFuture<'a, Result<(), BookError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn changed<'a>(&'a self, _: &'a InstanceInfo) -> BoxFuture<'a, Result<(), BookError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
