//! Things that all parts of a job's worker need.

use std::sync::Arc;
use std::time::Duration;

use super::keys::Keys;

/// The things that every activity of a job works with.
pub(super) struct Shared<J> {
    pub(super) job: Arc<J>,
    pub(super) task_timeout: Duration,
    pub(super) keys: Arc<Keys>,
}
