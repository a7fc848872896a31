//! A run of which only a part is to be done: the other tasks are known, and are set aside.

use serde_json::Value;

use super::Run;
use crate::event::TaskId;

impl Run {
    /// True if this task, which comes next, is to be done.
    pub(super) fn takes(&mut self, task: TaskId, data: &Value) -> bool {
        self.live.part.as_mut().is_none_or(|part| part.takes(task, data))
    }

    /// Sets aside what isn't asked for of the tasks of an earlier life. What is being tried isn't taken away from its provider.
    pub(super) fn set_others_aside(&mut self) {
        if let Some(part) = &mut self.live.part {
            self.books.queue.set_aside(&self.books.state, |task, data| !part.takes(task, data));
        }
    }

    /// The most tasks that are to be read, so that all that were asked for are known, and one that wasn't: it tells that the
    /// run isn't done.
    pub(super) fn n_unread(&self) -> usize {
        let Some(part) = &self.live.part else { return usize::MAX };
        if !part.unread.is_empty() {
            return usize::MAX;
        }
        let missing = part.selection.numbers_end().saturating_sub(self.books.state.next_task);
        let others = u64::from(!self.books.queue.has_aside());
        usize::try_from(missing.max(others)).unwrap_or(usize::MAX)
    }

    /// True if everything that was asked for has come to its end, and something else hasn't.
    pub(super) fn has_done_part(&self) -> bool {
        let all_read =
            || self.n_unread() == 0 || self.live.jobs.keys().all(|job| self.books.is_exhausted(*job));
        self.live.part.is_some()
            && self.books.queue.has_aside()
            && self.books.queue.n_waiting() == 0
            && self.books.queue.n_running() == 0
            && all_read()
    }
}
