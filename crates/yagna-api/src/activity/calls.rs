//! The activity API's requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{BASE, Command, CommandResult, Script};
use crate::endpoint::{Endpoint, Repeat, Request, empty_answer, endpoint, json_answer};
use crate::error::{AnswerError, ApiError};
use crate::id::{ActivityId, AgreementId, BatchId};

/// `POST /activity`: creates an activity under an agreement.
#[derive(Debug, Clone)]
pub struct CreateActivity {
    /// The agreement, approved.
    pub agreement: AgreementId,
    /// The requestor's public key in hex, for runtimes that keep their work secret from the provider.
    pub requestor_pub_key: Option<String>,
    /// The time that the provider may take.
    pub wait: Duration,
}

/// An activity that has just been created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedActivity {
    /// Its id.
    pub activity_id: ActivityId,
    /// The proof that a secret runtime gives of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Value>,
}

impl Endpoint for CreateActivity {
    type Answer = CreatedActivity;
    const NAME: &'static str = "create an activity";
    const REPEAT: Repeat = Repeat::Twice;

    fn request(&self) -> Request {
        let mut body = json!({"agreementId": self.agreement});
        if let Some(key) = &self.requestor_pub_key {
            body["requestorPubKey"] = json!(key);
        }
        Request::post(format!("{BASE}/activity")).timeout(self.wait).json(&body)
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<CreatedActivity, AnswerError> {
        // The older form of this call is answered with the bare id.
        if (200..300).contains(&status) && body.first() == Some(&b'"') {
            return json_answer(status, body)
                .map(|activity_id| CreatedActivity { activity_id, credentials: None });
        }
        json_answer(status, body)
    }
}

/// `POST /activity/{a}/exec`: sends a script; the answer is its batch.
#[derive(Debug, Clone)]
pub struct Exec {
    /// The activity.
    pub activity: ActivityId,
    /// The commands to run.
    pub script: Script,
    /// The time that the exe-unit may take to accept it.
    pub wait: Duration,
}
endpoint!(Exec, "send a script", Twice, json BatchId, |this| {
    let text = serde_json::to_string(&this.script).expect("commands have string keys and plain values");
    Request::post(format!("{BASE}/activity/{}/exec", this.activity)).timeout(this.wait).json(&json!({"text": text}))
});

impl Exec {
    /// The largest body in bytes that the daemon reads; it refuses larger ones with status 413.
    pub const LARGEST_BODY: usize = 2_097_152;

    /// The size in bytes of the body of a request with this script.
    pub fn body_size(script: &[Command]) -> usize {
        // Commands have string keys and plain values, so that this never fails.
        let text = serde_json::to_string(script).unwrap_or_default();
        // The text becomes a string in JSON once more, and has no control characters any more.
        let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        r#"{"text":""}"#.len() + text.len() + escaped
    }
}

/// `GET /activity/{a}/exec/{b}`: waits for a batch and reads the results so far.
#[derive(Debug, Clone)]
pub struct GetResults {
    /// The activity.
    pub activity: ActivityId,
    /// The batch.
    pub batch: BatchId,
    /// The time to wait for the whole batch, or for the command named below.
    pub wait: Duration,
    /// Wait for this command only; its output alone is then in the answer.
    pub command: Option<u32>,
}

impl Endpoint for GetResults {
    /// Results from command 0 on; an empty list when there are none within the time.
    type Answer = Vec<CommandResult>;
    const NAME: &'static str = "read a batch's results";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::get(format!("{BASE}/activity/{}/exec/{}", self.activity, self.batch))
            .timeout(self.wait)
            .query_opt("commandIndex", self.command)
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<Vec<CommandResult>, AnswerError> {
        if status == 408 { Ok(Vec::new()) } else { json_answer(status, body) }
    }
}

/// [`GetResults`] of a whole batch, which tells an answer without results from none: a provider whose answer takes longer
/// on its way than the daemon waits for it.
#[derive(Debug, Clone)]
pub struct PollResults(pub GetResults);

impl Endpoint for PollResults {
    /// `None` where the provider's answer didn't come in time, though it may have been on its way.
    type Answer = Option<Vec<CommandResult>>;
    const NAME: &'static str = GetResults::NAME;
    const REPEAT: Repeat = GetResults::REPEAT;

    fn request(&self) -> Request {
        self.0.request()
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<Self::Answer, AnswerError> {
        if status == 408 { Ok(None) } else { json_answer(status, body).map(Some) }
    }
}

/// `GET /activity/{a}/exec/{b}` as a stream of [`RuntimeEvent`](super::RuntimeEvent)s.
///
/// Only the request: the answer is a stream of server-sent events that never ends by itself.
#[derive(Debug, Clone)]
pub struct StreamResults {
    /// The activity.
    pub activity: ActivityId,
    /// The batch.
    pub batch: BatchId,
}

impl StreamResults {
    /// The operation in a few words.
    pub const NAME: &'static str = "follow a batch's output";

    /// The request to send, with the header that asks for a stream.
    pub fn request(&self) -> Request {
        Request::get(format!("{BASE}/activity/{}/exec/{}", self.activity, self.batch))
            .header("accept", "text/event-stream")
    }
}

/// A state of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Asked for.
    New,
    /// The exe-unit is there.
    Initialized,
    /// The payload is prepared.
    Deployed,
    /// The runtime runs.
    Ready,
    /// It has ended.
    Terminated,
    /// The provider hasn't heard from the exe-unit for a while.
    Unresponsive,
}

/// The state, and the one it is on its way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePair(pub State, pub Option<State>);

/// The state of an activity as the provider reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityState {
    /// The present state, and the one that it is changing to.
    pub state: StatePair,
    /// The reason of its end, if it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// More of why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

/// The usage of an activity so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityUsage {
    /// The counters, in the order of the agreement's usage vector; `None` before the first report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_usage: Option<Vec<f64>>,
    /// The time of measurement, in seconds since 1970.
    pub timestamp: i64,
}

/// `GET /activity/{a}/state`.
#[derive(Debug, Clone)]
pub struct GetState(pub ActivityId);
endpoint!(GetState, "read an activity's state", Harmless, json ActivityState, |this| {
    Request::get(format!("{BASE}/activity/{}/state", this.0)).timeout(Duration::from_secs(10))
});

/// `GET /activity/{a}/usage`.
#[derive(Debug, Clone)]
pub struct GetUsage(pub ActivityId);
endpoint!(GetUsage, "read an activity's usage", Harmless, json ActivityUsage, |this| {
    Request::get(format!("{BASE}/activity/{}/usage", this.0)).timeout(Duration::from_secs(10))
});

/// `GET /activity/{a}/agreement`: the agreement an activity belongs to.
#[derive(Debug, Clone)]
pub struct GetActivityAgreement(pub ActivityId);
endpoint!(GetActivityAgreement, "read an activity's agreement", Harmless, json AgreementId, |this| {
    Request::get(format!("{BASE}/activity/{}/agreement", this.0))
});

/// `GET /activity?agreementId=`: the activities of an agreement.
#[derive(Debug, Clone)]
pub struct ListActivities(pub AgreementId);
endpoint!(ListActivities, "list an agreement's activities", Harmless, json Vec<ActivityId>, |this| {
    Request::get(format!("{BASE}/activity")).query("agreementId", this.0.as_str())
});

/// `DELETE /activity/{a}`: ends an activity and all that runs in it.
#[derive(Debug, Clone)]
pub struct DestroyActivity {
    /// The activity.
    pub activity: ActivityId,
    /// The time that the provider may take.
    pub wait: Duration,
}

impl Endpoint for DestroyActivity {
    /// True if the provider has confirmed it; `false` when it didn't in time.
    type Answer = bool;
    const NAME: &'static str = "destroy an activity";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::delete(format!("{BASE}/activity/{}", self.activity)).timeout(self.wait)
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<bool, AnswerError> {
        match status {
            408 => Ok(false),
            500 if ApiError::read(status, body).is_activity_lost() => Ok(true),
            _ => empty_answer(status, body).map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::{Deploy, Run};

    #[test]
    fn both_forms_of_creation_are_understood() {
        let create = CreateActivity {
            agreement: AgreementId::new("ab"),
            requestor_pub_key: None,
            wait: Duration::from_secs(60),
        };
        let request = create.request();
        assert_eq!(request.path, "/activity-api/v1/activity?timeout=60");
        assert_eq!(request.body.unwrap(), br#"{"agreementId":"ab"}"#);
        for body in [r#""a1""#, r#"{"activityId":"a1"}"#] {
            assert_eq!(create.answer(200, body.as_bytes()).unwrap().activity_id, ActivityId::new("a1"));
        }
    }

    #[test]
    fn a_script_is_json_in_json() {
        let exec = Exec {
            activity: ActivityId::new("a"),
            script: vec![Command::Deploy(Deploy::default())],
            wait: Duration::from_secs(5),
        };
        assert_eq!(exec.request().body.unwrap(), br#"{"text":"[{\"deploy\":{}}]"}"#);
    }

    #[test]
    fn the_size_of_a_script_is_that_of_its_request() {
        for text in ["", "a", "\"quoted\" \\ \n\t", "ä€😀\u{1}\u{7f}", "\r\u{2028}"] {
            let run = Run { entry_point: text.to_owned(), args: vec![text.repeat(3)], capture: None };
            let script = vec![Command::Run(run), Command::Deploy(Deploy::default())];
            let size = Exec::body_size(&script);
            let exec = Exec { activity: ActivityId::new("a"), script, wait: Duration::from_secs(5) };
            assert_eq!(exec.request().body.unwrap().len(), size, "{text:?}");
        }
    }

    #[test]
    fn states_are_pairs() {
        let state: ActivityState = serde_json::from_str(r#"{"state":["Ready",null]}"#).unwrap();
        assert_eq!(state.state, StatePair(State::Ready, None));
        let busy: ActivityState =
            serde_json::from_str(r#"{"state":["Initialized","Deployed"],"reason":"r","errorMessage":"e"}"#)
                .unwrap();
        assert_eq!(busy.state, StatePair(State::Initialized, Some(State::Deployed)));
    }

    #[test]
    fn a_lost_activity_counts_as_destroyed() {
        let destroy = DestroyActivity { activity: ActivityId::new("a"), wait: Duration::from_secs(5) };
        assert!(destroy.answer(200, b"null").unwrap());
        assert!(!destroy.answer(408, br#"{"message":"Timeout"}"#).unwrap());
        assert!(destroy.answer(500, br#"{"message":"GSB error: endpoint address not found"}"#).unwrap());
        assert!(destroy.answer(500, br#"{"message":"database is locked"}"#).is_err());
    }
}
