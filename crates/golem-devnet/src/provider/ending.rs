//! The reasons why an agreement ended, and the reason that the provider gives to its requestor.

use std::time::Duration;

use yagna_api::Timestamp;
use yagna_api::market::Reason;

use super::negotiation::spoken;

/// The reasons why an agreement ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ending {
    /// The requestor ended it, perhaps with a reason.
    ByRequestor(Option<Reason>),
    /// Its only activity is over, and it doesn't allow for a second.
    SingleActivity,
    /// Its demand has run out.
    Expired(Timestamp),
    /// No activity for too long.
    NoActivity(Duration),
    /// A debit note wasn't accepted in time.
    DebitNotesDeadline(Duration),
    /// A payable debit note wasn't paid in time.
    DebitNoteNotPaid(Duration),
    /// The requestor refused a debit note.
    DebitNoteRejected(String),
    /// No debit note could be sent for too long.
    RequestorUnreachable(Duration),
    /// The provider feels like it.
    Whim(Reason),
}

impl Ending {
    /// The reason to tell the requestor; `None` when it ended the agreement itself.
    pub(crate) fn reason(&self) -> Option<Reason> {
        let (message, code) = match self {
            Self::ByRequestor(_) => return None,
            Self::Whim(reason) => return Some(reason.clone()),
            Self::SingleActivity => ("Finished with success.".into(), "Success"),
            Self::Expired(at) => (format!("Agreement expired @ {at}"), "Expired"),
            Self::NoActivity(idle) => (format!("No activity created within {idle:?}"), "NoActivity"),
            Self::DebitNotesDeadline(timeout) => (
                format!("Requestor isn't accepting DebitNotes in time ({})", spoken(*timeout)),
                "DebitNotesDeadline",
            ),
            Self::DebitNoteNotPaid(timeout) => (
                format!("Requestor didn't pay for DebitNote in time ({})", spoken(*timeout)),
                "DebitNoteNotPaid",
            ),
            Self::DebitNoteRejected(why) => {
                (format!("Requestor rejected the debit note: {why}"), "DebitNoteRejected")
            }
            Self::RequestorUnreachable(timeout) => {
                (format!("Requestor is unreachable more than {}", spoken(*timeout)), "RequestorUnreachable")
            }
        };
        Some(Reason::new(message).with("golem.provider.code", code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_carry_the_agents_codes() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        for (ending, code, message) in [
            (Ending::SingleActivity, "Success", "Finished with success."),
            (Ending::NoActivity(Duration::from_secs(90)), "NoActivity", "No activity created within 90s"),
            (
                Ending::DebitNotesDeadline(minutes(4)),
                "DebitNotesDeadline",
                "Requestor isn't accepting DebitNotes in time (4m)",
            ),
            (
                Ending::DebitNoteNotPaid(minutes(2)),
                "DebitNoteNotPaid",
                "Requestor didn't pay for DebitNote in time (2m)",
            ),
            (
                Ending::RequestorUnreachable(minutes(4)),
                "RequestorUnreachable",
                "Requestor is unreachable more than 4m",
            ),
        ] {
            let reason = ending.reason().unwrap();
            assert_eq!((reason.provider_code(), reason.message.as_str()), (Some(code), message));
        }
        assert_eq!(Ending::ByRequestor(None).reason(), None);
    }
}
