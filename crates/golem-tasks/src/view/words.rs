//! Events in words, for people at the program.

use golem_core::defaults::STOP_GRACE;
use golem_core::event::{Event, EventKind, RentalId, StopReason, TaskId};
use golem_sdk::summary::{Names, sentence};
use yagna_api::Glm;

use super::summary::SummaryFold;
use super::text::{named_task, one_line};

/// The event in one line for people; none for an event that is only counted.
pub(super) fn line(event: &Event, fold: &SummaryFold) -> Option<String> {
    let text = match &event.kind {
        EventKind::Stopping { why: StopReason::Cancelled } if !fold.settles() => format!(
            "cancelled: running tasks get {} s, then agreements are ended and bills settled; \
             Ctrl+C again leaves at once",
            STOP_GRACE.as_secs()
        ),
        _ => sentence(event, fold)?,
    };
    Some(one_line(&text))
}

impl Names for SummaryFold {
    fn provider_name(&self, rental: RentalId) -> Option<String> {
        self.provider(rental).map(|provider| provider.name.clone())
    }

    fn rental_prices(&self, rental: RentalId) -> Option<(Glm, Glm)> {
        self.prices(rental)
    }

    fn named_task(&self, task: TaskId) -> String {
        named_task(task.0, self.task_name(task))
    }

    fn tasks_done(&self) -> u64 {
        self.counts().tasks.done
    }

    fn only_settles(&self) -> bool {
        self.settles()
    }
}
