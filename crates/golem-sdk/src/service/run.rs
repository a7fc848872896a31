//! A service in an executor: each place is a task whose work doesn't end.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::keeper::Outcome;
use super::state::Place;
use super::{EndReason, Service, ServiceParts, ServiceSpec};
use crate::error::Result;
use crate::executor::Executor;
use crate::text::chain;
use crate::worker::WorkerError;

/// Failures of one place that an executor bears: the service's own policy decides earlier.
const RETRIES: u32 = 1_000_000;

/// A service that an executor keeps up. Dropping it ends its instances; [`RunningService::stop`] also waits for that.
#[must_use = "dropping it ends the service"]
pub struct RunningService {
    service: Service,
    work: JoinSet<()>,
}

impl fmt::Debug for RunningService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningService").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Executor {
    /// Starts a service on machines of this executor, and keeps it up.
    ///
    /// All its instances count among the executor's workers, a successor before the end of an agreement as well. A service
    /// in a [`Network`](crate::network::Network) needs machines that offer `vpn`: the executor's payload must ask for
    /// that capability.
    ///
    /// # Errors
    /// [`SpecError`](super::SpecError), as an [`Error`](crate::Error).
    ///
    /// # Example
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// use golem_sdk::Executor;
    /// use golem_sdk::service::{ServiceParts, ServiceSpec};
    /// # use golem_devnet::devnet::Devnet;
    /// # use yagna_client::{Client, InProcessTransport};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> golem_sdk::Result<()> {
    /// # let devnet = Devnet::builder().providers(2).start().await?;
    /// # let client = Client::new(Arc::new(InProcessTransport::new(devnet.router(), &devnet.requestor().key)?));
    /// # let executor = Executor::builder(golem_sdk::payload::Payload::default()).client(client).start().await?;
    /// let clock = ServiceSpec::shell("clock", "while :; do date; sleep 1; done").instances(2);
    /// let clock = executor.service(clock, ServiceParts::default())?;
    /// clock.wait_ready(2).await?;
    /// println!("{}", clock.exec(1, "uptime", Duration::from_secs(10)).await?.stdout);
    /// println!("{}", clock.log(2, None).await?.text);
    /// clock.stop().await;
    /// executor.close().await?;
    /// # devnet.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn service(&self, spec: ServiceSpec, parts: ServiceParts) -> Result<RunningService> {
        let service = Service::new(spec, parts, Arc::clone(self.clock()))?;
        for number in 1..=service.spec().instances {
            service.want(Place::first(number));
        }
        let wanting = service.clone();
        let places = futures_util::stream::unfold(wanting, |service| async move {
            service.wait_for_place().await.map(|place| (place, service))
        });
        let keeping = service.clone();
        let described = service.spec().name.clone();
        let submitted = self
            .job_of_stream(places)
            .described(move |place: &Place| super::instance_name(&described, place.number))
            .retries(RETRIES)
            .explicit_start()
            .endless()
            .submit_outcomes(move |ctx, mut tasks| {
                let service = keeping.clone();
                async move {
                    let Some(task) = tasks.next().await else { return Ok(()) };
                    match service.keep(&ctx, *task.data()).await {
                        Outcome::Over(reason) => {
                            task.accept_result(reason).await;
                            Ok(())
                        }
                        Outcome::Elsewhere { failure, lost } => {
                            task.failed(failure).await;
                            lost.map_or(Ok(()), |error| Err(WorkerError::from(error)))
                        }
                    }
                }
            });
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut submitted = submitted;
            loop {
                match submitted.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "a service has ended");
                        return;
                    }
                }
            }
        });
        Ok(RunningService { service, work })
    }
}

impl std::ops::Deref for RunningService {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

impl RunningService {
    /// Stops all instances in order, and waits until that is done. Returns the reason of each end.
    pub async fn stop(mut self) -> Vec<(String, EndReason)> {
        self.service.begin_stop();
        while self.work.join_next().await.is_some() {}
        let ended = self.service.instances();
        ended.into_iter().filter_map(|info| Some((info.name(), info.last_end?))).collect()
    }
}

impl Drop for RunningService {
    fn drop(&mut self) {
        self.service.begin_stop();
    }
}
