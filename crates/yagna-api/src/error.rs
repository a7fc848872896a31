//! What the daemon says when it says no.

use serde_json::{Map, Value};

/// Characters that are kept of an answer that can't be read.
const SAMPLE: usize = 200;
/// The text that stands for the body of an answer that is a web page.
const WEB_PAGE: &str = "a web page";

/// A refusal or failure that the daemon reported.
///
/// The daemon has several forms: `{"message": ".."}`, `{"message": null}`, plain text, plain text that holds
/// JSON, an empty body, and RFC 7807 problem documents for allocations. All are read into this one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the daemon answered {status}{}{message}", if .message.is_empty() { "" } else { ": " })]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The daemon's words; empty when it gave none.
    pub message: String,
    /// The problem document, when it was one.
    pub problem: Option<Problem>,
}

/// An RFC 7807 problem document, as the payment API sends for allocations.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The kind of problem: a path such as `/payment-api/v1/allocations/validation-error`.
    pub kind: String,
    /// The particular problem: a path such as `…/validation-error/insufficient-account-funds`.
    pub instance: Option<String>,
    /// All other fields, such as `requestedFunds` and `availableFunds`.
    pub fields: Map<String, Value>,
}

impl Problem {
    /// The last segment of the most particular path: `insufficient-account-funds`.
    pub fn short(&self) -> &str {
        let path = self.instance.as_deref().unwrap_or(&self.kind);
        path.rsplit('/').next().unwrap_or(path)
    }
}

impl ApiError {
    /// Reads an error answer, whatever its form.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(mut fields)) => {
                let problem = match fields.remove("type") {
                    Some(Value::String(kind)) => Some(kind),
                    _ => None,
                };
                if let Some(kind) = problem {
                    let instance = match fields.remove("instance") {
                        Some(Value::String(instance)) => Some(instance),
                        _ => None,
                    };
                    let problem = Problem { kind, instance, fields };
                    let detail = problem.fields.get("detail").or_else(|| problem.fields.get("title"));
                    let message = match detail.and_then(Value::as_str) {
                        Some(detail) => format!("{detail} ({})", problem.short()),
                        None => problem.short().to_owned(),
                    };
                    return Self { status, message, problem: Some(problem) };
                }
                let message = match fields.get("message") {
                    Some(Value::String(message)) => message.clone(),
                    Some(Value::Null) => String::new(),
                    _ => in_a_line(&text),
                };
                Self { status, message, problem: None }
            }
            Ok(Value::String(message)) => Self { status, message, problem: None },
            _ => Self { status, message: in_a_line(&text), problem: None },
        }
    }

    /// True if the answer was a web page: no daemon sends one.
    pub fn is_a_web_page(&self) -> bool {
        self.message.starts_with(WEB_PAGE)
    }

    /// Not known to the daemon, or no more.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// Nothing happened within the given time.
    pub fn is_timeout(&self) -> bool {
        matches!(self.status, 408 | 504)
    }

    /// Was here and is over: an ended agreement, a released allocation, an expired demand.
    pub fn is_gone(&self) -> bool {
        self.status == 410
    }

    /// The key is missing or wrong.
    pub fn is_unauthorised(&self) -> bool {
        self.status == 401
    }

    /// The activity's exe-unit is no longer there: nothing more will come from it.
    ///
    /// A killed exe-unit shows as status 500 with this text; the activity's state then tells the reason.
    pub fn is_activity_lost(&self) -> bool {
        self.status == 500
            && (self.message.contains("endpoint address not found")
                || self.message.contains("was abruptly terminated")
                || self.message.contains("DAO error: Not found"))
    }

    /// An agreement can't be ended or taken back, because it isn't in force for its provider: it is over there, or never came.
    ///
    /// A request that is cut off while the daemon carries it out leaves the two daemons so: the provider's has ended the
    /// agreement, and the requestor's goes on listing it. It answers each further request with status 500 and this text.
    pub fn binds_no_provider(&self) -> bool {
        let not_taken_back = "Remote failed to approve. Error: Agreement [";
        self.status == 500
            && (self.message.contains("Remote Terminate: Can't finish operation on Agreement [")
                || (self.message.contains(not_taken_back)
                    && (self.message.contains("] in state Cancelled")
                        || self.message.contains("] not found"))))
    }

    /// True if the same request may succeed later without any change.
    ///
    /// True for an overloaded or restarting daemon; false for all that the request itself caused.
    pub fn is_passing(&self) -> bool {
        match self.status {
            429 | 502 | 503 => true,
            500 => !self.is_activity_lost() && !self.binds_no_provider() && self.problem.is_none(),
            _ => false,
        }
    }
}

/// The reasons why an answer gave no value.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The daemon refused or failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The daemon agreed, but its answer isn't what this endpoint answers with.
    #[error("the daemon's answer (status {status}) can't be read ({problem}): {sample}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        sample: String,
        /// The error of the JSON parser.
        problem: serde_json::Error,
    },
}

impl AnswerError {
    /// An answer that isn't of the expected shape.
    pub fn unreadable(status: u16, body: &[u8], problem: serde_json::Error) -> Self {
        let sample = in_a_line(&String::from_utf8_lossy(body));
        let end = sample.char_indices().nth(SAMPLE).map_or(sample.len(), |(end, _)| end);
        Self::Unreadable { status, sample: sample[..end].to_owned(), problem }
    }

    /// The daemon's refusal, if it was one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            Self::Unreadable { .. } => None,
        }
    }
}

/// True if a text is HTML.
fn is_a_web_page(text: &str) -> bool {
    let lower = text.trim_start().to_ascii_lowercase();
    lower.starts_with('<')
        && ["<html", "<!doctype html", "<head", "<body"].iter().any(|tag| lower.contains(tag))
}

/// A text in one line. Of a web page only its title is told: whoever serves it isn't a daemon, or stands before one.
fn in_a_line(text: &str) -> String {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !is_a_web_page(text) {
        return words(text);
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").map(|begin| begin + "<title>".len()).and_then(|begin| {
        let end = begin + lower[begin..].find("</title>")?;
        Some(words(&text[begin..end]))
    });
    match title.filter(|title| !title.is_empty()) {
        Some(title) => format!("{WEB_PAGE} with the title `{title}`"),
        None => WEB_PAGE.to_owned(),
    }
}

/// An error and its sources in one line, from the outermost to the first cause.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_web_page_only_the_title_is_told() {
        for (page, told) in [
            (
                "<!DOCTYPE html>\n<html><head><title>404 Not\nFound</title></head></html>",
                "404: a web page with the title `404 Not Found`",
            ),
            ("<HTML><BODY><h1>It works!</h1></BODY></HTML>\n", "404: a web page"),
            ("  two\n lines ", "404: two lines"),
        ] {
            let refused = ApiError::read(404, page.as_bytes());
            assert_eq!(refused.to_string(), format!("the daemon answered {told}"));
        }
        let page = b"<html><title>Hello</title></html>";
        let error = serde_json::from_slice::<Value>(page).unwrap_err();
        let unreadable = AnswerError::unreadable(200, page, error);
        assert_eq!(
            unreadable.to_string(),
            "the daemon's answer (status 200) can't be read (expected value at line 1 column 1): a web page with the title \
             `Hello`"
        );
    }

    #[test]
    fn every_form_of_error_is_read() {
        let table: [(u16, &str, &str); 7] = [
            (404, r#"{"message":"Demand [x] not found."}"#, "the daemon answered 404: Demand [x] not found."),
            (501, r#"{"message":null}"#, "the daemon answered 501"),
            (401, "Invalid application key", "the daemon answered 401: Invalid application key"),
            (
                400,
                r#"{"message":"Path deserialize error: Subscription id [abc] has invalid format."}"#,
                "the daemon answered 400: Path deserialize error: Subscription id [abc] has invalid format.",
            ),
            (404, "", "the daemon answered 404"),
            (
                400,
                "Query deserialize error: invalid float literal",
                "the daemon answered 400: Query deserialize error: invalid float literal",
            ),
            (500, r#"{"other":1}"#, r#"the daemon answered 500: {"other":1}"#),
        ];
        for (status, body, shown) in table {
            assert_eq!(ApiError::read(status, body.as_bytes()).to_string(), shown);
        }
    }

    #[test]
    fn problems_keep_their_fields() {
        let error = ApiError::read(
            400,
            br#"{"type":"/payment-api/v1/allocations/validation-error",
            "instance":"/payment-api/v1/allocations/validation-error/insufficient-account-funds",
            "detail":"not enough","requestedFunds":"10","availableFunds":"0"}"#,
        );
        let problem = error.problem.as_ref().unwrap();
        assert_eq!(problem.short(), "insufficient-account-funds");
        assert_eq!(problem.fields["availableFunds"], "0");
        assert_eq!(error.message, "not enough (insufficient-account-funds)");
        assert!(!error.is_passing());
    }

    #[test]
    fn a_lost_activity_is_told_from_a_passing_fault() {
        let gone = ApiError::read(500, br#"{"message":"GSB error: Remote service at `/net/0x1/exeunit/a/Exec` error: GSB failure: Bad request: endpoint address not found"}"#);
        assert!(gone.is_activity_lost() && !gone.is_passing());
        let locked = ApiError::read(500, br#"{"message":"database is locked"}"#);
        assert!(!locked.is_activity_lost() && locked.is_passing());
        assert!(ApiError::read(503, b"").is_passing());
        for refused in [
            "while terminating: Remote Terminate: Can't finish operation on Agreement [P-1] due to internal error.",
            "while approving: Remote failed to approve. Error: Agreement [P-1] in state Cancelled, can't be approved.",
            "while approving: Remote failed to approve. Error: Agreement [P-1] not found.",
        ] {
            let error =
                ApiError::read(500, format!("{{\"message\":\"Protocol error {refused}\"}}").as_bytes());
            assert!(error.binds_no_provider() && !error.is_passing(), "{refused}");
        }
        let timed_out =
            ApiError::read(500, br#"{"message":"Protocol error: Agreement [R-1] GSB error: Timeout."}"#);
        assert!(!timed_out.binds_no_provider() && timed_out.is_passing());
        assert!(!ApiError::read(400, b"").is_passing());
    }
}
