//! The side table of a job: the user's own data and results, while the run only knows their numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use golem_core::event::Provider;
use serde_json::Value;

use crate::label;

/// Makes the name of a task in events out of its data.
pub(super) type Describe<T> = Box<dyn Fn(&T) -> Option<String> + Send + Sync>;

/// The entries of the unfinished tasks of one job, by their numbers.
pub(super) struct Table<T, R> {
    inner: Mutex<Inner<T, R>>,
    describe: Describe<T>,
}

struct Inner<T, R> {
    next: u64,
    slots: BTreeMap<u64, Slot<T, R>>,
}

struct Slot<T, R> {
    data: Arc<T>,
    /// The provider of its last attempt.
    tried: Option<Provider>,
    /// The results of its attempts: only the one that the run accepts counts.
    results: Vec<Made<R>>,
}

struct Made<R> {
    attempt: u32,
    result: R,
    provider: Provider,
}

/// The rest of a finished task's entry.
pub(super) struct Ended<T, R> {
    pub(super) data: Arc<T>,
    pub(super) tried: Option<Provider>,
    pub(super) made: Option<(R, Provider)>,
}

impl<T, R> Table<T, R> {
    /// An empty one, whose tasks are described so. That mustn't panic.
    pub(super) fn new(describe: Describe<T>) -> Self {
        Self { inner: Mutex::new(Inner { next: 0, slots: BTreeMap::new() }), describe }
    }

    /// Takes a new task's data in, and gives what the run knows it by.
    pub(super) fn enter(&self, data: T) -> Value {
        // The user's code, and so outside the lock.
        let description = (self.describe)(&data);
        label::of(self.add(data), description)
    }

    fn add(&self, data: T) -> u64 {
        let mut inner = self.lock();
        let key = inner.next;
        inner.next += 1;
        inner.slots.insert(key, Slot { data: Arc::new(data), tried: None, results: Vec::new() });
        key
    }

    /// The data of a task that is handed to a worker; `None` when it has its end already.
    pub(super) fn hand_out(&self, key: u64, to: &Provider) -> Option<Arc<T>> {
        let mut inner = self.lock();
        let slot = inner.slots.get_mut(&key)?;
        slot.tried = Some(to.clone());
        Some(Arc::clone(&slot.data))
    }

    /// Keeps the result of an attempt. A result for a finished task comes too late and is dropped.
    pub(super) fn keep(&self, key: u64, attempt: u32, result: R, provider: Provider) {
        // Unwanted results are dropped outside the lock: their drop is the user's code.
        let late = match self.lock().slots.get_mut(&key) {
            Some(slot) => {
                slot.results.push(Made { attempt, result, provider });
                None
            }
            None => Some(result),
        };
        drop(late);
    }

    /// Forgets a task that has its end, and gives out what this attempt made of it.
    pub(super) fn end(&self, key: u64, attempt: u32) -> Option<Ended<T, R>> {
        let Slot { data, tried, results } = self.lock().slots.remove(&key)?;
        let made = results.into_iter().find(|made| made.attempt == attempt);
        Some(Ended { data, tried, made: made.map(|made| (made.result, made.provider)) })
    }

    /// Forgets all that is left, and gives out its data in the order in which it came.
    pub(super) fn take_rest(&self) -> Vec<Arc<T>> {
        let rest = std::mem::take(&mut self.lock().slots);
        rest.into_values().map(|slot| slot.data).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T, R>> {
        // Nothing is done under the lock that could leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Provider {
        let id = "0x0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        Provider { id, name: "ada".into() }
    }

    #[test]
    fn only_the_result_of_the_attempt_that_counts_is_given_out() {
        let table = Table::new(Box::new(|_| None));
        let key = table.add("data");
        assert_eq!(table.hand_out(key, &ada()).as_deref(), Some(&"data"));
        table.keep(key, 1, "old", ada());
        table.keep(key, 2, "new", ada());
        let ended = table.end(key, 2).unwrap();
        assert_eq!(ended.made.map(|(result, _)| result), Some("new"));
        table.keep(key, 3, "late", ada());
        assert!(table.hand_out(key, &ada()).is_none());
        assert!(table.end(key, 3).is_none());
    }

    #[test]
    fn what_is_left_comes_in_its_order() {
        let table: Table<_, ()> = Table::new(Box::new(|_| None));
        let keys: Vec<_> = (0..20).map(|n| table.add(n)).collect();
        table.end(keys[7], 1);
        let left: Vec<i32> = table.take_rest().into_iter().map(|data| *data).collect();
        assert_eq!(left, (0..20).filter(|n| *n != 7).collect::<Vec<_>>());
        assert!(table.take_rest().is_empty());
    }
}
