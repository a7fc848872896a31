//! Jobs in this process: the part that is not in their state.

use std::collections::{HashMap, HashSet};

use yagna_api::{NodeId, Timestamp};

use crate::event::{FailureKind, Provider};

/// A job that isn't over. Its tasks are in the queue.
#[derive(Debug, Default)]
pub(in crate::run) struct Job {
    /// True while its source is being read.
    pub(in crate::run) loading: bool,
    /// True if its source may have more tasks after it had no more.
    pub(in crate::run) grows: bool,
    /// True if the source was asked once more since the last task ended.
    pub(in crate::run) asked_again: bool,
    /// True if any provider ever came so far that it could take a task of it.
    pub(in crate::run) ever_worked: bool,
    /// Providers whose activity for it didn't start or couldn't be set up.
    pub(in crate::run) never_opened: HashSet<NodeId>,
    pub(in crate::run) failings: Failings,
    /// The moment since which it has had work and no worker.
    pub(in crate::run) starving_since: Option<Timestamp>,
}

/// The failures of a job's workers since it last had a result.
#[derive(Debug, Default)]
pub(in crate::run) struct Failings {
    /// The failures by their words.
    pub(in crate::run) alike: HashMap<String, Alike>,
    /// The number of workers in a row that couldn't even begin for a reason of our own.
    pub(in crate::run) ours: u32,
}

/// Failures with the same words.
#[derive(Debug, Default)]
pub(in crate::run) struct Alike {
    pub(in crate::run) providers: HashSet<NodeId>,
    pub(in crate::run) times: u32,
}

impl Failings {
    /// Different words that are told apart: they are others' words.
    pub(in crate::run) const MOST_WORDS: usize = 16;
    /// Characters of them that are compared.
    pub(in crate::run) const COMPARED: usize = 300;
    /// A set-up that failed so often in the same words, with nobody else to turn to, won't succeed.
    pub(in crate::run) const HOPELESS: u32 = 3;
    /// One that failed so often for a reason of our own won't either.
    pub(in crate::run) const HOPELESS_OURS: u32 = 2;

    pub(in crate::run) fn note(
        &mut self,
        words: &str,
        provider: &Provider,
        kind: FailureKind,
        was_given: bool,
    ) {
        if was_given {
            self.ours = 0;
        } else if kind == FailureKind::Invalid {
            self.ours += 1;
        }
        // A loss says nothing about the work.
        if kind == FailureKind::Lost
            || (self.alike.len() >= Self::MOST_WORDS && !self.alike.contains_key(words))
        {
            return;
        }
        let alike = self.alike.entry(words.to_owned()).or_default();
        alike.providers.insert(provider.id.clone());
        alike.times += 1;
    }

    /// A task was done: the work can be done.
    pub(in crate::run) fn forget(&mut self) {
        self.alike.clear();
        self.ours = 0;
    }
}
