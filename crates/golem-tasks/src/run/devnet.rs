//! Starts the devnet that `--devnet` asks for, on a free port of this machine's loopback.

use std::net::{Ipv4Addr, SocketAddr};

use golem_devnet::devnet::Devnet;
use golem_devnet::node::Delays;

use super::Daemon;
use crate::exit::{Exit, Failure};
use crate::options::Site;

pub(super) async fn open(site: &Site, providers: u32, seed: Option<u64>) -> Result<Daemon, Failure> {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    tracing::info!(providers, seed, "starting a devnet");
    let failed = |error| Failure::new(Exit::Daemon, error);
    let devnet = Devnet::builder()
        .providers(providers as usize)
        .seed(seed)
        .delays(Delays::real())
        .payment_platform(golem_sdk::run::platform(&site.driver, &site.network))
        .subnet(site.subnet.as_str())
        .start()
        .await
        .map_err(failed)?;
    let address = devnet.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.map_err(failed)?;
    Ok(Daemon {
        url: format!("http://{address}"),
        apis: Box::default(),
        app_key: devnet.requestor().key.clone(),
        devnet: Some(devnet),
    })
}
