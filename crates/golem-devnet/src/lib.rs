//! A Golem Network inside the process: the emulated daemon and its providers.
//!
//! A requestor can't tell it from a network of strangers: the daemon answers as yagna does, and providers negotiate,
//! run commands, report usage, send debit notes and invoices as Golem's own agent does. No tokens, no Docker, no
//! network; where tokio's clock is paused, hours pass in milliseconds.
//!
//! ```
//! use golem_devnet::devnet::Devnet;
//! use golem_devnet::provider::{Behaviour, Prices, ProviderConfig, Vanishing};
//! use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Commands are answered from a table; without `runtime` they are processes of this machine.
//! let runtime = ScriptedRuntime::new().on("/bin/date", &[], ScriptedAnswer::ok().stdout("today\n"));
//! let vanishing = Behaviour { vanishes: Some(Vanishing::AfterCommands(3)), ..Behaviour::default() };
//! let devnet = Devnet::builder()
//!     .seed(7)
//!     .providers(3)
//!     .provider(ProviderConfig::new("fickle").priced(Prices::per_hour("0", "0.05", "0.01")?).behaving(vanishing))
//!     .runtime(runtime)
//!     .start()
//!     .await?;
//!
//! // Any client can use it: over TCP, or in the process by `devnet.router()`.
//! let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! let key = &devnet.requestor().key;
//! println!("export YAGNA_API_URL=http://{address} YAGNA_APPKEY={}", key.expose());
//!
//! assert_eq!(devnet.books().offers, 4);
//! devnet.provider("fickle").ok_or("no such provider")?.kill();
//! devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it is for |
//! |---|---|
//! | [`devnet`] | puts a network together, serves it, ends it |
//! | [`node`] | the daemon of all nodes: market, activities, payments, faults, books |
//! | [`provider`] | who sells: settings, rules, bills, misbehaviour |
//! | [`news`] | what happens to providers, for whoever watches |
//! | [`exe_unit`], [`runtime`] | what carries out scripts, and what runs their commands |
//! | [`join`] | the same providers at a real daemon |
//! | [`vpn`] | the Ethernet frames of virtual networks |
//! | [`port`] | what a provider asks of its daemon; the border between the two halves |
//! | [`clock`] | the network's time |
//!
//! It shares no code with the requestor it is used to test, beyond the wire types of `yagna-api`: it must not share
//! its misunderstandings.

pub mod clock;
pub mod devnet;
pub mod exe_unit;
pub mod join;
pub mod news;
pub mod node;
pub mod port;
pub mod provider;
pub mod runtime;
mod tools;
pub mod vpn;
