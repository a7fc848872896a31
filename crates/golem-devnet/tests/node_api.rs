//! The emulated daemon answers as yagna 0.17.6 does: statuses, bodies, habits, times.
#![expect(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "node_api/activity.rs"]
mod activity;
#[path = "node_api/agreement.rs"]
mod agreement;
#[path = "node_api/faults.rs"]
mod faults;
#[path = "node_api/kit.rs"]
mod kit;
#[path = "node_api/market.rs"]
mod market;
#[path = "node_api/payment.rs"]
mod payment;
#[path = "node_api/plain.rs"]
mod plain;
#[path = "node_api/provider.rs"]
mod provider;
#[path = "node_api/sockets.rs"]
mod sockets;
