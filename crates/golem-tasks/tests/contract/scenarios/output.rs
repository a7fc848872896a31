//! What programs write: captured, streamed, joined.

use std::time::Duration;

use futures_util::StreamExt as _;
use golem_devnet::provider::ProviderConfig;
use serde_json::{Value, json};
use yagna_api::activity::{
    Capture, CaptureFormat, CaptureMode, Command, Outcome, Output, Run, RuntimeEventKind, StreamResults,
};
use yagna_api::{ActivityId, AgreementId, BatchId, DemandId};

use crate::hand::{Hand, Reply, Stream};
use crate::rental::{Terms, agree, create, destroy, exec, leave, ready, results, run, shell};
use crate::stage::{Scene, Stage};

const BASE: &str = "/activity-api/v1/activity";
/// For all events of a batch.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) async fn captures_have_many_modes(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let activity = ready(&stage.hand, &hired.agreement).await;
    let line = "printf abcdefghijklmnopqrstuvwxyz; printf 0123456789 >&2";
    for capture in [
        json!(null),
        json!({}),
        json!({"stdout": {"atEnd": {}}}),
        json!({"stderr": {"atEnd": {}}}),
        json!({"stdout": {"atEnd": {"head": 5}}, "stderr": {"atEnd": {"tail": 3}}}),
        json!({"stdout": {"atEnd": {"tail": 5}}, "stderr": {"atEnd": {"head": 3}}}),
        json!({"stdout": {"atEnd": {"headTail": 6}}, "stderr": {"atEnd": {"headTail": 7}}}),
        json!({"stdout": {"atEnd": {"headTail": 26}}, "stderr": {"atEnd": {"headTail": 100}}}),
        json!({"stdout": {"atEnd": {"head": 0}}, "stderr": {"atEnd": {"headTail": 0}}}),
        json!({"stdout": {"atEnd": {"head": 100}}, "stderr": {"atEnd": {"tail": 100}}}),
        json!({"stdout": {"atEnd": {"head": 3, "tail": 2}}}),
        json!({"stdout": {"atEnd": {"format": "bin", "head": 3}}, "stderr": {"atEnd": {"format": "str"}}}),
        json!({"stdout": {"atEnd": {"format": "string"}}, "stderr": {"atEnd": {"format": "binary"}}}),
        json!({"stdout": {"stream": {}}, "stderr": {"stream": {"limit": 4}}}),
        json!({"stdout": {"stream": {"limit": 0}}, "stderr": {"stream": {"limit": 4, "format": "bin"}}}),
        json!({"stdout": {"atEnd": {"head": "many"}}}),
    ] {
        let run = json!({"entry_point": "/bin/sh", "args": ["-c", line], "capture": capture});
        let batch = send(&stage.hand, &activity, &json!([{"run": run}])).await;
        stage.look(&capture.to_string(), &finished(&stage.hand, &activity, &batch).await);
    }
    hired.end(stage, &activity).await;
}

pub(super) async fn nothing_written_is_null(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let activity = ready(&stage.hand, &hired.agreement).await;
    let empty = |mode: Value| json!({"run": {"entry_point": "/bin/true", "args": [], "capture": {"stdout": mode, "stderr": mode}}});
    let script = json!([
        empty(json!({"atEnd": {"format": "str"}})),
        empty(json!({"atEnd": {"format": "bin"}})),
        empty(json!({"atEnd": {"headTail": 10}})),
        empty(json!({"stream": {}})),
        empty(json!({"stream": {"format": "bin"}})),
    ]);
    let batch = send(&stage.hand, &activity, &script).await;
    stage.look("results", &finished(&stage.hand, &activity, &batch).await);
    hired.end(stage, &activity).await;
}

pub(super) async fn what_is_no_text(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let activity = ready(&stage.hand, &hired.agreement).await;
    let odd = |mode: Value| {
        let line = r"printf '\377\0a\303\251'";
        json!({"run": {"entry_point": "/bin/sh", "args": ["-c", line], "capture": {"stdout": mode}}})
    };
    let script = json!([
        odd(json!({"atEnd": {"format": "str"}})),
        odd(json!({"atEnd": {"format": "bin"}})),
        odd(json!({"atEnd": {}})),
        odd(json!({"stream": {"format": "str"}})),
        odd(json!({"stream": {"format": "bin"}})),
    ]);
    let batch = send(&stage.hand, &activity, &script).await;
    stage.look("results", &finished(&stage.hand, &activity, &batch).await);
    let every_byte = shell_with("printf \"$(printf '\\\\%03o' $(seq 0 255))\"", at_end(CaptureFormat::Bin));
    let results = run(&stage.hand, &activity, vec![every_byte]).await;
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(results[0].stdout, Some(Output::Bytes(bytes)));
    hired.end(stage, &activity).await;
}

pub(super) async fn large_output_arrives_whole(scene: Scene) {
    const SIZE: usize = 5_000_000;
    let (stage, hired) = hire(scene).await;
    let activity = ready(&stage.hand, &hired.agreement).await;
    let line = format!("head -c {SIZE} /dev/zero | tr '\\0' x");
    let script = vec![
        shell_with(&line, at_end(CaptureFormat::Str)),
        shell_with(&line, CaptureMode::Stream { limit: None, format: None }),
        shell_with(&line, CaptureMode::AtEnd { head: None, tail: Some(7), head_tail: None, format: None }),
    ];
    let results = run(&stage.hand, &activity, script).await;
    let sizes: Vec<_> = results
        .iter()
        .map(|result| {
            let text = result.stdout.as_ref().expect("output").to_text();
            assert!(text.bytes().all(|byte| byte == b'x'), "other things were written");
            text.len()
        })
        .collect();
    assert_eq!(sizes, [SIZE, SIZE, 7]);
    hired.end(stage, &activity).await;
}

pub(super) async fn a_batch_tells_its_events(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let activity = create(hand, &hired.agreement).await;
    let sh = |line: &str, capture: Value| json!({"run": {"entry_point": "/bin/sh", "args": ["-c", line], "capture": capture}});
    let script = json!([
        {"deploy": {}},
        {"start": {}},
        sh("echo out", json!({"stdout": {"stream": {}}})),
        sh("echo err >&2", json!({"stderr": {"stream": {"format": "str"}}})),
        sh("printf bytes", json!({"stdout": {"stream": {"format": "bin"}}})),
        sh("printf limited", json!({"stdout": {"stream": {"limit": 3}}})),
        sh("echo at the end", json!({"stdout": {"atEnd": {"headTail": 5}}, "stderr": {"atEnd": {"head": 1}}})),
        sh("echo never", json!(null)),
        sh("exit 3", json!({"stderr": {"atEnd": {"tail": 9, "format": "bin"}}})),
        {"run": {"entry_point": "/bin/true", "args": []}},
    ]);
    let batch = BatchId::new(send(hand, &activity, &script).await.id());
    let mut stream = open(hand, &activity, &batch).await;
    stream.until(|text| text.contains("code 3")).await;
    stage.look("events", &events(&stream));
    // Nothing more comes of it, and yet it doesn't end.
    stream.until(|text| text.trim_end().ends_with(":ping")).await;
    hired.end(stage, &activity).await;
}

pub(super) async fn bytes_are_streamed_as_they_are(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &hired.agreement).await;
    let line = r"printf '\377\0a\303\251\n'";
    let script = vec![
        shell_with(line, CaptureMode::Stream { limit: None, format: Some(CaptureFormat::Bin) }),
        shell_with(line, CaptureMode::Stream { limit: None, format: Some(CaptureFormat::Str) }),
        shell("echo end"),
    ];
    let batch = exec(hand, &activity, script).await;
    let mut stream = open(hand, &activity, &batch).await;
    stream.until(|text| text.matches("\"finished\"").count() == 3).await;
    stage.look("events", &events(&stream));
    hired.end(stage, &activity).await;
}

/// What comes by stream and what is polled afterwards is the same, and the stream tells where it ends.
pub(super) async fn stream_and_poll_agree(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &hired.agreement).await;
    let lines = "for n in $(seq 1 2000); do echo line $n; test $((n % 500)) != 0 || sleep 0.05; done";
    let mode = || CaptureMode::Stream { limit: None, format: Some(CaptureFormat::Str) };
    let script =
        vec![shell_with("echo first", mode()), shell_with(lines, mode()), shell_with("echo last", mode())];
    let batch = exec(hand, &activity, script).await;
    let (told, ends) = followed(hand, &activity, &batch, 2).await;
    assert_eq!(ends, [(0, 0), (1, 0), (2, 0)]);
    let polled = results(hand, &activity, &batch).await;
    for (index, result) in polled.iter().enumerate() {
        assert_eq!(result.result, Outcome::Ok);
        let output = result.stdout.as_ref().expect("output").to_text();
        assert_eq!(told[index], output, "command {index}");
    }
    assert_eq!(told[1].lines().count(), 2000);
    hired.end(stage, &activity).await;
}

pub(super) async fn a_stream_tells_of_a_failure(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &hired.agreement).await;
    let mode = || CaptureMode::Stream { limit: None, format: None };
    let script = vec![
        shell_with("echo a", mode()),
        shell_with("echo b; exit 9", mode()),
        shell_with("echo c", mode()),
    ];
    let batch = exec(hand, &activity, script).await;
    let (told, ends) = followed(hand, &activity, &batch, 2).await;
    assert_eq!(ends, [(0, 0), (1, 9)], "the third one never begins");
    assert_eq!(told, ["a\n", "b\n", ""]);
    let again = exec(hand, &activity, vec![shell_with("echo d", mode())]).await;
    let (told, _) = followed(hand, &activity, &again, 0).await;
    assert_eq!(told, ["d\n"]);
    hired.end(stage, &activity).await;
}

pub(super) async fn a_stream_of_an_unknown_batch(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &hired.agreement).await;
    let mut unknown = open(hand, &activity, &BatchId::new("0".repeat(32))).await;
    unknown.until(|text| text.contains(":ping")).await;
    stage.look("an unknown batch", &events(&unknown));
    let mut odd = open(hand, &activity, &BatchId::new("odd")).await;
    odd.until(|text| text.contains(":ping")).await;
    stage.look("an odd batch", &events(&odd));
    let stranger = open(hand, &ActivityId::new("0".repeat(32)), &BatchId::new("odd")).await;
    stage.look("an unknown activity", &stranger.end().await);
    let other = stage.another_hand().await;
    let stranger = open(&other, &activity, &BatchId::new("odd")).await;
    stage.look("another's activity", &stranger.end().await);
    hired.end(stage, &activity).await;
}

/// A destroyed activity has no events, and the stream doesn't say so.
pub(super) async fn a_stream_of_a_lost_activity(scene: Scene) {
    let (stage, hired) = hire(scene).await;
    let hand = &stage.hand;
    let activity = ready(hand, &hired.agreement).await;
    let batch = exec(hand, &activity, vec![shell("echo a")]).await;
    results(hand, &activity, &batch).await;
    destroy(hand, &activity).await;
    let mut lost = open(hand, &activity, &batch).await;
    lost.until(|text| text.contains(":ping")).await;
    stage.look("nothing comes", &events(&lost));
    hired.end(stage, &activity).await;
}

/// One provider, and an agreement with it.
struct Hired {
    demand: DemandId,
    agreement: AgreementId,
}

async fn hire(scene: Scene) -> (Stage, Hired) {
    let stage = scene.open([ProviderConfig::new("solo")]).await;
    let (demand, agreement) = agree(&stage.hand, &Terms::usual(&stage)).await;
    (stage, Hired { demand, agreement })
}

impl Hired {
    async fn end(self, stage: Stage, activity: &ActivityId) {
        destroy(&stage.hand, activity).await;
        leave(&stage.hand, &self.demand, &self.agreement).await;
        stage.close().await;
    }
}

fn shell_with(line: &str, mode: CaptureMode) -> Command {
    Command::Run(Run {
        entry_point: "/bin/sh".into(),
        args: vec!["-c".into(), line.into()],
        capture: Some(Capture { stdout: Some(mode), stderr: None }),
    })
}

fn at_end(format: CaptureFormat) -> CaptureMode {
    CaptureMode::AtEnd { head: None, tail: None, head_tail: None, format: Some(format) }
}

async fn send(hand: &Hand, activity: &ActivityId, script: &Value) -> Reply {
    let body = json!({"text": script.to_string()});
    hand.post(&format!("{BASE}/{activity}/exec?timeout=20"), &body).await.expect(200)
}

/// The daemon's answer once a batch is done.
async fn finished(hand: &Hand, activity: &ActivityId, batch: &Reply) -> Reply {
    let batch = BatchId::new(batch.id());
    results(hand, activity, &batch).await;
    hand.get(&format!("{BASE}/{activity}/exec/{batch}")).await.expect(200)
}

async fn open(hand: &Hand, activity: &ActivityId, batch: &BatchId) -> Stream {
    hand.stream(StreamResults { activity: activity.clone(), batch: batch.clone() }.request()).await
}

/// All events, each on its own, without the pings between them.
fn events(stream: &Stream) -> Reply {
    let mut text = String::new();
    for line in stream.reply.text.lines().filter(|line| !line.is_empty() && *line != ":ping") {
        match line.strip_prefix("data: ").map(serde_json::from_str::<Value>) {
            Some(Ok(data)) => {
                text.push_str(&serde_json::to_string_pretty(&data).expect("JSON can be written"));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    Reply { text, ..stream.reply.clone() }
}

/// What the client under test tells of a batch: each command's output, and which ended how, until the command at
/// `last` or a failure.
async fn followed(
    hand: &Hand,
    activity: &ActivityId,
    batch: &BatchId,
    last: u32,
) -> (Vec<String>, Vec<(u32, i32)>) {
    let mut told = vec![String::new(); last as usize + 1];
    let mut ends = Vec::new();
    let mut events = hand.client.batch_events(activity.clone(), batch.clone());
    let follow = async {
        while let Some(event) = events.next().await {
            let event = event.expect("the stream goes on");
            assert_eq!(&event.batch_id, batch);
            match event.kind {
                RuntimeEventKind::StdOut(output) => told[event.index as usize].push_str(&output.to_text()),
                RuntimeEventKind::Finished { return_code, .. } => {
                    ends.push((event.index, return_code));
                    if return_code != 0 || event.index == last {
                        return;
                    }
                }
                _ => {}
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, follow).await;
    assert!(done.is_ok(), "the end isn't told within {PATIENCE:?}: {ends:?}");
    (told, ends)
}
