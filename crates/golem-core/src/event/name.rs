//! The names of the kinds of events: in records, in filters, in the log.

use super::EventKind;

macro_rules! names {
    ($($kind:ident = $name:literal,)*) => {
        impl EventKind {
            /// The names of all kinds, in the order in which they are declared.
            pub const NAMES: &[&str] = &[$($name,)*];

            /// The name of this kind, as its record has it under `event`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => $name,)*
                }
            }
        }
    };
}

names! {
    AllocationIntended = "allocation_intended",
    AllocationCreated = "allocation_created",
    AllocationProlonged = "allocation_prolonged",
    AllocationAmended = "allocation_amended",
    AllocationLost = "allocation_lost",
    BudgetIntended = "budget_intended",
    BudgetRaised = "budget_raised",
    BudgetNotRaised = "budget_not_raised",
    AllocationReleased = "allocation_released",
    DemandPublished = "demand_published",
    DemandEnded = "demand_ended",
    Trouble = "trouble",
    OfferReceived = "offer_received",
    OfferRefused = "offer_refused",
    RefusedByProvider = "refused_by_provider",
    TermsAgreed = "terms_agreed",
    AgreementIntended = "agreement_intended",
    AgreementCreated = "agreement_created",
    AgreementApproved = "agreement_approved",
    AgreementFailed = "agreement_failed",
    ActivityIntended = "activity_intended",
    ActivityCreated = "activity_created",
    ActivityReady = "activity_ready",
    ScriptSent = "script_sent",
    CommandFinished = "command_finished",
    ScriptFinished = "script_finished",
    ActivityEnded = "activity_ended",
    AgreementEnded = "agreement_ended",
    JobAdded = "job_added",
    SourceRead = "source_read",
    SourceExhausted = "source_exhausted",
    JobReopened = "job_reopened",
    JobEnded = "job_ended",
    TaskAdded = "task_added",
    TaskReopened = "task_reopened",
    TaskStarted = "task_started",
    BatchSent = "batch_sent",
    TaskDone = "task_done",
    AttemptFailed = "attempt_failed",
    AttemptCancelled = "attempt_cancelled",
    TaskFailed = "task_failed",
    TaskCancelled = "task_cancelled",
    TaskExpired = "task_expired",
    BillReceived = "bill_received",
    BillAccepting = "bill_accepting",
    BillAccepted = "bill_accepted",
    BillRefused = "bill_refused",
    BillMissing = "bill_missing",
    ProviderSetBack = "provider_set_back",
    Waiting = "waiting",
    Paused = "paused",
    PauseEnded = "pause_ended",
    RunResumed = "run_resumed",
    Stopping = "stopping",
    RunEnded = "run_ended",
    Recovered = "recovered",
}

#[cfg(test)]
mod tests {
    use yagna_api::{AllocationId, DemandId};

    use super::*;

    #[test]
    fn a_name_is_the_one_in_the_record() {
        let kinds = [
            EventKind::AllocationReleased { allocation: AllocationId::new("a") },
            EventKind::DemandEnded { demand: DemandId::new("d"), why: String::new() },
        ];
        for kind in kinds {
            assert_eq!(serde_json::to_value(&kind).unwrap()["event"], kind.name());
            assert!(EventKind::NAMES.contains(&kind.name()));
        }
    }
}
