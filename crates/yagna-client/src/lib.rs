//! Speaks the yagna daemon's contract.
//!
//! `yagna-api` says what can be asked and what is answered, as values; this crate carries them. It adds what a
//! wire needs and nothing of its own opinion: deadlines, repeating where that is safe, events that are neither
//! lost nor repeated, and sessions that mend themselves.
//!
//! # A tour
//!
//! - A [`Transport`] is a way to a daemon: [`HttpTransport`] to one behind a URL, [`InProcessTransport`] to one
//!   that is a `tower::Service` in this process. They can't be told apart from outside.
//! - [`Client::call`] sends any [`Endpoint`](yagna_api::Endpoint). Every call has a deadline. A
//!   [`RetryPolicy`] says how patiently a failed one is made again; the endpoint itself says whether it may.
//! - [`Client::demand_events`], [`agreement_events`](Client::agreement_events),
//!   [`debit_note_events`](Client::debit_note_events) and [`invoice_events`](Client::invoice_events) are the
//!   daemon's long polls as streams of [`Polled`]; [`Client::batch_events`] is a running batch's output.
//! - [`Client::serve_bus`] serves an address on the daemon's bus, which is how files reach providers.
//! - [`Client::socket`] opens any other WebSocket, such as a connection into a virtual network.
//! - A [`ClientError`] names the operation, keeps the cause as its source, and knows its [`Disposition`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{Router, routing::get};
//! use yagna_api::AppKey;
//! use yagna_api::identity::GetMe;
//! use yagna_client::{Client, InProcessTransport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // As little of a daemon as can be; `HttpTransport::new(&url, &key)` leads to a real one.
//! let me = r#"{"identity": "0x0123456789abcdef0123456789abcdef01234567", "name": "app", "role": "manager"}"#;
//! let daemon = Router::new().route("/me", get(move || async move { me }));
//!
//! let client = Client::new(Arc::new(InProcessTransport::new(daemon, &AppKey::new("key"))?));
//! let me = client.call(&GetMe).await?;
//! assert_eq!(me.name, "app");
//! # Ok(())
//! # }
//! ```
//!
//! # What it leaves to others
//!
//! What to do next is `golem-core`'s, doing it is `golem-sdk`'s. Nothing here spawns a task that outlives its
//! caller, and nothing remembers anything across a restart: a cursor's place is the caller's to keep.

mod bus;
mod client;
mod error;
mod events;
mod observer;
pub mod proxy;
mod retry;
mod sse;
mod transport;

pub use reqwest::Url;

pub use crate::bus::value::{BusValue, BusValueError};
pub use crate::bus::{BusFault, BusRequest, BusSession};
pub use crate::client::Client;
pub use crate::error::{ClientError, Disposition};
pub use crate::events::{EventStream, Polled};
pub use crate::observer::{Observer, Outcome};
pub use crate::retry::RetryPolicy;
pub use crate::transport::apis::{ApiUrlError, ApiUrls};
pub use crate::transport::http1::HttpTransport;
pub use crate::transport::in_process::{InProcessBody, InProcessError, InProcessTransport};
pub use crate::transport::{
    BoxError, ByteStream, Response, SetupError, Socket, SocketAnswer, StreamAnswer, Transport, TransportError,
};
