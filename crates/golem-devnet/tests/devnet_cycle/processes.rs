//! The cycle with real processes, in real time: what they print comes back, and none of them survives.

use std::net::SocketAddr;
use std::time::Duration;

use golem_devnet::devnet::{Devnet, DevnetError};
use golem_devnet::runtime::ProcessRuntime;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::requestor::{Buyer, run};
use crate::{MINUTE, ada};

const PATIENCE: Duration = Duration::from_secs(20);

async fn real() -> (Devnet, Buyer) {
    let devnet = Devnet::builder().runtime(ProcessRuntime::default()).provider(ada()).start().await.unwrap();
    let buyer = Buyer::of(&devnet);
    (devnet, buyer)
}

#[tokio::test]
async fn a_real_command_answers() {
    let (devnet, buyer) = real().await;
    let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
    let activity = buyer.ready(&agreement).await;
    let script = json!([
        run("/bin/sh", &["-c", "echo -n $(( 6 * 7 ))"]),
        run("/bin/sh", &["-c", "echo oops >&2; exit 5"])
    ]);
    let results = buyer.run(&activity, script).await;
    assert_eq!(results[0]["stdout"], "42");
    assert_eq!((&results[1]["stderr"], &results[1]["result"]), (&json!("oops\n"), &json!("Error")));
    assert_eq!(results[1]["message"], "ExeScript command exited with code 5");
    buyer.destroy(&activity).await;
    buyer.terminate(&agreement).await;
    buyer.wait_bills("invoices", &agreement, 1).await;
    devnet.stop().await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn no_process_survives_the_end_of_the_devnet() {
    for (end, seconds) in
        [("stop", "86423.5"), ("drop", "86424.5"), ("kill", "86425.5"), ("destroy", "86426.5")]
    {
        let (devnet, buyer) = real().await;
        let (_, agreement) = buyer.agree(&buyer.properties(20 * MINUTE)).await;
        let activity = buyer.ready(&agreement).await;
        // One is left behind by a command that has ended, two run under one that hasn't.
        let left = format!("sleep {seconds} >/dev/null 2>&1 &");
        buyer.run(&activity, json!([run("/bin/sh", &["-c", &left])])).await;
        let tree = format!("sleep {seconds} & sleep {seconds} & wait");
        buyer.send_script(&activity, json!([run("/bin/sh", &["-c", &tree])])).await;
        wait_for_processes(seconds, |count| count >= 3).await;
        match end {
            "stop" => {
                devnet.stop().await;
                assert_eq!(processes(seconds), 0, "stop returns when all have ended");
            }
            "destroy" => {
                buyer.destroy(&activity).await;
                assert_eq!(processes(seconds), 0, "the activity is over when all have ended");
            }
            "kill" => {
                devnet.provider("ada").unwrap().kill();
                wait_for_processes(seconds, |count| count == 0).await;
            }
            _ => {
                // Even if its router lives on.
                drop(devnet);
                wait_for_processes(seconds, |count| count == 0).await;
                assert_eq!(buyer.get("/me").await.status, 200);
            }
        }
    }
}

#[tokio::test]
async fn it_listens_on_a_free_port_until_it_is_stopped() {
    let (devnet, _) = real().await;
    let address = devnet.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    assert_ne!(address.port(), 0);
    let taken = devnet.listen(address).await;
    assert!(matches!(taken, Err(DevnetError::Listen { address: at, .. }) if at == address));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /version/get HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"0.17.6\""), "{answer}");
    devnet.stop().await;
    let refused = TcpStream::connect(address).await;
    assert!(refused.is_err(), "nobody listens any more");
}

/// Live `sleep` processes with this argument.
#[cfg(target_os = "linux")]
fn processes(seconds: &str) -> usize {
    let wanted = format!("sleep\0{seconds}\0");
    let folders = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    folders
        .filter(|folder| {
            std::fs::read(folder.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes())
        })
        .count()
}

#[cfg(target_os = "linux")]
async fn wait_for_processes(seconds: &str, enough: impl Fn(usize) -> bool) {
    let began = Instant::now();
    while !enough(processes(seconds)) {
        assert!(began.elapsed() < PATIENCE, "{} processes are there", processes(seconds));
        sleep(Duration::from_millis(20)).await;
    }
}
