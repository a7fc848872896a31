//! The events of a devnet, for machines: one JSON object a line. `docs/json-output.md` is its reference.

use golem_devnet::news::{ActivityEnd, BillFate, BillId, CommandName, Happening, HappeningKind};
use serde_json::{Map, Value, json};
use yagna_api::market::{Reason, Terminator};

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The line for a happening, with its end; none for commands unless they are asked for.
pub(super) fn line(happening: &Happening, commands: bool) -> Option<String> {
    let (kind, event, rest) = parts(&happening.kind)?;
    if kind == "command" && !commands {
        return None;
    }
    let mut object = json!({
        "type": kind,
        "event": event,
        "at": happening.at,
        "provider": { "id": happening.node, "name": &*happening.provider },
    });
    if let (Value::Object(object), Value::Object(rest)) = (&mut object, rest) {
        object.extend(rest);
    }
    Some(ended(&object))
}

/// So many happenings weren't seen.
pub(super) fn missed(missed: u64) -> String {
    ended(&json!({ "type": "missed", "count": missed }))
}

/// The object in its line.
pub(super) fn ended(object: &Value) -> String {
    format!("{object}\n")
}

fn parts(kind: &HappeningKind) -> Option<(&'static str, &'static str, Value)> {
    Some(match kind {
        HappeningKind::OfferPublished { offer } => ("offer", "published", json!({ "offer": offer })),
        HappeningKind::ProposalRefused { proposal, requestor, reason } => (
            "proposal",
            "refused",
            json!({ "proposal": proposal, "requestor": requestor, "reason": why(reason) }),
        ),
        HappeningKind::ProposalRejected { proposal, reason } => {
            ("proposal", "rejected", json!({ "proposal": proposal, "reason": reason.as_ref().map(why) }))
        }
        HappeningKind::AgreementProposed { agreement, requestor } => {
            ("agreement", "proposed", json!({ "agreement": agreement, "requestor": requestor }))
        }
        HappeningKind::AgreementIgnored { agreement } => {
            ("agreement", "ignored", json!({ "agreement": agreement }))
        }
        HappeningKind::AgreementApproved { agreement } => {
            ("agreement", "approved", json!({ "agreement": agreement }))
        }
        HappeningKind::AgreementRefused { agreement, reason } => {
            ("agreement", "refused", json!({ "agreement": agreement, "reason": why(reason) }))
        }
        HappeningKind::AgreementLost { agreement, reason } => (
            "agreement",
            "lost",
            json!({ "agreement": agreement, "reason": reason.as_ref().map(|reason| json!({ "message": reason })) }),
        ),
        HappeningKind::AgreementEnded { agreement, by, reason } => {
            let by = match by {
                Terminator::Requestor => "requestor",
                Terminator::Provider => "provider",
            };
            let reason = reason.as_ref().map(why);
            ("agreement", "ended", json!({ "agreement": agreement, "by": by, "reason": reason }))
        }
        HappeningKind::ActivityCreated { agreement, activity } => {
            ("activity", "created", json!({ "agreement": agreement, "activity": activity }))
        }
        HappeningKind::ActivityRefused { agreement, activity, reason } => (
            "activity",
            "refused",
            json!({ "agreement": agreement, "activity": activity, "reason": { "message": reason } }),
        ),
        HappeningKind::CommandEnded { activity, command: CommandName::Deploy, took, result } => {
            let event = if result.is_ok() { "deployed" } else { "deploy_failed" };
            let message = result.as_ref().err().map(|message| json!({ "message": message }));
            let took = took.as_secs_f64();
            ("activity", event, json!({ "activity": activity, "took_seconds": took, "reason": message }))
        }
        HappeningKind::CommandStarted { activity, command } => {
            ("command", "started", json!({ "activity": activity, "command": words(command) }))
        }
        HappeningKind::CommandEnded { activity, command, took, result } => (
            "command",
            "ended",
            json!({
                "activity": activity,
                "command": words(command),
                "took_seconds": took.as_secs_f64(),
                "exit_code": result.as_ref().ok(),
                "failure": result.as_ref().err(),
            }),
        ),
        HappeningKind::ActivityEnded { agreement, activity, how, commands } => {
            let how = match how {
                ActivityEnd::Destroyed => "destroyed",
                ActivityEnd::Died => "died",
                ActivityEnd::AgreementOver => "agreement_over",
            };
            (
                "activity",
                "ended",
                json!({ "agreement": agreement, "activity": activity, "how": how, "commands": commands }),
            )
        }
        HappeningKind::Bill { agreement, bill, amount, fate } => {
            let mut rest = json!({ "agreement": agreement, "amount": amount });
            let kind = match bill {
                BillId::DebitNote(note, activity) => {
                    rest["debit_note"] = json!(note);
                    rest["activity"] = json!(activity);
                    "debit_note"
                }
                BillId::Invoice(invoice) => {
                    rest["invoice"] = json!(invoice);
                    "invoice"
                }
            };
            let event = match fate {
                BillFate::Sent => "sent",
                BillFate::Accepted => "accepted",
                BillFate::Rejected(why) => {
                    rest["reason"] = json!({ "message": why });
                    "rejected"
                }
                BillFate::Paid => "paid",
            };
            (kind, event, rest)
        }
        HappeningKind::AgentDied => ("provider", "agent_died", Value::Object(Map::new())),
        HappeningKind::Vanished => ("provider", "died", Value::Object(Map::new())),
        _ => return None,
    })
}

/// A reason with all that its author put into it.
fn why(reason: &Reason) -> Value {
    json!(reason)
}

/// A command as its words.
pub(super) fn words(command: &CommandName) -> Vec<&str> {
    match command {
        CommandName::Deploy => vec!["deploy"],
        CommandName::Start(args) => std::iter::once("start").chain(args.iter().map(String::as_str)).collect(),
        CommandName::Run(words) => words.iter().map(String::as_str).collect(),
    }
}

#[cfg(test)]
mod tests {
    use yagna_api::{ActivityId, AgreementId, DebitNoteId};

    use super::*;

    fn happening(kind: HappeningKind) -> Happening {
        Happening {
            at: "2026-01-01T10:00:00Z".parse().unwrap(),
            provider: "ada".into(),
            node: "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap(),
            kind,
        }
    }

    #[test]
    fn a_line_is_one_object_with_ids_in_full_and_exact_amounts() {
        let rejected = HappeningKind::Bill {
            agreement: AgreementId::new("a1"),
            bill: BillId::DebitNote(DebitNoteId::new("n1"), ActivityId::new("c1")),
            amount: "0.000000000000000001".parse().unwrap(),
            fate: BillFate::Rejected("too\nmuch".into()),
        };
        let line = line(&happening(rejected), false).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(
            serde_json::from_str::<Value>(&line).unwrap(),
            json!({
                "type": "debit_note",
                "event": "rejected",
                "at": "2026-01-01T10:00:00Z",
                "provider": { "id": "0xabcdef0123456789abcdef0123456789abcdef01", "name": "ada" },
                "agreement": "a1",
                "activity": "c1",
                "debit_note": "n1",
                "amount": "0.000000000000000001",
                "reason": { "message": "too\nmuch" },
            })
        );
    }

    #[test]
    fn a_reason_keeps_what_its_author_added() {
        let reason = Some(Reason::new("idle").with("golem.provider.code", "NoActivity"));
        let ended = HappeningKind::AgreementEnded {
            agreement: AgreementId::new("a1"),
            by: Terminator::Provider,
            reason,
        };
        let object: Value = serde_json::from_str(&line(&happening(ended), false).unwrap()).unwrap();
        assert_eq!(object["reason"], json!({ "message": "idle", "golem.provider.code": "NoActivity" }));
        assert_eq!(
            (&object["type"], &object["event"], &object["by"]),
            (&json!("agreement"), &json!("ended"), &json!("provider"))
        );
    }
}
