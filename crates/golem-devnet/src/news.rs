//! The events of providers, as they see them themselves: one stream for whoever watches a devnet.
//!
//! Providers tell a [`NewsDesk`]; each [`News`] taken from it hears what is told from then on. It is the same at the
//! emulated daemon and at a real one, since only providers tell. Nobody waits for a reader: one that is too slow
//! misses items and learns how many. What to make of it, lines or tables, is left to the reader.

mod bills;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use yagna_api::market::{Reason, Terminator};
use yagna_api::{
    ActivityId, AgreementId, Clock, DebitNoteId, Glm, InvoiceId, NodeId, OfferId, ProposalId, Timestamp,
};

pub(crate) use self::bills::OpenBills;

/// So many items may wait for a reader.
const CAPACITY: usize = 4096;

/// The desk at which providers report their events. Clones are the same desk.
///
/// # Example
/// ```
/// use golem_devnet::devnet::Devnet;
/// use golem_devnet::news::{Heard, HappeningKind, NewsDesk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let desk = NewsDesk::new();
/// let mut news = desk.subscribe();
/// let devnet = Devnet::builder().providers(1).news(desk).start().await?;
/// match news.next().await {
///     Some(Heard::Happening(first)) => assert!(matches!(first.kind, HappeningKind::OfferPublished { .. })),
///     heard => panic!("{heard:?}"),
/// }
/// devnet.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct NewsDesk {
    sender: broadcast::Sender<Arc<Happening>>,
    commands: bool,
}

/// One reader's news, from the moment it subscribed.
#[derive(Debug)]
pub struct News(broadcast::Receiver<Arc<Happening>>);

/// The items that a reader gets.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Something happened.
    Happening(Arc<Happening>),
    /// So many items were lost to this reader, since it was too slow.
    Missed(u64),
}

/// Something that happened to a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// The time of the event, by the network's clock.
    pub at: Timestamp,
    /// The provider's display name.
    pub provider: Arc<str>,
    /// Its node.
    pub node: NodeId,
    /// The event itself.
    pub kind: HappeningKind,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum HappeningKind {
    /// Its offer is on the market: at its start, and whenever the last one has run out.
    OfferPublished { offer: OfferId },
    /// It refused a requestor's proposal.
    ProposalRefused {
        proposal: ProposalId,
        requestor: NodeId,
        /// The reason that it gave.
        reason: Reason,
    },
    /// A requestor refused its proposal.
    ProposalRejected {
        proposal: ProposalId,
        /// The reason that the requestor gave.
        reason: Option<Reason>,
    },
    /// A requestor proposes an agreement.
    AgreementProposed { agreement: AgreementId, requestor: NodeId },
    /// It leaves a proposed agreement without an answer.
    AgreementIgnored { agreement: AgreementId },
    /// It approved an agreement.
    AgreementApproved { agreement: AgreementId },
    /// It refused an agreement.
    AgreementRefused {
        agreement: AgreementId,
        /// The reason that it gave.
        reason: Reason,
    },
    /// An agreement came to nothing before it was approved: its requestor took it back, or its time was over.
    AgreementLost {
        agreement: AgreementId,
        /// The reason, in the words of the requestor or the daemon.
        reason: Option<String>,
    },
    /// An agreement in force has ended.
    AgreementEnded {
        agreement: AgreementId,
        /// The party that ended it.
        by: Terminator,
        /// The reason that this party gave.
        reason: Option<Reason>,
    },
    /// An activity exists, and its exe-unit waits for commands.
    ActivityCreated { agreement: AgreementId, activity: ActivityId },
    /// It refused an activity.
    ActivityRefused { agreement: AgreementId, activity: ActivityId, reason: String },
    /// A command of an activity began; told to a desk with commands.
    CommandStarted { activity: ActivityId, command: CommandName },
    /// A command of an activity has ended; of other commands than `deploy` told to a desk with commands only.
    CommandEnded {
        activity: ActivityId,
        command: CommandName,
        /// The time that it took.
        took: Duration,
        /// Its exit code, or why it has none.
        result: Result<i32, String>,
    },
    /// An activity is over.
    ActivityEnded {
        agreement: AgreementId,
        activity: ActivityId,
        /// The way in which it ended.
        how: ActivityEnd,
        /// The number of programs that it ran.
        commands: u64,
    },
    /// Something happened to a bill of its own.
    Bill {
        /// The agreement it is for.
        agreement: AgreementId,
        bill: BillId,
        /// Its amount; of a debit note all that its activity owes so far.
        amount: Glm,
        /// The outcome for the bill.
        fate: BillFate,
    },
    /// It is gone, and all that ran with it.
    Vanished,
    /// Its agent is gone. What runs there goes on.
    AgentDied,
}

/// A command, as far as a runtime carries it out: transfers aren't among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandName {
    /// Makes the machine.
    Deploy,
    /// Boots it, with these arguments.
    Start(Arc<[String]>),
    /// Runs a program: the program and its arguments.
    Run(Arc<[String]>),
}

/// The ways in which an activity ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityEnd {
    /// Its requestor destroyed it.
    Destroyed,
    /// Its exe-unit died.
    Died,
    /// Its agreement ended.
    AgreementOver,
}

/// A bill.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BillId {
    /// For an activity, while its agreement is in force.
    DebitNote(DebitNoteId, ActivityId),
    /// For an agreement, at its end.
    Invoice(InvoiceId),
}

/// The possible outcomes of a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillFate {
    /// The requestor's daemon has it.
    Sent,
    /// The requestor promised to pay it.
    Accepted,
    /// The requestor refused it, for this reason.
    Rejected(String),
    /// It is paid.
    Paid,
}

impl NewsDesk {
    /// A desk that nobody has told anything yet. It wants to know of everything but single commands.
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(CAPACITY), commands: false }
    }

    /// One that wants to know of every command, too; there may be thousands in a second.
    pub fn with_commands() -> Self {
        Self { commands: true, ..Self::new() }
    }

    /// Hears what is told from now on.
    pub fn subscribe(&self) -> News {
        News(self.sender.subscribe())
    }
}

impl Default for NewsDesk {
    fn default() -> Self {
        Self::new()
    }
}

impl News {
    /// Waits for the next item; `None` when nobody is left to tell any. Cancel safe.
    pub async fn next(&mut self) -> Option<Heard> {
        heard(self.0.recv().await)
    }

    /// Waits for the next event in a thread of its own.
    ///
    /// # Panics
    /// Within an asynchronous task.
    pub fn blocking_next(&mut self) -> Option<Heard> {
        heard(self.0.blocking_recv())
    }
}

fn heard(received: Result<Arc<Happening>, RecvError>) -> Option<Heard> {
    match received {
        Ok(happening) => Some(Heard::Happening(happening)),
        Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
        Err(RecvError::Closed) => None,
    }
}

/// One provider's way to the desk.
#[derive(Clone)]
pub(crate) struct Reporter {
    desk: NewsDesk,
    clock: Arc<dyn Clock>,
    provider: Arc<str>,
    node: NodeId,
}

impl Reporter {
    pub(crate) fn new(desk: NewsDesk, clock: Arc<dyn Clock>, provider: &str, node: NodeId) -> Self {
        Self { desk, clock, provider: Arc::from(provider), node }
    }

    /// True if the desk wants to learn of single commands.
    pub(crate) fn wants_commands(&self) -> bool {
        self.desk.commands
    }

    /// Tells the desk, if anybody listens; only then is the item made.
    pub(crate) fn tell(&self, kind: impl FnOnce() -> HappeningKind) {
        if self.desk.sender.receiver_count() == 0 {
            return;
        }
        let happening = Happening {
            at: self.clock.now(),
            provider: Arc::clone(&self.provider),
            node: self.node.clone(),
            kind: kind(),
        };
        // The last reader may have gone meanwhile.
        drop(self.desk.sender.send(Arc::new(happening)));
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("provider", &self.provider).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DevnetClock;

    fn reporter(desk: &NewsDesk) -> Reporter {
        let node = "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
        Reporter::new(desk.clone(), Arc::new(DevnetClock::real()), "ada", node)
    }

    #[tokio::test]
    async fn a_slow_reader_learns_how_much_it_missed_and_hears_the_rest() {
        let desk = NewsDesk::new();
        let (mut slow, ada) = (desk.subscribe(), reporter(&desk));
        for number in 0..CAPACITY + 5 {
            ada.tell(|| HappeningKind::OfferPublished { offer: OfferId::new(number.to_string()) });
        }
        assert!(matches!(slow.next().await, Some(Heard::Missed(5))));
        let Some(Heard::Happening(next)) = slow.next().await else { panic!("the rest is there") };
        assert_eq!(next.kind, HappeningKind::OfferPublished { offer: OfferId::new("5") });
    }

    #[tokio::test]
    async fn nothing_is_made_for_nobody_and_the_end_is_told() {
        let desk = NewsDesk::new();
        let ada = reporter(&desk);
        ada.tell(|| panic!("nobody listens"));
        let mut news = desk.subscribe();
        ada.tell(|| HappeningKind::Vanished);
        drop((desk, ada));
        assert!(matches!(news.next().await, Some(Heard::Happening(_))));
        assert!(news.next().await.is_none());
    }
}
