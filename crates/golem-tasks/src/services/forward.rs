//! Ports of this machine that lead to a service or to one of its instances, for as long as the command runs.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use golem_sdk::reach::{Forward, Target, Targets};
use golem_sdk::service::{InstanceInfo, InstanceState};
use golem_sdk::text::chain;
use tokio::time::sleep;

use super::access;
use super::connect::no_network;
use super::look::{Looking, chosen};
use crate::exit::{Exit, Failure};
use crate::options::Site;
use crate::signals::Stops;
use crate::store::{RunStatus, Store};
use crate::view::Output;

/// The time between two looks for instances that have come or gone.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The time for open connections once the command is asked to end.
const GRACE: Duration = Duration::from_secs(1);

/// A port of this machine, and the port of the instances that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) local: u16,
    pub(crate) remote: u16,
}

/// `forward`: listens at ports of this machine until Ctrl+C, or until the services are down.
pub(crate) async fn forward(
    looking: &Looking,
    name: &str,
    ports: &[Ports],
    address: IpAddr,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Exit, Failure> {
    let store = Store::open_existing(&looking.dsn).await?;
    let done = forward_in(&store, looking, name, ports, address, site).await;
    store.close().await;
    done
}

async fn forward_in(
    store: &Store,
    looking: &Looking,
    name: &str,
    ports: &[Ports],
    address: IpAddr,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Exit, Failure> {
    let (service, number) = chosen(store, looking, name).await?;
    if service.row.network.is_none() {
        return Err(no_network(name));
    }
    let client = access::client(&looking.dsn, &service.row, site).await?;
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut out = Output::stderr();
    let mut open: Vec<(u16, Targets, Forward)> = Vec::new();
    for ports in ports {
        let targets = Targets::new();
        let bound =
            Forward::bind(SocketAddr::new(address, ports.local), client.clone(), targets.clone()).await;
        let bound = bound.map_err(|error| Failure::new(Exit::Usage, error))?;
        lead_to(&targets, &service.instances, number, ports.remote);
        out.write(&format!("{} leads to {name}:{}\n", bound.local_addr(), ports.remote));
        open.push((ports.remote, targets, bound));
    }
    let mut is_told = false;
    let exit = loop {
        tokio::select! {
            biased;
            () = stops.next() => break Exit::Cancelled,
            () = sleep(LOOK_EVERY) => {}
        }
        match look(store, &service.row.run_id).await {
            Ok((status, instances)) => {
                is_told = false;
                if matches!(status, RunStatus::Ended(_)) {
                    out.write(&format!("{} is down\n", service.row.service));
                    break Exit::Done;
                }
                for (port, targets, _) in &open {
                    lead_to(targets, &instances, number, *port);
                }
            }
            Err(failure) if std::mem::replace(&mut is_told, true) => {
                tracing::debug!(error = chain(failure.error()), "still can't look for instances");
            }
            Err(failure) => {
                tracing::warn!(
                    error = chain(failure.error()),
                    "can't look for instances, and goes on with those that are known"
                );
            }
        }
    };
    for (_, _, bound) in open {
        bound.shutdown(GRACE).await;
    }
    Ok(exit)
}

async fn look(store: &Store, run_id: &str) -> Result<(RunStatus, Vec<InstanceInfo>), Failure> {
    Ok((store.run_status(run_id).await?, store.instances(run_id).await?))
}

/// Leads to the instances that are ready, or to the one of this number.
fn lead_to(targets: &Targets, instances: &[InstanceInfo], number: Option<u32>, port: u16) {
    let meant = instances.iter().filter(|info| number.is_none_or(|number| number == info.place.number));
    let ready = meant.clone().filter(|info| info.state == InstanceState::Ready);
    targets.set(
        ready.filter_map(|info| Some(Target::new(info.name(), info.network.clone()?, info.address?, port))),
    );
    let states: Vec<_> = meant.map(|info| format!("{} is {}", info.name(), info.state)).collect();
    targets.why_none(if states.is_empty() {
        "no instance was started yet".to_owned()
    } else {
        states.join(", ")
    });
}
