//! Batches that end otherwise than they should.

use std::time::Duration;

use golem_core::event::FailureKind;
use golem_devnet::node::Fault;
use golem_devnet::provider::Behaviour;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::script::LONGEST_ARGUMENT;
use golem_sdk::text::chain;
use golem_sdk::{Program, Script, ScriptError};
use tokio::time::{Instant, sleep, timeout};
use yagna_api::activity::{Command, Deploy, Run, State, StatePair};
use yagna_api::market::{Reason, Terminator};

use crate::lab::{ADA, Lab, secs};

fn runtime() -> ScriptedRuntime {
    ScriptedRuntime::new()
        .on("hang", &[], ScriptedAnswer::hang())
        .on("die", &[], ScriptedAnswer::die())
        .on("nap", &[], ScriptedAnswer::ok().taking(secs(30)))
        .on("name", &[], ScriptedAnswer::ok().stdout("ada"))
}

async fn assert_works(lab: &mut Lab) {
    let name = lab.ctx.run("name", [""; 0]);
    assert_eq!(lab.ctx.commit(secs(60)).await.unwrap()[name].stdout(), "ada");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_timed_out_says_where_and_the_next_says_busy_until_it_is_terminated() {
    let mut lab = Lab::scripted(runtime()).await;
    let name = lab.ctx.run("name", [""; 0]);
    lab.ctx.run("hang", [""; 0]);
    let begun = Instant::now();
    let error = lab.ctx.commit(secs(20)).await.unwrap_err();
    assert!(begun.elapsed() < secs(22), "{:?}", begun.elapsed());
    assert_eq!(error.to_string(), "the batch took longer than 20s on ada, at `hang` (command 1)");
    assert_eq!((error.kind(), error.leaves_activity_ready()), (FailureKind::Expired, false));
    let ScriptError::Expired(expiry) = error else { panic!("{error:?}") };
    assert_eq!(expiry.so_far[name].stdout(), "ada");

    lab.ctx.run("name", [""; 0]);
    let error = lab.ctx.commit(secs(20)).await.unwrap_err();
    assert!(matches!(&error, ScriptError::Busy { provider } if provider.name == ADA), "{error:?}");

    lab.ctx.terminate();
    lab.ctx.deploy(Deploy::default());
    lab.ctx.start([""; 0]);
    let name = lab.ctx.run("name", [""; 0]);
    assert_eq!(lab.ctx.commit(secs(60)).await.unwrap()[name].stdout(), "ada");
    assert_eq!(lab.ctx.state().await.unwrap().state, StatePair(State::Ready, None));
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_timed_out_holds_the_activity_no_longer_than_it_runs() {
    let mut lab = Lab::scripted(runtime()).await;
    lab.ctx.run("nap", [""; 0]);
    let error = lab.ctx.commit(secs(20)).await.unwrap_err();
    assert!(matches!(error, ScriptError::Expired(_)), "{error:?}");
    sleep(secs(11)).await;
    assert_works(&mut lab).await;
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_commit_is_as_one_that_timed_out() {
    let mut lab = Lab::scripted(runtime()).await;
    lab.ctx.run("nap", [""; 0]);
    assert!(timeout(secs(5), lab.ctx.commit(secs(60))).await.is_err());
    lab.ctx.run("name", [""; 0]);
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    assert!(matches!(error, ScriptError::Busy { .. }), "{error:?}");
    sleep(secs(30)).await;
    assert_works(&mut lab).await;
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn two_clones_cant_run_at_once_and_nothing_is_mixed_up() {
    let mut lab = Lab::scripted(runtime()).await;
    let mut other = lab.ctx.clone();
    lab.ctx.run("nap", [""; 0]);
    other.run("name", [""; 0]);
    let (first, second) = tokio::join!(lab.ctx.commit(secs(60)), other.commit(secs(60)));
    assert_eq!(first.unwrap().len(), 1);
    assert!(matches!(second, Err(ScriptError::Busy { .. })), "{second:?}");
    assert_works(&mut lab).await;
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_costs_no_more_time_than_the_limit() {
    let mut lab = Lab::scripted(runtime()).await;
    let node = lab.ctx.provider_id().clone();
    for follow in [false, true] {
        // Before the script arrives, and while it runs.
        for asleep in [true, false] {
            let faults = lab.devnet.faults();
            if asleep {
                faults.freeze(&node);
            }
            lab.ctx.run("nap", [""; 0]);
            let begun = Instant::now();
            let commit = async {
                if follow {
                    lab.ctx.commit_streamed(secs(20)).finish().await
                } else {
                    lab.ctx.commit(secs(20)).await
                }
            };
            let freezer = async {
                sleep(secs(5)).await;
                faults.freeze(&node);
            };
            let (ended, ()) = tokio::join!(commit, freezer);
            assert!(begun.elapsed() <= secs(24), "{:?}: {ended:?}", begun.elapsed());
            assert!(matches!(ended, Err(ScriptError::Expired(_))), "{ended:?}");
            faults.thaw(&node);
            sleep(secs(30)).await;
            assert_works(&mut lab).await;
        }
    }
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_activity_is_told_with_the_providers_reason() {
    let mut lab = Lab::scripted(runtime()).await;
    lab.ctx.run("die", [""; 0]);
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    assert_eq!(error.to_string(), "the activity is lost on ada: execution aborted");
    assert_eq!((error.kind(), error.leaves_activity_ready()), (FailureKind::Lost, false));

    // Nor is there anything for the next one.
    lab.ctx.run("name", [""; 0]);
    let error = lab.ctx.commit_streamed(secs(60)).finish().await.unwrap_err();
    assert!(matches!(error, ScriptError::ActivityLost { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agreement_that_the_provider_ends_is_told_with_its_reason() {
    for follow in [false, true] {
        let mut lab = Lab::scripted(runtime()).await;
        let reason = Reason::new("the cat needs the machine");
        lab.devnet.provider(ADA).unwrap().change(|behaviour: &mut Behaviour| {
            behaviour.terminates = Some((Duration::from_secs(10), reason));
        });
        lab.ctx.run("hang", [""; 0]);
        let error = if follow {
            lab.ctx.commit_streamed(secs(600)).finish().await.unwrap_err()
        } else {
            lab.ctx.commit(secs(600)).await.unwrap_err()
        };
        let ScriptError::AgreementEnded { agreement, by, reason, provider } = error else {
            panic!("{error:?}")
        };
        assert_eq!((&agreement, by), (lab.ctx.agreement(), Terminator::Provider));
        assert_eq!((reason.as_str(), provider.name.as_str()), ("the cat needs the machine", ADA));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_what_runs_already_is_refused_and_harms_nothing() {
    let mut lab = Lab::scripted(runtime()).await;
    lab.ctx.add(Program::new("name"));
    lab.ctx.deploy(Deploy::default());
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    assert!(error.to_string().contains("Cannot send command after a successful start()"), "{error}");
    assert_works(&mut lab).await;
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_script_that_is_refused_leaves_the_activity_as_it_was_and_one_that_is_gone_doesnt() {
    let mut lab = Lab::scripted(runtime()).await;
    let faults = lab.devnet.faults();
    let exec = "/exec?";
    for (status, kind) in
        [(413, FailureKind::Invalid), (415, FailureKind::Invalid), (400, FailureKind::CommandFailed)]
    {
        for follow in [false, true] {
            faults.next(1, exec, Fault::Status(status));
            lab.ctx.run("name", [""; 0]);
            let error = if follow {
                lab.ctx.commit_streamed(secs(20)).finish().await.unwrap_err()
            } else {
                lab.ctx.commit(secs(20)).await.unwrap_err()
            };
            assert!(matches!(error, ScriptError::Refused(_)), "{error:?}");
            assert_eq!((error.kind(), error.leaves_activity_ready()), (kind, true), "{status}");
            assert_works(&mut lab).await;
        }
        faults.next(1, exec, Fault::Status(status));
        let error = lab.ctx.execute(Script::new().run("name", [""; 0]), secs(20)).await.unwrap_err();
        assert_eq!((error.kind(), error.leaves_activity_ready()), (kind, true), "{status}");
    }
    for status in [401, 403, 404, 410] {
        faults.next(1, exec, Fault::Status(status));
        let error = lab.ctx.execute(Script::new().run("name", [""; 0]), secs(20)).await.unwrap_err();
        assert_eq!((error.kind(), error.leaves_activity_ready()), (FailureKind::Lost, false), "{status}");
    }
    assert_works(&mut lab).await;
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_machine_could_take_is_never_sent() {
    let mut lab = Lab::scripted(runtime()).await;
    let sent = lab.devnet.faults().request_count();
    let long = "x".repeat(LONGEST_ARGUMENT);
    let many = || (0..17).fold(Script::new(), |script, _| script.run("name", [long.as_str()]));
    let run = |program: &str| {
        Script::new().command(Command::Run(Run {
            entry_point: program.into(),
            args: Vec::new(),
            capture: None,
        }))
    };
    for (script, told) in [
        (Script::new().shell(format!("{long}x")), "has 131072 bytes"),
        (run("na\0me"), "zero byte"),
        (run(&format!("{long}x")), "has 131072 bytes"),
        (Script::new().upload_text("", "/a\0b"), "the path holds a zero byte"),
        (Script::new().download_bytes("n".repeat(256), 1), "a name in the path has 256 bytes"),
        (Script::new().upload_text("", "/a".repeat(2048)), "the path has 4096 bytes"),
        (many(), "and the daemon takes at most 2097152"),
    ] {
        let checked = script.check().unwrap_err();
        let error = lab.ctx.execute(script, secs(20)).await.unwrap_err();
        for error in [checked, error] {
            assert_eq!((error.kind(), error.leaves_activity_ready()), (FailureKind::Invalid, true));
            assert!(chain(&error).contains(told), "{}", chain(&error));
        }
    }
    assert_eq!(lab.devnet.faults().request_count(), sent);
    assert_works(&mut lab).await;
    lab.end().await;
}
