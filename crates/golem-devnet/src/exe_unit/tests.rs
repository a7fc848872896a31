//! States, results by poll, streams, ends: all in virtual time, on the scripted runtime.

use futures_util::StreamExt as _;
use yagna_api::activity::{
    Capture, CaptureFormat, CaptureMode, Command, Deploy, Empty, Outcome, Output, Run, RuntimeEventKind,
    State,
};

use super::testing::{FakePort, Stand, TestClock, deploy, pair, run, start};
use super::*;
use crate::runtime::{ProcessRuntime, ScriptedAnswer, ScriptedRuntime};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn scripted() -> ScriptedRuntime {
    ScriptedRuntime::new()
        .on("false", &[], ScriptedAnswer::exit(1).stderr("no"))
        .on("hang", &[], ScriptedAnswer::hang())
        .on("die", &[], ScriptedAnswer::die())
        .on_prefix("echo", &[], ScriptedAnswer::ok().stdout("hello\n"))
        .when(|program, args| {
            let seconds = args.first()?.parse().ok()?;
            (program == "sleep").then(|| ScriptedAnswer::ok().taking(secs(seconds)).stdout("slept"))
        })
}

fn text(output: Option<&Output>) -> Option<String> {
    output.map(|output| output.to_text().into_owned())
}

#[tokio::test(start_paused = true)]
async fn states_go_through_their_pairs_and_are_all_reported() {
    let stand = Stand::new(&scripted()).await;
    let results = stand.run(vec![deploy(), start(), run("echo", &["x"])]).await;
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(|result| result.result == Outcome::Ok));
    stand.unit.stop(Some("by the test".to_owned())).await;
    assert_eq!(
        stand.port.pairs(),
        [
            pair(State::Initialized, None),
            pair(State::Initialized, Some(State::Deployed)),
            pair(State::Deployed, None),
            pair(State::Deployed, Some(State::Ready)),
            pair(State::Ready, None),
            pair(State::Ready, Some(State::Ready)),
            pair(State::Ready, None),
            pair(State::Ready, Some(State::Terminated)),
            pair(State::Terminated, None),
        ]
    );
    let last = stand.port.states.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last.reason.as_deref(), Some("by the test"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_order_is_refused_in_the_exe_units_words() {
    let initialized = "Activity is initialized - deploy() command is expected now";
    let deployed = "Activity is deployed - start() command is expected now";
    let ready = "Cannot send command after a successful start()";
    for (before, wrong, words) in [
        (vec![], start(), initialized),
        (vec![], run("echo", &[]), initialized),
        (vec![deploy()], deploy(), deployed),
        (vec![deploy()], run("echo", &[]), deployed),
        (vec![deploy(), start()], start(), ready),
        (vec![deploy(), start()], deploy(), ready),
        (vec![], Command::Sign(Empty {}), "sign"),
    ] {
        let stand = Stand::new(&scripted()).await;
        let at = before.len();
        let script: Vec<Command> = before.into_iter().chain([wrong, run("echo", &[])]).collect();
        let results = stand.run(script).await;
        assert_eq!(results.len(), at + 1, "what follows an error never appears");
        let last = &results[at];
        assert_eq!((last.result, last.is_batch_finished), (Outcome::Error, true));
        assert!(last.message.as_deref().unwrap().contains(words), "{:?}", last.message);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_deploy_cannot_be_repeated_but_terminate_begins_anew() {
    let stand = Stand::new(&scripted().deploying(ScriptedAnswer::exit(1).stderr("bad image"))).await;
    let results = stand.run(vec![deploy(), start()]).await;
    assert_eq!(results[0].message.as_deref(), Some("Runtime error: bad image"));
    assert_eq!(stand.port.pairs().last(), Some(&pair(State::Deployed, None)));
    assert_eq!(stand.run(vec![deploy()]).await[0].result, Outcome::Error);

    let stand = Stand::ready(&scripted()).await;
    let script = vec![Command::Terminate(Empty {}), deploy(), start(), run("echo", &[])];
    let results = stand.run(script).await;
    assert!(results.iter().all(|result| result.result == Outcome::Ok), "{results:?}");
    assert!(stand.port.pairs().ends_with(&[
        pair(State::Initialized, None),
        pair(State::Initialized, Some(State::Deployed)),
        pair(State::Deployed, None),
        pair(State::Deployed, Some(State::Ready)),
        pair(State::Ready, None),
        pair(State::Ready, Some(State::Ready)),
        pair(State::Ready, None),
    ]));
}

#[tokio::test(start_paused = true)]
async fn a_second_batch_meanwhile_is_busy_and_terminate_ends_the_first() {
    let stand = Stand::ready(&scripted()).await;
    let first = stand.exec(vec![run("echo", &["x"]), run("hang", &[])]).await;
    let begun = stand.service.results(&first, secs(5), Some(0)).await.unwrap();
    assert_eq!(begun.len(), 1);
    let second = stand.run(vec![run("echo", &["x"])]).await;
    let message = second[0].message.as_deref().unwrap();
    assert!(message.ends_with("State error: Busy: StatePair(Ready, Some(Ready))"), "{message}");

    let third = stand.run(vec![Command::Terminate(Empty {})]).await;
    assert_eq!(third[0].result, Outcome::Ok);
    let first = stand.all(&first).await;
    assert_eq!(first.len(), 2);
    assert_eq!((first[1].result, first[1].is_batch_finished), (Outcome::Error, true));
    assert_eq!(stand.port.pairs().last(), Some(&pair(State::Initialized, None)));
}

#[tokio::test(start_paused = true)]
async fn a_non_zero_exit_leaves_the_activity_ready() {
    let stand = Stand::ready(&scripted()).await;
    let results = stand.run(vec![run("echo", &[]), run("false", &[]), run("echo", &[])]).await;
    assert_eq!(results.len(), 2);
    assert_eq!(results[1].message.as_deref(), Some("ExeScript command exited with code 1"));
    assert_eq!(results[1].exit_code(), Some(1));
    assert_eq!(text(results[1].stderr.as_ref()).as_deref(), Some("no"));
    assert_eq!(results[1].stdout, None, "empty output is null");
    assert!(!results[0].is_batch_finished && results[1].is_batch_finished);
    assert_eq!(stand.run(vec![run("echo", &[])]).await[0].result, Outcome::Ok);
}

#[tokio::test(start_paused = true)]
async fn polls_wait_as_the_real_ones_do() {
    let stand = Stand::ready(&scripted()).await;
    let poll = async |batch: &BatchId, wait, command| {
        let begun = Instant::now();
        let answer = stand.service.results(batch, wait, command).await;
        let answer = answer.map(|results| results.len()).map_err(|error| error.status);
        (answer, begun.elapsed().as_secs())
    };
    let batch = stand.exec(vec![run("sleep", &["10"]), run("sleep", &["20"]), run("sleep", &["30"])]).await;
    assert_eq!(poll(&batch, Duration::ZERO, None).await, (Ok(0), 0), "no time: what there is");
    assert_eq!(poll(&batch, Duration::ZERO, Some(0)).await, (Err(408), 0));
    assert_eq!(poll(&batch, secs(5), None).await, (Ok(0), 5));
    assert_eq!(poll(&batch, secs(2), Some(0)).await, (Err(408), 2));
    assert_eq!(poll(&batch, secs(60), Some(0)).await, (Ok(1), 3), "ends with its command");
    assert_eq!(poll(&batch, secs(10), None).await, (Ok(1), 10), "partial, after the whole wait");
    assert_eq!(poll(&batch, secs(3600), None).await, (Ok(3), 40));
    assert_eq!(poll(&batch, secs(3600), None).await, (Ok(3), 0), "kept after the end, not consumed");
    assert_eq!(poll(&batch, secs(7), Some(3)).await, (Err(408), 7), "there is no such command");

    let failing = stand.exec(vec![run("echo", &[]), run("false", &[]), run("echo", &[])]).await;
    assert_eq!(poll(&failing, secs(5), Some(1)).await, (Ok(2), 0), "the failed command is there at once");
    assert_eq!(poll(&failing, secs(5), None).await, (Ok(2), 5), "without it the last one is waited for");
    assert_eq!(poll(&failing, secs(5), Some(2)).await, (Err(408), 5));

    let empty = stand.exec(vec![]).await;
    assert_eq!(poll(&empty, secs(5), None).await, (Ok(0), 0));
    assert_eq!(poll(&BatchId::new("nope"), secs(5), None).await, (Err(404), 0));
}

#[tokio::test(start_paused = true)]
async fn a_named_command_ends_the_list_and_alone_has_output() {
    let stand = Stand::ready(&scripted()).await;
    let batch = stand.exec(vec![run("echo", &[]), run("echo", &[]), run("echo", &[])]).await;
    stand.all(&batch).await;
    let results = stand.service.results(&batch, secs(1), Some(1)).await.unwrap();
    let seen: Vec<_> =
        results.iter().map(|result| (result.stdout.is_some(), result.is_batch_finished)).collect();
    assert_eq!(seen, [(false, false), (true, true)]);
    let all = stand.service.results(&batch, secs(1), None).await.unwrap();
    let seen: Vec<_> = all.iter().map(|result| (result.stdout.is_some(), result.is_batch_finished)).collect();
    assert_eq!(seen, [(true, false), (true, false), (true, true)]);
    assert_eq!(all[0].event_date, "2026-01-01T00:00:00Z".parse().unwrap(), "times are the clock's");
}

#[tokio::test(start_paused = true)]
async fn output_nobody_asked_for_is_dropped() {
    let stand = Stand::ready(&scripted()).await;
    let none = Command::Run(Run { entry_point: "echo".to_owned(), ..Run::default() });
    let only_err = Command::Run(Run {
        entry_point: "echo".to_owned(),
        capture: Some(Capture { stdout: None, ..Capture::text() }),
        ..Run::default()
    });
    for command in [none, only_err] {
        let batch = stand.exec(vec![command]).await;
        assert_eq!(stand.events(&batch).await.len(), 2, "started and finished");
        assert_eq!(stand.all(&batch).await[0].stdout, None);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_tell_everything_from_the_start_whenever_they_begin() {
    let stand = Stand::ready(&scripted()).await;
    let script = vec![
        Command::Run(Run {
            entry_point: "sleep".to_owned(),
            args: vec!["5".to_owned()],
            capture: Some(Capture::stream()),
        }),
        run("false", &[]),
    ];
    let batch = stand.exec(script).await;
    let early = stand.events(&batch).await;
    let late = stand.events(&batch).await;
    assert_eq!(early, late);
    let kinds: Vec<(u32, String)> = early
        .iter()
        .map(|event| {
            let kind = match &event.kind {
                RuntimeEventKind::Started { command } => format!("started {}", command["run"]["entry_point"]),
                RuntimeEventKind::StdOut(output) => format!("stdout {}", output.to_text()),
                RuntimeEventKind::Finished { return_code, message } => {
                    format!("finished {return_code} {message:?}")
                }
                other => format!("{other:?}"),
            };
            (event.index, kind)
        })
        .collect();
    let wanted = [
        (0, "started \"sleep\""),
        (0, "stdout slept"),
        (0, "finished 0 None"),
        (1, "started \"false\""),
        // Output that is captured at the end isn't streamed.
        (1, "finished 1 Some(\"ExeScript command exited with code 1\")"),
    ];
    assert_eq!(kinds, wanted.map(|(index, kind)| (index, kind.to_owned())));
    assert!(stand.events(&BatchId::new("nope")).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_replay_a_stream_has_only_what_comes_after_it() {
    let config = ExeUnitConfig { replay_streams: false, ..ExeUnitConfig::default() };
    let stand = Stand::with(&scripted(), config).await;
    stand.run(vec![deploy(), start()]).await;
    let batch = stand.exec(vec![run("echo", &[]), run("sleep", &["5"])]).await;
    stand.service.results(&batch, secs(1), Some(0)).await.unwrap();
    let mut later = stand.service.events(&batch);
    let first = later.next().await.unwrap();
    assert_eq!(first.index, 1, "the first command is over");
    assert!(stand.events(&batch).await.is_empty(), "and now everything is");
}

#[tokio::test(start_paused = true)]
async fn usage_is_reported_each_second_and_at_the_end_in_the_agreements_order() {
    let vector = ["golem.usage.cpu_sec", "golem.usage.gib_sec", "golem.usage.duration_sec"];
    let config =
        ExeUnitConfig { usage_vector: vector.map(str::to_owned).to_vec(), ..ExeUnitConfig::default() };
    let stand = Stand::with(&scripted(), config).await;
    stand.run(vec![deploy(), start(), run("sleep", &["10"])]).await;
    tokio::time::sleep(Duration::from_millis(20_500)).await;
    stand.unit.stop(None).await;
    let usage = stand.port.usage.lock().unwrap();
    assert!((31..=33).contains(&usage.len()), "{}", usage.len());
    assert_eq!(usage.last().unwrap().current_usage, Some(vec![10.0, 0.0, 30.5]));
    assert_eq!(usage.last().unwrap().timestamp, 1_767_225_630);
    let durations: Vec<f64> =
        usage.iter().filter_map(|usage| Some(usage.current_usage.as_ref()?[2])).collect();
    assert!(durations.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_death_takes_the_exe_unit_off_the_bus_and_its_results_never_come() {
    let stand = Stand::ready(&scripted()).await;
    let batch = stand.exec(vec![run("echo", &[]), run("die", &[]), run("echo", &[])]).await;
    assert_eq!(stand.unit.ended().await, ExeUnitEnd::Died);
    assert!(stand.port.bound.lock().unwrap().is_none());
    let last = stand.port.states.lock().unwrap().last().cloned().unwrap();
    assert_eq!(
        (last.state, last.reason.as_deref()),
        (pair(State::Terminated, None), Some("execution aborted"))
    );
    let begun = Instant::now();
    let error = stand.service.results(&batch, secs(9), Some(1)).await.unwrap_err();
    assert_eq!((error.status, begun.elapsed()), (408, secs(14)), "when nobody waits for it any more");
    let reports = stand.port.states.lock().unwrap().len();
    assert_eq!(stand.unit.stop(None).await, ExeUnitEnd::Died);
    assert_eq!(stand.port.states.lock().unwrap().len(), reports, "nothing more is said");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_runtime_is_the_commands_failure() {
    let runtime = scripted().when(|program, _| {
        assert_ne!(program, "panic", "as asked for");
        None
    });
    let stand = Stand::ready(&runtime).await;
    let results = stand.run(vec![run("panic", &[])]).await;
    assert_eq!(results[0].message.as_deref(), Some("Runtime error: the runtime panicked"));
    assert_eq!(stand.run(vec![run("echo", &[])]).await[0].result, Outcome::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_what_hangs_and_refuses_what_comes() {
    let stand = Stand::ready(&scripted()).await;
    let batch = stand.exec(vec![run("hang", &[])]).await;
    let (end, again) = tokio::join!(stand.unit.stop(None), stand.unit.stop(None));
    assert_eq!((end, again), (ExeUnitEnd::Stopped, ExeUnitEnd::Stopped));
    assert!(stand.port.bound.lock().unwrap().is_none());
    assert!(stand.service.results(&batch, secs(1), None).await.unwrap().is_empty());
    let error = stand.service.exec(BatchId::new("late"), vec![]).await.unwrap_err();
    assert!(error.is_activity_lost());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_exe_unit_ends_its_batches() {
    let stand = Stand::ready(&scripted()).await;
    let batch = stand.exec(vec![run("hang", &[])]).await;
    let mut events = stand.service.events(&batch);
    assert!(events.next().await.is_some());
    drop(stand.unit);
    assert!(tokio::time::timeout(secs(5), events.next()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn ended_batches_are_forgotten_in_their_order() {
    let config = ExeUnitConfig { kept_batches: 2, ..ExeUnitConfig::default() };
    let stand = Stand::with(&scripted(), config).await;
    let mut batches = Vec::new();
    for _ in 0..4 {
        let batch = stand.exec(vec![]).await;
        stand.all(&batch).await;
        batches.push(batch);
    }
    let mut known = Vec::new();
    for batch in &batches {
        known.push(stand.service.results(batch, Duration::ZERO, None).await.is_ok());
    }
    assert_eq!(known, [false, false, true, true]);
    let twice = stand.service.exec(batches[3].clone(), vec![]).await.unwrap_err();
    assert_eq!(twice.status, 400);
}

#[tokio::test(start_paused = true)]
async fn big_outputs_are_forgotten_before_their_number_is_reached() {
    let runtime = ScriptedRuntime::new().on("big", &[], ScriptedAnswer::ok().stdout(vec![b'x'; 1000]));
    let stand = Stand::with(&runtime, ExeUnitConfig { kept_output: 3500, ..ExeUnitConfig::default() }).await;
    stand.run(vec![deploy(), start()]).await;
    let mut batches = Vec::new();
    for _ in 0..6 {
        let batch = stand.exec(vec![run("big", &[])]).await;
        stand.all(&batch).await;
        batches.push(batch);
    }
    let mut known = 0;
    for batch in &batches {
        known += usize::from(stand.service.results(batch, Duration::ZERO, None).await.is_ok());
    }
    assert_eq!(known, 3);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_refuses_gets_no_exe_unit() {
    let port = Arc::new(FakePort { refuses_binding: true, ..FakePort::default() });
    let clock = Arc::new(TestClock::default());
    let unit =
        ExeUnit::start(ActivityId::new("a"), port.clone(), clock, &scripted(), ExeUnitConfig::default())
            .await;
    assert!(matches!(unit, Err(ExeUnitError::Daemon { .. })));
    assert!(port.states.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn too_much_output_is_an_error_that_says_what_to_do() {
    let config = ExeUnitConfig { max_captured: 4, ..ExeUnitConfig::default() };
    let stand = Stand::with(&scripted(), config).await;
    let mut tail = run("echo", &[]);
    if let Command::Run(run) = &mut tail {
        let mode = CaptureMode::AtEnd {
            head: None,
            tail: Some(3),
            head_tail: None,
            format: Some(CaptureFormat::Str),
        };
        run.capture = Some(Capture { stdout: Some(mode), stderr: None });
    }
    let results = stand.run(vec![deploy(), start(), tail, run("echo", &[])]).await;
    assert_eq!(text(results[2].stdout.as_ref()).as_deref(), Some("lo\n"));
    let message = results[3].message.as_deref().unwrap();
    assert!(
        message.contains("more than 4 bytes") && message.contains("capture only head or tail"),
        "{message}"
    );
}

#[tokio::test]
async fn real_programs_give_whole_and_binary_output() {
    let stand = Stand::ready(&ProcessRuntime::default()).await;
    let mut binary = run("/bin/sh", &["-c", "printf 'a\\000\\377'"]);
    if let Command::Run(run) = &mut binary {
        let mode =
            CaptureMode::AtEnd { head: None, tail: None, head_tail: None, format: Some(CaptureFormat::Bin) };
        run.capture = Some(Capture { stdout: Some(mode), stderr: None });
    }
    let results = stand
        .run(vec![
            run("/bin/sh", &["-c", "head -c 5000000 /dev/zero | tr '\\0' x"]),
            binary,
            run("/bin/sh", &["-c", "printf '\\377a'"]),
            run("/bin/sh", &["-c", "echo out; echo err >&2; exit 3"]),
        ])
        .await;
    assert_eq!(text(results[0].stdout.as_ref()).unwrap().len(), 5_000_000);
    assert_eq!(results[1].stdout, Some(Output::Bytes(vec![97, 0, 255])));
    assert_eq!(text(results[2].stdout.as_ref()).as_deref(), Some("\u{ff}a"));
    assert_eq!(text(results[3].stderr.as_ref()).as_deref(), Some("err\n"));
    assert_eq!(results[3].exit_code(), Some(3));
    stand.unit.stop(None).await;
}

#[tokio::test]
async fn the_variables_of_a_deployment_have_no_effect_as_on_the_real_network() {
    let stand = Stand::new(&ProcessRuntime::default()).await;
    let deploy =
        Command::Deploy(Deploy { env: [("A".to_owned(), "b c".to_owned())].into(), ..Deploy::default() });
    let results = stand.run(vec![deploy, start(), run("/bin/sh", &["-c", "printf %s \"${A-none}\""])]).await;
    assert_eq!(text(results[2].stdout.as_ref()).as_deref(), Some("none"));
    stand.unit.stop(None).await;
}
