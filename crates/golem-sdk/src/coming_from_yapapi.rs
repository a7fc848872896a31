#![doc = include_str!("coming_from_yapapi.md")]

// Only for the links above: that each of these names exists is what building the documentation checks.
#[cfg(all(doc, feature = "manifest"))]
use crate::manifest::{Manifest, SealedManifest};
#[cfg(doc)]
use {
    crate::Explanation,
    crate::budget::Budget,
    crate::consumer::EventConsumer,
    crate::context::{self, Batch, BatchEvent, ScriptError, WorkContext},
    crate::event::{Bill, Event, EventKind, FailureKind, JobId, RunEnd, StopReason},
    crate::executor::{
        self, EndCause, Executor, ExecutorBuilder, Finished, StartError, SubmitError, Task, Tasks,
    },
    crate::image::Registry,
    crate::jobs::{Handle, JobEvents},
    crate::log::{self, LogOptions, enable_default_logger, log_event, log_event_repr, log_summary},
    crate::market::OfferProblem,
    crate::market::Pricing,
    crate::network::{Network, NetworkError},
    crate::payload::PayloadProblem,
    crate::payload::{PayloadError, PayloadSpec, Vm},
    crate::script::{Capture, Program, Script},
    crate::service::{EndReason, InstanceError, Service},
    crate::strategy::{Candidate, Cautious, LeastExpensive, ProviderList, Score, Strategy, from_fn},
    crate::summary::LogSummary,
    crate::{MidAgreementPayments, TermsPolicy, TimeRange},
    crate::{PriceCaps, Refusal},
    crate::{run, text, transfer},
    golem_core::demand::DemandSpec,
    yagna_api::activity::{CreateActivity, Deploy, DestroyActivity, Exec, GetResults, GetState, GetUsage},
    yagna_api::market::{
        ConfirmAgreement, CounterProposal, CreateAgreement, GetAgreement, ListDemands, NewDemand,
        RejectProposal, Subscribe, TerminateAgreement, Unsubscribe,
    },
    yagna_api::net::{AddAddress, AddNode, CreateNetwork, RemoveNetwork, RemoveNode},
    yagna_api::payment::{
        AcceptInvoice, AmendAllocation, CreateAllocation, GetAllocation, GetDebitNote, GetDecorations,
        GetInvoice, ListAllocations, ListInvoices, ListRequestorAccounts, ReleaseAllocation,
    },
    yagna_api::{ApiError, Glm},
    yagna_client::{ApiUrls, Client, ClientError, HttpTransport},
};
