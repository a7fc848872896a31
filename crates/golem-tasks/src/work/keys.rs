//! The keys of tasks that were seen, and their first origins.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// The origin of a task with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The pile.
    Pile,
    /// A task, by its number: whenever it is tried again, what it adds is the same.
    Task(u64),
}

/// The keys of a run so far. Of each only a digest is kept, long enough that no two keys ever share one.
#[derive(Debug, Default)]
pub(super) struct Keys {
    hashers: [RandomState; 2],
    seen: Mutex<HashMap<u128, Origin>>,
}

impl Keys {
    /// Forgets them all: the pile is read from its begin.
    pub(super) fn clear(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// True if this is the first task with this key, or the same one again from the same task.
    pub(super) fn is_new(&self, key: &str, origin: Origin) -> bool {
        let [one, other] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(key)));
        // Nothing is done under the lock that could leave it half done.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.entry(one << 64 | other) {
            Entry::Vacant(place) => {
                place.insert(origin);
                true
            }
            Entry::Occupied(first) => origin != Origin::Pile && *first.get() == origin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_task_with_a_key_is_the_one() {
        let keys = Keys::default();
        assert!(keys.is_new("a", Origin::Pile));
        assert!(!keys.is_new("a", Origin::Pile), "twice in the pile");
        assert!(!keys.is_new("a", Origin::Task(3)));
        assert!(keys.is_new("b", Origin::Task(3)));
        assert!(keys.is_new("b", Origin::Task(3)), "task 3 is tried again and adds the same");
        assert!(!keys.is_new("b", Origin::Task(4)) && !keys.is_new("b", Origin::Pile));
    }
}
