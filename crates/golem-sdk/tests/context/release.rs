//! Nothing is left behind, however a batch ends.

use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use golem_sdk::ScriptError;
use tokio::time::timeout;

use crate::lab::{Lab, secs, wait_for};

#[derive(Debug, Clone, Copy)]
enum Way {
    Done,
    CommandFails,
    TransferFails,
    TimesOut,
    Dropped,
    StreamDropped,
    Unreadable,
    ActivityDies,
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_releases_its_files() {
    let runtime = ScriptedRuntime::new()
        .on("fail", &[], ScriptedAnswer::exit(1))
        .on("nap", &[], ScriptedAnswer::ok().taking(secs(30)))
        .on("die", &[], ScriptedAnswer::die());
    let mut lab = Lab::scripted(runtime).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in"), "content").unwrap();
    let mut bound = 0;
    for way in [
        Way::Done,
        Way::CommandFails,
        Way::TransferFails,
        Way::TimesOut,
        Way::Dropped,
        Way::StreamDropped,
        Way::Unreadable,
        Way::ActivityDies,
    ] {
        let ctx = &mut lab.ctx;
        ctx.send_file(folder.path().join("in"), "/golem/work/in");
        ctx.send_bytes("bytes", "/golem/work/bytes");
        let command = match way {
            Way::Done => "true",
            Way::CommandFails => "fail",
            Way::TransferFails => {
                ctx.download_bytes("/golem/work/none", 10);
                "true"
            }
            Way::Unreadable => {
                ctx.send_file(folder.path().join("none"), "/golem/work/none");
                "true"
            }
            Way::TimesOut | Way::Dropped | Way::StreamDropped => "nap",
            Way::ActivityDies => "die",
        };
        ctx.run(command, [""; 0]);
        ctx.download_bytes("/golem/work/bytes", 100);
        ctx.download_file("/golem/work/bytes", folder.path().join("out"));
        let ended = match way {
            Way::Dropped => {
                assert!(timeout(secs(5), ctx.commit(secs(60))).await.is_err());
                None
            }
            Way::StreamDropped => {
                assert!(timeout(secs(5), ctx.commit_streamed(secs(60)).finish()).await.is_err());
                None
            }
            _ => Some(ctx.commit(secs(20)).await),
        };
        match (way, &ended) {
            (Way::Done, Some(Ok(_)))
            | (Way::CommandFails, Some(Err(ScriptError::CommandFailed(_))))
            | (Way::TransferFails, Some(Err(ScriptError::TransferFailed(_))))
            | (Way::TimesOut, Some(Err(ScriptError::Expired(_))))
            | (Way::Unreadable, Some(Err(ScriptError::Transfer(_))))
            | (Way::ActivityDies, Some(Err(ScriptError::ActivityLost { .. })))
            | (Way::Dropped | Way::StreamDropped, None) => {}
            (way, ended) => panic!("{way:?}: {ended:?}"),
        }
        match way {
            // Nobody asks there any more: they are kept for the next batch.
            Way::Done | Way::CommandFails => assert_eq!(lab.wire.bound(), 4, "{way:?}"),
            _ => wait_for("the addresses to be given back", || lab.wire.bound() == 0).await,
        }
        let now = lab.wire.count("POST /gsb-api");
        match way {
            Way::CommandFails => assert_eq!(now, bound, "the addresses of the last batch serve this one"),
            Way::TransferFails => assert_eq!(now, bound + 1),
            _ => assert!(now >= bound + 2, "{way:?} has bound {} addresses", now - bound),
        }
        bound = now;
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(
            left.iter().filter(|name| *name != "in" && *name != "out").count(),
            0,
            "{way:?}: {left:?}"
        );
        // A file is there only when it was brought.
        assert_eq!(folder.path().join("out").exists(), matches!(way, Way::Done), "{way:?}");
        std::fs::remove_file(folder.path().join("out")).ok();
        tokio::time::sleep(secs(30)).await;
    }
}

/// A file once cost three requests: to bind its address, to serve it, to give it back.
#[tokio::test(start_paused = true)]
async fn the_files_of_many_batches_share_their_addresses() {
    const BATCHES: usize = 40;
    let mut lab = Lab::scripted(ScriptedRuntime::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let before = lab.devnet.faults().request_count();
    for n in 0..BATCHES {
        let (sent, out) = (format!("content {n}"), folder.path().join(n.to_string()));
        lab.ctx.send_bytes(sent.clone(), "/golem/work/file");
        lab.ctx.run("true", [""; 0]);
        let bytes = lab.ctx.download_bytes("/golem/work/file", 100);
        lab.ctx.download_file("/golem/work/file", &out);
        let batch = lab.ctx.commit(secs(60)).await.unwrap();
        assert_eq!(batch.bytes(bytes).unwrap(), sent.as_bytes());
        assert_eq!(std::fs::read_to_string(out).unwrap(), sent);
    }
    assert_eq!(lab.wire.count("POST /gsb-api"), 3);
    let requests = lab.devnet.faults().request_count() - before;
    assert!(
        requests <= 3 * BATCHES as u64,
        "{requests} requests for {BATCHES} batches with three files each"
    );
    let wire = std::sync::Arc::clone(&lab.wire);
    lab.end().await;
    assert_eq!(wire.bound(), 0, "they are given back with the activity");
}

/// More files than an activity keeps addresses for.
#[tokio::test(start_paused = true)]
async fn a_batch_of_many_files_keeps_a_few_addresses() {
    let mut lab = Lab::scripted(ScriptedRuntime::new()).await;
    for _ in 0..2 {
        for n in 0..40 {
            lab.ctx.send_bytes(vec![b'x'; n], format!("/golem/work/{n}"));
        }
        lab.ctx.commit(secs(60)).await.unwrap();
        assert_eq!(lab.wire.bound(), 16);
    }
    assert_eq!(lab.wire.count("POST /gsb-api"), 40 + 24);
    lab.end().await;
}

/// A real daemon logs an error for a demand that is withdrawn in the middle of a poll for its events.
#[tokio::test(start_paused = true)]
async fn a_demand_is_withdrawn_when_nobody_asks_for_its_events_any_more() {
    let lab = Lab::scripted(ScriptedRuntime::new()).await;
    let wire = std::sync::Arc::clone(&lab.wire);
    lab.end().await;
    assert!(wire.count("GET /market-api/v1/demands/") > 0, "its events were asked for");
    assert_eq!(wire.count("DELETE /market-api/v1/demands/"), 1);
    assert_eq!(wire.withdrawn_early(), 0);
}
