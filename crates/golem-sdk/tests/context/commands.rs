//! Queueing and its results.

use golem_core::event::FailureKind;
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::context::Failure;
use golem_sdk::{Program, ScriptError};
use serde_json::json;

use crate::lab::{ADA, Lab, secs, wait_for};

fn runtime() -> ScriptedRuntime {
    ScriptedRuntime::new()
        .on("/bin/name", &[], ScriptedAnswer::ok().stdout("ada lovelace\n"))
        .on("/bin/fail", &["hard"], ScriptedAnswer::exit(42).stdout("half").stderr("first\nno more memory\n"))
        .on("/bin/big", &[], ScriptedAnswer::ok().writing("/golem/output/big", vec![b'x'; 1001]))
        .on("/bin/odd", &[], ScriptedAnswer::ok().writing("/golem/output/odd", "{]"))
}

#[tokio::test(start_paused = true)]
async fn each_command_of_a_batch_has_its_result() {
    let mut lab = Lab::scripted(runtime()).await;
    let ctx = &mut lab.ctx;
    let value = json!({"frames": [1, 2, 3]});
    let sent = ctx.send_json(&value, "/golem/work/params.json").unwrap();
    let name = ctx.run("/bin/name", [""; 0]);
    let quiet = ctx.shell("true");
    let params = ctx.download_json("/golem/work/params.json", 1024);
    let bytes = ctx.download_bytes("golem/work/params.json", 1024);
    assert_eq!((ctx.queued(), params_place(params), ctx.clone().queued()), (5, 3, 0));

    let done = ctx.commit(secs(60)).await.unwrap();
    assert_eq!((done.len(), done[sent].exit_code, ctx.queued()), (5, Some(0), 0));
    assert_eq!((done[name].stdout().as_ref(), done[name].stderr().as_ref()), ("ada lovelace\n", ""));
    assert_eq!(done[quiet].stdout_bytes(), b"");
    assert_eq!(done.json::<serde_json::Value>(params).unwrap(), value);
    assert_eq!(done.bytes(bytes).unwrap(), value.to_string().as_bytes());
    assert_eq!(done[params].command.words, "download /golem/work/params.json");
    lab.end().await;
}

fn params_place(command: impl Into<golem_sdk::Command>) -> usize {
    command.into().place()
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_asks_nothing_of_the_provider() {
    let mut lab = Lab::scripted(runtime()).await;
    let before = lab.wire.count("POST /activity-api");
    assert!(lab.ctx.commit(None).await.unwrap().is_empty());
    assert!(lab.ctx.commit_streamed(None).finish().await.unwrap().is_empty());
    assert_eq!(lab.wire.count("POST /activity-api"), before);
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_command_is_named_with_its_code_and_its_last_words_and_the_work_goes_on() {
    let mut lab = Lab::scripted(runtime()).await;
    let ctx = &mut lab.ctx;
    let name = ctx.run("/bin/name", [""; 0]);
    let fail = ctx.run("/bin/fail", ["hard"]);
    let never = ctx.shell("true");
    let error = ctx.commit(secs(60)).await.unwrap_err();
    let expected = "`/bin/fail hard` (command 1) failed on ada: exited with code 42: no more memory";
    assert_eq!(error.to_string(), expected);
    let failure = error.to_failure();
    assert_eq!(
        (failure.kind, failure.stderr.as_text().unwrap()),
        (FailureKind::CommandFailed, "first\nno more memory\n")
    );
    assert!(error.leaves_activity_ready());
    let ScriptError::CommandFailed(failure) = error else { panic!("{error:?}") };
    let Failure { command, provider, exit_code, stderr, so_far, .. } = *failure;
    assert_eq!((command.place, provider.name.as_str(), exit_code), (1, ADA, Some(42)));
    assert_eq!(stderr, "first\nno more memory\n");
    assert_eq!(so_far[name].stdout(), "ada lovelace\n");
    assert_eq!(so_far[fail].stdout(), "half");
    assert!(so_far.get(never).is_none());

    let name = ctx.run("/bin/name", [""; 0]);
    assert_eq!(ctx.commit(secs(60)).await.unwrap()[name].stdout(), "ada lovelace\n");
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_another_batch_finds_nothing() {
    let mut lab = Lab::scripted(runtime()).await;
    let ctx = &mut lab.ctx;
    ctx.run("/bin/big", [""; 0]);
    let old = ctx.download_bytes("/golem/output/big", 2000);
    let first = ctx.commit(secs(60)).await.unwrap();
    let mut other = ctx.clone();
    let foreign = other.run("/bin/name", [""; 0]);
    ctx.run("/bin/odd", [""; 0]);
    let odd = ctx.download_json("/golem/output/odd", 2000);
    let second = ctx.commit(secs(60)).await.unwrap();

    assert_eq!(first.bytes(old).unwrap().len(), 1001);
    assert!(matches!(second.bytes(old), Err(ScriptError::NoSuchResult)));
    assert!(matches!(first.json::<u8>(odd), Err(ScriptError::NoSuchResult)));
    assert!(second.get(old).is_none() && first.get(odd).is_none());
    assert!(first.get(foreign).is_none() && second.get(foreign).is_none());
    let error = second.json::<u8>(odd).unwrap_err();
    assert_eq!(error.kind(), FailureKind::Rejected);
    assert!(matches!(&error, ScriptError::Unreadable { command, .. } if command.place == 1), "{error:?}");
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_download_past_its_limit_is_an_error() {
    let mut lab = Lab::scripted(runtime()).await;
    let folder = tempfile::tempdir().unwrap();
    let ctx = &mut lab.ctx;
    ctx.run("/bin/big", [""; 0]);
    let file = ctx.download_file("/golem/output/big", folder.path().join("deep/big"));
    let exact = ctx.download_bytes("/golem/output/big", 1001);
    let small = ctx.download_bytes("/golem/output/big", 1000);
    let error = ctx.commit(secs(60)).await.unwrap_err();
    let ScriptError::TransferFailed(failure) = error else { panic!("{error:?}") };
    assert!(failure.message.contains("larger than the 1000 bytes"), "{failure}");
    assert_eq!((failure.command.place, failure.exit_code), (3, None));
    assert_eq!(failure.so_far.bytes(exact).unwrap().len(), 1001);
    assert!(matches!(failure.so_far.bytes(small), Err(ScriptError::NoSuchResult)));
    assert!(matches!(failure.so_far.file(file), Err(ScriptError::NoSuchResult)));
    assert_eq!(
        std::fs::read_dir(folder.path().join("deep")).unwrap().count(),
        0,
        "half a batch has its names"
    );
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_isnt_there_replaces_nothing_and_no_other_file_of_its_batch_does() {
    let mut lab = Lab::scripted(runtime()).await;
    let folder = tempfile::tempdir().unwrap();
    let [big, none] = ["big", "none"].map(|name| folder.path().join(name));
    for path in [&big, &none] {
        std::fs::write(path, "an older result").unwrap();
    }
    for streamed in [false, true] {
        lab.ctx.run("/bin/big", [""; 0]);
        lab.ctx.download_file("/golem/output/big", &big);
        lab.ctx.download_file("/golem/output/none", &none);
        let ended = if streamed {
            lab.ctx.commit_streamed(secs(60)).finish().await
        } else {
            lab.ctx.commit(secs(60)).await
        };
        assert!(ended.is_err_and(|error| error.to_string().contains("/golem/output/none")));
        let script = golem_sdk::Script::new()
            .run("/bin/big", [""; 0])
            .download_file("/golem/output/big", &big)
            .download_bytes("/golem/output/none", 100);
        let execution = lab.ctx.execute(script, secs(60)).await.unwrap();
        assert_eq!(execution.end, golem_sdk::ExecutionEnd::Failed { index: 2 });
        assert!(execution.download(2).is_none(), "an empty document was taken");
        for path in [&big, &none] {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "an older result");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "something is left behind");

    lab.ctx.run("/bin/big", [""; 0]);
    lab.ctx.download_file("/golem/output/big", &big);
    lab.ctx.commit(secs(60)).await.unwrap();
    assert_eq!(std::fs::read(&big).unwrap().len(), 1001);
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_fails_its_transfer_in_the_providers_words() {
    let mut lab = Lab::scripted(runtime()).await;
    let folder = tempfile::tempdir().unwrap();
    lab.ctx.download_file("/golem/output/none", folder.path().join("none"));
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    let ScriptError::TransferFailed(failure) = error else { panic!("{error:?}") };
    assert!(failure.message.contains("/golem/output/none"), "{failure}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");

    lab.ctx.send_file(folder.path().join("missing"), "/golem/work/x");
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    assert!(matches!(error, ScriptError::Transfer(_)), "{error:?}");
    assert!(error.leaves_activity_ready());
    assert_eq!(error.kind(), FailureKind::Invalid);
    assert!(error.to_failure().message.contains("missing can't be read: No such file"), "{error:?}");
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_cant_be_sent_is_refused_before_anything_is_done() {
    let mut lab = Lab::scripted(runtime()).await;
    let before = lab.wire.count("POST /activity-api");
    lab.ctx.send_bytes("x", "/golem/work/x");
    lab.ctx.add(Program::new("/bin/name").env("A=B", "c"));
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    assert_eq!(
        golem_sdk::text::chain(&error),
        "`/bin/name` (command 1) can't be sent: `A=B` is not a valid name for an environment variable"
    );
    assert_eq!(lab.wire.count("POST /activity-api"), before);
    wait_for("the address to be given back", || lab.wire.bound() == 0).await;

    let unspeakable = std::collections::HashMap::from([((1, 2), 3)]);
    let error = lab.ctx.send_json(&unspeakable, "/golem/work/x").unwrap_err();
    assert!(matches!(&error, ScriptError::NoJson { to, .. } if to == "/golem/work/x"), "{error:?}");
    assert_eq!(lab.ctx.queued(), 0);
    lab.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_download_that_brought_nothing_isnt_done_whatever_the_provider_says() {
    let mut lab = Lab::scripted(runtime()).await;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("big");
    std::fs::write(&kept, "an older result").unwrap();
    lab.wire.divert_downloads();
    for into_file in [true, false] {
        lab.ctx.run("/bin/big", [""; 0]);
        if into_file {
            lab.ctx.download_file("/golem/output/big", &kept);
        } else {
            lab.ctx.download_bytes("/golem/output/big", 2000);
        }
        let error = lab.ctx.commit(secs(60)).await.unwrap_err();
        let ScriptError::TransferFailed(failure) = error else { panic!("{error:?}") };
        assert_eq!((failure.command.place, failure.message.as_str()), (1, "nothing arrived"));
    }
    let script = golem_sdk::Script::new().run("/bin/big", [""; 0]).download_bytes("/golem/output/big", 2000);
    let execution = lab.ctx.execute(script, secs(60)).await.unwrap();
    assert_eq!(execution.end, golem_sdk::ExecutionEnd::Failed { index: 1 });
    assert_eq!(execution.results[1].message.as_deref(), Some("nothing arrived"));
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "an older result");
    lab.end().await;
}
