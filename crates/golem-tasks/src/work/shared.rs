//! Things that all parts of a job's worker need.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::keys::Keys;

/// The things that every activity of a job works with.
pub(super) struct Shared<J> {
    pub(super) job: Arc<J>,
    pub(super) task_timeout: Duration,
    pub(super) keys: Arc<Keys>,
}

/// The message of a panic.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it didn't say why")
}
