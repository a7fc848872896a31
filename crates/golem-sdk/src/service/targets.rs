//! The instances that are ready, as targets of proxies and forwarded ports.

use std::sync::PoisonError;

use super::state::{InstanceInfo, InstanceState};
use super::{Inner, Service};
use crate::reach::{Target, Targets};

impl Service {
    /// The instances that are ready, at this port of theirs, for an [`HttpProxy`](crate::reach::HttpProxy) or a
    /// [`Forward`](crate::reach::Forward). They follow the service as long as that lives. A service without a network has no
    /// targets.
    pub fn targets(&self, port: u16) -> Targets {
        let mut led = self.0.led.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, targets)) = led.iter().find(|(known, _)| *known == port) {
            return targets.clone();
        }
        let targets = Targets::new();
        self.0.lead_to(&targets, port, &self.instances());
        led.push((port, targets.clone()));
        targets
    }
}

impl Inner {
    /// Leads all who ask to the instances that are ready.
    pub(super) fn lead(&self, instances: &[InstanceInfo]) {
        for (port, targets) in &*self.led.lock().unwrap_or_else(PoisonError::into_inner) {
            self.lead_to(targets, *port, instances);
        }
    }

    fn lead_to(&self, targets: &Targets, port: u16, instances: &[InstanceInfo]) {
        let target = |info: &InstanceInfo| {
            let is_ready = info.state == InstanceState::Ready;
            let network = self.network.as_ref().filter(|_| is_ready)?;
            Some(Target::new(info.name(), network.id().clone(), info.address?, port))
        };
        targets.set(instances.iter().filter_map(target));
        targets.why_none(self.why_none(instances));
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

impl Drop for Inner {
    fn drop(&mut self) {
        for (_, targets) in self.led.get_mut().unwrap_or_else(PoisonError::into_inner) {
            targets.set([]);
            targets.why_none(format!("the service {} has ended", self.spec.name));
        }
    }
}
