//! Records of what is paid: payment orders, and the payments made of them.

use std::sync::Arc;

use yagna_api::payment::Payment;
use yagna_api::{Glm, NodeId, Timestamp};

/// A payment order: what is paid at one time.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) owner: NodeId,
    pub(crate) payer_addr: String,
    pub(crate) platform: String,
    pub(crate) items: Vec<OrderItem>,
}

/// The part of an order that is for one bill.
#[derive(Debug, Clone)]
pub(crate) struct OrderItem {
    pub(crate) bill: Arc<str>,
    pub(crate) amount: Glm,
}

/// A payment, and what of it is found by.
#[derive(Debug, Clone)]
pub(crate) struct PaymentRecord {
    /// Its own time in events: unique and growing.
    pub(crate) at: Timestamp,
    pub(crate) document: Payment,
    pub(crate) bill: Arc<str>,
}
