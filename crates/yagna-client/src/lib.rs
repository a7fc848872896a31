//! Speaks the yagna daemon's contract.

mod bus;
mod client;
mod error;
mod events;
mod retry;
mod sse;
mod transport;

pub use reqwest::Url;

pub use crate::bus::value::{BusValue, BusValueError};
pub use crate::bus::{BusFault, BusRequest, BusSession};
pub use crate::client::Client;
pub use crate::error::{ClientError, Disposition};
pub use crate::events::{EventStream, Polled};
pub use crate::retry::RetryPolicy;
pub use crate::transport::http1::HttpTransport;
pub use crate::transport::in_process::{InProcessBody, InProcessError, InProcessTransport};
pub use crate::transport::{
    BoxError, ByteStream, Response, SetupError, Socket, SocketAnswer, StreamAnswer, Transport, TransportError,
};
