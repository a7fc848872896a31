//! One run at its desk: offers come in by hand, and what it makes of them is looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use yagna_api::market::{
    Agreement, AgreementDemand, AgreementOffer, AgreementState, NewDemand, Proposal, ProposalState, Reason,
};
use yagna_api::payment::{BillStatus, DebitNote, Decoration};
use yagna_api::properties::name;
use yagna_api::time::after;
use yagna_api::{
    ActivityId, AgreementId, DebitNoteId, DemandId, Glm, NodeId, OfferId, Properties, ProposalId, Timestamp,
};

use crate::caps::PriceCaps;
use crate::event::{ActivityNo, EventKind, JobId, RentalId};
use crate::payload::Payload;
use crate::run::{Effect, Input, JobSpec, Run, RunConfig, Step, WorkerFailure};
use crate::strategy::{LeastExpensive, ProviderList, Score, Strategy, from_fn};
use crate::terms::{MidAgreementPayments, TermsPolicy};

mod budgets;
mod pace;
mod packs;
mod prices;
pub(super) mod remembered;
mod settling;

const PLATFORM: &str = "erc20-hoodi-tglm";

/// A run with three tasks and a demand on the market.
struct Desk {
    run: Run,
    now: Timestamp,
    demand: DemandId,
    expires: Timestamp,
    n: u64,
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn node(n: u8) -> NodeId {
    format!("0x{n:040x}").parse().unwrap()
}

fn properties(n: u8, per_hour: f64) -> Properties {
    Properties::new()
        .with(name::NODE_NAME, format!("provider-{n}"))
        .with(name::PRICING_MODEL, "linear")
        .with(name::PRICING_COEFFICIENTS, json!([per_hour / 3600.0, 0, 0]))
        .with(name::USAGE_VECTOR, json!([name::USAGE_DURATION, name::USAGE_CPU]))
        .with(name::PAYMENT_SCHEME, "payu")
        .with(name::CPU_THREADS, 1)
        .with(name::ACCEPT_TIMEOUT, 240)
        .with(name::MULTI_ACTIVITY, true)
        .with(name::platform_address(PLATFORM), "0x2")
}

impl Desk {
    fn new(strategy: impl Strategy + 'static) -> Self {
        Self::configured(|config| config.strategy = Arc::new(strategy))
    }

    fn configured(change: impl FnOnce(&mut RunConfig)) -> Self {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let mut config = RunConfig::new(Payload::default(), PLATFORM);
        change(&mut config);
        let decoration = Decoration { properties: Properties::new(), constraints: Vec::new() };
        let run = Run::new(config, decoration, now);
        let mut desk = Self { run, now, demand: DemandId::new("none"), expires: now, n: 0 };
        desk.give(Input::JobAdded { job: JobId::FIRST, spec: JobSpec::default() });
        let data = (0..3).map(|n| json!(n)).collect();
        let step = desk.give(Input::Tasks { job: JobId::FIRST, data, exhausted: true, mark: None });
        assert!(desk.publish(&step), "a run with tasks publishes its demand");
        desk
    }

    fn give(&mut self, input: Input) -> Step {
        self.run.on(self.now, input)
    }

    fn wait(&mut self, seconds: u64) -> Step {
        self.now = after(self.now, secs(seconds));
        self.give(Input::Tick)
    }

    /// Publishes what a step wants published.
    fn publish(&mut self, step: &Step) -> bool {
        let wanted = step.effects.iter().find_map(|effect| match effect {
            Effect::Publish { expires, .. } => Some(*expires),
            _ => None,
        });
        let Some(expires) = wanted else { return false };
        self.n += 1;
        self.demand = DemandId::new(format!("d{}", self.n));
        self.expires = expires;
        self.give(Input::Published { demand: self.demand.clone(), expires });
        true
    }

    fn proposal(
        &mut self,
        n: u8,
        state: ProposalState,
        properties: Properties,
        answers: Option<&str>,
    ) -> Step {
        self.n += 1;
        let proposal = Proposal {
            proposal_id: ProposalId::new(format!("p{}", self.n)),
            issuer_id: node(n),
            state,
            properties,
            constraints: "()".into(),
            timestamp: self.now,
            prev_proposal_id: answers.map(ProposalId::new),
        };
        self.give(Input::Proposal { demand: self.demand.clone(), proposal: Box::new(proposal) })
    }

    fn draft(&mut self, n: u8, per_hour: f64) -> Step {
        self.proposal(n, ProposalState::Draft, properties(n, per_hour), None)
    }

    /// An offer, our counter-proposal, and the id that it gets.
    fn negotiate(&mut self, n: u8, offer: Properties, ours: &str) -> NewDemand {
        let step = self.proposal(n, ProposalState::Initial, offer, None);
        let (proposal, terms) = countered(&step).expect("the offer is answered");
        self.give(Input::Countered { proposal, ours: ProposalId::new(ours) });
        terms
    }
}

fn countered(step: &Step) -> Option<(ProposalId, NewDemand)> {
    step.effects.iter().find_map(|effect| match effect {
        Effect::Counter { proposal, terms, .. } => Some((proposal.clone(), (**terms).clone())),
        _ => None,
    })
}

/// Those with whom an agreement is begun.
fn signed(step: &Step) -> Vec<NodeId> {
    let intended = step.events.iter().filter_map(|event| match &event.kind {
        EventKind::AgreementIntended { provider, .. } => Some(provider.id.clone()),
        _ => None,
    });
    intended.collect()
}

/// The reasons of refusals, that of the event and that for the provider.
fn refused(step: &Step) -> Option<(String, String)> {
    let told = step.events.iter().find_map(|event| match &event.kind {
        EventKind::OfferRefused { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let sent = step.effects.iter().find_map(|effect| match effect {
        Effect::RefuseProposal { reason, .. } => Some(reason.message.clone()),
        _ => None,
    });
    told.zip(sent)
}

fn one_worker(config: &mut RunConfig) {
    config.workers = 1;
}

#[test]
fn of_one_providers_drafts_the_better_stands_in_whatever_order_they_come() {
    for prices in [[0.1, 0.3], [0.3, 0.1]] {
        let mut desk = Desk::configured(one_worker);
        for price in prices {
            desk.draft(1, price);
        }
        desk.draft(2, 0.2);
        assert_eq!(signed(&desk.wait(2)), [node(1)], "{prices:?}");
    }
}

#[test]
fn of_two_equals_the_earlier_is_taken() {
    for order in [[1, 2], [2, 1]] {
        let mut desk = Desk::configured(one_worker);
        for n in order {
            desk.draft(n, 0.1);
            desk.now = after(desk.now, Duration::from_millis(10));
        }
        assert_eq!(signed(&desk.wait(2)), [node(order[0])]);
    }
}

#[test]
fn the_selection_window_lets_a_cheaper_one_come_later() {
    let mut desk = Desk::configured(|config| {
        one_worker(config);
        config.selection_window = secs(5);
    });
    desk.draft(1, 0.5);
    assert!(signed(&desk.wait(4)).is_empty());
    desk.draft(2, 0.1);
    assert_eq!(signed(&desk.wait(1)), [node(2)]);
}

#[test]
fn a_draft_that_isnt_wanted_any_more_is_refused_when_it_is_chosen() {
    let wanted = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&wanted);
    let strategy = LeastExpensive::usual().refuse_if("it is not wanted any more", move |candidate| {
        *candidate.id() == node(1) && !asked.load(Ordering::Relaxed)
    });
    let mut desk = Desk::new(strategy);
    for n in [1, 2] {
        let step = desk.draft(n, 0.1 * f64::from(n));
        assert!(step.events.iter().any(|event| matches!(event.kind, EventKind::TermsAgreed { .. })));
    }
    wanted.store(false, Ordering::Relaxed);
    let step = desk.wait(2);
    assert_eq!(signed(&step), [node(2)]);
    let words = "it is not wanted any more".to_owned();
    assert_eq!(refused(&step), Some((words.clone(), words)));
    assert_eq!(desk.run.explain(desk.now).refused_by_us["it is not wanted any more"], 1);
    assert_eq!(refused(&desk.wait(1)), None, "once is enough");
}

#[test]
fn an_offer_on_a_list_is_refused_when_it_comes() {
    let list = ProviderList::from(["provider-1"]);
    let mut desk = Desk::new(LeastExpensive::usual().except(&list));
    let step = desk.proposal(1, ProposalState::Initial, properties(1, 0.1), None);
    assert!(countered(&step).is_none());
    assert_eq!(refused(&step).unwrap().1, "it is on the list of blocked providers");
    list.remove("provider-1");
    let step = desk.proposal(1, ProposalState::Initial, properties(1, 0.1), None);
    assert!(countered(&step).is_some());
}

#[test]
fn a_strategy_that_panics_fails_only_the_offer() {
    let strategy = LeastExpensive::usual().filter(|candidate| {
        assert!(*candidate.id() != node(1), "a mistake in somebody's strategy");
        true
    });
    let mut desk = Desk::new(strategy);
    let step = desk.draft(1, 0.1);
    assert_eq!(refused(&step).unwrap().0, "the strategy panicked");
    desk.draft(2, 0.2);
    assert_eq!(signed(&desk.wait(2)), [node(2)]);
}

#[test]
fn a_strategy_is_told_what_the_run_knows() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let mut desk = Desk::configured(|config| {
        one_worker(config);
        config.strategy = Arc::new(from_fn(move |candidate| {
            notes.lock().unwrap().push((candidate.name().to_owned(), candidate.record, candidate.now));
            Ok(Score::NEUTRAL)
        }));
    });
    desk.draft(1, 0.1);
    assert_eq!(signed(&desk.wait(2)), [node(1)]);
    desk.give(Input::NotApproved { rental: RentalId(1), reason: "no".into(), open: false });
    seen.lock().unwrap().clear();
    desk.draft(1, 0.1);
    let (name, record, now) = seen.lock().unwrap()[0].clone();
    assert_eq!((name.as_str(), now), ("provider-1", desk.now));
    assert_eq!((record.not_approved, record.not_approved_in_a_row, record.failures), (1, 1, 0));
    assert_eq!(signed(&desk.wait(31)), [node(1)]);
    let rental = RentalId(2);
    desk.give(Input::AgreementCreated { rental, agreement: AgreementId::new("a") });
    let agreed = agreement(properties(99, 0.0), properties(1, 0.1), desk.now);
    desk.give(Input::Approved { rental, agreement: Box::new(agreed) });
    desk.give(Input::WorkerEnded { rental, no: ActivityNo(1), failure: Some(WorkerFailure::lost("lost")) });
    let record = desk.run.live.providers.records.of(&node(1));
    assert_eq!((record.approved, record.not_approved, record.not_approved_in_a_row), (1, 1, 0));
    assert_eq!((record.failures, record.failures_in_a_row, record.tasks_done), (1, 1, 0));
}

#[test]
fn with_caution_one_that_failed_comes_after_one_that_is_a_little_dearer() {
    let cheapest = || LeastExpensive::new(PriceCaps::none());
    let strategies: [(Arc<dyn Strategy>, u8); 2] =
        [(Arc::new(cheapest().cautious()), 2), (Arc::new(cheapest()), 1)];
    for (strategy, expected) in strategies {
        let mut desk = Desk::configured(|config| {
            one_worker(config);
            config.strategy = strategy;
        });
        desk.draft(1, 0.1);
        assert_eq!(signed(&desk.wait(2)), [node(1)]);
        desk.give(Input::NotApproved { rental: RentalId(1), reason: "no answer".into(), open: false });
        desk.now = after(desk.now, secs(31));
        assert_eq!(signed(&desk.draft(3, 0.1)), [node(3)]);
        for (n, per_hour) in [(1, 0.1), (2, 0.15)] {
            assert!(signed(&desk.draft(n, per_hour)).is_empty(), "the only place is taken");
        }
        let step =
            desk.give(Input::NotApproved { rental: RentalId(2), reason: "no answer".into(), open: false });
        assert_eq!(signed(&step), [node(expected)]);
    }
}

#[test]
fn a_draft_is_held_against_what_we_asked_for() {
    for (accept, is_refused) in [(240, false), (300, false), (239, true), (30, true)] {
        let mut desk = Desk::configured(one_worker);
        let terms = desk.negotiate(1, properties(1, 0.1), "ours");
        assert_eq!(terms.properties.get(name::ACCEPT_TIMEOUT), Some(&json!(240)));
        let draft = properties(1, 0.1).with(name::ACCEPT_TIMEOUT, accept);
        let step = desk.proposal(1, ProposalState::Draft, draft, Some("ours"));
        assert_eq!(refused(&step).is_some(), is_refused, "{accept}: {step:?}");
    }
    // Payments on the way that we left out.
    let mut desk = Desk::configured(one_worker);
    let offer = properties(1, 0.1).with(name::PAYMENT_TIMEOUT, 120);
    let terms = desk.negotiate(1, offer.clone(), "ours");
    assert_eq!(terms.properties.get(name::PAYMENT_TIMEOUT), None);
    let step = desk.proposal(1, ProposalState::Draft, offer, Some("ours"));
    assert!(refused(&step).unwrap().0.contains("payment-timeout-sec"), "{step:?}");
}

#[test]
fn a_draft_that_follows_a_refusal_is_held_against_the_same_terms() {
    let mut desk = Desk::configured(one_worker);
    desk.negotiate(1, properties(1, 0.1), "ours");
    let reason = Some(Reason::new("No capacity available"));
    desk.give(Input::Rejected { ours: ProposalId::new("ours"), reason });
    let short = properties(1, 0.1).with(name::ACCEPT_TIMEOUT, 60);
    let step = desk.proposal(1, ProposalState::Draft, short, Some("ours"));
    assert!(refused(&step).is_some());
    let step = desk.proposal(1, ProposalState::Draft, properties(1, 0.1), Some("ours"));
    assert!(step.events.iter().any(|event| matches!(event.kind, EventKind::TermsAgreed { .. })));
}

#[test]
fn an_expired_or_forgotten_demand_is_published_anew_with_a_new_expiration() {
    let mut desk = Desk::configured(|config| config.idle_timeout = secs(100_000));
    let first = desk.expires;
    assert_eq!(first, after(desk.now, secs(3600)));
    // Forgotten: the daemon was started anew.
    desk.now = after(desk.now, secs(30));
    let step = desk.give(Input::DemandLost { demand: desk.demand.clone() });
    assert!(desk.publish(&step));
    assert_eq!(desk.expires, after(desk.now, secs(3600)));
    // Old: with all places taken nobody looked after it for an hour and a half.
    desk.draft(1, 0.1);
    desk.now = after(desk.now, secs(5400));
    let step = desk.give(Input::Tick);
    assert_eq!(signed(&step), [], "an agreement that is over before it begins");
    assert!(desk.publish(&step));
    assert_eq!(desk.expires, after(desk.now, secs(3600)));
    assert_eq!(signed(&desk.draft(1, 0.1)), [node(1)]);
}

#[test]
fn no_agreement_is_made_that_is_too_short_for_providers() {
    for expiration in [600, 3600, 86_400] {
        let mut desk = Desk::configured(|config| {
            config.expiration = secs(expiration);
            config.idle_timeout = secs(1_000_000);
        });
        let (mut renewed, mut signings) = (0, 0);
        for second in 0..5000u64 {
            let step = desk.wait(1);
            renewed += u64::from(desk.publish(&step));
            let step = if second % 100 == 50 { desk.draft(1, 0.1) } else { step };
            for _ in signed(&step) {
                signings += 1;
                let left = desk.expires.duration_since(desk.now).as_secs();
                assert!(left >= 5 * 60, "{left} s are left of {expiration}");
                let rental = RentalId(desk.run.books.state.next_rental - 1);
                desk.give(Input::NotApproved { rental, reason: "busy".into(), open: false });
            }
        }
        assert!(renewed > 0 && signings > 0, "{renewed} {signings}");
    }
}

fn agreement(demand: Properties, offer: Properties, now: Timestamp) -> Agreement {
    Agreement {
        agreement_id: AgreementId::new("a"),
        demand: AgreementDemand {
            properties: demand,
            constraints: "()".into(),
            demand_id: DemandId::new("d"),
            requestor_id: node(99),
            timestamp: now,
        },
        offer: AgreementOffer {
            properties: offer,
            constraints: "()".into(),
            offer_id: OfferId::new("o"),
            provider_id: node(1),
            timestamp: now,
        },
        valid_to: after(now, secs(120)),
        approved_date: Some(now),
        state: AgreementState::Approved,
        timestamp: now,
        app_session_id: None,
        proposed_signature: None,
        approved_signature: None,
        committed_signature: None,
    }
}

/// A desk with an activity in a day's agreement, and its terms.
fn at_work(policy: MidAgreementPayments) -> (Desk, NewDemand) {
    let mut desk = Desk::configured(|config| {
        one_worker(config);
        config.expiration = secs(86_400);
        config.terms.mid_agreement_payments = policy;
    });
    let offer = properties(1, 0.036).with(name::DEBIT_NOTE_INTERVAL, 120).with(name::PAYMENT_TIMEOUT, 120);
    let terms = desk.negotiate(1, offer.clone(), "ours");
    let mut draft = offer;
    for term in [name::DEBIT_NOTE_INTERVAL, name::PAYMENT_TIMEOUT] {
        match terms.properties.get(term) {
            Some(value) => draft.set(term, value.clone()),
            None => drop(draft.remove(term)),
        }
    }
    desk.proposal(1, ProposalState::Draft, draft.clone(), Some("ours"));
    assert_eq!(signed(&desk.wait(2)), [node(1)]);
    let rental = RentalId(1);
    desk.give(Input::AgreementCreated { rental, agreement: AgreementId::new("a") });
    let agreement = agreement(terms.properties.clone(), draft, desk.now);
    desk.give(Input::Approved { rental, agreement: Box::new(agreement) });
    let no = ActivityNo(1);
    desk.give(Input::ActivityCreated { rental, no, activity: ActivityId::new("act") });
    desk.give(Input::WorkerReady { rental, no, room: 1 });
    (desk, terms)
}

impl Desk {
    /// A debit note for the time since the desk began to work.
    fn note(&mut self, seconds: u64, due_in: Option<Duration>) -> Step {
        self.n += 1;
        let used = serde_json::Number::from(seconds);
        let note = DebitNote {
            debit_note_id: DebitNoteId::new(format!("n{}", self.n)),
            issuer_id: node(1),
            recipient_id: node(99),
            payee_addr: "0x2".into(),
            payer_addr: "0x1".into(),
            payment_platform: PLATFORM.into(),
            timestamp: self.now,
            agreement_id: AgreementId::new("a"),
            activity_id: ActivityId::new("act"),
            previous_debit_note_id: None,
            total_amount_due: Glm::from_decimal(rust_decimal::Decimal::new(
                i64::try_from(seconds).unwrap(),
                5,
            ))
            .unwrap(),
            usage_counter_vector: Some(json!([used, 0])),
            payment_due_date: due_in.map(|due| after(self.now, due)),
            status: BillStatus::Received,
        };
        self.give(Input::DebitNote { note: Box::new(note), told: None })
    }

    /// The same, accepted by the daemon where it is asked to.
    fn settled_note(&mut self, seconds: u64, due_in: Option<Duration>) -> Step {
        let step = self.note(seconds, due_in);
        for effect in &step.effects {
            if let Effect::AcceptBill { bill, .. } = effect {
                self.give(Input::BillAccepted { bill: bill.clone() });
            }
        }
        step
    }
}

fn is_accepted(step: &Step) -> bool {
    step.effects.iter().any(|effect| matches!(effect, Effect::AcceptBill { .. }))
}

fn ended_with(step: &Step) -> Option<(String, String)> {
    let refused = step.events.iter().find_map(|event| match &event.kind {
        EventKind::BillRefused { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let code = step.effects.iter().find_map(|effect| match effect {
        Effect::Close { reason, .. } => Some(reason.extra["golem.requestor.code"].as_str()?.to_owned()),
        _ => None,
    });
    refused.zip(code)
}

#[test]
fn long_agreements_are_paid_on_the_way_and_payable_notes_accepted() {
    let (mut desk, terms) = at_work(MidAgreementPayments::Auto);
    assert_eq!(terms.properties.get(name::DEBIT_NOTE_INTERVAL), Some(&json!(120)));
    assert_eq!(terms.properties.get(name::PAYMENT_TIMEOUT), Some(&json!(18_000)));
    for minute in 1..=600 {
        desk.now = after(desk.now, secs(120));
        let due = (minute % 150 == 0).then_some(TermsPolicy::LONG);
        let step = desk.settled_note(minute * 120, due);
        assert!(is_accepted(&step), "{minute}: {:?}", ended_with(&step));
    }
    let step = desk.settled_note(600 * 120, Some(secs(60)));
    let (reason, code) = ended_with(&step).unwrap();
    assert!(reason.contains("agreed was not before"), "{reason}");
    assert_eq!(code, "PaymentNotAgreed");
}

#[test]
fn a_payable_note_where_all_is_paid_at_the_end_is_refused_with_its_reason() {
    let (mut desk, terms) = at_work(MidAgreementPayments::Never);
    assert_eq!(terms.properties.get(name::PAYMENT_TIMEOUT), None);
    desk.now = after(desk.now, secs(120));
    assert!(is_accepted(&desk.settled_note(100, None)));
    let step = desk.settled_note(120, Some(TermsPolicy::LONG));
    let (reason, code) = ended_with(&step).unwrap();
    assert_eq!(reason, "is to be paid before the agreement ends, which was not agreed");
    assert_eq!(code, "PaymentNotAgreed");
}

#[test]
fn too_many_debit_notes_end_the_agreement() {
    let (mut desk, _) = at_work(MidAgreementPayments::Always);
    desk.now = after(desk.now, secs(60));
    let mut accepted = 0;
    let end = loop {
        let step = desk.settled_note(50, None);
        if let Some(end) = ended_with(&step) {
            break end;
        }
        accepted += 1;
        assert!(is_accepted(&step) && accepted < 10);
    };
    assert_eq!(accepted, 2, "one, and the last one out of turn");
    assert_eq!(
        end,
        ("is number 3 in 60 s, more often than agreed".to_owned(), "TooManyDebitNotes".to_owned())
    );
}

#[test]
fn too_many_payable_debit_notes_end_the_agreement() {
    let (mut desk, _) = at_work(MidAgreementPayments::Always);
    let mut end = None;
    for n in 1..=3u64 {
        desk.now = after(desk.now, secs(1000));
        end = ended_with(&desk.settled_note(n * 1000, Some(TermsPolicy::LONG)));
        assert_eq!(end.is_some(), n == 3);
    }
    assert_eq!(end.unwrap().1, "TooManyPayableDebitNotes");
}

#[test]
fn an_executors_usual_caps_are_real() {
    let mut desk = Desk::configured(one_worker);
    let step = desk.proposal(1, ProposalState::Initial, properties(1, 5.1), None);
    assert_eq!(refused(&step).unwrap().0, "5.1 GLM an hour is above the cap of 5");
    let told = desk.run.explain(desk.now).to_string();
    assert!(told.contains("above the cap of 5 GLM an hour") && told.contains("5.1 GLM an hour"), "{told}");
    let uncapped = Arc::new(LeastExpensive::new(PriceCaps::none()));
    let mut desk = Desk::configured(|config| config.strategy = uncapped);
    assert!(countered(&desk.proposal(1, ProposalState::Initial, properties(1, 5.1), None)).is_some());
}
