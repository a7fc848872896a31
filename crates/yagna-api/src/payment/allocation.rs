//! Allocations: money set aside for a run, and what has been spent of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BASE;
use crate::endpoint::{Endpoint, Repeat, Request, empty_answer, endpoint, json_answer};
use crate::error::AnswerError;
use crate::id::{ActivityId, AgreementId, AllocationId};
use crate::money::Glm;
use crate::properties::Properties;
use crate::time::Timestamp;

/// Money to set aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAllocation {
    /// The amount.
    pub total_amount: Glm,
    /// `driver-network-token`, or an object with any of the three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_platform: Option<Value>,
    /// The paying address; the identity's own otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The time at which the daemon releases it by itself; in ten years otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timestamp>,
    /// Lock the money on the chain?
    #[serde(default)]
    pub make_deposit: bool,
    /// Pay from somebody's deposit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<Value>,
    /// By how many seconds to move the time-out when something is spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extend_timeout: Option<u64>,
}

/// Money set aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// Its id.
    pub allocation_id: AllocationId,
    /// The paying address.
    pub address: String,
    /// `driver-network-token`.
    pub payment_platform: String,
    /// The amount that was set aside.
    pub total_amount: Glm,
    /// The amount that has been promised to accepted bills.
    pub spent_amount: Glm,
    /// The rest.
    pub remaining_amount: Glm,
    /// The time at which it was made.
    pub timestamp: Timestamp,
    /// The time at which the daemon releases it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timestamp>,
    /// The time at which it was made; sent by daemons since 0.16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ts: Option<Timestamp>,
    /// The time of its last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_ts: Option<Timestamp>,
    /// True if the money is locked on the chain.
    #[serde(default)]
    pub make_deposit: bool,
    /// The deposit it pays from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<Value>,
    /// By how many seconds spending moves the time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extend_timeout: Option<u64>,
}

/// The changes to an allocation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocationChange {
    /// The new total; not below what is spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_amount: Option<Glm>,
    /// The new end; not in the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timestamp>,
    /// The new deposit, on an allocation that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<Value>,
}

/// The amounts that one agreement or activity has taken from an allocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expenditure {
    /// The allocation.
    pub allocation_id: AllocationId,
    /// The agreement.
    pub agreement_id: AgreementId,
    /// The activity, where the sum is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<ActivityId>,
    /// Accepted so far.
    pub accepted_amount: Glm,
    /// Handed to the payment driver so far.
    pub scheduled_amount: Glm,
}

/// The additions to a demand by which providers know how they will be paid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoration {
    /// Properties to add.
    pub properties: Properties,
    /// Constraints to add, each in the constraint language.
    pub constraints: Vec<String>,
}

#[derive(Deserialize)]
struct DecorationWire {
    #[serde(default)]
    properties: Vec<DecorationProperty>,
    #[serde(default)]
    constraints: Vec<String>,
}

#[derive(Deserialize)]
struct DecorationProperty {
    key: String,
    value: Value,
}

/// `POST /allocations`.
#[derive(Debug, Clone)]
pub struct CreateAllocation(pub NewAllocation);
endpoint!(CreateAllocation, "create an allocation", Twice, json Allocation, |this| {
    Request::post(format!("{BASE}/allocations")).json(&this.0).patience(std::time::Duration::from_secs(60))
});

/// `GET /allocations`: one's own that haven't been released.
#[derive(Debug, Clone, Default)]
pub struct ListAllocations {
    /// Only those whose time-out is later.
    pub after: Option<Timestamp>,
    /// At most this many.
    pub max: Option<u32>,
}
endpoint!(ListAllocations, "list allocations", Harmless, list Allocation, |this| {
    Request::get(format!("{BASE}/allocations")).query_opt("afterTimestamp", this.after).query_opt("maxItems", this.max)
});

/// `GET /allocations/{id}`; a released one is not found.
#[derive(Debug, Clone)]
pub struct GetAllocation(pub AllocationId);
endpoint!(GetAllocation, "read an allocation", Harmless, json Allocation, |this| {
    Request::get(format!("{BASE}/allocations/{}", this.0))
});

/// `PUT /allocations/{id}`: more or less money, an earlier or later end.
#[derive(Debug, Clone)]
pub struct AmendAllocation {
    /// The allocation.
    pub allocation: AllocationId,
    /// The changes.
    pub change: AllocationChange,
}
endpoint!(AmendAllocation, "amend an allocation", Harmless, json Allocation, |this| {
    Request::put(format!("{BASE}/allocations/{}", this.allocation)).json(&this.change)
});

/// `DELETE /allocations/{id}`: gives back what isn't spent.
#[derive(Debug, Clone)]
pub struct ReleaseAllocation(pub AllocationId);

impl Endpoint for ReleaseAllocation {
    /// True if this call released it; `false` when it was released before.
    type Answer = bool;
    const NAME: &'static str = "release an allocation";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::delete(format!("{BASE}/allocations/{}", self.0))
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<bool, AnswerError> {
        if matches!(status, 404 | 410) { Ok(false) } else { empty_answer(status, body).map(|()| true) }
    }
}

/// `GET /allocations/{id}/expenditures`: what was taken from it, and for whom.
#[derive(Debug, Clone)]
pub struct GetExpenditures(pub AllocationId);
endpoint!(GetExpenditures, "read an allocation's expenditures", Harmless, list Expenditure, |this| {
    Request::get(format!("{BASE}/allocations/{}/expenditures", this.0))
});

/// `GET /demandDecorations`: how a demand shall speak of payment for these allocations.
#[derive(Debug, Clone)]
pub struct GetDecorations(pub Vec<AllocationId>);

impl Endpoint for GetDecorations {
    type Answer = Decoration;
    const NAME: &'static str = "read a demand's payment decorations";
    const REPEAT: Repeat = Repeat::Harmless;

    fn request(&self) -> Request {
        Request::get(format!("{BASE}/demandDecorations"))
            .query_list("allocationIds", self.0.iter().map(AllocationId::as_str))
    }

    fn answer(&self, status: u16, body: &[u8]) -> Result<Decoration, AnswerError> {
        let wire: DecorationWire = json_answer(status, body)?;
        let properties = wire.properties.into_iter().map(|property| (property.key, property.value)).collect();
        Ok(Decoration { properties, constraints: wire.constraints })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_read_as_sent() {
        let allocation: Allocation = serde_json::from_str(
            r#"{"allocationId":"7b1","address":"0x1","paymentPlatform":"erc20-holesky-tglm","totalAmount":"10.0","spentAmount":"0.5",
            "remainingAmount":"9.5","timestamp":"2026-11-21T21:17:19.355800123Z","timeout":"2036-11-21T21:17:19.355800123Z",
            "createdTs":"2026-11-21T21:17:19.355800123Z","updatedTs":"2026-11-21T21:17:19.355800123Z","makeDeposit":false}"#,
        )
        .unwrap();
        assert_eq!(allocation.remaining_amount, "9.5".parse().unwrap());
    }

    #[test]
    fn a_new_allocation_sends_only_what_is_set() {
        let new = NewAllocation {
            total_amount: "1.5".parse().unwrap(),
            payment_platform: Some("erc20-hoodi-tglm".into()),
            address: None,
            timeout: None,
            make_deposit: false,
            deposit: None,
            extend_timeout: None,
        };
        let body = CreateAllocation(new).request().body.unwrap();
        assert_eq!(
            body,
            br#"{"totalAmount":"1.5","paymentPlatform":"erc20-hoodi-tglm","makeDeposit":false}"#
        );
    }

    #[test]
    fn decorations_keep_the_comma_raw_and_become_properties() {
        let get = GetDecorations(vec![AllocationId::new("a"), AllocationId::new("b")]);
        assert_eq!(get.request().path, "/payment-api/v1/demandDecorations?allocationIds=a,b");
        let body = br#"{"properties":[{"key":"golem.com.payment.protocol.version","value":"3"}],"constraints":["(golem.com.payment.protocol.version>1)"]}"#;
        let decoration = get.answer(200, body).unwrap();
        assert_eq!(decoration.properties.text("golem.com.payment.protocol.version"), Some("3"));
        assert_eq!(decoration.constraints.len(), 1);
    }

    #[test]
    fn a_released_allocation_may_be_released_again() {
        let release = ReleaseAllocation(AllocationId::new("a"));
        assert!(release.answer(200, b"null").unwrap());
        assert!(!release.answer(410, br#"{"message":"Allocation a has been already released"}"#).unwrap());
    }
}
