//! The daemon's ledger: of each agreement and of each payment order, how much was asked for, accepted, scheduled and paid.
//!
//! Documented nowhere: found in the daemon's source and asked of a real one, version 0.17.6. Times in these lists have
//! no zone; they are UTC, and those of agreements are whole seconds.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};

use super::BASE;
use crate::endpoint::{Request, endpoint};
use crate::id::{AgreementId, NodeId};
use crate::money::Glm;
use crate::time::Timestamp;

/// The money of one agreement, all of it counted from the agreement's begin.
///
/// Each amount holds the next: what is scheduled was accepted before, what is paid was scheduled before.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgreementLedger {
    /// The agreement. The daemon makes this entry when the first bill of it comes.
    pub id: AgreementId,
    /// The other side.
    pub peer_id: NodeId,
    /// `driver-network-token`.
    pub payment_platform: String,
    /// The amount that its bills ask for.
    pub total_amount_due: Glm,
    /// The amount that was promised.
    pub total_amount_accepted: Glm,
    /// The amount that is part of payment orders, sent or not.
    pub total_amount_scheduled: Glm,
    /// The amount that the chain has confirmed.
    pub total_amount_paid: Glm,
    /// The time of the first bill, in whole seconds; older daemons didn't record it.
    #[serde(default, deserialize_with = "utc")]
    pub created_ts: Option<Timestamp>,
}

/// A payment order: what the daemon decided to pay at one time, from one address on one platform.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentOrder {
    /// Its id.
    pub id: String,
    /// The time at which it was made.
    #[serde(default, deserialize_with = "utc")]
    pub created_ts: Option<Timestamp>,
    /// `driver-network-token`.
    pub platform: String,
    /// From this address.
    pub payer_addr: String,
    /// The whole amount.
    pub total_amount: Glm,
    /// The part of it that the chain has confirmed.
    pub paid_amount: Glm,
}

/// `GET /payAgreements`: the ledger of all agreements of this identity that have bills, the oldest first.
#[derive(Debug, Clone, Default)]
pub struct ListAgreementLedgers {
    /// Only those whose first bill came later.
    pub after: Option<Timestamp>,
    /// At most this many.
    pub max: Option<u32>,
}
endpoint!(ListAgreementLedgers, "list what agreements owe", Harmless, list AgreementLedger, |this| {
    Request::get(format!("{BASE}/payAgreements")).query_opt("afterTimestamp", this.after).query_opt("maxItems", this.max)
});

/// `GET /payAgreements/{id}`: `None` where no bill of it has come.
#[derive(Debug, Clone)]
pub struct GetAgreementLedger(pub AgreementId);
endpoint!(GetAgreementLedger, "read what an agreement owes", Harmless, json Option<AgreementLedger>, |this| {
    Request::get(format!("{BASE}/payAgreements/{}", this.0))
});

/// `GET /batchOrders`: payment orders, the newest first.
#[derive(Debug, Clone, Default)]
pub struct ListPaymentOrders {
    /// Only those made later.
    pub after: Option<Timestamp>,
    /// At most this many.
    pub max: Option<u32>,
}
endpoint!(ListPaymentOrders, "list payment orders", Harmless, list PaymentOrder, |this| {
    Request::get(format!("{BASE}/batchOrders")).query_opt("afterTimestamp", this.after).query_opt("maxItems", this.max)
});

/// A time with or without its zone.
fn utc<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let zoned = text.parse::<Timestamp>();
    zoned
        .or_else(|_| text.parse::<DateTime>().and_then(|time| TimeZone::UTC.to_timestamp(time)))
        .map(Some)
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    const LEDGER: &str = r#"{"id":"a","ownerId":"0xabcdef0123456789abcdef0123456789abcdef01","role":"R",
        "peerId":"0xabcdef0123456789abcdef0123456789abcdef02","payeeAddr":"0x1","payerAddr":"0x2",
        "paymentPlatform":"erc20-hoodi-tglm","totalAmountDue":"0.5","totalAmountAccepted":"0.5",
        "totalAmountScheduled":"0.3","totalAmountPaid":"0","appSessionId":null,"createdTs":"2026-11-22T08:00:01",
        "updatedTs":"2026-11-22T08:00:01.25"}"#;

    #[test]
    fn ledgers_are_read_as_sent() {
        let all = ListAgreementLedgers { after: Some("2026-11-22T08:00:00Z".parse().unwrap()), max: Some(2) };
        assert_eq!(
            all.request().path,
            "/payment-api/v1/payAgreements?afterTimestamp=2026-11-22T08:00:00Z&maxItems=2"
        );
        let listed = all.answer(200, format!("[{LEDGER}]").as_bytes()).unwrap();
        assert_eq!(listed.unreadable, []);
        let ledger = &listed.items[0];
        assert_eq!(ledger.total_amount_scheduled, "0.3".parse().unwrap());
        assert_eq!(ledger.created_ts, Some("2026-11-22T08:00:01Z".parse().unwrap()));
        let one = GetAgreementLedger(AgreementId::new("a"));
        assert_eq!(one.answer(200, LEDGER.as_bytes()).unwrap().as_ref(), Some(ledger));
        assert_eq!(one.answer(200, b"null").unwrap(), None, "no bill has come");
        let old = LEDGER.replace(r#""2026-11-22T08:00:01","#, "null,");
        assert_eq!(one.answer(200, old.as_bytes()).unwrap().unwrap().created_ts, None);
    }

    #[test]
    fn orders_are_read_as_sent() {
        let body = br#"[{"id":"o","createdTs":"2026-11-22T08:00:01.123","updatedTs":"2026-11-22T08:00:01.123",
            "ownerId":"0x1","payerAddr":"0x1","platform":"erc20-hoodi-tglm","totalAmount":"1.5","paidAmount":"0"}]"#;
        let listed = ListPaymentOrders::default().answer(200, body).unwrap();
        assert_eq!(listed.items[0].total_amount, "1.5".parse().unwrap());
    }
}
