//! The part of a run's tasks that is to be done.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::event::TaskId;
use crate::selection::Selection;
use crate::source::SourceDigest;

/// The part that is to be done.
#[derive(Debug)]
pub(in crate::run) struct Part {
    pub(in crate::run) selection: Arc<Selection>,
    /// Data of tasks that were asked for and haven't been read yet.
    pub(in crate::run) unread: BTreeSet<SourceDigest>,
}

impl Part {
    pub(in crate::run) fn new(selection: Arc<Selection>) -> Self {
        let unread = selection.data().clone();
        Self { selection, unread }
    }

    /// Takes note of a task. True if it is to be done.
    pub(in crate::run) fn takes(&mut self, task: TaskId, data: &Value) -> bool {
        if !self.unread.is_empty() {
            self.unread.remove(&SourceDigest::of(data));
        }
        self.selection.has(task, data)
    }
}
