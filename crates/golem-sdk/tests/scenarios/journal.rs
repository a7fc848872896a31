//! The journal: nothing that spends is sent before its intent is durable, and nothing at all once it can't be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use golem_core::event::{Bill, Event, EventKind};
use golem_devnet::devnet::Devnet;
use golem_devnet::node::Books;
use golem_devnet::provider::Behaviour;
use golem_sdk::{Journal, JournalError, MemoryJournal, RunError};
use tokio::time::sleep;
use yagna_api::payment::BillStatus;

use crate::stage::{Live, Stage, Task, honest, options, secs, strange};

/// Takes half a second to commit, and looks at the books before, meanwhile and after.
#[derive(Debug)]
struct Watching {
    kept: Arc<MemoryJournal>,
    devnet: Arc<Devnet>,
    looks: Mutex<u64>,
}

impl Watching {
    /// Everything in the books that spends must have its intent in the journal by now.
    fn look(&self) {
        let events = self.kept.events();
        let n = |is: fn(&EventKind) -> bool| events.iter().filter(|event| is(&event.kind)).count();
        let books: Books = self.devnet.books();
        let intended = [
            (books.allocations.len(), n(|kind| matches!(kind, EventKind::AllocationIntended { .. }))),
            (books.agreements.len(), n(|kind| matches!(kind, EventKind::AgreementIntended { .. }))),
            (books.activities.len(), n(|kind| matches!(kind, EventKind::ActivityIntended { .. }))),
        ];
        for (in_books, in_journal) in intended {
            assert!(in_books <= in_journal, "{in_books} in the books, {in_journal} intended: {books:#?}");
        }
        let accepting: Vec<String> = events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::BillAccepting { bill: Bill::DebitNote(id), .. } => Some(id.to_string()),
                EventKind::BillAccepting { bill: Bill::Invoice(id), .. } => Some(id.to_string()),
                _ => None,
            })
            .collect();
        for bill in books.debit_notes.iter().chain(&books.invoices) {
            if matches!(bill.status, BillStatus::Accepted | BillStatus::Settled) {
                assert!(accepting.contains(&bill.id), "{bill:?} was accepted without an intent");
            }
        }
        *self.looks.lock().unwrap() += 1;
    }
}

impl Journal for Watching {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            for _ in 0..10 {
                self.look();
                sleep(std::time::Duration::from_millis(50)).await;
            }
            self.look();
            self.kept.commit(events).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn invariant_1_nothing_that_spends_is_sent_before_its_intent_is_durable() {
    let chatty = Behaviour { debit_notes_every: Some(secs(10)), ..Behaviour::default() };
    let stage = Stage::new([strange("chatty", chatty), honest("ada"), honest("bob")]).tasks(30);
    let devnet = Arc::new(stage.devnet.start().await.unwrap());
    let kept = Arc::new(MemoryJournal::new());
    let watching = Watching { kept: Arc::clone(&kept), devnet: Arc::clone(&devnet), looks: Mutex::default() };
    let watching = Arc::new(watching);
    let task = Task { tasks: stage.tasks, worker: stage.worker, session: "run-1" };
    let settings = options(stage.config, stage.timing, "run-1");
    let live = Live::begin(devnet, task, settings, Arc::clone(&watching) as _, kept);
    let played = live.end().await;
    played.assert_all_done(30).await;
    watching.look();
    assert!(*watching.looks.lock().unwrap() > 100);
    assert!(played.count(|kind| matches!(kind, EventKind::BillAccepted { .. })) > 5);
}

/// Fails from a moment on.
#[derive(Debug)]
struct Failing {
    kept: Arc<MemoryJournal>,
    fails_at: fn(&EventKind) -> bool,
    broken: AtomicBool,
}

impl Journal for Failing {
    fn commit<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            if self.broken.load(Ordering::Relaxed) || events.iter().any(|event| (self.fails_at)(&event.kind))
            {
                assert!(!self.broken.swap(true, Ordering::Relaxed), "a broken journal is left alone");
                return Err(JournalError { place: "memory".into(), source: "the disk is full".into() });
            }
            self.kept.commit(events).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fails_stops_the_run_ends_its_rentals_and_spends_no_more() {
    let moments: [fn(&EventKind) -> bool; 8] = [
        |kind| matches!(kind, EventKind::AllocationIntended { .. }),
        |kind| matches!(kind, EventKind::AllocationCreated { .. }),
        |kind| matches!(kind, EventKind::AgreementIntended { .. }),
        |kind| matches!(kind, EventKind::AgreementApproved { .. }),
        |kind| matches!(kind, EventKind::ActivityReady { .. }),
        |kind| matches!(kind, EventKind::TaskDone { .. }),
        |kind| matches!(kind, EventKind::ActivityEnded { .. }),
        |kind| matches!(kind, EventKind::BillAccepting { .. }),
    ];
    for (place, fails_at) in moments.into_iter().enumerate() {
        let kept = Arc::new(MemoryJournal::new());
        let failing = Failing { kept: Arc::clone(&kept), fails_at, broken: AtomicBool::new(false) };
        let stage = Stage::new(["ada", "bob"].map(honest));
        let live = stage.start_with(Arc::new(failing), kept).await;
        let (result, played) = live.result().await;
        assert!(matches!(result, Err(RunError::Journal(_))), "{place}: {result:?}");
        played.assert_sound().await;
        let books = played.devnet.books();
        let intended = |is: fn(&EventKind) -> bool| played.kinds().filter(|kind| is(kind)).count();
        assert!(
            books.allocations.len() <= intended(|kind| matches!(kind, EventKind::AllocationIntended { .. }))
        );
        assert!(
            books.agreements.len() <= intended(|kind| matches!(kind, EventKind::AgreementIntended { .. }))
        );
        assert!(
            books.activities.len() <= intended(|kind| matches!(kind, EventKind::ActivityIntended { .. }))
        );
        assert!(books.invoices.iter().all(|row| row.status == BillStatus::Received), "{place}");
        assert!(played.took < secs(180), "{place}: {:?}", played.took);
    }
}
