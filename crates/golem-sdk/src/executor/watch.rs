//! The executor's knowledge of its run: it stands where the run writes its events down, and so sees each before
//! anything follows from it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use golem_core::event::{Event, EventKind, RunEnd, StopReason};
use golem_core::explain::Explanation;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use yagna_api::Clock;

use crate::budget::Budget;

use crate::context::Witness;
use crate::journal::{Journal, JournalError};
use crate::run::{Events, Reader};

/// Batches of events that a reader may be behind before it misses some.
const READER_QUEUE: usize = 4096;

/// Sees a run's events and passes them on.
pub(super) struct Watch {
    journal: Option<Arc<dyn Journal>>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    /// True if somebody wants details. Asked for each script.
    wants_details: AtomicBool,
    /// The run has its money: nothing that the user could have got wrong stands in its way any more.
    pub(super) prepared: CancellationToken,
    /// The error that broke the run, once it is over.
    over: watch::Sender<Option<Result<(), String>>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("journal", &self.journal).finish_non_exhaustive()
    }
}

struct Seen {
    stopping: Option<StopReason>,
    explanation: Option<Box<Explanation>>,
    /// `None` once the run is over.
    readers: Option<Vec<Reader>>,
    /// Those of them that want details, too.
    detailed: Vec<Reader>,
    budget: Budget,
}

impl Watch {
    pub(super) fn new(journal: Option<Arc<dyn Journal>>, clock: Arc<dyn Clock>, budget: Budget) -> Self {
        Self {
            journal,
            clock,
            seen: Mutex::new(Seen {
                stopping: None,
                explanation: None,
                readers: Some(Vec::new()),
                detailed: Vec::new(),
                budget,
            }),
            wants_details: AtomicBool::new(false),
            prepared: CancellationToken::new(),
            over: watch::Sender::new(None),
        }
    }

    /// The events from now on, with details or without.
    pub(super) fn events(&self, details: bool) -> Events {
        let (sender, receiver) = mpsc::channel(READER_QUEUE);
        let missed = Arc::default();
        let mut seen = self.lock();
        let seen = &mut *seen;
        if let Some(readers) = &mut seen.readers {
            if details {
                seen.detailed.push(Reader { sender: sender.clone(), missed: Arc::clone(&missed) });
                self.wants_details.store(true, Ordering::Relaxed);
            }
            readers.push(Reader { sender, missed: Arc::clone(&missed) });
        }
        Events { receiver, missed }
    }

    /// GLM that may be spent, as it is now.
    pub(super) fn budget(&self) -> Budget {
        self.lock().budget
    }

    /// The reason why the run stops, if it does.
    pub(super) fn stopping(&self) -> Option<StopReason> {
        self.lock().stopping
    }

    /// The latest explanation why nothing ran.
    pub(super) fn explanation(&self) -> Option<Box<Explanation>> {
        self.lock().explanation.clone()
    }

    /// Nothing more happens.
    pub(super) fn ended(&self, end: Result<&RunEnd, String>) {
        let mut seen = self.lock();
        seen.readers = None;
        seen.detailed.clear();
        drop(seen);
        self.over.send_replace(Some(end.map(|_| ())));
    }

    /// Waits until the run is over; why it broke, if it did.
    pub(super) async fn broken(&self) -> Option<String> {
        let mut over = self.over.subscribe();
        match over.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().and_then(Result::err),
            // The sender is ours.
            Err(_) => None,
        }
    }

    fn see(&self, events: &[Event]) {
        let mut seen = self.lock();
        for event in events {
            match &event.kind {
                EventKind::AllocationCreated { .. } => self.prepared.cancel(),
                EventKind::BudgetRaised { budget } => seen.budget = seen.budget.raised_to(*budget),
                EventKind::Stopping { why } => seen.stopping = Some(*why),
                EventKind::Waiting { explanation } => seen.explanation = Some(explanation.clone()),
                _ => {}
            }
        }
        let Some(readers) = seen.readers.as_mut().filter(|readers| !readers.is_empty()) else {
            return;
        };
        pass_on(readers, events.to_vec());
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Nothing is done under the lock that could leave it half done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives events to each reader that still reads; one that is too far behind misses them.
fn pass_on(readers: &mut Vec<Reader>, events: Vec<Event>) {
    let events = Arc::new(events);
    readers.retain(|reader| match reader.sender.try_send(Arc::clone(&events)) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Full(_)) => {
            reader.missed.fetch_add(events.len() as u64, Ordering::Relaxed);
            true
        }
        Err(mpsc::error::TrySendError::Closed(_)) => false,
    });
}

impl Witness for Watch {
    fn wants_details(&self) -> bool {
        self.wants_details.load(Ordering::Relaxed)
    }

    fn tell(&self, detail: EventKind) {
        let at = self.clock.now();
        let mut seen = self.lock();
        pass_on(&mut seen.detailed, vec![Event { at, kind: detail }]);
        self.wants_details.store(!seen.detailed.is_empty(), Ordering::Relaxed);
    }
}

impl Journal for Watch {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            if let Some(journal) = &self.journal {
                journal.commit(events).await?;
            }
            self.see(events);
            Ok(())
        })
    }
}
