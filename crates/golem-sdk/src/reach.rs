//! Ways to reach programs on providers through a virtual network of the daemon.
//!
//! A [`Tunnel`] is one TCP connection to an address in such a network. [`Targets`] is the changing set of places that a
//! service answers at. A [`Forward`] carries connections to a local port to one of them, and an [`HttpProxy`] does so for
//! each HTTP request. Left to others: the networks themselves, and the decision which instances are ready.
//!
//! # What the daemon doesn't do
//!
//! The daemon's connections are not quite TCP, and this module makes up for that as far as it can:
//!
//! - The daemon takes frames of at most 64 KiB and drops the connection at a larger one: writes are cut.
//! - It never slows a writer down, and keeps in its memory what it can't pass on yet: writes are [paced](Pacing).
//! - One connection that isn't read holds up every connection of its network: a tunnel is always read, and one whose local
//!   reader is stuck is [given up](TunnelEnd::Stuck).
//! - A program that closes its connection isn't noticed by the other side, neither here nor there; only a reset is. So a
//!   [`Forward`] closes connections by a [policy](CarryPolicy), and an [`HttpProxy`] knows where a reply ends.
//!
//! # Example
//! ```no_run
//! use golem_sdk::reach::{Forward, HttpProxy, Target, Targets};
//! # async fn example(client: golem_sdk::Client, network: golem_sdk::NetworkId) -> golem_sdk::Result<()> {
//! let targets = Targets::new();
//! targets.set([Target::new("web-1", network, "192.168.0.2".parse()?, 80)]);
//! let proxy = HttpProxy::bind(8080, client.clone(), targets.clone()).await?;
//! println!("http://{}", proxy.local_addr());
//! let forward = Forward::bind(5432, client, targets).await?;
//! # drop(forward);
//! # Ok(())
//! # }
//! ```

mod carry;
mod error;
mod forward;
mod http;
mod listen;
mod pacing;
mod pipe;
mod pump;
mod targets;
mod tunnel;

pub use self::carry::{Carried, CarryEnd, CarryPolicy, carry};
pub use self::error::{BindError, ReachError, TunnelEnd};
pub use self::forward::{Forward, ForwardConfig};
pub use self::http::{HttpProxy, ProxyConfig};
pub use self::listen::Listen;
pub use self::pacing::Pacing;
pub use self::targets::{Lease, Target, Targets};
pub use self::tunnel::{Tunnel, TunnelConfig, connect, connect_with};
