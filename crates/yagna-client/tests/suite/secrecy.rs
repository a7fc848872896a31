//! The app key appears nowhere but in its header.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use futures_util::StreamExt;
use yagna_api::gsb::Listen;
use yagna_api::{ActivityId, AppKey, BatchId};
use yagna_client::{HttpTransport, InProcessTransport, RetryPolicy, SetupError};

use crate::calls::chain;
use crate::double::Harmless;
use crate::served::{KEY, Served, both, key, over_http};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_app_key_is_in_no_log_and_no_error() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // While there is one subscriber alone, `tracing` asks the thread that first meets a log line whether anyone wants it, and other
    // tests' threads have no subscriber. With two, it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    let _guard = tracing::subscriber::set_default(subscriber);

    let hasty = RetryPolicy {
        first: Duration::from_millis(1),
        most: Duration::from_millis(1),
        // Long enough for a second attempt on a busy machine.
        total: Duration::from_millis(200),
    };
    let (served, clients) = both(Router::new().fallback(|| async { StatusCode::SERVICE_UNAVAILABLE })).await;
    let dead = Served::start(Router::new()).await.stop().await;
    let dead = over_http(&format!("http://{dead}"));
    let mut shown = vec![
        format!("{:?}", HttpTransport::new(&served.url().parse().unwrap(), &key()).unwrap()),
        format!("{:?}", InProcessTransport::new(Router::new(), &key()).unwrap()),
        format!(
            "{:?}",
            HttpTransport::new(&served.url().parse().unwrap(), &AppKey::new(format!("{KEY}\u{1}x")))
        ),
    ];
    let unusable = HttpTransport::new(&served.url().parse().unwrap(), &AppKey::new(format!("{KEY}\nx")));
    assert!(matches!(&unusable, Err(SetupError::Key)));
    shown.extend(chain(&unusable.unwrap_err()));
    for client in clients.into_iter().map(|(_, client)| client).chain([dead]) {
        let client = client.with_retry(hasty);
        shown.push(format!("{client:?}"));
        let listen = Listen { on: "/public/x".into(), components: Vec::new() };
        let batch = client.batch_events(ActivityId::new("a"), BatchId::new("b")).next().await;
        for error in [
            client.call(&Harmless).await.unwrap_err(),
            client.serve_bus(listen).await.unwrap_err(),
            client.socket("open a socket", "/socket", None).await.unwrap_err(),
            batch.unwrap().unwrap_err(),
        ] {
            shown.push(format!("{error:?} {error:#?}"));
            shown.extend(chain(&error));
        }
    }
    for text in &shown {
        assert!(!text.contains(KEY), "{text}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains(KEY), "{log}");
    assert!(log.contains("probe the daemon") && log.contains("trying again"), "{log}");
}
