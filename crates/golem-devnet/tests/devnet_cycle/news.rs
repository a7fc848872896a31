//! The reports of providers while they work.

use std::time::Duration;

use golem_devnet::news::{ActivityEnd, BillFate, BillId, CommandName, HappeningKind, Heard, News, NewsDesk};
use golem_devnet::provider::{ApprovalManner, Behaviour, Vanishing};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use yagna_api::market::Terminator;

use crate::requestor::{Buyer, run};
use crate::{MINUTE, ada, one};

const SECOND: Duration = Duration::from_secs(1);

async fn next(news: &mut News) -> HappeningKind {
    match timeout(10 * MINUTE, news.next()).await.expect("something happens") {
        Some(Heard::Happening(happening)) => {
            assert_eq!(&*happening.provider, "ada");
            happening.kind.clone()
        }
        other => panic!("{other:?}"),
    }
}

/// What happened, in short; the ids are left to the assertions that need them.
fn short(kind: &HappeningKind) -> String {
    match kind {
        HappeningKind::OfferPublished { .. } => "offer".into(),
        HappeningKind::ProposalRefused { reason, .. } => format!("refused: {}", reason.message),
        HappeningKind::AgreementProposed { .. } => "proposed".into(),
        HappeningKind::AgreementApproved { .. } => "approved".into(),
        HappeningKind::AgreementRefused { reason, .. } => format!("agreement refused: {}", reason.message),
        HappeningKind::AgreementIgnored { .. } => "ignored".into(),
        HappeningKind::AgreementLost { reason, .. } => format!("lost: {reason:?}"),
        HappeningKind::AgreementEnded { by, .. } => format!("ended by {by:?}"),
        HappeningKind::ActivityCreated { .. } => "activity".into(),
        HappeningKind::CommandStarted { command, .. } => format!("> {}", words(command)),
        HappeningKind::CommandEnded { command, result, .. } => format!("{} = {result:?}", words(command)),
        HappeningKind::ActivityEnded { how, commands, .. } => format!("{how:?} after {commands}"),
        HappeningKind::Bill { bill, amount, fate, .. } => {
            let bill = if matches!(bill, BillId::Invoice(_)) { "invoice" } else { "note" };
            format!("{bill} {amount} {fate:?}")
        }
        HappeningKind::Vanished => "vanished".into(),
        other => format!("{other:?}"),
    }
}

fn words(command: &CommandName) -> String {
    match command {
        CommandName::Deploy => "deploy".into(),
        CommandName::Start(_) => "start".into(),
        CommandName::Run(words) => words.join(" "),
    }
}

async fn until(news: &mut News, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|heard: &String| heard != last) {
        heard.push(short(&next(news).await));
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_whole_cycle_is_told_in_its_order() {
    let desk = NewsDesk::with_commands();
    let mut news = desk.subscribe();
    let devnet = one(ada()).news(desk).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    let allocation = buyer.allocate("10").await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    buyer
        .run(&activity, json!([run("/bin/work", &[]), run("/bin/echo", &["hello"]), run("/bin/false", &[])]))
        .await;
    buyer.destroy(&activity).await;
    buyer.terminate(&agreement).await;
    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    buyer.accept("invoices", &invoices[0], &allocation).await.ok();
    let heard = until(&mut news, "invoice 0.5011 Accepted").await;
    let expected = [
        "offer",
        "proposed",
        "approved",
        "activity",
        "> deploy",
        "deploy = Ok(0)",
        "> start",
        "start = Ok(0)",
        "> /bin/work",
        "/bin/work = Ok(0)",
        "> /bin/echo hello",
        "/bin/echo hello = Ok(0)",
        "> /bin/false",
        "/bin/false = Ok(1)",
        "Destroyed after 3",
        "note 0.5011 Sent",
        "ended by Requestor",
        "invoice 0.5011 Sent",
        "invoice 0.5011 Accepted",
    ];
    // Its offer is answered anew by the demand that is still there; that isn't what this is about.
    let heard: Vec<_> = heard.iter().filter(|line| !line.starts_with("refused")).collect();
    assert_eq!(heard, expected);
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ids_reasons_and_ends_are_those_of_the_books() {
    let devnet = one(ada()).start().await.unwrap();
    let mut news = devnet.news();
    let buyer = Buyer::of(&devnet);
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let HappeningKind::AgreementProposed { agreement: id, requestor } = next(&mut news).await else {
        panic!("it begins with the agreement");
    };
    assert_eq!((id.as_str(), requestor.as_str()), (agreement.as_str(), buyer.node.as_str()));
    assert!(matches!(next(&mut news).await, HappeningKind::AgreementApproved { .. }));
    let activity = buyer.ready(&agreement).await;
    // Nobody destroys it: the end of the agreement does.
    let end = format!("/market-api/v1/agreements/{agreement}/terminate");
    buyer.post(&end, json!({"message": "enough", "golem.requestor.code": "Bored"})).await.ok();
    loop {
        match next(&mut news).await {
            HappeningKind::ActivityEnded { activity: id, how, .. } => {
                assert_eq!((id.as_str(), how), (activity.as_str(), ActivityEnd::AgreementOver));
            }
            HappeningKind::AgreementEnded { by, reason, .. } => {
                assert_eq!(by, Terminator::Requestor);
                let reason = reason.expect("it gave one");
                assert_eq!(reason.message, "enough");
                assert_eq!(reason.extra["golem.requestor.code"], "Bored");
                break;
            }
            _ => {}
        }
    }
    let invoices = buyer.wait_bills("invoices", &agreement, 1).await;
    loop {
        if let HappeningKind::Bill { bill: BillId::Invoice(id), fate, .. } = next(&mut news).await {
            assert_eq!((json!(id.as_str()), fate), (invoices[0]["invoiceId"].clone(), BillFate::Sent));
            break;
        }
    }
    devnet.stop().await;
}

#[tokio::test(start_paused = true)]
async fn agreements_that_come_to_nothing_are_told_as_what_they_are() {
    for (approval, told) in [
        (ApprovalManner::Never, &["proposed", "ignored", "lost: Some(\"too slow\")"][..]),
        (ApprovalManner::After(MINUTE), &["proposed", "lost: Some(\"too slow\")"]),
        (ApprovalManner::Rejects, &["proposed", "agreement refused: I'd rather not."]),
    ] {
        let devnet =
            one(ada().behaving(Behaviour { approval, ..Behaviour::default() })).start().await.unwrap();
        let mut news = devnet.news();
        let buyer = Buyer::of(&devnet);
        let demand = buyer.demand(&buyer.properties(20 * MINUTE)).await;
        let initial = buyer.proposal(&demand, "Initial").await;
        buyer.counter(&demand, &initial).await;
        let draft = buyer.proposal(&demand, "Draft").await;
        let agreement = buyer.propose(&draft).await;
        assert_eq!(short(&next(&mut news).await), told[0]);
        let cancel = format!("/market-api/v1/agreements/{agreement}/cancel");
        let _refused_already: Value = buyer.post(&cancel, json!({"message": "too slow"})).await.body;
        assert_eq!(until(&mut news, told[told.len() - 1]).await, told[1..], "{approval:?}");
        devnet.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_after_it_died_sells_again_and_dies_again() {
    let dying = Behaviour {
        vanishes: Some(Vanishing::AfterCommands(1)),
        returns_after: Some(30 * SECOND),
        ..Behaviour::default()
    };
    let devnet = one(ada().behaving(dying)).start().await.unwrap();
    let mut news = devnet.news();
    let buyer = Buyer::of(&devnet);
    for _ in 0..2 {
        let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
        let activity = buyer.ready(&agreement).await;
        buyer.send_script(&activity, json!([run("/bin/work", &[]), run("/bin/work", &[])])).await;
        until(&mut news, "vanished").await;
        let gone = Instant::now();
        assert!(devnet.provider("ada").unwrap().is_gone());
        assert_eq!(short(&next(&mut news).await), "offer");
        assert_eq!(gone.elapsed(), 30 * SECOND);
        buyer.terminate(&agreement).await;
    }
    devnet.stop().await;
}
