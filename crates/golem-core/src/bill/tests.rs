//! Bills against the measure, case by case and at random.

use proptest::prelude::*;
use serde_json::{Value, json};
use yagna_api::payment::BillStatus;
use yagna_api::properties::name;
use yagna_api::{AgreementId, DebitNoteId, InvoiceId, Properties};

use super::*;
use crate::offer::tests::issuer;

fn start() -> Timestamp {
    "2026-11-21T21:00:00Z".parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    after(start(), Duration::from_secs(seconds))
}

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

fn pricing_of(counters: &Value, prices: &Value) -> Pricing {
    let offer = Properties::new()
        .with(name::PRICING_MODEL, "linear")
        .with(name::PAYMENT_SCHEME, "payu")
        .with(name::USAGE_VECTOR, counters.clone())
        .with(name::PRICING_COEFFICIENTS, prices.clone());
    Pricing::read(&offer).unwrap()
}

/// 0.001 a second, 0.002 a CPU second, 0.1 for the start.
fn pricing() -> Pricing {
    pricing_of(&json!([name::USAGE_DURATION, name::USAGE_CPU]), &json!([0.001, 0.002, 0.1]))
}

/// Two threads since [`start`].
fn meter() -> Meter {
    Meter::new(start(), 2)
}

fn note(amount: &str, usage: Value) -> DebitNote {
    DebitNote {
        debit_note_id: DebitNoteId::new("note"),
        issuer_id: issuer(),
        recipient_id: issuer(),
        payee_addr: "0x1".to_owned(),
        payer_addr: "0x2".to_owned(),
        payment_platform: "erc20-hoodi-tglm".to_owned(),
        previous_debit_note_id: None,
        timestamp: at(100),
        agreement_id: AgreementId::new("agreement"),
        activity_id: ActivityId::new("activity"),
        total_amount_due: glm(amount),
        usage_counter_vector: (!usage.is_null()).then_some(usage),
        payment_due_date: None,
        status: BillStatus::Received,
    }
}

fn invoice(amount: &str, activities: &[&str]) -> Invoice {
    Invoice {
        invoice_id: InvoiceId::new("invoice"),
        issuer_id: issuer(),
        recipient_id: issuer(),
        payee_addr: "0x1".to_owned(),
        payer_addr: "0x2".to_owned(),
        payment_platform: "erc20-hoodi-tglm".to_owned(),
        timestamp: at(100),
        agreement_id: AgreementId::new("agreement"),
        activity_ids: activities.iter().map(ActivityId::new).collect(),
        amount: glm(amount),
        payment_due_date: at(200),
        status: BillStatus::Received,
    }
}

fn check_note(note: &DebitNote, meter: &Meter) -> Result<(), BillProblem> {
    check_debit_note(note, &pricing(), meter, &AgreedTerms::default(), at(100))
}

fn problem<T: std::fmt::Debug>(answer: Result<T, BillProblem>) -> (String, String) {
    let problem = answer.unwrap_err();
    (problem.to_string(), problem.owed().to_string())
}

#[test]
fn a_debit_note_is_owed_up_to_its_usage() {
    // 100 s and 50 CPU seconds: 0.1 + 0.1 + 0.1.
    let usage = json!([100, 50.0]);
    for amount in ["0", "0.1", "0.3", "0.3000000002"] {
        assert_eq!(check_note(&note(amount, usage.clone()), &meter()), Ok(()), "{amount}");
    }
    let above = check_note(&note("0.5", usage.clone()), &meter());
    assert_eq!(above.as_ref().unwrap_err().rejection_reason(), RejectionReason::IncorrectAmount);
    assert_eq!(
        problem(above),
        ("asks for 0.5 GLM, but its usage costs 0.3 GLM".to_owned(), "0.3".to_owned())
    );
    assert!(check_note(&note("0.3000000004", usage.clone()), &meter()).is_err());
    assert_eq!(problem(check_note(&note("-0.1", usage), &meter())).0, "asks for -0.1 GLM");
}

#[test]
fn usage_must_fit_the_clock() {
    // The activity is 100 s old and has two threads: at the most 130 s and 260 CPU seconds.
    for (usage, text) in [
        (json!([130, 260]), None),
        (
            json!([130.5, 0]),
            Some("charges for 130.5 of `golem.usage.duration_sec`, but no more than 130 can have been used"),
        ),
        (
            json!([0, 261]),
            Some("charges for 261 of `golem.usage.cpu_sec`, but no more than 260 can have been used"),
        ),
        (json!([1, -1]), Some("its usage is not a list of 2 amounts")),
        (json!([1]), Some("its usage is not a list of 2 amounts")),
        (json!([1, 2, 3]), Some("its usage is not a list of 2 amounts")),
        (json!([1e300, 2]), Some("its usage is not a list of 2 amounts")),
        (json!(["1", 2]), Some("its usage is not a list of 2 amounts")),
        (json!([null, 2]), Some("its usage is not a list of 2 amounts")),
        (json!({"a": 1}), Some("its usage is not a list of 2 amounts")),
        (json!("1,2"), Some("its usage is not a list of 2 amounts")),
    ] {
        let answer = check_note(&note("0.01", usage.clone()), &meter());
        let shown = answer.err().map(|problem| problem.to_string());
        assert_eq!(shown.as_deref(), text, "{usage}");
    }
    let ended = Meter { ended: Some(at(50)), ..meter() };
    assert!(check_note(&note("0.01", json!([80, 160])), &ended).is_ok());
    assert!(check_note(&note("0.01", json!([81, 0])), &ended).is_err());
}

#[test]
fn a_counter_that_costs_nothing_may_say_anything() {
    let free_cpu = pricing_of(&json!([name::USAGE_DURATION, name::USAGE_CPU]), &json!([0.001, 0, 0]));
    let note = note("0.1", json!([100, 1e9]));
    assert_eq!(check_debit_note(&note, &free_cpu, &meter(), &AgreedTerms::default(), at(100)), Ok(()));
}

#[test]
fn counters_nobody_knows_are_trusted_as_far_as_they_are_reported() {
    let pricing = pricing_of(&json!([name::USAGE_DURATION, "golem.usage.gib"]), &json!([0, 2, 0]));
    let check = |note: &DebitNote, meter: &Meter| {
        check_debit_note(note, &pricing, meter, &AgreedTerms::default(), at(100))
    };
    assert_eq!(check(&note("6", json!([0, 3])), &meter()), Ok(()));
    assert!(check(&note("6.1", json!([0, 3])), &meter()).is_err());
    assert!(check(&note("0.1", Value::Null), &meter()).is_err());
    let mut reported = meter();
    reported.report(&[10.0, 1.5]);
    assert_eq!(check(&note("3", Value::Null), &reported), Ok(()));
    assert!(check(&note("3.1", Value::Null), &reported).is_err());
}

#[test]
fn a_debit_note_without_usage_is_owed_up_to_full_use() {
    // 130 s with two threads: 0.1 + 0.13 + 0.52.
    assert_eq!(check_note(&note("0.75", Value::Null), &meter()), Ok(()));
    assert_eq!(
        problem(check_note(&note("0.76", Value::Null), &meter())),
        ("asks for 0.76 GLM, but no more than 0.75 GLM can have been used".to_owned(), "0.75".to_owned())
    );
}

#[test]
fn debit_notes_add_up() {
    let mut meter = meter();
    meter.accepted(glm("0.2"));
    meter.accepted(glm("0.15"));
    meter.report(&[90.0, 40.0]);
    assert_eq!(check_note(&note("0.2", json!([60, 20])), &meter), Ok(()));
    let late = check_note(&note("0.19", json!([60, 20])), &meter);
    assert!(late.as_ref().unwrap_err().is_harmless());
    assert!(!check_note(&note("9", json!([60, 20])), &meter).unwrap_err().is_harmless());
    assert_eq!(
        problem(late),
        ("asks for 0.19 GLM in all, less than the 0.2 GLM accepted before".to_owned(), "0.2".to_owned())
    );
}

#[test]
fn payment_is_due_only_as_agreed() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let agreed = AgreedTerms { payment_timeout: Some(hours(5)), ..AgreedTerms::default() };
    let check = |due: Timestamp, agreed: &AgreedTerms| {
        let note = DebitNote { payment_due_date: Some(due), ..note("0.1", json!([100, 0])) };
        check_debit_note(&note, &pricing(), &meter(), agreed, at(100))
    };
    assert_eq!(check(after(at(99), hours(5)), &agreed), Ok(()));
    assert_eq!(check(Timestamp::MAX, &agreed), Ok(()));
    let soon = check(after(at(100), hours(4)), &agreed);
    assert_eq!(
        problem(soon).0,
        "is to be paid by 2026-11-22T01:01:40Z, but agreed was not before 2026-11-22T02:01:40Z"
    );
    let never = check(Timestamp::MAX, &AgreedTerms::default());
    assert_eq!(never.as_ref().unwrap_err().rejection_reason(), RejectionReason::UnsolicitedService);
    assert_eq!(problem(never).0, "is to be paid before the agreement ends, which was not agreed");
}

#[test]
fn an_invoice_is_owed_up_to_what_its_activities_can_have_cost() {
    let [a, b] = ["a", "b"].map(ActivityId::new);
    let ended = Meter { ended: Some(at(50)), ..meter() };
    let meters = [(&a, &meter()), (&b, &ended)];
    let check = |invoice: &Invoice| check_invoice(invoice, &pricing(), &meters, at(100));
    // 0.75 for the one that runs; 0.1 + 0.08 + 0.32 for the one that ended.
    assert_eq!(check(&invoice("0.75", &["a"])), Ok(()));
    assert_eq!(check(&invoice("0.5", &["b", "b"])), Ok(()));
    assert_eq!(check(&invoice("1.25", &["a", "b"])), Ok(()));
    assert_eq!(check(&invoice("0", &[])), Ok(()));
    assert_eq!(
        problem(check(&invoice("0.51", &["b", "b"]))),
        ("asks for 0.51 GLM, but no more than 0.5 GLM can have been used".to_owned(), "0.5".to_owned())
    );
    assert!(check(&invoice("1.251", &["a", "b"])).is_err());
    assert!(check(&invoice("-1", &["a"])).is_err());
}

#[test]
fn an_invoice_for_what_we_never_had_is_not_owed() {
    let a = ActivityId::new("a");
    let mut meter = meter();
    meter.accepted(glm("0.2"));
    let meters = [(&a, &meter)];
    let check = |invoice: &Invoice| check_invoice(invoice, &pricing(), &meters, at(100));
    let unknown = check(&invoice("0.3", &["a", "x\n"])).unwrap_err();
    assert_eq!(unknown.rejection_reason(), RejectionReason::UnsolicitedService);
    assert_eq!(
        (unknown.to_string().as_str(), unknown.owed()),
        ("asks for 0.3 GLM, also for the activity x, which isn't ours", glm("0.2"))
    );
    let nothing = check(&invoice("0.1", &[])).unwrap_err();
    assert_eq!(nothing.rejection_reason(), RejectionReason::UnsolicitedService);
    assert_eq!(
        problem::<()>(Err(nothing)),
        ("asks for 0.1 GLM, but names no activity".to_owned(), "0".to_owned())
    );
}

#[test]
fn what_was_reported_bounds_the_cpu_of_an_invoice() {
    let a = ActivityId::new("a");
    let mut meter = meter();
    meter.report(&[90.0, 10.0]);
    meter.ended = Some(at(100));
    // By 130 s at most 10 + 2 × 40 CPU seconds: 0.1 + 0.13 + 0.18.
    assert_eq!(meter.ceiling(&pricing(), at(5000)), glm("0.41"));
    let check = |amount| check_invoice(&invoice(amount, &["a"]), &pricing(), &[(&a, &meter)], at(5000));
    assert_eq!(check("0.41"), Ok(()));
    assert!(check("0.411").is_err());
    // A report that is ahead of our clock leaves the CPU it reported: 0.1 + 0.13 + 0.02.
    let mut ahead = Meter::new(start(), 2);
    ahead.report(&[500.0, 10.0]);
    assert_eq!(ahead.ceiling(&pricing(), at(100)), glm("0.25"));
}

#[test]
fn complete_usage_bounds_an_invoice_but_for_what_was_not_reported_yet() {
    let a = ActivityId::new("a");
    let mut meter = meter();
    meter.report(&[90.0, 10.0]);
    meter.ended = Some(at(92));
    meter.complete = true;
    // 0.1 + 0.09 + 0.02, and 5 s of two threads: 0.005 + 0.02.
    assert_eq!(meter.ceiling(&pricing(), at(5000)), glm("0.235"));
    let check = |amount| check_invoice(&invoice(amount, &["a"]), &pricing(), &[(&a, &meter)], at(5000));
    assert_eq!(check("0.235"), Ok(()));
    assert!(check("0.236").is_err());
    // A late debit note is held to the same, whatever usage it names.
    assert_eq!(check_note(&note("0.21", json!([91, 10])), &meter), Ok(()));
    assert!(check_note(&note("0.36", json!([91, 84])), &meter).is_err());
    // More than the clock allows isn't believed, even if it is reported: 0.1 + 0.122 + 0.02.
    meter.report(&[5000.0, 10.0]);
    assert_eq!(meter.ceiling(&pricing(), at(5000)), glm("0.242"));
}

#[test]
fn an_invoice_equal_to_a_refused_debit_note_is_refused() {
    let a = ActivityId::new("a");
    let mut meter = meter();
    // 0.1 + 0.01 + 0.004, doubled: well within what full use of ten seconds and the grace could cost.
    let doubled = note("0.228", json!([10, 2]));
    let greedy = check_note(&doubled, &meter).unwrap_err();
    meter.refused(&doubled, &greedy);
    let check =
        |amount, meter: &Meter| check_invoice(&invoice(amount, &["a"]), &pricing(), &[(&a, meter)], at(100));
    assert_eq!(
        problem(check("0.228", &meter)),
        ("asks for 0.228 GLM, but no more than 0.114 GLM can have been used".to_owned(), "0.114".to_owned())
    );
    assert_eq!(check("0.114", &meter), Ok(()), "what it did is paid for all the same");
    meter.report(&[12.0, 2.0]);
    assert_eq!(check("0.116", &meter), Ok(()));
    assert!(check("0.117", &meter).is_err());
    // Accepted amounts stay owed.
    meter.accepted(glm("0.2"));
    assert_eq!(check("0.2", &meter), Ok(()));
}

#[test]
fn a_wrong_debit_note_for_one_activity_costs_the_trust_in_all_of_the_agreement() {
    let (a, b) = (ActivityId::new("a"), ActivityId::new("b"));
    let mut first = meter();
    first.report(&[10.0, 2.0]);
    first.ended = Some(at(12));
    first.complete = true;
    let mut second = Meter::new(at(20), 2);
    let check = |amount, first: &Meter, second: &Meter| {
        check_invoice(&invoice(amount, &["a", "b"]), &pricing(), &[(&a, first), (&b, second)], at(100))
    };
    // 0.114 of it are known, and 0.025 more are believed.
    let padded = note("0.139", json!([10, 2]));
    let problem =
        check_debit_note(&padded, &pricing(), &second, &AgreedTerms::default(), at(30)).unwrap_err();
    assert_eq!(check("0.253", &first, &second), Ok(()), "0.139 + 0.114 are believed of who was never wrong");
    second.refused(&padded, &problem);
    assert_eq!(check("0.228", &first, &second), Ok(()));
    assert!(check("0.253", &first, &second).is_err(), "the refused debit note, within the first one's slack");
    // Also where the invoice keeps silent about it.
    let only =
        |amount| check_invoice(&invoice(amount, &["a"]), &pricing(), &[(&a, &first), (&b, &second)], at(100));
    assert_eq!(only("0.114"), Ok(()));
    assert!(only("0.115").is_err());
}

#[test]
fn impossible_usage_is_no_way_to_be_believed_later() {
    let a = ActivityId::new("a");
    let mut meter = meter();
    let liar = note("1.1", json!([1000, 0]));
    let problem = check_note(&liar, &meter).unwrap_err();
    assert!(matches!(problem, BillProblem::Implausible { .. }), "{problem}");
    meter.refused(&liar, &problem);
    assert_eq!(meter.reported, None);
    // Its daemon says the same: 130 s is the most there can have been.
    meter.report(&[1000.0, 0.0]);
    let check = |amount| check_invoice(&invoice(amount, &["a"]), &pricing(), &[(&a, &meter)], at(100));
    assert_eq!(check("0.23"), Ok(()));
    assert!(check("0.231").is_err());
}

#[test]
fn a_note_that_is_only_late_or_misdated_costs_no_trust() {
    let mut meter = meter();
    meter.accepted(glm("0.2"));
    let late = note("0.19", json!([60, 20]));
    let dated = DebitNote { payment_due_date: Some(at(100)), ..note("0.3", json!([100, 50])) };
    for note in [late, dated] {
        let problem = check_note(&note, &meter).unwrap_err();
        meter.refused(&note, &problem);
        assert!(!meter.overbilled, "{problem}");
    }
}

#[test]
fn a_ceiling_never_falls_below_what_was_accepted() {
    let mut meter = meter();
    meter.accepted(glm("7"));
    assert_eq!(meter.ceiling(&pricing(), at(100)), glm("7"));
}

#[test]
fn reports_never_fall_and_nonsense_is_passed_over() {
    let mut meter = meter();
    meter.report(&[5.0, f64::NAN]);
    meter.report(&[3.0, 2.0]);
    meter.report(&[9.0]);
    meter.report(&[f64::INFINITY, -1.0]);
    assert_eq!(meter.reported, Some(vec![5.0, 2.0]));
}

#[test]
fn a_clock_that_runs_backwards_leaves_the_grace() {
    let early = "2026-11-21T20:00:00Z".parse().unwrap();
    assert_eq!(meter().life(early), Duration::ZERO);
    assert_eq!(meter().ceiling(&pricing(), early), glm("0.25"));
}

/// As a provider computes it that knows no decimals.
fn in_floats(prices: &[f64; 3], usage: [f64; 2]) -> Glm {
    Glm::from_f64(prices[0] * usage[0] + prices[1] * usage[1] + prices[2]).unwrap()
}

fn price() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 1e-12f64..1e-6, 1e-6f64..1e-2, 0.01f64..10.0]
}

/// An honest activity's life, in seconds, as its provider and we see it.
#[derive(Debug, Clone)]
struct Life {
    prices: [f64; 3],
    threads: u32,
    /// From our asking for it to its begin, and from its end to our knowing of it.
    ways: (f64, f64),
    lasts: f64,
    /// How busy its threads are in each part of its life.
    busy: Vec<f64>,
    /// Parts of its life at which it sends debit notes, and how long those are on their way.
    notes: Vec<(f64, f64)>,
    /// How long before its end its usage was last reported.
    unreported: f64,
    /// How long the last debit note and the invoice are on their way.
    last_ways: (f64, f64),
}

impl Life {
    fn any() -> impl Strategy<Value = Self> {
        (
            prop::array::uniform3(price()),
            1u32..128,
            (0.0f64..60.0, 0.0f64..15.0),
            prop_oneof![0.0f64..20.0, 0.0f64..100_000.0],
            prop::collection::vec(prop_oneof![Just(0.0), Just(1.0), 0.0f64..=1.0], 1..8),
            prop::collection::vec((0.0f64..=1.0, prop_oneof![0.0f64..2.0, 0.0f64..600.0]), 0..6),
            0.0..=USAGE_DELAY.as_secs_f64(),
            (0.0f64..60.0, 0.0f64..60.0),
        )
            .prop_map(|(prices, threads, ways, lasts, busy, notes, unreported, last_ways)| Self {
                prices,
                threads,
                ways,
                lasts,
                busy,
                notes,
                unreported,
                last_ways,
            })
    }

    fn pricing(&self) -> Pricing {
        pricing_of(&json!([name::USAGE_DURATION, name::USAGE_CPU]), &json!(self.prices))
    }

    /// The usage at an age.
    fn usage(&self, age: f64) -> [f64; 2] {
        let age = age.clamp(0.0, self.lasts);
        #[expect(clippy::cast_precision_loss, reason = "there are few parts")]
        let part = self.lasts / self.busy.len() as f64;
        let mut rest = age;
        let mut cpu = 0.0;
        for busy in &self.busy {
            cpu += rest.clamp(0.0, part) * busy * f64::from(self.threads);
            rest -= part;
        }
        [age, cpu]
    }

    fn bill(&self, usage: [f64; 2]) -> Glm {
        in_floats(&self.prices, usage)
    }

    fn note(&self, usage: [f64; 2]) -> DebitNote {
        DebitNote { total_amount_due: self.bill(usage), ..note("0", json!(usage)) }
    }

    /// When we know of its end, since we asked for it.
    fn ended(&self) -> f64 {
        self.ways.0 + self.lasts + self.ways.1
    }

    /// Our meter when it ended; its usage was told or not, and all of it or not.
    fn end(&self, meter: &mut Meter, complete: bool) {
        meter.ended = Some(moment(self.ended()));
        meter.complete = complete;
        if complete {
            meter.report(&self.usage(self.lasts - self.unreported));
        }
    }
}

/// What we are told of an activity.
enum Told {
    Note([f64; 2]),
    Invoice,
    End,
}

fn moment(seconds: f64) -> Timestamp {
    after(start(), Duration::from_secs_f64(seconds))
}

proptest! {
    #[test]
    fn an_honest_provider_is_never_refused(life in Life::any(), complete: bool) {
        let (pricing, a) = (life.pricing(), ActivityId::new("a"));
        let mut meter = Meter::new(start(), life.threads);
        let whole = life.usage(life.lasts);
        let over = life.ways.0 + life.lasts;
        let notes = life.notes.iter().map(|(part, way)| {
            let age = part * life.lasts;
            (life.ways.0 + age + way, Told::Note(life.usage(age)))
        });
        let mut told: Vec<_> = notes
            .chain([
                (over + life.last_ways.0, Told::Note(whole)),
                (over + life.last_ways.1, Told::Invoice),
                (life.ended(), Told::End),
            ])
            .collect();
        told.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        for (time, told) in told {
            let now = moment(time);
            match told {
                Told::Note(usage) => {
                    let note = life.note(usage);
                    match check_debit_note(&note, &pricing, &meter, &AgreedTerms::default(), now) {
                        Ok(()) => {
                            meter.report(&usage);
                            meter.accepted(note.total_amount_due);
                        }
                        Err(problem) => {
                            prop_assert!(problem.is_harmless(), "{problem}");
                            meter.refused(&note, &problem);
                        }
                    }
                }
                Told::Invoice => {
                    let bill = Invoice { amount: life.bill(whole), ..invoice("0", &["a"]) };
                    prop_assert_eq!(check_invoice(&bill, &pricing, &[(&a, &meter)], now), Ok(()));
                }
                Told::End => life.end(&mut meter, complete),
            }
        }
        prop_assert!(!meter.overbilled);
    }

    #[test]
    fn what_a_debit_note_was_refused_for_no_invoice_gets(life in Life::any(), factor in 1.001f64..50.0, complete: bool) {
        let (pricing, a) = (life.pricing(), ActivityId::new("a"));
        let mut meter = Meter::new(start(), life.threads);
        let whole = life.usage(life.lasts);
        let asked = round_up(pricing.cost(&whole).unwrap() * Decimal::try_from(factor).unwrap());
        prop_assume!(asked.to_decimal() > pricing.cost(&whole).unwrap() * Decimal::new(1_000_001, 6));
        let greedy = DebitNote { total_amount_due: asked, ..life.note(whole) };
        let now = moment(life.ended());
        let problem = check_debit_note(&greedy, &pricing, &meter, &AgreedTerms::default(), now).unwrap_err();
        meter.refused(&greedy, &problem);
        life.end(&mut meter, complete);
        let check = |amount| {
            let bill = Invoice { amount, ..invoice("0", &["a"]) };
            check_invoice(&bill, &pricing, &[(&a, &meter)], now)
        };
        prop_assert!(check(asked).is_err());
        prop_assert_eq!(check(life.bill(whole)), Ok(()));
    }

    #[test]
    fn an_honest_note_is_owed_and_a_greedy_one_is_not(
        prices in prop::array::uniform3(price()),
        age in 0u64..1_000_000,
        lived in 0.0f64..=1.0,
        busy in 0.0f64..=1.0,
        threads in 1u32..128,
    ) {
        let pricing = pricing_of(&json!([name::USAGE_DURATION, name::USAGE_CPU]), &json!(prices));
        #[expect(clippy::cast_precision_loss, reason = "ages are small")]
        let duration = age as f64 * lived;
        let usage = [duration, duration * busy * f64::from(threads)];
        let honest = in_floats(&prices, usage);
        let meter = Meter::new(start(), threads);
        let check = |amount: Glm, usage: Value| {
            let note = DebitNote { total_amount_due: amount, ..note("0", usage) };
            check_debit_note(&note, &pricing, &meter, &AgreedTerms::default(), at(age))
        };
        prop_assert_eq!(check(honest, json!(usage)), Ok(()));
        prop_assert_eq!(check(honest, Value::Null), Ok(()));
        let a = ActivityId::new("a");
        let mut seen = meter.clone();
        seen.report(&usage);
        let bill = Invoice { amount: honest, ..invoice("0", &["a"]) };
        for meter in [&meter, &seen] {
            prop_assert_eq!(check_invoice(&bill, &pricing, &[(&a, meter)], at(age)), Ok(()));
        }

        let cost = pricing.cost(&usage).unwrap();
        let greedy = round_up(cost * Decimal::new(1001, 3));
        if greedy > round_up(cost) {
            let refused = check(greedy, json!(usage));
            prop_assert!(matches!(refused, Err(BillProblem::AboveUsage { .. })), "{refused:?}");
        }
        let ceiling = meter.ceiling(&pricing, at(age));
        let greedy = round_up(ceiling.to_decimal() * Decimal::new(1001, 3));
        if greedy > ceiling {
            let bill = Invoice { amount: greedy, ..invoice("0", &["a"]) };
            prop_assert!(check(greedy, Value::Null).is_err());
            prop_assert!(check_invoice(&bill, &pricing, &[(&a, &meter)], at(age)).is_err());
        }
    }

    #[test]
    fn a_ceiling_only_rises_with_time_and_bounds_full_use(
        prices in prop::array::uniform3(price()),
        report in prop::option::of(prop::array::uniform2(0.0f64..1e6)),
        age in 0u64..1_000_000,
        more in 0u64..1_000_000,
        threads in 1u32..128,
    ) {
        let pricing = pricing_of(&json!([name::USAGE_DURATION, name::USAGE_CPU]), &json!(prices));
        let mut meter = Meter::new(start(), threads);
        if let Some(report) = report {
            meter.report(&report);
        }
        let ceiling = meter.ceiling(&pricing, at(age));
        prop_assert!(ceiling <= meter.ceiling(&pricing, at(age + more)));
        let full = pricing.cost_at_full_use(Duration::from_secs(age) + GRACE, threads);
        prop_assert!(ceiling <= full);
        prop_assert!(report.is_some() || ceiling == full);
    }

    #[test]
    fn no_bill_makes_it_panic(
        prices in prop::array::uniform3(0.0f64..=1e9),
        usage in prop::collection::vec(any::<f64>(), 0..4),
        report in prop::collection::vec(any::<f64>(), 0..4),
        amount in any::<i64>(),
        threads: u32,
        age in any::<u64>(),
        due in prop::option::of(any::<i32>()),
    ) {
        let pricing = pricing_of(&json!([name::USAGE_DURATION, "golem.usage.gib"]), &json!(prices));
        let mut meter = Meter::new(start(), threads);
        meter.report(&report);
        let note = DebitNote {
            total_amount_due: Glm::from_decimal(Decimal::new(amount, 9)).unwrap(),
            payment_due_date: due.map(|due| Timestamp::from_second(due.into()).unwrap()),
            ..note("0", json!(usage))
        };
        let agreed = AgreedTerms { payment_timeout: Some(Duration::from_secs(age)), ..AgreedTerms::default() };
        let bill = Invoice { amount: note.total_amount_due, ..invoice("0", &["a", "a"]) };
        let a = ActivityId::new("a");
        if let Err(problem) = check_debit_note(&note, &pricing, &meter, &agreed, at(age)) {
            prop_assert!(!problem.owed().is_negative());
        }
        if let Err(problem) = check_invoice(&bill, &pricing, &[(&a, &meter), (&a, &meter)], at(age)) {
            prop_assert!(!problem.owed().is_negative());
        }
    }
}
