//! The ports of this machine that lead to services: an HTTP proxy, and ports that are forwarded.

use golem_sdk::network::Network;
use golem_sdk::reach::{BindError, Forward, HttpProxy};
use golem_sdk::service::Service;
use golem_sdk::text::chain;

use super::file::ServiceEntry;
use crate::exit::{Exit, Failure};

/// The ports that lead to one service. Dropping them closes them.
#[derive(Default)]
pub(super) struct Doors {
    proxy: Option<HttpProxy>,
    forwards: Vec<(Forward, u16)>,
}

impl Doors {
    /// Listens at the ports of a service.
    pub(super) async fn open(
        entry: &ServiceEntry,
        service: &Service,
        network: Option<&Network>,
    ) -> Result<Self, Failure> {
        let mut doors = Self::default();
        let Some(network) = network else { return Ok(doors) };
        let failed = |error: BindError| {
            Failure::new(Exit::Usage, error).advise(format!(
                "choose another local port for the service `{}` in its file",
                entry.spec.name
            ))
        };
        if let Some(http) = entry.http {
            let targets = service.targets(http.port);
            let proxy = HttpProxy::bind(http.local, network.client().clone(), targets).await;
            doors.proxy = Some(proxy.map_err(failed)?);
        }
        for forward in &entry.forward {
            let targets = service.targets(forward.port);
            let bound = Forward::bind(forward.local, network.client().clone(), targets).await;
            doors.forwards.push((bound.map_err(failed)?, forward.port));
        }
        Ok(doors)
    }

    /// What there is to say of them, for people.
    pub(super) fn told(&self, service: &str) -> Vec<String> {
        let proxy =
            self.proxy.iter().map(|proxy| format!("http://{} leads to {service}", proxy.local_addr()));
        let forwards = self.forwards.iter();
        let forwards =
            forwards.map(|(forward, port)| format!("{} leads to {service}:{port}", forward.local_addr()));
        proxy.chain(forwards).collect()
    }
}

/// Removes a network, and says so where it can't be.
pub(super) async fn remove(network: &Network) {
    if let Err(error) = network.remove().await {
        tracing::warn!(error = chain(&error), "the network of the services was not removed");
    }
}
