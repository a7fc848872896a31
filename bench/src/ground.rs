//! The grounds on which a program is measured: a devnet in this process, or two real daemons with providers of ours.
//!
//! Providers answer at once, or after the time that a command `sleep N` names: nothing is measured but what lies
//! between a task and its result.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use golem_devnet::devnet::Devnet;
use golem_devnet::join::{DaemonAddress, Joined};
use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
use yagna_api::AppKey;

use crate::Failure;
use crate::rig::{Lease, Rig, Side};

/// The payment platform of both grounds.
pub(crate) const PLATFORM: &str = "erc20-hoodi-tglm";

/// The file that providers have for whoever downloads one.
pub(crate) const OUTPUT: &str = "/golem/output/answer";

/// The length of that file, and of the files that are sent, in bytes.
pub(crate) const FILE_LEN: usize = 1024;

/// A market with providers, and where a requestor finds it.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The name of the ground in the table.
    pub(crate) name: &'static str,
    /// The address of the requestor's daemon.
    pub(crate) api_url: String,
    /// The requestor's app key.
    pub(crate) key: AppKey,
    /// The part of the market where the providers are.
    pub(crate) subnet: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Devnet(Devnet),
    Daemons { joined: Joined, _leases: Vec<Lease>, rig: Arc<Rig> },
}

impl Ground {
    /// A devnet with so many providers, over HTTP.
    pub(crate) async fn devnet(providers: usize) -> Result<Self, Failure> {
        let devnet = Devnet::builder().providers(providers).seed(1).runtime(runtime()).start().await?;
        let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        Ok(Self {
            name: "devnet",
            api_url: format!("http://{address}"),
            key: devnet.requestor().key.clone(),
            subnet: devnet.subnet().to_owned(),
            place: Place::Devnet(devnet),
        })
    }

    /// Two real daemons on loopback, with so many providers of ours at one of them.
    pub(crate) async fn daemons(program: PathBuf, providers: usize) -> Result<Self, Failure> {
        let rig = Arc::new(Rig::start(program, 0).await);
        let buyer = rig.lend(Side::Buyers).await;
        let mut sellers = Vec::new();
        for _ in 0..providers {
            sellers.push(rig.lend(Side::Sellers).await);
        }
        let daemon = rig.daemon(Side::Sellers);
        let first = sellers.first().ok_or("a ground needs a provider")?;
        let address =
            DaemonAddress { api: daemon.api_url(), gsb: daemon.bus_url().parse()?, key: first.key.clone() };
        let subnet = "bench".to_owned();
        let mut builder = Joined::builder(address)
            .subnet(&subnet)
            .payment_platform(PLATFORM)
            .seed(1)
            .runtime(runtime())
            .providers(providers);
        for lease in &sellers[1..] {
            builder = builder.key(lease.key.clone());
        }
        let joined = builder.start().await?;
        let (api_url, key) = (rig.daemon(Side::Buyers).api_url(), buyer.key.clone());
        sellers.push(buyer);
        Ok(Self {
            name: "daemons",
            api_url,
            key,
            subnet,
            place: Place::Daemons { joined, _leases: sellers, rig },
        })
    }

    /// Ends all of it.
    pub(crate) async fn stop(self) {
        match self.place {
            Place::Devnet(devnet) => devnet.stop().await,
            Place::Daemons { joined, rig, .. } => {
                joined.stop().await;
                rig.stop();
            }
        }
    }
}

/// Commands that answer at once, but for `sleep N`; each leaves a file that can be fetched.
fn runtime() -> ScriptedRuntime {
    ScriptedRuntime::new().when(|_, arguments| {
        let line = arguments.last()?;
        if let Some(rest) = line.split("sleep ").nth(1) {
            let seconds = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()?;
            return Some(ScriptedAnswer::ok().taking(Duration::from_secs_f64(seconds)));
        }
        line.contains("answer").then(|| ScriptedAnswer::ok().writing(OUTPUT, vec![7; FILE_LEN]))
    })
}
