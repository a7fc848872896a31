//! The view of a person on a run in the log.

use std::sync::Arc;

use golem_core::event::{Event, EventKind};
use golem_devnet::provider::{Behaviour, Prices, ProviderConfig};
use golem_sdk::summary::{Line, LogSummary};
use golem_sdk::{JobOptions, JobSource};
use insta::assert_snapshot;
use serde_json::json;
use tracing::Level;
use yagna_api::market::Reason;

use crate::hands::Hands;
use crate::stage::{Played, Stage, honest, secs, strange};

/// All lines of a run.
fn all_lines(events: &[Event]) -> Vec<Line> {
    let mut summary = LogSummary::new();
    events.iter().flat_map(|event| summary.on(event)).collect()
}

/// The lines of level info and above, as the default logger shows them.
fn seen(played: &Played) -> String {
    let lines = all_lines(&played.events).into_iter().filter(|line| line.level <= Level::INFO);
    let mut text: Vec<_> = lines.map(|line| format!("{:5} {}", line.level, line.text)).collect();
    // Ids are drawn anew where anything else changes.
    for event in &played.events {
        if let EventKind::AgreementCreated { agreement, .. } = &event.kind {
            for line in &mut text {
                *line = line.replace(agreement.as_str(), "<agreement>");
            }
        }
    }
    text.join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_run_in_which_all_goes_well() {
    let played = Stage::new([honest("ada")]).tasks(3).play().await;
    played.assert_all_done(3).await;
    assert_snapshot!(seen(&played));
}

#[tokio::test(start_paused = true)]
async fn refusals_and_retries_and_a_provider_that_leaves() {
    let dear = ProviderConfig::new("dear").priced(Prices::per_hour("0", "0", "3.6").unwrap());
    let bye = Some((secs(14), Reason::new("maintenance").with("golem.provider.code", "Shutdown")));
    let moody = strange("moody", Behaviour { terminates: bye, ..Behaviour::default() });
    let stage = Stage::new([dear, moody]).tasks(5).configured(|config| config.workers = 1);
    let played = stage.play().await;
    played.assert_all_done(5).await;
    assert_snapshot!(seen(&played));
}

#[tokio::test(start_paused = true)]
async fn a_bill_that_is_too_high_is_told_of_with_what_is_owed() {
    let greedy = strange("greedy", Behaviour { bill_factor: 3.0, ..Behaviour::default() });
    let played = Stage::new([greedy]).tasks(2).play().await;
    let lines = all_lines(&played.events);
    let refused: Vec<_> = lines
        .iter()
        .filter(|line| line.text.contains(" refused: ") && line.text.contains(" of greedy over "))
        .collect();
    let bill = played.kinds().find_map(|kind| match kind {
        EventKind::BillRefused { reason, .. } => Some(reason),
        _ => None,
    });
    let told = |line: &&Line| line.level == Level::WARN && line.text.ends_with(bill.unwrap().as_str());
    assert!(refused.iter().any(told), "{lines:#?}");
    let counted =
        if refused.len() == 1 { "1 bill refused" } else { &format!("{} bills refused", refused.len()) };
    assert_eq!(lines.iter().filter(|line| line.text == counted).count(), 1, "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_market_on_which_nothing_fits() {
    let dear = ProviderConfig::new("dear").priced(Prices::per_hour("0", "0", "3.6").unwrap());
    let stage = Stage::new([dear]).tasks(2).configured(|config| config.idle_timeout = secs(60));
    assert_snapshot!(seen(&stage.play().await));
}

#[tokio::test(start_paused = true)]
async fn two_jobs_are_told_apart() {
    let (live, handle) = Stage::new([honest("ada")]).stand().await;
    for n in [2, 1] {
        let tasks = JobSource::Iterator(Box::new((0..n).map(|n| Ok(json!(n)))));
        let mut job = handle.submit(Arc::new(Hands::default()), tasks, JobOptions::default()).await.unwrap();
        while job.next().await.is_some() {}
    }
    handle.close();
    assert_snapshot!(seen(&live.end().await));
}

#[tokio::test(start_paused = true)]
async fn everything_that_matters_is_told_once_however_bad_the_market() {
    let bad = [
        strange("full", Behaviour { fails_deploy: true, ..Behaviour::default() }),
        strange("clumsy", Behaviour { fails_commands: Some(1), ..Behaviour::default() }),
        strange("greedy", Behaviour { bill_factor: 3.0, ..Behaviour::default() }),
    ];
    let stage = Stage::new(bad.into_iter().chain([honest("ada"), honest("bob")]))
        .tasks(30)
        .configured(|config| config.retries = 8);
    let played = stage.play().await;
    let lines = all_lines(&played.events);
    let told = |text: &str| lines.iter().filter(|line| line.text.contains(text)).count();
    let counted = [
        ("Task started on provider", "task_started"),
        ("Task finished by provider", "task_done"),
        ("and will be retried: ", "attempt_failed"),
        ("Agreement proposed to provider", "agreement_created"),
        (" approved (", "agreement_approved"),
        ("The activity on ", "activity_ended"),
        ("Refused the offer of provider", "offer_refused"),
        ("gets no tasks for", "provider_set_back"),
        ("Golem engine has shut down", "run_ended"),
    ];
    for (text, name) in counted {
        let happened = played.kinds().filter(|kind| {
            let quiet_end = matches!(kind, EventKind::ActivityEnded { failure: None, .. });
            kind.name() == name && !quiet_end
        });
        assert_eq!(told(text), happened.count(), "{text}: {lines:#?}");
    }
    assert!(told("Debit note of greedy over ") + told("Invoice of greedy over ") > 0, "{lines:#?}");
    assert!(told("The activity on full failed: ") > 0, "{lines:#?}");
    assert_eq!(told(&format!("Total cost: {}", short(played.end().cost))), 1, "{lines:#?}");
}

/// An amount as far as a summary shows it.
fn short(cost: yagna_api::Glm) -> String {
    cost.to_string().chars().take(6).collect::<String>().trim_end_matches('0').to_owned()
}
