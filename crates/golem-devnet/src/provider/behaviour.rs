//! The ways in which a provider can stray from what an honest one does, for tests of those who buy from it.

use std::time::Duration;

use yagna_api::market::Reason;

/// The behaviour of a provider. The default is honest; faults can be combined and changed while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// The way in which it answers a proposed agreement.
    pub approval: ApprovalManner,
    /// The moment when it vanishes: its exe-units are gone and it answers nothing any more; or its agent alone is.
    pub vanishes: Option<Vanishing>,
    /// The time after which it comes back once it has vanished, with a new offer and no memory; never without this.
    pub returns_after: Option<Duration>,
    /// Every `run` command ends with this exit code at once.
    pub fails_commands: Option<i32>,
    /// A `run` command whose program or arguments hold this text costs the activity its machine; the provider itself stays.
    pub loses_machine_on: Option<String>,
    /// One of so many `run` commands loses the end of its standard output and succeeds all the same, as Golem's own runtime does
    /// now and then. 1 is each of them.
    pub cuts_output: Option<u64>,
    /// Every `deploy` fails.
    pub fails_deploy: bool,
    /// The factor by which every command is slower; 1 is the runtime's own speed.
    pub slowdown: f64,
    /// So many bytes a second of its commands' output travel to the requestor; at once unless this says so. Activities that
    /// are created later have it.
    pub bandwidth: Option<u64>,
    /// The factor by which its bills are too high; 1 is honest.
    pub bill_factor: f64,
    /// Its debit notes report the same usage for ever, while the amounts grow.
    pub frozen_usage: bool,
    /// The way in which it sends the invoice.
    pub invoicing: InvoiceManner,
    /// It ends every agreement after this long, with this reason.
    pub terminates: Option<(Duration, Reason)>,
    /// It sends debit notes this often, whatever was agreed.
    pub debit_notes_every: Option<Duration>,
    /// The flaw of its offer. Takes effect with the next offer it publishes.
    pub offer_flaw: Option<OfferFlaw>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            approval: ApprovalManner::default(),
            vanishes: None,
            returns_after: None,
            fails_commands: None,
            loses_machine_on: None,
            cuts_output: None,
            fails_deploy: false,
            slowdown: 1.0,
            bandwidth: None,
            bill_factor: 1.0,
            frozen_usage: false,
            invoicing: InvoiceManner::default(),
            terminates: None,
            debit_notes_every: None,
            offer_flaw: None,
        }
    }
}

/// The ways in which a provider answers a proposed agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApprovalManner {
    /// It approves what its rules allow.
    #[default]
    AtOnce,
    /// It approves, after a while.
    After(Duration),
    /// It never answers.
    Never,
    /// It always refuses.
    Rejects,
}

/// The moments at which a provider vanishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vanishing {
    /// It vanishes when it is asked to run a command after this many.
    AfterCommands(u64),
    /// This long after it started.
    After(Duration),
    /// Its agent alone is gone this long after it started: its exe-units work on and its offer stays on the market, but
    /// nobody answers, makes or ends activities, or sends bills.
    AgentAfter(Duration),
}

/// The ways in which a provider sends the invoice of an ended agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvoiceManner {
    /// Once, at the end.
    #[default]
    Once,
    /// Not at all.
    Never,
    /// Twice.
    Twice,
    /// Once, this long after the end.
    After(Duration),
}

/// The flaws of a provider's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferFlaw {
    /// The prices are strings.
    PricesAsText,
    /// One price is `"NaN"`.
    PriceNotANumber,
    /// One price is `null`.
    PriceNull,
    /// One price is below zero.
    PriceNegative,
    /// There are fewer prices than usage counters.
    TooFewPrices,
    /// There are no prices at all.
    NoPrices,
    /// The prices are whole numbers. Allowed by the contract, but some clients stumble over it.
    WholePrices,
    /// There is no usage vector.
    NoUsageVector,
    /// There is no pricing model.
    NoPricingModel,
    /// The memory is a string.
    MemoryAsText,
    /// The name is a number.
    NameAsNumber,
}
