//! Services on the daemon's bus, served by a requestor over a WebSocket.
//!
//! Base path `/gsb-api/v1`. Frames on the WebSocket are FlexBuffers maps; `yagna-client` speaks them.

use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoint, Repeat, Request, empty_answer, endpoint};
use crate::error::AnswerError;
use crate::id::ServicesId;

/// The path of the bus API.
pub const BASE: &str = "/gsb-api/v1";

/// The WebSocket sub-protocol of service sessions.
pub const SUBPROTOCOL: &str = "gsb+flexbuffers";

/// A bus address and the messages served there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The address, such as `/public/gftp/<id>`.
    pub on: String,
    /// The messages, such as `GetMetadata` and `GetChunk`.
    pub components: Vec<String>,
}

/// Services that have been bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// As asked for.
    pub listen: Listen,
    /// The id to connect to and to unbind by.
    pub services_id: ServicesId,
}

#[derive(Serialize)]
struct Binding<'a> {
    listen: &'a Listen,
}

/// `POST /services`: binds an address.
#[derive(Debug, Clone)]
pub struct BindServices(pub Listen);
endpoint!(BindServices, "bind services on the bus", Twice, json Services, |this| {
    Request::post(format!("{BASE}/services")).json(&Binding { listen: &this.0 })
});

/// `DELETE /services/{id}`: unbinds them.
#[derive(Debug, Clone)]
pub struct UnbindServices(pub ServicesId);

impl Endpoint for UnbindServices {
    /// True if the service was still bound.
    type Answer = bool;
    const NAME: &'static str = "unbind services from the bus";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::delete(format!("{BASE}/services/{}", self.0))
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<bool, AnswerError> {
        if status == 404 { Ok(false) } else { empty_answer(status, body).map(|()| true) }
    }
}

/// The path of the WebSocket that serves bound services.
pub fn socket_path(services: &ServicesId) -> String {
    format!("{BASE}/services/{services}")
}
