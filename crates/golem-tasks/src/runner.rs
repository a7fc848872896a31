//! A job inside of another program: the same run as the command line's, without a command line.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use golem_core::halt::Halt;
use golem_sdk::{Budget, OnBudget};
use tokio_util::sync::CancellationToken;
use yagna_api::{AppKey, Glm};

use crate::cli::args::{OwnJob, RunFlags};
use crate::cli::options;
use crate::cli::values;
use crate::exit::{Exit, Failure};
use crate::options::Wish;
use crate::run::{Stop, run_until};
use crate::store::RunSummary;
use crate::view::{Style, Terminal};
use crate::work::{AnyJob, Job, Typed};

/// Runs a job from within a program.
///
/// What isn't said comes from the environment (`YAGNA_APPKEY`, `YAGNA_API_URL`, `YAGNA_SUBNET`, `GOLEM_TASKS_DSN` and the
/// others that the command line knows), then from the job, then from the command line's defaults.
///
/// # Example
/// ```
/// # use golem_tasks::{Job, PayloadSpec, Pile, Runner, Task, TaskError, Vm, WorkContext};
/// # use golem_tasks::store::{Dsn, Store};
/// use futures_util::TryStreamExt;
///
/// # struct Lengths;
/// # impl Job for Lengths {
/// #     type Task = String;
/// #     type Output = usize;
/// #     fn payload(&self) -> PayloadSpec { Vm::image_tag("golem/alpine:latest") }
/// #     fn tasks(&self) -> Pile<String> { Pile::new(["one", "three"].map(str::to_owned)) }
/// #     async fn run(&self, ctx: &mut WorkContext, task: &Task<Self>) -> Result<usize, TaskError> {
/// #         let echo = ctx.run("/bin/echo", ["-n", task.data()]);
/// #         Ok(ctx.commit(task.time_limit()).await?[echo].stdout().len())
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let dsn = format!("sqlite:{}", folder.path().join("runs.db").display());
/// let summary = Runner::new(Lengths).dsn(&dsn).run_id("lengths").devnet(2).workers(2).run().await?;
/// assert_eq!(summary.tasks.done, 2);
///
/// let store = Store::open(&Dsn::parse(&dsn)?).await?;
/// let tasks: Vec<_> = store.tasks("lengths").try_collect().await?;
/// assert_eq!(tasks[1].result, Some(5.into()));
/// # store.close().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before `run`"]
pub struct Runner {
    job: Arc<dyn AnyJob>,
    flags: RunFlags<OwnJob>,
    style: Style,
    stop: Stop,
    only: Vec<String>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("flags", &self.flags)
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// Prepares to run this job; nothing happens before [`Runner::run`].
    pub fn new(job: impl Job) -> Self {
        Self {
            job: Arc::new(Typed::new(job)),
            flags: RunFlags::default(),
            style: Style::Silent,
            stop: Stop { on_ctrl_c: false, token: CancellationToken::new() },
            only: Vec::new(),
        }
    }

    /// The database that the run is kept in, in any form that `--dsn` takes.
    pub fn dsn(mut self, dsn: impl Into<String>) -> Self {
        self.flags.dsn = Some(dsn.into());
        self
    }

    /// Sets the name of the run; a random one unless given. At most 64 letters, digits, `-`, `_` and `.`.
    ///
    /// A run that has this name already is resumed; what is done isn't done again.
    pub fn run_id(mut self, run_id: impl Into<String>) -> Self {
        self.flags.run_id = Some(run_id.into());
        self
    }

    /// Takes a run up though its job has changed since: tasks that were read stay as they were read.
    pub fn changed_job(mut self) -> Self {
        self.flags.changed_job = true;
        self
    }

    /// Does only these tasks of the job: by their numbers from 0, by ranges such as `10-20`, or by the tasks themselves as texts or
    /// JSON. The others are left for another time.
    pub fn only<T: AsRef<str>>(mut self, tasks: impl IntoIterator<Item = T>) -> Self {
        self.only = tasks.into_iter().map(|task| task.as_ref().to_owned()).collect();
        self
    }

    /// Tries again the tasks of a run that failed for good, each with all its retries; what is done stays. The run must be there.
    pub fn retry_failed(mut self) -> Self {
        self.flags.retry_failed = true;
        self
    }

    /// Providers that work at the same time, at most and at least one.
    pub fn workers(mut self, workers: u32) -> Self {
        self.flags.workers = Some(workers);
        self
    }

    /// GLM that may be spent: in all, or in any hour or day, such as `"10,3/h".parse()?`.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.flags.budget = vec![budget];
        self
    }

    /// Sets the reaction to an exhausted budget: stop, or wait until an hour or day of it frees enough.
    pub fn on_budget(mut self, on_budget: OnBudget) -> Self {
        self.flags.on_budget = Some(on_budget);
        self
    }

    /// GLM that a result may cost on average on one provider, once it has worked for a while.
    pub fn max_price(mut self, max_price: Glm) -> Self {
        self.flags.max_price = Some(max_price);
        self
    }

    /// Sets the time that an activity may work before its results are held against their price.
    pub fn price_grace(mut self, time: Duration) -> Self {
        self.flags.price_grace = Some(time);
        self
    }

    /// Ends the run when so many results are there, whatever the job says.
    pub fn results(mut self, results: u64) -> Self {
        self.flags.results = Some(results);
        self
    }

    /// Stops the run when so many tasks have failed for good, whatever the job says.
    pub fn halt(mut self, halt: Halt) -> Self {
        self.flags.halt = Some(halt);
        self
    }

    /// Sets the number of retries of a failed task.
    pub fn retries(mut self, retries: u32) -> Self {
        self.flags.retries = Some(retries);
        self
    }

    /// The longest one attempt of one task may take.
    pub fn task_timeout(mut self, time: Duration) -> Self {
        self.flags.task_timeout = Some(time);
        self
    }

    /// Sets the time to wait for the last bills at the end.
    pub fn settle_timeout(mut self, time: Duration) -> Self {
        self.flags.settle_timeout = Some(time);
        self
    }

    /// Runs on an emulated network inside this process, with so many providers.
    pub fn devnet(mut self, providers: u32) -> Self {
        self.flags.devnet = true;
        self.flags.devnet_providers = Some(providers);
        self
    }

    /// The daemon to go through, and a key of it.
    pub fn daemon(mut self, api_url: impl Into<String>, app_key: impl AsRef<str>) -> Self {
        self.flags.api_url = Some(api_url.into());
        self.flags.app_key = Some(AppKey::new(app_key));
        self
    }

    /// The part of the market to buy on.
    pub fn subnet(mut self, subnet: impl Into<String>) -> Self {
        self.flags.subnet = Some(subnet.into());
        self
    }

    /// Sets the payment driver, such as `erc20`, and the chain, such as `hoodi`.
    pub fn payment(mut self, driver: impl Into<String>, network: impl Into<String>) -> Self {
        self.flags.driver = Some(driver.into());
        self.flags.network = Some(network.into());
        self
    }

    /// Shows the run on standard output and standard error, as the command line would. Nothing is shown unless asked for.
    pub fn show(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Takes Ctrl+C, SIGTERM and SIGHUP as the command line does: the first one stops the run, the second one leaves it.
    pub fn stop_on_ctrl_c(mut self) -> Self {
        self.stop.on_ctrl_c = true;
        self
    }

    /// Cancelling this token stops the run in an orderly way, as a first Ctrl+C would.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.token.clone()
    }

    /// Runs the job until it ends or is stopped. Of an end before all is done the summary says why
    /// ([`RunSummary::ended`]).
    ///
    /// **Errors**: a [`Failure`] when the run couldn't begin or broke off; [`Failure::advice`] says what may help.
    ///
    /// **Cancel safety**: dropping the future leaves at once. What was written down stays; agreements are left to their
    /// providers' time-outs.
    pub async fn run(mut self) -> Result<RunSummary, Failure> {
        self.check()?;
        let wishes: Result<Vec<Wish>, _> = self.only.iter().map(|task| task.parse()).collect();
        self.flags.only = wishes.map_err(|reason: &str| {
            Failure::new(Exit::Usage, WrongOption { name: "choice of tasks", reason: reason.to_owned() })
        })?;
        let environment = |name: &str| std::env::var(name).ok();
        let job = Arc::clone(&self.job);
        let mut options =
            options::resolve(&self.flags, |_| Ok(job), &environment, &mut fastrand::Rng::new())?;
        options.style = self.style;
        let (_, summary) = Box::pin(run_until(options, Terminal::stderr(), self.stop)).await?;
        Ok(summary)
    }

    /// Refuses settings that the command line's parser would refuse.
    fn check(&self) -> Result<(), Failure> {
        let wrong = |name: &'static str, reason: &str| {
            let problem = WrongOption { name, reason: reason.to_owned() };
            Err(Failure::new(Exit::Usage, problem))
        };
        let flags = &self.flags;
        if let Some(Err(reason)) = flags.run_id.as_deref().map(values::run_id) {
            return wrong("run id", &reason);
        }
        if let Some(Err(error)) = flags.budget.first().map(Budget::check) {
            return wrong("budget", &error.to_string());
        }
        if flags.max_price.is_some_and(Glm::is_negative) {
            return wrong("price of a result", "must not be negative");
        }
        for (name, is_zero) in [
            ("number of workers", flags.workers == Some(0)),
            ("number of results", flags.results == Some(0)),
            ("number of providers", flags.devnet_providers == Some(0)),
            ("time of a task", flags.task_timeout.is_some_and(|time| time.is_zero())),
        ] {
            if is_zero {
                return wrong(name, "it can't be 0");
            }
        }
        Ok(())
    }
}

/// Something the runner was told makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("the {name} is wrong: {reason}")]
struct WrongOption {
    name: &'static str,
    reason: String,
}
