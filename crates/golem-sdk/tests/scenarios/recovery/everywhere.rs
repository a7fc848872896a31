//! A run that dies at each of its commits, once.

use golem_core::event::EventKind;
use golem_devnet::node::Delays;
use golem_devnet::provider::Behaviour;
use tokio::time::sleep;

use super::lives::{Death, Lives};
use crate::books::{assert_books_closed, assert_results};
use crate::hands::Hands;
use crate::stage::{Stage, honest, secs, strange};

fn stage() -> Stage {
    let chatty = Behaviour { debit_notes_every: Some(secs(10)), ..Behaviour::default() };
    let mut stage = Stage::new([strange("chatty", chatty), honest("ada"), honest("bob")]).tasks(14);
    // In the real network nothing happens at the same moment.
    stage.devnet = stage.devnet.delays(Delays::real());
    stage.worker(Hands { room: 2, ..Hands::default() }).configured(|config| config.workers = 3)
}

async fn dies_at(death: Death, gap: u64) -> bool {
    let lives = Lives::of(stage()).await;
    let first = lives.live(Some(death)).await;
    if first.is_some() {
        return false;
    }
    sleep(secs(gap)).await;
    let end = lives.live(None).await.unwrap().unwrap();
    assert_eq!((end.done, end.failed, end.unfinished), (14, 0, 0), "{death:?} {:#?}", lives.kept.events());
    let played = lives.played(end);
    assert_results(&played);
    assert_books_closed(&played).await;
    let lost = |kind: &EventKind| matches!(kind, EventKind::AttemptFailed { .. });
    assert_eq!(lives.count(lost), 0, "{death:?}: an attempt counts as failed {:#?}", lives.kept.events());
    true
}

async fn dies_everywhere(death: impl Fn(u64) -> Death, gap: u64) {
    let mut commits = 0;
    while dies_at(death(commits + 1), gap).await {
        commits += 1;
    }
    assert!(commits > 20, "{commits} commits are no run");
}

#[tokio::test(start_paused = true)]
async fn invariant_4_a_run_that_dies_before_any_commit_is_resumed_at_once() {
    dies_everywhere(Death::BeforeCommit, 1).await;
}

#[tokio::test(start_paused = true)]
async fn invariant_4_a_run_that_dies_after_any_commit_is_resumed_at_once() {
    dies_everywhere(Death::AfterCommit, 1).await;
}

#[tokio::test(start_paused = true)]
async fn invariant_4_a_run_that_dies_after_any_commit_is_resumed_after_an_hour() {
    dies_everywhere(Death::AfterCommit, 3600).await;
}
