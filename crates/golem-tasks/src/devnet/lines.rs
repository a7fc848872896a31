//! The events of a devnet, in lines for people.

use std::collections::HashMap;
use std::sync::Arc;

use golem_devnet::news::{ActivityEnd, BillFate, BillId, CommandName, Happening, HappeningKind};
use jiff::tz::TimeZone;
use yagna_api::market::{Reason, Terminator};

use crate::view::text::{duration, one_amount, one_line, plural};

/// Characters of an id: enough to tell them apart on a screen.
const SHORT: usize = 8;
/// The widest column for names.
const WIDEST: usize = 24;

/// Makes lines of happenings.
#[derive(Debug)]
pub(super) struct Lines {
    /// A line for each command, too?
    commands: bool,
    zone: TimeZone,
    width: usize,
    /// The last line of each provider, if it was a refused proposal: the same one again is left out.
    refusals: HashMap<Arc<str>, String>,
}

impl Lines {
    /// For providers whose longest name has `longest` characters.
    pub(super) fn new(commands: bool, longest: usize) -> Self {
        Self { commands, zone: TimeZone::system(), width: longest.min(WIDEST), refusals: HashMap::new() }
    }

    /// The line for a happening, with its end; none for what isn't shown.
    pub(super) fn line(&mut self, happening: &Happening) -> Option<String> {
        let text = self.text(&happening.kind)?;
        let refused = matches!(happening.kind, HappeningKind::ProposalRefused { .. });
        let last = self.refusals.get(&happening.provider);
        if refused && last == Some(&text) {
            return None;
        }
        let time = happening.at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string();
        let line =
            format!("{time}  {:width$}  {}\n", happening.provider, one_line(&text), width = self.width);
        if refused {
            self.refusals.insert(Arc::clone(&happening.provider), text);
        } else {
            self.refusals.remove(&happening.provider);
        }
        Some(line)
    }

    /// So many happenings weren't seen.
    pub(super) fn missed(missed: u64) -> String {
        format!("({} not shown: they came faster than they could be read)\n", plural(missed, "line"))
    }

    fn text(&self, kind: &HappeningKind) -> Option<String> {
        Some(match kind {
            HappeningKind::OfferPublished { offer } => {
                format!("offer {} is on the market", short(offer.as_str()))
            }
            HappeningKind::ProposalRefused { requestor, reason, .. } => {
                format!("proposal of {} refused: {}", node(requestor.as_str()), reason.message)
            }
            HappeningKind::ProposalRejected { reason, .. } => {
                format!("our proposal was rejected by the requestor{}", because(reason.as_ref()))
            }
            HappeningKind::AgreementProposed { agreement, requestor } => {
                format!("agreement {} proposed by {}", short(agreement.as_str()), node(requestor.as_str()))
            }
            HappeningKind::AgreementIgnored { agreement } => {
                format!("agreement {} gets no answer", short(agreement.as_str()))
            }
            HappeningKind::AgreementApproved { agreement } => {
                format!("agreement {} approved", short(agreement.as_str()))
            }
            HappeningKind::AgreementRefused { agreement, reason } => {
                format!("agreement {} refused: {}", short(agreement.as_str()), reason.message)
            }
            HappeningKind::AgreementLost { agreement, reason } => {
                let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                format!("agreement {} came to nothing{why}", short(agreement.as_str()))
            }
            HappeningKind::AgreementEnded { agreement, by, reason } => {
                let by = match by {
                    Terminator::Requestor => "the requestor",
                    Terminator::Provider => "the provider",
                };
                format!("agreement {} ended by {by}{}", short(agreement.as_str()), because(reason.as_ref()))
            }
            HappeningKind::ActivityCreated { agreement, activity } => {
                format!(
                    "activity {} created in agreement {}",
                    short(activity.as_str()),
                    short(agreement.as_str())
                )
            }
            HappeningKind::ActivityRefused { activity, reason, .. } => {
                format!("activity {} refused: {reason}", short(activity.as_str()))
            }
            HappeningKind::CommandStarted { .. } => return None,
            HappeningKind::CommandEnded { activity, command: CommandName::Deploy, result, .. } => {
                match result {
                    Ok(_) => format!("activity {} deployed", short(activity.as_str())),
                    Err(why) => format!("activity {} can't be deployed: {why}", short(activity.as_str())),
                }
            }
            HappeningKind::CommandEnded { activity, command, took, result } => {
                if !self.commands {
                    return None;
                }
                let ended = match result {
                    Ok(0) => String::new(),
                    Ok(code) => format!(", exit code {code}"),
                    Err(why) => format!(", no exit code: {why}"),
                };
                let took = duration(*took);
                format!("activity {} ran {} in {took}{ended}", short(activity.as_str()), words(command))
            }
            HappeningKind::ActivityEnded { activity, how, commands, .. } => {
                let how = match how {
                    ActivityEnd::Destroyed => "destroyed by the requestor",
                    ActivityEnd::Died => "its exe-unit died",
                    ActivityEnd::AgreementOver => "its agreement is over",
                };
                format!(
                    "activity {} ended after {}: {how}",
                    short(activity.as_str()),
                    plural(*commands, "command")
                )
            }
            HappeningKind::Bill { agreement, bill, amount, fate } => {
                let (name, of) = match bill {
                    BillId::DebitNote(note, activity) => (
                        format!("debit note {}", short(note.as_str())),
                        format!("activity {} so far", short(activity.as_str())),
                    ),
                    BillId::Invoice(invoice) => (
                        format!("invoice {}", short(invoice.as_str())),
                        format!("agreement {}", short(agreement.as_str())),
                    ),
                };
                let amount = one_amount(*amount);
                match fate {
                    BillFate::Sent => format!("{name} sent: {amount} GLM for {of}"),
                    BillFate::Accepted => format!("{name} accepted: {amount} GLM"),
                    BillFate::Rejected(why) if why.is_empty() => format!("{name} rejected: {amount} GLM"),
                    BillFate::Rejected(why) => format!("{name} rejected: {amount} GLM: {why}"),
                    BillFate::Paid => format!("{name} paid: {amount} GLM"),
                }
            }
            HappeningKind::AgentDied => "the provider's agent has died; what runs there goes on".to_owned(),
            HappeningKind::Vanished => "the provider has died, with all that ran there".to_owned(),
            _ => return None,
        })
    }
}

/// The beginning of an id.
fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// The beginning of a node's id, which has `0x` in front.
fn node(id: &str) -> &str {
    id.get(..SHORT + 2).unwrap_or(id)
}

fn because(reason: Option<&Reason>) -> String {
    let Some(reason) = reason else { return String::new() };
    match (reason.message.as_str(), reason.provider_code()) {
        ("", None) => String::new(),
        ("", Some(code)) => format!(": {code}"),
        (message, None) => format!(": {message}"),
        (message, Some(code)) => format!(": {message} ({code})"),
    }
}

fn words(command: &CommandName) -> String {
    match command {
        CommandName::Deploy => "`deploy`".to_owned(),
        CommandName::Start(_) => "`start`".to_owned(),
        CommandName::Run(words) => format!("`{}`", words.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use yagna_api::{AgreementId, Glm, InvoiceId, NodeId, ProposalId};

    use super::*;

    fn happening(kind: HappeningKind) -> Happening {
        Happening { at: "2026-01-01T10:00:00Z".parse().unwrap(), provider: "ada".into(), node: who(), kind }
    }

    fn who() -> NodeId {
        "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap()
    }

    fn refusal(why: &str) -> Happening {
        let (proposal, reason) = (ProposalId::new("P-1"), Reason::new(why));
        happening(HappeningKind::ProposalRefused { proposal, requestor: who(), reason })
    }

    fn text(line: Option<String>) -> String {
        let line = line.expect("it is shown");
        line.split_once("ada  ").expect("the name stands before what happened").1.to_owned()
    }

    #[test]
    fn a_line_says_when_who_what_and_how_much() {
        let mut lines = Lines { zone: TimeZone::UTC, ..Lines::new(false, 3) };
        let (agreement, amount) =
            (AgreementId::new("0123456789abcdef"), "0.00012345678".parse::<Glm>().unwrap());
        let bill = BillId::Invoice(InvoiceId::new("fedcba98-7654-3210"));
        let sent = HappeningKind::Bill { agreement, bill, amount, fate: BillFate::Sent };
        assert_eq!(
            lines.line(&happening(sent)).unwrap(),
            "10:00:00  ada  invoice fedcba98 sent: 0.000123 GLM for agreement 01234567\n"
        );
    }

    #[test]
    fn the_same_refusal_again_is_left_out_until_something_else_happens() {
        let mut lines = Lines::new(false, 3);
        assert_eq!(text(lines.line(&refusal("busy"))), "proposal of 0xabcdef01 refused: busy\n");
        assert_eq!(lines.line(&refusal("busy")), None);
        assert!(lines.line(&refusal("too short")).is_some());
        lines.line(&happening(HappeningKind::Vanished)).unwrap();
        assert!(lines.line(&refusal("too short")).is_some());
    }

    #[test]
    fn strangers_words_stay_in_their_line() {
        let mut lines = Lines::new(false, 3);
        let line = text(lines.line(&refusal("a\nb\u{1b}[2J")));
        assert_eq!(line, "proposal of 0xabcdef01 refused: a b\u{fffd}[2J\n");
    }

    #[test]
    fn commands_are_shown_only_where_they_are_asked_for() {
        let command = CommandName::Run(Arc::new(["/bin/sh".into(), "-c".into(), "exit 3".into()]));
        let ended = happening(HappeningKind::CommandEnded {
            activity: yagna_api::ActivityId::new("0123456789"),
            command,
            took: std::time::Duration::from_millis(1200),
            result: Ok(3),
        });
        assert_eq!(Lines::new(false, 3).line(&ended), None);
        assert_eq!(
            text(Lines::new(true, 3).line(&ended)),
            "activity 01234567 ran `/bin/sh -c exit 3` in 1.2 s, exit code 3\n"
        );
    }
}
