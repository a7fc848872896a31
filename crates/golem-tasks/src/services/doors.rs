//! The ports of this machine that lead to services: an HTTP proxy, and ports that are forwarded.

use golem_sdk::network::Network;
use golem_sdk::reach::{Forward, HttpProxy, Target, Targets};
use golem_sdk::service::{InstanceInfo, InstanceState};
use golem_sdk::text::chain;

use super::file::ServiceEntry;
use crate::exit::{Exit, Failure};

/// The ports that lead to one service. Dropping them closes them.
pub(super) struct Doors {
    service: String,
    network: Option<Network>,
    /// By the port of the instances.
    targets: Vec<(u16, Targets)>,
    proxy: Option<HttpProxy>,
    forwards: Vec<Forward>,
    told: Vec<String>,
}

impl Doors {
    /// Listens at the ports of a service, which lead nowhere yet.
    pub(super) async fn open(entry: &ServiceEntry, network: Option<&Network>) -> Result<Self, Failure> {
        let mut doors = Self {
            service: entry.spec.name.clone(),
            network: network.cloned(),
            targets: Vec::new(),
            proxy: None,
            forwards: Vec::new(),
            told: Vec::new(),
        };
        let Some(network) = network else { return Ok(doors) };
        let failed = |error: golem_sdk::reach::BindError| {
            Failure::new(Exit::Usage, error).advise(format!(
                "choose another local port for the service `{}` in its file",
                entry.spec.name
            ))
        };
        if let Some(http) = entry.http {
            let targets = doors.targets(http.port);
            let proxy =
                HttpProxy::bind(http.local, network.client().clone(), targets).await.map_err(failed)?;
            doors.told.push(format!("http://{} leads to {}", proxy.local_addr(), entry.spec.name));
            doors.proxy = Some(proxy);
        }
        for forward in &entry.forward {
            let targets = doors.targets(forward.port);
            let bound =
                Forward::bind(forward.local, network.client().clone(), targets).await.map_err(failed)?;
            doors.told.push(format!("{} leads to {}:{}", bound.local_addr(), entry.spec.name, forward.port));
            doors.forwards.push(bound);
        }
        Ok(doors)
    }

    /// What there is to say of them, for people.
    pub(super) fn told(&self) -> &[String] {
        &self.told
    }

    /// Leads them to the instances that are ready.
    pub(super) fn lead_to(&self, instances: &[InstanceInfo]) {
        let Some(network) = &self.network else { return };
        for (port, targets) in &self.targets {
            let ready = instances.iter().filter(|info| info.state == InstanceState::Ready);
            let target = |info: &InstanceInfo| {
                Some(Target::new(info.name(), network.id().clone(), info.address?, *port))
            };
            targets.set(ready.filter_map(target));
            targets.why_none(self.why_none(instances));
        }
    }

    fn targets(&mut self, port: u16) -> Targets {
        if let Some((_, targets)) = self.targets.iter().find(|(known, _)| *known == port) {
            return targets.clone();
        }
        let targets = Targets::new();
        targets.why_none(format!("{} is being started", self.service));
        self.targets.push((port, targets.clone()));
        targets
    }

    fn why_none(&self, instances: &[InstanceInfo]) -> String {
        let state = |info: &InstanceInfo| match &info.last_end {
            Some(reason) if info.state != InstanceState::Ready => {
                format!("{} is {} ({reason})", info.name(), info.state)
            }
            _ => format!("{} is {}", info.name(), info.state),
        };
        let states: Vec<_> = instances.iter().map(state).collect();
        if states.is_empty() { format!("{} has no instances yet", self.service) } else { states.join(", ") }
    }
}

/// Removes a network, and says so where it can't be.
pub(super) async fn remove(network: &Network) {
    if let Err(error) = network.remove().await {
        tracing::warn!(error = chain(&error), "the network of the services was not removed");
    }
}
