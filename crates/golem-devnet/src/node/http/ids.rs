//! Ids in paths and bodies, and the daemon's words for those that are none.

use yagna_api::{AgreementId, DemandId};

use crate::node::negotiation::{Side, is_hex};
use crate::node::refusal::Refusal;

/// A demand's id in a path.
pub(super) fn demand_id(text: &str) -> Result<DemandId, Refusal> {
    let parts: Vec<_> = text.split('-').collect();
    let [id, hash] = parts[..] else {
        return Err(Refusal::path(&format!("Subscription id [{text}] has invalid format.")));
    };
    if !is_hexadecimal(id) || !is_hexadecimal(hash) {
        return Err(Refusal::path(&format!("Subscription id [{text}] contains non hexadecimal characters.")));
    }
    if !is_hex(id, 32) || !is_hex(hash, 64) {
        let problem = format!("Subscription id [{text}] has invalid length. Should be |32|-|64|");
        return Err(Refusal::path(&problem));
    }
    Ok(DemandId::new(text))
}

/// The side and the hash in a proposal's id, or what is wrong with it.
pub(super) fn proposal_parts(text: &str) -> Result<(Side, &str), String> {
    let parts: Vec<_> = text.split('-').collect();
    let [owner, hash] = parts[..] else {
        return Err(format!("Id [{text}] has invalid format."));
    };
    let side = match owner {
        "R" => Side::Requestor,
        "P" => Side::Provider,
        _ => return Err(format!("Id [{owner}] has invalid owner type.")),
    };
    hash_problem(hash).map_or(Ok((side, hash)), Err)
}

/// Reads a proposal's id in a path.
pub(super) fn proposal_in_path(text: &str) -> Result<(Side, &str), Refusal> {
    proposal_parts(text).map_err(|problem| Refusal::path(&problem))
}

/// An agreement's id in a path, or the daemon's answer to one that is none; it depends upon what is asked.
pub(super) fn agreement_id(text: &str, answer: fn(&str, &str) -> Refusal) -> Result<AgreementId, Refusal> {
    match hash_problem(text) {
        None => Ok(AgreementId::new(text)),
        Some(problem) => Err(answer(text, &problem)),
    }
}

/// The answer of most calls to a malformed id of an agreement.
pub(super) fn no_agreement(_text: &str, problem: &str) -> Refusal {
    Refusal::new(400, format!("Invalid Agreement id. {problem}"))
}

/// The answer of a wait to a malformed id of an agreement.
pub(super) fn no_agreement_to_wait_for(_text: &str, problem: &str) -> Refusal {
    Refusal::new(400, format!("Invalid agreement id. {problem}"))
}

/// The answer of calls that end an agreement, or ask why it ended, to a malformed id.
pub(super) fn no_agreement_to_end(text: &str, problem: &str) -> Refusal {
    Refusal::new(500, format!("Failed to get Agreement [{text}]. Error: Invalid Agreement id: {problem}"))
}

fn hash_problem(hash: &str) -> Option<String> {
    if !is_hexadecimal(hash) {
        Some(format!("Id [{hash}] contains non hexadecimal characters."))
    } else if hash.len() != 64 {
        Some(format!("Id [{hash}] hash has invalid length. Should be |64|"))
    } else {
        None
    }
}

fn is_hexadecimal(text: &str) -> bool {
    is_hex(text, text.len())
}
