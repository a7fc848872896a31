//! Providers that do their work badly or not at all: each fails only its own agreement.

use std::time::Duration;

use golem_core::event::{EventKind, FailureKind, StopReason};
use golem_devnet::provider::{ApprovalManner, Behaviour, Prices, Vanishing};
use golem_devnet::runtime::ScriptedAnswer;
use yagna_api::market::{AgreementState, Reason, Terminator};
use yagna_api::time::between;

use crate::books::{n_agreements, n_done_by};
use crate::hands::Hands;
use crate::stage::{Stage, at_any_price, honest, scripted, secs, strange};

fn is_set_back(kind: &EventKind) -> bool {
    matches!(kind, EventKind::ProviderSetBack { .. })
}

#[tokio::test(start_paused = true)]
async fn one_that_never_approves_is_left_alone_and_its_agreement_taken_back() {
    let silent = Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() };
    let stage = Stage::new([strange("silent", silent), honest("ada"), honest("bob")]).tasks(60);
    let played = stage.play().await;
    played.assert_all_done(60).await;
    assert_eq!(n_done_by(&played, "silent"), 0);
    let silent = played.node("silent");
    let states: Vec<_> = played
        .devnet
        .books()
        .agreements
        .iter()
        .filter(|row| row.provider == silent)
        .map(|row| row.state)
        .collect();
    assert!(
        !states.is_empty() && states.iter().all(|state| *state == AgreementState::Cancelled),
        "{states:?}"
    );
    assert!(played.count(is_set_back) > 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_approves_holds_nobody_up_when_the_work_is_done() {
    let silent = Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() };
    let played = Stage::new([strange("silent", silent), honest("ada")]).tasks(4).play().await;
    played.assert_all_done(4).await;
    assert!(played.took < secs(45), "{:?}", played.took);
    let silent = played.node("silent");
    let states: Vec<_> = played
        .devnet
        .books()
        .agreements
        .iter()
        .filter(|row| row.provider == silent)
        .map(|row| row.state)
        .collect();
    assert_eq!(states, [AgreementState::Cancelled]);
    assert_eq!(played.count(is_set_back), 0, "nobody is to blame");
}

#[tokio::test(start_paused = true)]
async fn one_that_approves_late_is_used_all_the_same() {
    let slow = Behaviour { approval: ApprovalManner::After(secs(30)), ..Behaviour::default() };
    let played = Stage::new([strange("slow", slow)]).play().await;
    played.assert_all_done(12).await;
    assert_eq!(n_agreements(&played, "slow"), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_every_agreement_costs_nothing() {
    let proud = Behaviour { approval: ApprovalManner::Rejects, ..Behaviour::default() };
    let played = Stage::new([strange("proud", proud), honest("ada")]).play().await;
    played.assert_all_done(12).await;
    assert_eq!(n_done_by(&played, "proud"), 0);
    assert!(played.count(|kind| matches!(kind, EventKind::AgreementFailed { .. })) > 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_vanishes_in_the_middle_of_a_task_loses_it_to_another() {
    let fickle = Behaviour { vanishes: Some(Vanishing::AfterCommands(2)), ..Behaviour::default() };
    let played = Stage::new([strange("fickle", fickle), honest("ada"), honest("bob")]).tasks(24).play().await;
    played.assert_all_done(24).await;
    assert_eq!(n_done_by(&played, "fickle"), 2);
    let lost = |kind: &EventKind| matches!(kind, EventKind::AttemptFailed { failure, .. } if failure.kind == FailureKind::Lost);
    assert_eq!(played.count(lost), 1);
    // Nothing is left there that could be ended, and nobody waits for it.
    let trouble = |kind: &EventKind| matches!(kind, EventKind::Trouble { .. });
    assert_eq!(played.count(trouble), 0);
    let at = |is: &dyn Fn(&EventKind) -> bool| played.events.iter().find(|event| is(&event.kind)).unwrap().at;
    let fickle = played.node("fickle");
    let ours = played.kinds().find_map(|kind| match kind {
        EventKind::AgreementIntended { rental, provider, .. } if provider.id == fickle => Some(*rental),
        _ => None,
    });
    let over =
        |kind: &EventKind| matches!(kind, EventKind::AgreementEnded { rental, .. } if Some(*rental) == ours);
    let took = between(at(&lost), at(&over));
    assert!(took < secs(2), "its agreement ended after {took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_whose_machine_dies_ends_its_own_rental_only() {
    let runtime = golem_devnet::runtime::ScriptedRuntime::new()
        .when(|program, _| (program == "work").then(ScriptedAnswer::die));
    let mut mortal = honest("mortal");
    mortal.runtime = Some(std::sync::Arc::new(runtime));
    let played = Stage::new([mortal, honest("ada"), honest("bob")]).play().await;
    played.assert_all_done(12).await;
    assert_eq!(n_done_by(&played, "mortal"), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_falls_silent_in_a_task_is_left_when_the_task_expires() {
    let live = Stage::new([honest("frosty"), honest("ada")]).tasks(40).start().await;
    live.until_seen(4, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    live.provider("frosty").freeze();
    live.devnet.faults().freeze(live.provider("frosty").node());
    live.until_seen(1, |kind| matches!(kind, EventKind::AttemptFailed { .. })).await;
    let is_left =
        |kind: &EventKind| matches!(kind, EventKind::Trouble { doing, .. } if doing == "end an agreement");
    live.until_seen(1, is_left).await;
    // It learns of the missed events now: the end of the agreement is repeated until it is heard.
    live.devnet.faults().clear();
    live.provider("frosty").thaw();
    let played = live.end().await;
    played.assert_all_done(40).await;
    assert!(played.took < secs(600), "{:?}", played.took);
}

#[tokio::test(start_paused = true)]
async fn one_whose_agent_dies_works_on_and_is_left_at_the_end_without_holding_anybody_up() {
    let orphan = Behaviour { vanishes: Some(Vanishing::AgentAfter(secs(20))), ..Behaviour::default() };
    let played = Stage::new([strange("orphan", orphan), honest("ada")]).tasks(40).play().await;
    assert_eq!((played.end().done, played.end().failed), (40, 0));
    assert!(n_done_by(&played, "orphan") > 5, "its exe-unit works on");
    assert_eq!(n_agreements(&played, "orphan"), 1, "its old offer is asked in vain");
    let orphan = played.node("orphan");
    let books = played.devnet.books();
    let states: Vec<_> =
        books.agreements.iter().filter(|row| row.provider == orphan).map(|row| row.state).collect();
    assert_eq!(states, [AgreementState::Terminated], "the daemon is there, and takes the end");
    assert!(played.took < secs(300), "{:?}", played.took);
    // Nobody is left there who would send the invoice.
    assert_eq!(played.end().unsettled, 1);
}

#[tokio::test(start_paused = true)]
async fn an_old_offer_of_a_dead_agent_keeps_nobody_from_work() {
    let live = Stage::new([honest("ghost")]).tasks(12).start().await;
    live.provider("ghost").kill_agent();
    live.provider("ghost").restart();
    let played = live.end().await;
    played.assert_all_done(12).await;
}

#[tokio::test(start_paused = true)]
async fn exe_units_that_end_with_their_daemon_cost_a_new_activity_and_no_task() {
    let live = Stage::new([honest("ada"), honest("bob")]).tasks(30).start().await;
    live.until_seen(4, |kind| matches!(kind, EventKind::TaskDone { .. })).await;
    let ada = live.provider("ada").node().clone();
    live.provider("ada").restart_daemon();
    live.devnet.faults().freeze(&ada);
    tokio::time::sleep(secs(8)).await;
    live.devnet.faults().thaw(&ada);
    let played = live.end().await;
    played.assert_all_done(30).await;
    assert_eq!(played.end().unsettled, 0, "what ran before is billed and paid");
}

#[tokio::test(start_paused = true)]
async fn ones_that_count_cpu_time_first_are_paid_what_they_ask_by_the_names_of_their_counters() {
    let mut cpu_first = honest("ada");
    cpu_first.cpu_first = true;
    // An hour of the one costs a thousand times an hour of the other: mixed up, every bill would be wrong.
    cpu_first.prices = Prices::per_hour("0.001", "0.0004", "0.4").unwrap();
    let mut duration_first = cpu_first.clone();
    duration_first.name = "bob".into();
    duration_first.cpu_first = false;
    let mut three = cpu_first.clone().counting("golem.usage.gpu-sec", "0.1".parse().unwrap());
    three.name = "eve".into();
    let played = Stage::new([cpu_first, duration_first, three])
        .tasks(30)
        .configured(|config| config.strategy = at_any_price())
        .play()
        .await;
    played.assert_all_done(30).await;
    assert_eq!(played.end().unsettled, 0);
    let refused = played.count(|kind| matches!(kind, EventKind::BillRefused { .. }));
    assert_eq!(refused, 0, "{:#?}", played.events);
    let prices: Vec<_> = played
        .kinds()
        .filter_map(|kind| match kind {
            EventKind::AgreementIntended { per_hour, .. } => Some(*per_hour),
            _ => None,
        })
        .collect();
    assert!(prices.len() >= 3 && prices[..2].iter().all(|price| *price == prices[0]), "{prices:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_every_command_is_dropped_and_the_others_do_the_work() {
    let clumsy = Behaviour { fails_commands: Some(3), ..Behaviour::default() };
    let played = Stage::new([strange("clumsy", clumsy), honest("ada"), honest("bob")]).tasks(30).play().await;
    played.assert_all_done(30).await;
    assert_eq!(n_done_by(&played, "clumsy"), 0);
    assert!(played.count(is_set_back) > 0);
    let failed = played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. }));
    assert!(failed <= 4, "{failed} attempts were wasted on it");
}

#[tokio::test(start_paused = true)]
async fn one_that_cant_deploy_is_left_alone() {
    let full = Behaviour { fails_deploy: true, ..Behaviour::default() };
    let played = Stage::new([strange("full", full), honest("ada")]).play().await;
    played.assert_all_done(12).await;
    assert_eq!(played.count(|kind| matches!(kind, EventKind::AttemptFailed { .. })), 0);
    let told = played.kinds().any(
        |kind| matches!(kind, EventKind::ProviderSetBack { reason, .. } if reason.contains("no space left")),
    );
    assert!(told, "{:#?}", played.events);
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_its_agreement_in_a_task_loses_the_task_and_is_paid_for_what_it_did() {
    let moody =
        Behaviour { terminates: Some((secs(13), Reason::new("maintenance"))), ..Behaviour::default() };
    let played = Stage::new([strange("moody", moody), honest("ada")]).tasks(20).play().await;
    played.assert_all_done(20).await;
    assert!(n_done_by(&played, "moody") >= 2);
    let ended = played.kinds().any(|kind| {
        matches!(kind, EventKind::AgreementEnded { by: Terminator::Provider, reason, .. } if reason.message == "maintenance")
    });
    assert!(ended);
    assert_eq!(played.end().unsettled, 0, "its invoice was paid");
}

#[tokio::test(start_paused = true)]
async fn a_slow_one_holds_back_only_its_own_tasks() {
    let slow = Behaviour { slowdown: 6.0, ..Behaviour::default() };
    let played = Stage::new([strange("slow", slow), honest("ada")]).tasks(24).play().await;
    played.assert_all_done(24).await;
    assert!(n_done_by(&played, "ada") > 2 * n_done_by(&played, "slow"));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_ends_expires_and_is_recorded_as_failed() {
    let runtime = golem_devnet::runtime::ScriptedRuntime::new()
        .when(|program, args| (program == "work" && args == ["3"]).then(ScriptedAnswer::hang))
        .when(|program, args| {
            let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
            Some(ScriptedAnswer::ok().taking(Duration::from_secs(1)).stdout((n * 7).to_string()))
        });
    let stage = Stage::with_runtime(runtime, ["ada", "bob", "eve"].map(honest))
        .worker(Hands { limit: secs(20), ..Hands::default() })
        .configured(|config| config.retries = 1);
    let played = stage.play().await;
    let end = played.end();
    assert_eq!((end.why, end.done, end.failed), (StopReason::AllDone, 11, 1));
    played.assert_sound().await;
    let failed = played.kinds().find_map(|kind| match kind {
        EventKind::TaskFailed { attempt, failure, .. } => {
            Some((attempt.task.0, attempt.number, failure.kind))
        }
        _ => None,
    });
    assert_eq!(failed, Some((3, 2, FailureKind::Expired)));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_everywhere_is_recorded_with_its_last_words_and_the_rest_is_done() {
    let runtime = golem_devnet::runtime::ScriptedRuntime::new().when(|program, args| {
        let n: u64 = args.first().filter(|_| program == "work")?.parse().ok()?;
        let answer =
            if n == 5 { ScriptedAnswer::exit(9).stderr("no such frame\n") } else { ScriptedAnswer::ok() };
        Some(answer.taking(secs(2)).stdout((n * 7).to_string()))
    });
    let stage = Stage::with_runtime(runtime, ["ada", "bob", "eve"].map(honest))
        .configured(|config| config.retries = 2);
    let played = stage.play().await;
    let end = played.end();
    assert_eq!((end.why, end.done, end.failed, end.unfinished), (StopReason::AllDone, 11, 1, 0));
    played.assert_sound().await;
    let failed = played.kinds().find_map(|kind| match kind {
        EventKind::TaskFailed { attempt, failure, .. } => Some((
            attempt.task.0,
            attempt.number,
            failure.kind,
            failure.stderr.clone(),
            failure.message.clone(),
        )),
        _ => None,
    });
    let message = "ExeScript command exited with code 9".to_owned();
    assert_eq!(failed, Some((5, 3, FailureKind::CommandFailed, "no such frame\n".into(), message)));
}

#[tokio::test(start_paused = true)]
async fn several_bad_ones_at_once_leave_the_good_one_its_work() {
    let bad = [
        strange("silent", Behaviour { approval: ApprovalManner::Never, ..Behaviour::default() }),
        strange("full", Behaviour { fails_deploy: true, ..Behaviour::default() }),
        strange("clumsy", Behaviour { fails_commands: Some(1), ..Behaviour::default() }),
        strange("fickle", Behaviour { vanishes: Some(Vanishing::After(secs(17))), ..Behaviour::default() }),
    ];
    let stage = Stage::with_runtime(scripted(), bad.into_iter().chain([honest("ada")]))
        .configured(|config| config.retries = 8);
    let played = stage.play().await;
    played.assert_all_done(12).await;
}
