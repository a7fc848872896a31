//! The requestor's calls, as its daemon writes them, and what comes back.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use futures_util::stream::{self, BoxStream};
use serde_json::{Value, json};
use yagna_api::activity::{Outcome, Output, RuntimeEventKind};

use super::*;

/// An exe-unit that has done the first command of every script it was sent.
#[derive(Debug, Default)]
struct Unit {
    scripts: Mutex<Vec<(BatchId, Script)>>,
    asked: Mutex<Vec<(Duration, Option<u32>)>>,
    gone: bool,
}

impl ExeUnitService for Unit {
    fn exec(&self, batch: BatchId, script: Script) -> BoxFuture<'_, PortResult<()>> {
        self.scripts.lock().unwrap().push((batch, script));
        let gone = self.gone;
        Box::pin(async move {
            if gone {
                return Err(refusal(500, "GSB error: Bad request: endpoint address not found".into()));
            }
            Ok(())
        })
    }

    fn results<'a>(
        &'a self,
        batch: &'a BatchId,
        wait: Duration,
        command: Option<u32>,
    ) -> BoxFuture<'a, PortResult<Vec<CommandResult>>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push((wait, command));
            let known = self.scripts.lock().unwrap().iter().find(|(id, _)| id == batch).cloned();
            let Some((_, script)) = known else {
                return Err(refusal(404, format!("Not found: batch_id = {batch}")));
            };
            if command.is_some_and(|index| index > 0) {
                return Err(refusal(408, "Timeout".into()));
            }
            let first = CommandResult {
                index: 0,
                result: Outcome::Ok,
                stdout: Some(Output::Bytes(vec![0, 255])),
                stderr: Some(Output::Text("e".into())),
                message: None,
                is_batch_finished: script.len() == 1,
                event_date: "2026-11-21T21:17:19.355800123Z".parse().unwrap(),
            };
            Ok(vec![first])
        })
    }

    fn events(&self, batch: &BatchId) -> BoxStream<'static, RuntimeEvent> {
        let event = |index, kind| RuntimeEvent {
            batch_id: batch.clone(),
            index,
            timestamp: "2026-11-21T21:17:19.3558Z".parse().unwrap(),
            kind,
        };
        let events = [
            event(0, RuntimeEventKind::Started { command: json!({"run": {"entry_point": "/bin/ls"}}) }),
            event(0, RuntimeEventKind::StdOut(Output::Text("out".into()))),
            event(0, RuntimeEventKind::Finished { return_code: 0, message: None }),
        ];
        if batch.as_str() == "endless" {
            return stream::iter(events).chain(stream::pending()).boxed();
        }
        stream::iter(events).boxed()
    }
}

fn served(unit: &Arc<Unit>) -> Arc<ServedUnit> {
    Arc::new(ServedUnit::new(ActivityId::new("act"), Arc::clone(unit) as _))
}

async fn call(served: &Arc<ServedUnit>, method: &str, message: Value) -> Value {
    match Arc::clone(served).call(String::new(), method.to_owned(), message::write(&message).into()).await {
        Answer::Full(data) => message::read(&data).unwrap(),
        Answer::Stream(_) => panic!("a stream"),
        Answer::NoEndpoint => json!("no endpoint"),
        Answer::Failure(text) => json!({ "failure": text }),
    }
}

fn exec(batch: &str, script: &Value) -> Value {
    json!({"activityId": "act", "batchId": batch, "exeScript": script, "timeout": null})
}

#[tokio::test]
async fn a_script_arrives_as_the_daemon_fills_it_in() {
    let unit = Arc::new(Unit::default());
    let served = served(&unit);
    let script = json!([
        {"deploy": {"net": [], "hosts": {}, "hostname": null, "volumes": null, "env": {}, "progress": null}},
        {"start": {"args": []}},
        {"run": {"entry_point": "/bin/ls", "args": ["-l"],
                 "capture": {"stdout": {"stream": {"limit": null, "format": null}}, "stderr": null}}},
        {"transfer": {"from": "gftp://a", "to": "container:/b", "format": null, "depth": null, "fileset": null,
                      "progress": null}},
        {"terminate": {}},
    ]);
    assert_eq!(call(&served, "Exec", exec("b1", &script)).await, json!({"Ok": "b1"}));
    let (batch, script) = unit.scripts.lock().unwrap()[0].clone();
    assert_eq!(batch.as_str(), "b1");
    let names: Vec<_> = script.iter().map(Command::name).collect();
    assert_eq!(names, ["deploy", "start", "run", "transfer", "terminate"]);
    let Command::Run(run) = &script[2] else { panic!("a run") };
    assert_eq!((run.entry_point.as_str(), run.args.as_slice()), ("/bin/ls", &["-l".to_owned()][..]));
}

#[tokio::test]
async fn results_have_the_shape_that_the_daemon_passes_on() {
    let unit = Arc::new(Unit::default());
    let served = served(&unit);
    call(&served, "Exec", exec("b1", &json!([{"start": {"args": []}}]))).await;
    let ask = |batch: &str, timeout: Value, index: Value| json!({"activityId": "act", "batchId": batch, "timeout": timeout, "commandIndex": index});
    assert_eq!(
        call(&served, "GetExecBatchResults", ask("b1", json!(2.5), Value::Null)).await,
        json!({"Ok": [{"index": 0, "result": "Ok", "stdout": [0, 255], "stderr": "e", "message": null,
                       "isBatchFinished": true, "eventDate": "2026-11-21T21:17:19.355800123Z"}]})
    );
    assert_eq!(
        call(&served, "GetExecBatchResults", ask("b1", Value::Null, json!(1))).await,
        json!({"Err": "timeout"})
    );
    assert_eq!(
        call(&served, "GetExecBatchResults", ask("b9", json!(-1.0), Value::Null)).await,
        json!({"Err": {"notFound": "batch_id = b9"}})
    );
    let waits = [(Duration::from_millis(2500), None), (Duration::ZERO, Some(1)), (Duration::ZERO, None)];
    assert_eq!(*unit.asked.lock().unwrap(), waits);
}

#[tokio::test]
async fn events_have_underscores_and_no_zone() {
    let served = served(&Arc::new(Unit::default()));
    let ask = message::write(&json!({"activity_id": "act", "batch_id": "b1"}));
    let Answer::Stream(events) =
        Arc::clone(&served).call(String::new(), "StreamExecBatchResults".into(), ask.into()).await
    else {
        panic!("no stream")
    };
    let events: Vec<Value> = events.map(|event| message::read(&event).unwrap()).collect().await;
    let event = |kind: Value| json!({"Ok": {"batch_id": "b1", "index": 0, "timestamp": "2026-11-21T21:17:19.3558", "kind": kind}});
    assert_eq!(
        events,
        [
            event(json!({"started": {"command": {"run": {"entry_point": "/bin/ls"}}}})),
            event(json!({"stdout": "out"})),
            event(json!({"finished": {"return_code": 0, "message": null}})),
        ]
    );
}

#[tokio::test]
async fn streams_that_nobody_reads_make_room_for_new_ones() {
    let served = served(&Arc::new(Unit::default()));
    let ask = message::write(&json!({"activity_id": "act", "batch_id": "endless"}));
    let mut streams = Vec::new();
    for _ in 0..=MAX_STREAMS {
        match Arc::clone(&served)
            .call(String::new(), "StreamExecBatchResults".into(), ask.clone().into())
            .await
        {
            Answer::Stream(stream) => streams.push(stream),
            _ => panic!("no stream"),
        }
    }
    let displaced = streams.remove(0).collect::<Vec<_>>();
    drop(tokio::time::timeout(Duration::from_secs(10), displaced).await.expect("the oldest has ended"));
    for mut stream in streams {
        for _ in 0..3 {
            assert!(stream.next().await.is_some());
        }
        assert!(futures_util::FutureExt::now_or_never(stream.next()).is_none(), "still open");
    }
}

#[tokio::test]
async fn state_usage_and_command_are_what_the_unit_last_said() {
    let served = served(&Arc::new(Unit::default()));
    let ask = || json!({"activityId": "act", "timeout": null});
    assert!(call(&served, "GetActivityUsage", ask()).await.get("Err").is_some());
    served.on_state(&ActivityState {
        state: StatePair(State::Ready, Some(State::Ready)),
        reason: Some("r".into()),
        error_message: None,
    });
    served.on_usage(&ActivityUsage { current_usage: Some(vec![1.5, 0.0]), timestamp: 7 });
    assert_eq!(call(&served, "GetActivityState", ask()).await, json!({"Ok": {"state": ["Ready", "Ready"]}}));
    assert_eq!(
        call(&served, "GetActivityUsage", ask()).await,
        json!({"Ok": {"currentUsage": [1.5, 0.0], "timestamp": 7}})
    );
    let nothing = json!({"Err": {"notFound": "No running command within activity: act"}});
    assert_eq!(call(&served, "GetRunningCommand", ask()).await, nothing);
    let script = json!([{"start": {"args": []}}, {"run": {"entry_point": "/bin/ls", "args": ["-l"]}}]);
    call(&served, "Exec", exec("b1", &script)).await;
    assert_eq!(
        call(&served, "GetRunningCommand", ask()).await,
        json!({"Ok": [{"command": "run", "progress": null, "params": ["/bin/ls", "-l"]}]})
    );
    call(&served, "Exec", exec("b2", &json!([{"start": {"args": []}}]))).await;
    let running = call(&served, "GetRunningCommand", ask()).await;
    assert_eq!(running["Ok"].as_array().unwrap().len(), 1, "a batch that is done runs nothing");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let served = served(&Arc::new(Unit::default()));
    let foreign = json!({"activityId": "other", "batchId": "b", "exeScript": [], "timeout": null});
    assert!(call(&served, "Exec", foreign).await["Err"]["service"].is_string());
    assert_eq!(call(&served, "Dance", json!({})).await, json!("no endpoint"));
    assert!(call(&served, "Exec", json!({"activityId": "act"})).await["failure"].is_string());
    let gone = Arc::new(ServedUnit::new(
        ActivityId::new("act"),
        Arc::new(Unit { gone: true, ..Unit::default() }) as _,
    ));
    assert_eq!(call(&gone, "Exec", exec("b", &json!([]))).await, json!("no endpoint"));
}

#[tokio::test]
async fn compressed_calls_are_understood() {
    let served = served(&Arc::new(Unit::default()));
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&message::write(&exec("b1", &json!([{"start": {"args": []}}])))).unwrap();
    let small = encoder.finish().unwrap();
    let Answer::Full(answer) = Arc::clone(&served).call(String::new(), "Exec".into(), small.into()).await
    else {
        panic!("no answer")
    };
    assert_eq!(message::read::<Value>(&answer).unwrap(), json!({"Ok": "b1"}));
}
