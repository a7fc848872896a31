//! For those who know yapapi: what changes in a program, then each of its names with ours.
//!
//! Names are those of yapapi 0.13 and, where they differ, of the `Executor` API of 0.5. "Later" stands for what is
//! planned but not here yet.
//!
//! # What changes in a program
//!
//! The parts are the same: an executor with a payload and a budget is handed a worker and tasks, and gives back a stream
//! of finished tasks. Six things look different.
//!
//! - **A worker is an async function, not a generator.** It awaits [`WorkContext::commit`] where a Python worker yields a
//!   script, and is called once for each activity.
//! - **Results are values.** `commit` gives a [`Batch`], and what queueing a command gave finds its result in there. No
//!   future is left that nobody resolves.
//! - **Errors are values.** A script that fails is an `Err` at its `commit`, not an exception thrown into the worker. A
//!   worker that passes it on with `?` gives its provider up, and its task is tried elsewhere; one that handles it goes
//!   on.
//! - **The end of the stream tells.** It ends with `Ok(None)` only when every task has a result. A time-out, a used up
//!   budget or tasks that failed for good are a [`SubmitError`] that lists them; nobody has to count.
//! - **A task is answered once.** [`Task::accept_result`] and [`Task::reject_result`] consume the task, so a second answer
//!   doesn't compile; a task that is dropped without one is tried again.
//! - **Nothing is global.** Settings are read when an executor starts, and events carry their own times and ids.
//!
//! **Most programs need no worker.** [`Executor::map`] applies an async function to each input, and gives each its result or its
//! failure; [`ExecutorBuilder::run`] starts and closes the executor around it.
//!
//! Since a worker is called several times at once, it can't lend out what it has captured. An `async` closure that uses
//! captured values borrows them, and is refused by the compiler. Let a plain closure give each call its share and make
//! the future with `async move`:
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! # let executor = Executor::builder(Payload::default())
//! #     .api_url(format!("http://{address}"))
//! #     .app_key(devnet.requestor().key.clone())
//! #     .start()
//! #     .await?;
//! let scene = Arc::new("cubes".to_owned());
//! let mut frames = executor.submit(
//!     move |mut ctx, mut tasks| {
//!         let scene = Arc::clone(&scene); // one more owner for this call
//!         async move {
//!             ctx.send_bytes(scene.to_string(), "/golem/resource/scene");
//!             while let Some(task) = tasks.next().await {
//!                 let frame = ctx.shell(format!("cat /golem/resource/scene; echo {}", task.data()));
//!                 let done = ctx.commit(Duration::from_secs(120)).await?;
//!                 task.accept_result(done[frame].stdout().trim().to_owned()).await;
//!             }
//!             Ok(())
//!         }
//!     },
//!     (0..60).step_by(10),
//! );
//! # let mut n = 0;
//! while let Some(frame) = frames.try_next().await? {
//!     println!("{} from {}", frame.result(), frame.provider().name);
//! #   assert_eq!(frame.result(), &format!("cubes{}", frame.data()));
//! #   n += 1;
//! }
//! # assert_eq!(n, 6);
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//! A worker that captures nothing may be an `async` closure, or an
//! `async fn(WorkContext, Tasks<T, R>) -> Result<(), WorkerError>`.
//!
//! # The executor
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `Executor(..)`, `Golem(..)` | [`Executor::builder`], [`ExecutorBuilder::start`] | one for both; can't be used before it has started |
//! | `package`, `payload` | the argument of [`Executor::builder`] | of the executor; one for each payload |
//! | `max_workers` | [`ExecutorBuilder::max_workers`] | 5 as well, for all jobs together |
//! | `budget` | [`ExecutorBuilder::budget`], [`Executor::add_budget`] | exact money ([`Glm`]), also for any hour or day ([`Budget`]); kept before signing, not only when bills come |
//! | `timeout` | [`ExecutorBuilder::timeout`] | an hour, for all jobs; agreements outlast it, so none is too short for providers |
//! | `strategy` | [`ExecutorBuilder::strategy`] | see [strategies](#strategies) |
//! | `subnet_tag` | [`ExecutorBuilder::subnet_tag`] | |
//! | `driver`, `payment_driver` | [`ExecutorBuilder::driver`] | `erc20`; `zksync` is gone |
//! | `network`, `payment_network` | [`ExecutorBuilder::network`] | `hoodi`; `rinkeby` and `holesky` are gone |
//! | `event_consumer`, `add_event_consumer` | [`ExecutorBuilder::event_consumer`], [`Executor::add_event_consumer`] | any number, each with a queue of its own; closures by [`ExecutorBuilder::on_event`]; [`Executor::events`] is a stream |
//! | `event_consumer=None` | [`ExecutorBuilder::quiet`] | without either it is [`log_summary`] |
//! | `event_classes_or_names` | [`log::only`] | names, checked |
//! | `stream_output` | [`WorkContext::commit_streamed`] | said for each batch |
//! | `api_config`, `app_key` | [`ExecutorBuilder::api_url`], [`ExecutorBuilder::app_key`], [`ExecutorBuilder::client`] | |
//! | `start`, `async with` | [`ExecutorBuilder::run`], [`ExecutorBuilder::start`] | fails with a [`StartError`] that says what mends it |
//! | `stop`, the end of `async with` | [`Executor::close`], the end of [`Executor::scope`] | says how it all went; dropping closes in the background |
//! | `stop(wait_for_payments=False)` | [`Executor::leave`] | bills stay unsettled |
//! | `executor.driver`, `executor.network` | [`Executor::driver`], [`Executor::network`] | |
//! | `Golem.strategy`, `.subnet_tag`, `.operative` | none needed | an executor keeps its settings and runs while it exists |
//! | `submit(worker, data)`, `execute_tasks(..)` | [`Executor::submit`], [`Executor::map`] | begins at once, read or not; `map` needs no loop over tasks |
//! | `data`: an async iterator | [`Executor::submit_stream`], [`Executor::submit_try_stream`] | a source may fail: [`EndCause::SourceFailed`] |
//! | `job_id` | [`JobId`] | counted, never taken twice |
//! | `implicit_init` | [`ExecutorBuilder::implicit_start`] | done before the worker is called |
//! | retries without a limit | [`ExecutorBuilder::retries`] | 3, elsewhere where that can be |
//! | `identity` (`GET /me`) | [`run::greet`] | |
//! | Ctrl+C, left to the program | [`ExecutorBuilder::stop_on_ctrl_c`], [`Executor::stop`] | |
//! | `Job` | [`Executor::job`], [`executor::Job`]; below it [`Handle::submit`], [`JobEvents`] | jobs share one demand and its agreements |
//! | `Job.offers_collected`, `.proposals_confirmed` | [`Explanation`] | counted with reasons |
//! | `run_service`, `resume_service` | later | |
//! | `create_network`, `resume_network` | later | |
//! | `windows_event_loop_fix`, `ExecOptions` | none needed | |
//! | `__version__`, `get_version` | none needed | `Cargo.lock` says it |
//! | `python -m yapapi allocation ..` | [`ListAllocations`], [`CreateAllocation`], [`ReleaseAllocation`] | as requests; a run gives its allocation back itself |
//! | `python -m yapapi invoice ..` | [`ListInvoices`], [`AcceptInvoice`] | as requests; a run settles its bills itself |
//! | `python -m yapapi demand ..` | [`ListDemands`], [`Unsubscribe`] | as requests |
//!
//! # Tasks
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `Task(data)` | any `T: Send + Sync` | nothing wraps it; the worker gets a [`Task`], the reader a [`Finished`] |
//! | `task.id` | [`Task::id`], [`Finished::id`] | as events name it |
//! | `task.data` | [`Task::data`], [`Finished::data`] | |
//! | `task.result` | [`Finished::result`], [`Finished::into_result`] | of a type of yours |
//! | `task.running_time` | [`Task::running_time`], [`Finished::running_time`] | |
//! | `task.accept_result(result)` | [`Task::accept_result`] | |
//! | `task.reject_result(reason, retry)`, `reject_task` | [`Task::reject_result`] | never blocks; without `retry` it has failed, and is told of |
//! | `TaskStatus` | none needed | a task that is answered is gone |
//! | `async for task in tasks` | [`Tasks::next`], [`Tasks::next_pack`] | a pack is several short tasks in one batch |
//! | `tasks.aclose()` | returning an error | ends the rental; returning `Ok` keeps the agreement for what comes |
//! | a task that breeds tasks | [`Tasks::add`], [`Tasks::add_all`] | no queue of your own |
//! | counting results at the end | [`SubmitError::failed`], [`SubmitError::unfinished`] | the stream's own end |
//!
//! # The work context and its commands
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `worker(ctx, tasks)`, `WorkContext` | a function of a [`WorkContext`] and [`Tasks`] | |
//! | `ctx.id` | [`WorkContext::id`] | the activity's id |
//! | `ctx.provider_name`, `.provider_id` | [`WorkContext::provider_name`], [`WorkContext::provider_id`] | |
//! | `ctx.new_script(timeout)` | the context's own queue, or [`Script`] with [`WorkContext::execute`] | |
//! | `Script.id`, `.results`, `Script.add` | [`Batch::results`], [`WorkContext::add`] | results are there when the batch is |
//! | `yield script`, `yield ctx.commit(timeout)` | [`WorkContext::commit`] | ten minutes unless told otherwise, never for ever |
//! | `wait_for_results=False` | another task of your program | errors can't get lost |
//! | `ctx.begin()` | none needed | |
//! | `deploy`, `start`, `terminate` | [`WorkContext::deploy`], [`WorkContext::start`], [`WorkContext::terminate`] | deploy takes all that providers know: [`Deploy`] |
//! | `run(cmd, *args)` | [`WorkContext::run`], [`WorkContext::shell`] | |
//! | `run(.., env=..)` | [`Program::env`] with [`WorkContext::add`] | it reaches the command |
//! | `run(.., stdout=.., stderr=..)` | [`Program::stdout`], [`Program::stderr`], [`Program::capture`] | |
//! | `CaptureContext.build(mode, limit, fmt)` | [`Capture`], [`Program::binary_output`] | |
//! | `upload_file`, `send_file` | [`WorkContext::send_file`] | source first |
//! | `upload_bytes` | [`WorkContext::send_bytes`] | takes text as well |
//! | `upload_json`, `send_json(path, data)` | [`WorkContext::send_json`] | value first, path second |
//! | `download_file` | [`WorkContext::download_file`] | appears whole or not at all |
//! | `download_bytes(src, cb, limit)` | [`WorkContext::download_bytes`], [`Batch::bytes`] | more than the limit is an error; no callback |
//! | `download_json(src, cb, limit)` | [`WorkContext::download_json`], [`Batch::json`] | into your own type |
//! | `download_from_url` | [`WorkContext::fetch`] | |
//! | `ProgressArgs` | [`BatchEvent::Progress`] | asked for where a batch is streamed; [`Deploy`] has it for deployments |
//! | `CommandExecuted`: `success`, `message`, `stdout`, `stderr` | [`context::Finished`] | with the exit code |
//! | `Work`, `Command`: `prepare`, `before`, `post`, `after` | none needed | put it before or after the `await` |
//! | `get_usage()`, `get_raw_usage()` | [`WorkContext::usage`] | |
//! | `get_raw_state()` | [`WorkContext::state`] | |
//! | `get_cost()` | [`WorkContext::cost`] | exact |
//! | `emit(custom_event)` | none | log it, or send it by a channel of yours |
//! | Storage, `gftp`, `GftpProvider` | [`transfer`] | within the process, over the daemon's bus; no `gftp` program |
//! | `DavStorageProvider`, `ComposedStorageProvider` | none | |
//!
//! # Payloads
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `vm.repo(image_hash=..)` | [`Vm::image_hash`] | |
//! | `vm.repo(image_tag=..)` | [`Vm::image_tag`] | |
//! | `vm.repo(image_url=..)` | [`Vm::image_url`] | the hash is asked for |
//! | an image of your own, uploaded first | [`Vm::image_file`] | served by the program itself |
//! | `min_mem_gib`, `min_storage_gib`, `min_cpu_threads` | [`PayloadSpec::min_mem_gib`], [`PayloadSpec::min_storage_gib`], [`PayloadSpec::min_cpu_threads`] | the same defaults; [`PayloadSpec::min_cpu_cores`] too |
//! | `capabilities`, `VmCaps` | [`PayloadSpec::capabilities`] | plain words |
//! | `image_use_https` | [`PayloadSpec::https`] | |
//! | `repository_url` | [`PayloadSpec::registry`], [`Registry::from_env`] | also by `GOLEM_REGISTRY_URL` or `REGISTRY_URL` |
//! | `dev_mode` | [`Registry::counted`] | |
//! | `vm.manifest(manifest, sig, ..)` | [`Vm::manifest`], [`SealedManifest::from_text`], [`SealedManifest::signature`] | JSON or its base64, told apart by looking |
//! | `node_descriptor` | [`SealedManifest::node_descriptor`] | |
//! | signing with `openssl` | [`Manifest::sign`] | with your key and certificates; [`Manifest::seal`] without |
//! | `Manifest.generate(image_hash, outbound_urls)` | [`Manifest::new`], [`Manifest::outbound`], [`Manifest::unrestricted`] | |
//! | `Manifest.parse_obj`, `.dict` | [`Manifest::from_json`], [`Manifest::to_json`] | |
//! | `Payload` with `prop`, `constraint` | [`PayloadSpec::runtime`], [`PayloadSpec::property`], [`PayloadSpec::constraint`] | any JSON, floats too |
//! | `DemandBuilder` | [`DemandSpec`], [`NewDemand`] | |
//! | `PackageException` | [`PayloadError`] | |
//!
//! # Strategies
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `MarketStrategy`, `BaseMarketStrategy`, `score_offer` | [`Strategy`], [`Strategy::appraise`], [`from_fn`] | asked when an offer comes and again when one is chosen; must not wait |
//! | `SCORE_REJECTED` | [`Refusal::because`] | with a reason, which the provider is told |
//! | `SCORE_NEUTRAL`, `SCORE_TRUSTED` | [`Score::NEUTRAL`], [`Score::new`] | any number, never NaN; ties go to the earlier draft |
//! | `WrappingMarketStrategy` | [`Strategy::rescaled`], [`Strategy::refuse_if`], [`Strategy::filter`] | |
//! | `LeastExpensiveLinearPayuMS`, `expected_time_secs` | [`LeastExpensive`], [`LeastExpensive::for_use`] | ten minutes unless told otherwise |
//! | `max_fixed_price`, `max_price_for` | [`PriceCaps`], [`PriceCaps::start_at_most`], [`PriceCaps::unit_at_most`] | no caps must be said: [`PriceCaps::none`]; an hour has one too |
//! | `DecreaseScoreForUnconfirmedAgreement` | [`Strategy::cautious`], [`Cautious::by`] | around your own strategy as well; failures count too |
//! | `ProviderFilter`, allow and block lists | [`Strategy::only`], [`Strategy::except`], [`ProviderList`] | a list may change meanwhile, and counts at the next choice |
//! | `DummyMS` | none needed | |
//! | `decorate_demand` | [`PayloadSpec::property`], [`PayloadSpec::constraint`] | |
//! | `respond_to_provider_offer` | [`ExecutorBuilder::terms`] | the provider's draft is checked against what we asked |
//! | `acceptable_prop_value_range_overrides`, `PropValueRange` | [`TermsPolicy`], [`TimeRange`] | |
//! | mid-agreement payments | [`MidAgreementPayments`] | from five hours on, as there |
//! | `invoice_accepted_amount`, `debit_note_accepted_amount` | none needed | bills are checked against use, terms and budget |
//! | `ComLinear`, offer properties | [`Candidate`], [`Pricing`] | |
//!
//! # Events
//!
//! Each is a kind of [`Event`], with its own time. Ids lead from one to the other; there is no tree of objects. What
//! happens within a batch is told by the batch's own stream, a [`BatchEvent`], and to a consumer that
//! [wants details](EventConsumer::wants_details).
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `ComputationStarted`, `JobStarted` | [`EventKind::JobAdded`] | |
//! | `ComputationFinished`, `JobFinished` | [`EventKind::JobEnded`] | counts done, failed, cancelled, expired and unfinished tasks |
//! | `SubscriptionCreated` | [`EventKind::DemandPublished`] | [`EventKind::DemandEnded`] when it is over |
//! | `SubscriptionFailed`, `CollectFailed` | [`EventKind::Trouble`] | it is tried again |
//! | `ProposalReceived` | [`EventKind::OfferReceived`] | those that fit |
//! | `ProposalRejected` | [`EventKind::OfferRefused`], [`EventKind::RefusedByProvider`] | by us, by them, each with the reason |
//! | `ProposalResponded` | [`EventKind::OfferReceived`] | an offer that fits is answered |
//! | `ProposalConfirmed` | [`EventKind::TermsAgreed`] | |
//! | `ProposalFailed` | [`EventKind::OfferRefused`] | with what went wrong |
//! | `NoProposalsConfirmed` | [`EventKind::Waiting`] | says why, by [`Explanation`] |
//! | `AgreementCreated` | [`EventKind::AgreementIntended`], [`EventKind::AgreementCreated`] | |
//! | `AgreementConfirmed` | [`EventKind::AgreementApproved`] | |
//! | `AgreementRejected` | [`EventKind::AgreementFailed`] | with the reason |
//! | `AgreementTerminated` | [`EventKind::AgreementEnded`] | who, and why; by the provider too |
//! | `DebitNoteReceived`, `InvoiceReceived` | [`EventKind::BillReceived`] | [`Bill`] says which |
//! | `DebitNoteAccepted`, `InvoiceAccepted`, `PaymentAccepted` | [`EventKind::BillAccepted`] | with what the rental costs in all |
//! | `PaymentPrepared`, `PaymentQueued` | [`EventKind::BillAccepting`] | |
//! | `PaymentFailed` | [`EventKind::BillRefused`], [`EventKind::Trouble`] | refused by us; tried again |
//! | unpaid agreements, in the log | [`EventKind::BillMissing`], [`RunEnd::unsettled`] | |
//! | `WorkerStarted` | [`EventKind::ActivityReady`] | |
//! | `WorkerFinished`, `ActivityCreateFailed` | [`EventKind::ActivityEnded`] | with the failure |
//! | `ActivityCreated` | [`EventKind::ActivityCreated`] | |
//! | `TaskStarted` | [`EventKind::TaskStarted`] | |
//! | `TaskFinished`, `TaskAccepted` | [`EventKind::TaskDone`] | once for each task |
//! | `TaskRejected` | [`EventKind::AttemptFailed`], [`EventKind::TaskFailed`] | [`FailureKind::Rejected`]; tried again, or failed for good |
//! | `ServiceStateChanged`, `ServiceFinished` | later | |
//! | `ScriptSent` | [`EventKind::ScriptSent`] | for consumers of [details](EventKind::is_detail) |
//! | `GettingResults`, `ScriptFinished` | [`EventKind::ScriptFinished`] | the same |
//! | `CommandStarted` | [`BatchEvent::Started`] | |
//! | `CommandStdOut`, `CommandStdErr` | [`BatchEvent::Stdout`], [`BatchEvent::Stderr`] | nothing is lost or told twice |
//! | `CommandExecuted` | [`BatchEvent::Finished`], [`EventKind::CommandFinished`] | the second is a detail as well |
//! | `CommandProgress` | [`BatchEvent::Progress`] | |
//! | `DownloadStarted`, `DownloadFinished` | [`BatchEvent::Started`], [`BatchEvent::Finished`] | a transfer is a command |
//! | `ExecutionInterrupted` | [`EventKind::Stopping`] | [`StopReason`] says why |
//! | `ShutdownFinished` | [`EventKind::RunEnded`] | what [`Executor::close`] returns |
//!
//! # Errors
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `MissingConfiguration` | [`StartError::NoAppKey`] | |
//! | `NoPaymentAccountError` | [`StartError::NoPaymentAccount`] | names driver and network, and the commands that mend it |
//! | `PackageException` | [`StartError::Payload`] | |
//! | `InvalidPropertiesError` | [`OfferProblem`] | concerns that offer alone |
//! | `ConstraintException` | [`PayloadProblem`] | |
//! | `BatchError` | [`ScriptError`] | |
//! | `CommandExecutionError` | [`ScriptError::CommandFailed`], [`ScriptError::TransferFailed`] | command, exit code, standard error, earlier results |
//! | `BatchTimeoutError` | [`ScriptError::Expired`] | names the command it was at |
//! | `BatchError("Activity terminated by provider")` | [`ScriptError::AgreementEnded`], [`ScriptError::ActivityLost`] | |
//! | a job's time-out, swallowed | [`EndCause::TimedOut`] | |
//! | a used up budget, no error | [`EndCause::BudgetReached`] | |
//! | no offers, a warning for ever | [`EndCause::NothingRuns`] | after a quarter of an hour without anything running |
//! | `NetworkError`, `ServiceRunnerError` | later | |
//! | `ApiException` | [`ClientError`], [`ApiError`] | knows whether to try again: [`ClientError::disposition`] |
//! | `YAPAPI_TRACEBACK` | [`text::chain`] | an error with its causes on one line |
//!
//! # Settings
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `YAGNA_APPKEY` | the same, or [`ExecutorBuilder::app_key`] | |
//! | `YAGNA_API_URL` | the same, or [`ExecutorBuilder::api_url`] | |
//! | `YAGNA_MARKET_URL`, `YAGNA_PAYMENT_URL`, `YAGNA_ACTIVITY_URL`, `YAGNA_NET_URL` | the same, or [`ExecutorBuilder::api_urls`] | [`ApiUrls`] |
//! | `YAGNA_PAYMENT_DRIVER`, `YAGNA_PAYMENT_NETWORK`, `YAGNA_SUBNET` | the same | read when an executor starts |
//! | `YAPAPI_USE_GFTP_CLOSE`, `DEBUG_GFTP` | none needed | |
//!
//! # The log
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `enable_default_logger(log_file=..)` | [`enable_default_logger`], [`LogOptions`] | keeps earlier files; `RUST_LOG` is heeded |
//! | `debug_activity_api` and its like | [`LogOptions::file_level`], or `RUST_LOG=yagna_client=trace` | the app key is never shown |
//! | `log_summary()`, `SummaryLogger` | [`log_summary`], [`LogSummary`] | refusals, retries, costs and the budget too |
//! | `log_summary(wrapped)` | one more [`ExecutorBuilder::event_consumer`] | |
//! | `log_event`, `log_event_repr` | [`log_event`], [`log_event_repr`] | the second is JSON that can be read back |
//!
//! # Further down
//!
//! | yapapi | here | what differs |
//! |---|---|---|
//! | `rest.Configuration`, `ApiConfig` | [`HttpTransport`], [`Client::new`] | |
//! | any call of `rest` | [`Client::call`] | every request is a value of [`yagna_api`] |
//! | `Market.subscribe`, `.subscriptions` | [`Subscribe`], [`ListDemands`] | |
//! | `Subscription.events`, `.delete` | [`Client::demand_events`], [`Unsubscribe`] | a stream |
//! | `OfferProposal.respond`, `.reject` | [`CounterProposal`], [`RejectProposal`] | |
//! | `OfferProposal.create_agreement` | [`CreateAgreement`] | |
//! | `OfferProposal.props`, `.issuer`, `.is_draft` | [`yagna_api::market::Proposal`] | |
//! | `Agreement.get_details`, `.confirm`, `.terminate` | [`GetAgreement`], [`ConfirmAgreement`], [`TerminateAgreement`] | [`Client::agreement_events`] tells of their ends |
//! | `Activity.new_activity`, `.destroy` | [`CreateActivity`], [`DestroyActivity`] | |
//! | `Activity.send` | [`Exec`], [`GetResults`], [`Client::batch_events`] | |
//! | `Activity.state`, `.usage` | [`GetState`], [`GetUsage`] | |
//! | `Payment.new_allocation`, `.allocations`, `.allocation` | [`CreateAllocation`], [`ListAllocations`], [`GetAllocation`] | [`AmendAllocation`] too |
//! | `Payment.accounts` | [`ListRequestorAccounts`] | |
//! | `Payment.decorate_demand` | [`GetDecorations`] | |
//! | `Payment.invoice`, `.invoices`, `.incoming_invoices` | [`GetInvoice`], [`ListInvoices`], [`Client::invoice_events`] | |
//! | `Payment.debit_note`, `.incoming_debit_note_ids` | [`GetDebitNote`], [`Client::debit_note_events`] | |
//! | `Net.create_network`, `.remove_network`, `.add_address`, `.add_node`, `.remove_node` | [`CreateNetwork`], [`RemoveNetwork`], [`AddAddress`], [`AddNode`], [`RemoveNode`] | as requests; in the SDK later |
//! | `ComLinear` | [`Pricing`] | whole numbers are prices too |
//! | goth | the devnet, crate `golem-devnet` | in the process, in virtual time |

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
    crate::payload::PayloadProblem,
    crate::payload::{PayloadError, PayloadSpec, Vm},
    crate::script::{Capture, Program, Script},
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
