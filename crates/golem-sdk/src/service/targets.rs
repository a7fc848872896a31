//! The instances that are ready, as targets of proxies and forwarded ports.

use std::sync::{Arc, Weak};

use super::state::{InstanceInfo, InstanceState};
use super::{Inner, Service};
use crate::reach::{Target, Targets};

impl Service {
    /// The instances that are ready, at this port of theirs, for an [`HttpProxy`](crate::reach::HttpProxy) or a
    /// [`Forward`](crate::reach::Forward). It follows the service as long as that lives. A service without a network has no
    /// targets. To be called within an async runtime.
    pub fn targets(&self, port: u16) -> Targets {
        let targets = Targets::new();
        self.0.lead(&targets, port);
        let mut changes = self.changes();
        // The service ends though somebody still holds its targets.
        let (followed, service): (_, Weak<Inner>) = (targets.clone(), Arc::downgrade(&self.0));
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(service) = service.upgrade() else { break };
                service.lead(&followed, port);
            }
            followed.set([]);
            followed.why_none("the service has ended");
        });
        targets
    }
}

impl Inner {
    fn lead(&self, targets: &Targets, port: u16) {
        let instances = self.kept.infos();
        let target = |info: &InstanceInfo| {
            let is_ready = info.state == InstanceState::Ready;
            let network = self.network.as_ref().filter(|_| is_ready)?;
            Some(Target::new(info.name(), network.id().clone(), info.address?, port))
        };
        targets.set(instances.iter().filter_map(target));
        targets.why_none(self.why_none(&instances));
    }

    /// The reason why nothing is ready, for people.
    fn why_none(&self, instances: &[InstanceInfo]) -> String {
        if self.network.is_none() {
            return format!("the service {} is in no network", self.spec.name);
        }
        let state = |info: &InstanceInfo| match &info.last_end {
            Some(reason) => format!("{} is {} ({reason})", info.name(), info.state),
            None => format!("{} is {}", info.name(), info.state),
        };
        let states: Vec<_> = instances.iter().map(state).collect();
        if states.is_empty() { format!("{} is being started", self.spec.name) } else { states.join(", ") }
    }
}
