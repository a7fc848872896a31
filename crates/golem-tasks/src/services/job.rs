//! A service as a job of a run: its tasks are the places of its instances, and none of them ends by itself.

use golem_sdk::payload::PayloadSpec;
use golem_sdk::service::{EndReason, Outcome, Place, Service};
use golem_sdk::{WorkContext, WorkerError};
use serde_json::{Value, json};

use crate::job::Limits;
use crate::work::{Again, Job, Pile, Task, TaskError, Tasks};

/// A service, kept up by a run.
pub(super) struct ServiceJob {
    service: Service,
    payload: PayloadSpec,
    limits: Limits,
    stack: String,
}

impl ServiceJob {
    /// A job of the places that the service wants to be filled.
    pub(super) fn new(service: Service, payload: PayloadSpec, limits: Limits, stack: &str) -> Self {
        Self { service, payload, limits, stack: stack.to_owned() }
    }
}

impl Job for ServiceJob {
    type Task = Place;
    type Output = EndReason;

    fn payload(&self) -> PayloadSpec {
        self.payload.clone()
    }

    fn tasks(&self) -> Pile<Place> {
        let wanting = self.service.clone();
        let next = move || wanting.next_place();
        let service = self.service.clone();
        let name = self.service.spec().name.clone();
        Pile::new(std::iter::from_fn(next)).of(None).again(Again {
            place: Box::new(move |number| format!("place {number} of {name}")),
            reopen: None,
            ordered: true,
            coming: Some(Box::new(move || !service.is_over())),
        })
    }

    async fn run(&self, _: &mut WorkContext, _: &Task<Self>) -> Result<EndReason, TaskError> {
        // Its work is in `work`.
        Err(TaskError::for_good("an instance is kept up by the worker of its service"))
    }

    async fn work(&self, ctx: &mut WorkContext, tasks: &mut Tasks<'_, Self>) -> Result<(), WorkerError> {
        let Some(task) = tasks.next().await else { return Ok(()) };
        let place = *task.data();
        match self.service.keep(ctx, place).await {
            Outcome::Elsewhere { failure, lost: Some(error) } => {
                task.fail(TaskError::Lost { failure, worker: error.into() }).await
            }
            Outcome::Elsewhere { failure, .. } => task.fail(TaskError::Failed(failure)).await,
            Outcome::Over(reason) => {
                tasks.accept(task, reason).await;
                Ok(())
            }
            other => task.fail(TaskError::for_good(format!("{other:?}"))).await,
        }
    }

    fn starts_machines(&self) -> bool {
        false
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn reads_input(&self) -> bool {
        true
    }

    fn may_change(&self) -> bool {
        true
    }

    fn describe(&self) -> Value {
        json!({ "service": self.service.spec().name, "stack": self.stack })
    }
}
