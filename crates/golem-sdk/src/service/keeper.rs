//! An instance on one machine: deployed, started, watched, and ended.

use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use golem_core::event::{AttemptFailure, FailureKind};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use yagna_api::activity::Deploy;
use yagna_api::properties::name;
use yagna_api::time::between;
use yagna_api::{NetworkId, Timestamp};

use super::book::Deployed;
use super::machine::{Machine, RanNot};
use super::restart::{Ended, Next};
use super::script::{self, Found, Listens, Process};
use super::spec::Ready;
use super::state::{EndReason, InstanceInfo, InstanceState, Place};
use super::{SCRIPT_LIMIT, Service};
use crate::context::{ScriptError, WorkContext};
use crate::network::{Membership, NetworkError};
use crate::text::chain;

/// The time before the end of an agreement at which its instance is ended, whether there is a successor or not.
const LAST_MINUTE: Duration = Duration::from_secs(60);
/// The pauses between checks of an instance that isn't ready yet.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The time for which a machine's answer to a check is awaited.
const CHECK_LIMIT: Duration = Duration::from_secs(20);
/// The time for which a machine's answer to a request to stop is awaited, beside the time that the process has.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The number of times that members of a network are told of a new one, where the daemon fails.
const ANNOUNCEMENTS: u32 = 5;

/// The outcome of keeping an instance on one machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The instance has ended and isn't started again.
    Over(EndReason),
    /// The instance is to be started on another machine.
    Elsewhere {
        /// The reason.
        failure: AttemptFailure,
        /// The error after which nothing more can be done on this one.
        lost: Option<ScriptError>,
    },
}

/// The reasons to leave a machine.
enum Leave {
    /// The instance was told to end.
    Told(EndReason),
    /// The process ended, or never became ready; the instance was ready for so long.
    Ended(EndReason, Option<Duration>),
    /// The machine can't be used, or no longer.
    Lost(EndReason, Option<ScriptError>, FailureKind),
}

/// An instance on its machine.
struct Keeper<'s> {
    service: &'s Service,
    place: Place,
    machine: Machine,
    retire: CancellationToken,
    suspect: Arc<Notify>,
    environment: BTreeMap<String, String>,
    expires: Option<Timestamp>,
    /// True once a process has been started.
    has_begun: bool,
}

/// Says what has become of an instance whose keeper was dropped, because its rental ended.
struct Guard<'s> {
    service: &'s Service,
    place: Place,
    member: Option<Membership>,
    is_over: bool,
}

impl Service {
    /// The next place that wants a machine, if there is one. It is for whoever rents machines: each place is to be given one,
    /// and [kept](Self::keep) on it.
    pub fn next_place(&self) -> Option<Place> {
        self.0.kept.take_wanted()
    }

    /// Waits for the next place that wants a machine; none once the service is being stopped.
    ///
    /// **Cancel safety**: no place is lost where the future is dropped.
    pub async fn wait_for_place(&self) -> Option<Place> {
        loop {
            if self.0.kept.is_stopping() {
                return None;
            }
            if let Some(place) = self.next_place() {
                return Some(place);
            }
            tokio::select! {
                () = self.0.kept.wanted() => {}
                () = self.0.kept.stopping().cancelled() => {}
            }
        }
    }

    /// Wants this place to be filled.
    pub fn want(&self, place: Place) {
        self.0.kept.want(place, self.0.clock.now());
    }

    /// Knows that this place is filled by somebody, such as a later process that finds it filled.
    pub fn expect(&self, place: Place) {
        self.0.kept.expect(place, self.0.clock.now());
    }

    /// Keeps the instance of a place up on this machine, which has neither been deployed nor started, until the instance ends
    /// or needs another machine.
    ///
    /// **Cancel safety**: where the future is dropped, because the rental ended, the instance waits for another machine.
    pub async fn keep(&self, ctx: &WorkContext, place: Place) -> Outcome {
        if let Some(reason) = self.refusal(place) {
            self.over(place, &reason).await;
            return Outcome::Over(reason);
        }
        let now = self.0.clock.now();
        let machine = Machine::new(ctx.clone());
        let (retire, suspect) = self.0.kept.begin(place, now, &machine);
        let mut guard = Guard { service: self, place, member: None, is_over: false };
        let mut keeper = Keeper {
            service: self,
            place,
            machine,
            retire,
            suspect,
            environment: BTreeMap::new(),
            expires: None,
            has_begun: false,
        };
        let leave = keeper.live(&mut guard).await;
        let outcome = keeper.leave(leave).await;
        guard.end().await;
        match &outcome {
            Outcome::Over(reason) => self.over(place, reason).await,
            Outcome::Elsewhere { .. } => self.set(place, |info| info.state = InstanceState::Pending).await,
        }
        outcome
    }

    /// The reason for which this place isn't filled at all.
    fn refusal(&self, place: Place) -> Option<EndReason> {
        if self.0.kept.is_stopping() {
            return Some(EndReason::Asked);
        }
        if place.number > self.0.spec.instances {
            return Some(EndReason::Surplus);
        }
        // A machine that was lost is a failure, too.
        let before = self.0.kept.infos().into_iter().find(|info| info.place == place)?;
        (before.state == InstanceState::Stopped).then_some(before.last_end).flatten()
    }

    async fn over(&self, place: Place, reason: &EndReason) {
        self.set(place, |info| {
            info.state = InstanceState::Stopped;
            info.last_end = Some(reason.clone());
        })
        .await;
        if matches!(reason, EndReason::Renewed | EndReason::Surplus) {
            self.0.kept.forget(place);
            self.tell_all();
        }
    }

    /// Changes what is known of an instance, and records it.
    async fn set(&self, place: Place, change: impl FnOnce(&mut InstanceInfo)) {
        let info = self.0.kept.change(place, self.0.clock.now(), change);
        self.tell_all();
        if let Err(error) = self.0.book.changed(&info).await {
            tracing::warn!(
                error = chain(&error),
                instance = info.name(),
                "the state of an instance was not recorded"
            );
        }
    }

    /// Lets those know of the instances who lead others to them.
    fn tell_all(&self) {
        let instances = self.instances();
        self.0.names.update(&self.0.spec.name, &instances);
        self.0.lead(&instances);
    }
}

impl Keeper<'_> {
    /// Everything from the deployment on.
    async fn live(&mut self, guard: &mut Guard<'_>) -> Leave {
        if let Err(leave) = self.deploy(guard).await {
            return leave;
        }
        loop {
            let begun = Instant::now();
            self.has_begun = true;
            let told = self.begin_process().await;
            let ready = match told {
                Ok(()) => self.until_ready(begun).await,
                Err(leave) => Err(leave),
            };
            let leave = match ready {
                Ok(()) => self.while_ready().await,
                Err(leave) => leave,
            };
            let Leave::Ended(reason, ready_for) = leave else { return leave };
            match self.decide(&reason, ready_for) {
                Next::Here(pause) => {
                    let restarted = reason.clone();
                    self.set(|info| {
                        info.state = InstanceState::Running;
                        info.restarts += 1;
                        info.last_end = Some(restarted);
                    })
                    .await;
                    if let Err(leave) = self.or_told(sleep(pause)).await {
                        return leave;
                    }
                }
                Next::End => return Leave::Ended(reason, ready_for),
                Next::Elsewhere(pause) => {
                    if let Err(leave) = self.or_told(sleep(pause)).await {
                        return leave;
                    }
                    return Leave::Lost(reason, None, FailureKind::CommandFailed);
                }
            }
        }
    }

    /// Decides what follows the end of the process, where anything does.
    fn decide(&self, reason: &EndReason, ready_for: Option<Duration>) -> Next {
        let ended = match reason {
            EndReason::Exited { code: 0, .. } => Ended::Well,
            _ => Ended::Badly { ready_for },
        };
        let policy = self.service.0.spec.restart;
        let next = self.service.0.kept.with_failures(self.place, |failures| policy.next(ended, failures));
        next.unwrap_or(Next::End)
    }

    /// Joins the network, deploys and starts the machine, and sends its files.
    async fn deploy(&mut self, guard: &mut Guard<'_>) -> Result<(), Leave> {
        let inner = &self.service.0;
        let ctx = self.machine.ctx().clone();
        let unrecorded = |error: super::BookError| {
            let why = chain(&error);
            Leave::Lost(EndReason::MachineLost { why }, None, FailureKind::OwnTrouble)
        };
        let recorded = inner.book.deployed(ctx.activity()).await.map_err(unrecorded)?;
        let member = match (&inner.network, &recorded) {
            (None, _) => None,
            (Some(network), Some(_)) => {
                let Some(member) = network.member(ctx.provider_id()).await else {
                    let why = "its network no longer has it".to_owned();
                    return Err(Leave::Lost(EndReason::MachineLost { why }, None, FailureKind::Rejected));
                };
                Some(member)
            }
            (Some(network), None) => {
                let preferred = inner.kept.last_address(self.place);
                let joined = network.join(ctx.provider_id(), preferred).await;
                Some(joined.map_err(|error| not_joined(&error))?)
            }
        };
        guard.member.clone_from(&member);
        let address = member.as_ref().map(Membership::address);
        self.environment = (inner.environment)(self.place, address);
        let network: Option<NetworkId> = inner.network.as_ref().map(|network| network.id().clone());
        let (provider, activity) = (ctx.provider().clone(), ctx.activity().clone());
        let agreement = ctx.agreement().clone();
        self.expires = expiration(&ctx).await;
        let expires = self.expires;
        self.set(|info| {
            info.state = InstanceState::Starting;
            info.provider = Some(provider);
            info.agreement = Some(agreement);
            info.activity = Some(activity);
            info.network = network;
            info.address = address;
            info.expires = expires;
        })
        .await;
        let deployed = if let Some(recorded) = recorded {
            // Whom it was told of isn't known any more: it is told of all.
            Deployed { announced: 0, ..recorded }
        } else {
            let deployed = self.deployment(member.as_ref()).await;
            let info = inner.kept.change(self.place, inner.clock.now(), |_| {});
            inner.book.deploys(&info, &deployed).await.map_err(unrecorded)?;
            deployed
        };
        let limit = inner.spec.start_timeout;
        let mut ctx = ctx;
        ctx.deploy(deployed.deploy);
        ctx.start([""; 0]);
        for (from, to) in &inner.spec.uploads {
            ctx.send_file(from, to);
        }
        let committed = self.or_told(ctx.commit(limit)).await?;
        committed.map_err(lost)?;
        if let Some(member) = &member {
            self.announce(member, deployed.announced).await?;
        }
        Ok(())
    }

    async fn deployment(&self, member: Option<&Membership>) -> Deployed {
        let inner = &self.service.0;
        let mut deploy = Deploy { volumes: inner.spec.volumes.clone(), ..Deploy::default() };
        let mut announced = 0;
        if let Some(member) = member {
            let (network, version) = member.deploy().await;
            announced = version;
            deploy.net = vec![network];
            let own = super::instance_name(&inner.spec.name, self.place.number);
            let mut hosts = inner.names.all();
            hosts.insert(own.clone(), member.address().to_string());
            deploy.hosts = hosts;
            deploy.hostname = Some(own);
        }
        Deployed { deploy, announced }
    }

    async fn announce(&self, member: &Membership, deployed: u64) -> Result<(), Leave> {
        let mut tries = 0;
        loop {
            tries += 1;
            match member.announce(deployed).await {
                Ok(()) => return Ok(()),
                Err(error @ NetworkError::Gone { .. }) => return Err(not_joined(&error)),
                Err(error) if tries >= ANNOUNCEMENTS => return Err(not_joined(&error)),
                Err(error) => tracing::debug!(error = chain(&error), "a member is announced once more"),
            }
            self.or_told(sleep(FIRST_PAUSE * tries)).await?;
        }
    }

    /// Starts the main process, unless it runs.
    async fn begin_process(&self) -> Result<(), Leave> {
        self.write_names().await?;
        let script = script::start(&self.service.0.spec, &self.environment);
        let limit = SCRIPT_LIMIT + self.service.0.spec.stop_timeout;
        let started = self.or_told(self.machine.sh(script, limit)).await?;
        match started {
            Ok(ran) if ran.code == 0 => {}
            Ok(ran) => {
                let why = format!("its process could not be started: {}", ran.stderr.trim());
                return Err(Leave::Lost(EndReason::MachineLost { why }, None, FailureKind::CommandFailed));
            }
            Err(error) => return Err(unusable(error)),
        }
        self.set(|info| info.state = InstanceState::Running).await;
        Ok(())
    }

    /// Waits until it is ready.
    async fn until_ready(&self, begun: Instant) -> Result<(), Leave> {
        let spec = &self.service.0.spec;
        let deadline = begun + spec.start_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let (why, log) = match self.or_told(self.look()).await? {
                Ok(found) => match verdict(&spec.ready, &found) {
                    Verdict::Ready => break,
                    Verdict::Ended(code) => {
                        return Err(Leave::Ended(EndReason::Exited { code, log: found.log }, None));
                    }
                    Verdict::NotYet(why) => (why, found.log),
                },
                Err(error) => {
                    let why = chain(&error);
                    if let Some(leave) = end_of_machine(error) {
                        return Err(leave);
                    }
                    (why, String::new())
                }
            };
            if Instant::now() >= deadline {
                let within = yagna_api::time::short(spec.start_timeout);
                let why = format!("it was not ready within {within}: {why}");
                // What is started again begins anew.
                self.end_process().await;
                return Err(Leave::Ended(EndReason::NotReady { why, log }, None));
            }
            self.or_told(sleep(pause)).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.set(|info| info.state = InstanceState::Ready).await;
        Ok(())
    }

    /// Watches an instance that is ready, until there is a reason to leave its machine.
    async fn while_ready(&self) -> Leave {
        let inner = &self.service.0;
        let spec = &inner.spec;
        let ready_since = Instant::now();
        let (renew_at, last_minute) = self.times();
        let mut has_renewed = inner.kept.has_successor(self.place);
        let mut names = inner.names.watch();
        // Names that changed while it started are written now, later ones as they change.
        if let Err(leave) = self.write_names().await {
            return leave;
        }
        let mut failures = 0;
        // True if a check of ours may still run.
        let mut hangs = false;
        let mut next_check = Instant::now() + spec.check_every;
        loop {
            tokio::select! {
                biased;
                () = inner.kept.stopping().cancelled() => return Leave::Told(EndReason::Asked),
                () = self.retire.cancelled() => return Leave::Told(inner.kept.retired(self.place)),
                () = until(last_minute) => {
                    // It goes on as soon as another machine is there.
                    let why = "its agreement ends".to_owned();
                    return if has_renewed {
                        Leave::Told(EndReason::Renewed)
                    } else {
                        Leave::Lost(EndReason::MachineLost { why }, None, FailureKind::Rejected)
                    };
                }
                () = until(renew_at), if !has_renewed => {
                    has_renewed = true;
                    if !inner.kept.has_successor(self.place) {
                        let turn = u64::try_from(inner.clock.now().as_millisecond()).unwrap_or(self.place.turn + 1);
                        self.service.want(Place { number: self.place.number, turn });
                    }
                    continue;
                }
                changed = names.changed(), if inner.network.is_some() => {
                    if changed.is_ok() && let Err(leave) = self.write_names().await {
                        return leave;
                    }
                    continue;
                }
                () = self.suspect.notified() => {}
                () = sleep_until(next_check) => {}
            }
            next_check = Instant::now() + spec.check_every;
            let script = script::check(spec, &self.environment);
            let Some(ran) = self.machine.sh_if_idle(script, CHECK_LIMIT).await else { continue };
            let why = match ran.map(|ran| (Found::read(&ran.stdout), ran)) {
                Ok((Some(found), _)) => match verdict(&spec.ready, &found) {
                    Verdict::Ready => None,
                    Verdict::Ended(code) => {
                        return Leave::Ended(
                            EndReason::Exited { code, log: found.log },
                            Some(ready_since.elapsed()),
                        );
                    }
                    Verdict::NotYet(why) => Some(why),
                },
                Ok((None, ran)) => Some(format!("a check brought no answer: {}", ran.stderr.trim())),
                // Somebody else's command says nothing about the instance.
                Err(RanNot::Busy { .. }) if !hangs => continue,
                Err(error) => {
                    hangs |= matches!(error, RanNot::Expired { .. });
                    let why = chain(&error);
                    if let Some(leave) = end_of_machine(error) {
                        return leave;
                    }
                    Some(why)
                }
            };
            let Some(why) = why else {
                hangs = false;
                if failures > 0 {
                    failures = 0;
                    self.set(|info| info.state = InstanceState::Ready).await;
                }
                continue;
            };
            failures += 1;
            self.set(|info| info.state = InstanceState::Unresponsive).await;
            if failures >= spec.check_failures {
                self.end_process().await;
                let why = format!("{failures} checks in a row have failed: {why}");
                return Leave::Ended(EndReason::Unresponsive { why }, Some(ready_since.elapsed()));
            }
        }
    }

    /// The time to start a successor, and the time to leave in any case.
    fn times(&self) -> (Option<Instant>, Option<Instant>) {
        let Some(expires) = self.expires else { return (None, None) };
        let left = between(self.service.0.clock.now(), expires);
        let now = Instant::now();
        // A short agreement isn't renewed all the time.
        let before = self.service.0.spec.renew_before.min(left / 2);
        (Some(now + left.saturating_sub(before)), Some(now + left.saturating_sub(LAST_MINUTE)))
    }

    async fn look(&self) -> Result<Found, RanNot> {
        let script = script::check(&self.service.0.spec, &self.environment);
        let ran = self.machine.sh(script, CHECK_LIMIT).await?;
        Found::read(&ran.stdout).ok_or_else(|| RanNot::NotStarted(ran.stderr.trim().to_owned()))
    }

    async fn write_names(&self) -> Result<(), Leave> {
        if self.service.0.network.is_none() {
            return Ok(());
        }
        let script = script::hosts(&self.service.0.names.all());
        match self.machine.sh(script, SCRIPT_LIMIT).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(error = chain(&error), "the names of a network were not written");
                end_of_machine(error).map_or(Ok(()), Err)
            }
        }
    }

    async fn end_process(&self) {
        let within = self.service.0.spec.stop_timeout;
        // Somebody else's command isn't waited for: the machine's end ends it as well.
        if let Err(error) = self.machine.sh(script::stop(within), within + STOP_LIMIT).await {
            tracing::debug!(
                error = chain(&error),
                "a process was not stopped in order; its machine's end ends it"
            );
        }
    }

    /// Ends the instance on its machine in order, and says what follows.
    async fn leave(&self, leave: Leave) -> Outcome {
        match leave {
            Leave::Told(reason) => {
                self.set(|info| info.state = InstanceState::Stopping).await;
                if reason != EndReason::Asked {
                    sleep(self.service.0.spec.drain).await;
                }
                if self.has_begun {
                    self.end_process().await;
                }
                Outcome::Over(reason)
            }
            Leave::Ended(reason, _) => Outcome::Over(reason),
            Leave::Lost(reason, lost, kind) => {
                let is_ours = matches!(reason, EndReason::MachineLost { .. });
                let policy = self.service.0.spec.restart;
                let next = if is_ours && kind != FailureKind::Rejected {
                    let decide = |failures: &mut _| policy.next(Ended::Machine, failures);
                    self.service.0.kept.with_failures(self.place, decide)
                } else {
                    None
                };
                if next == Some(Next::End) || !kind.may_succeed_elsewhere() {
                    return Outcome::Over(reason);
                }
                let ended = reason.clone();
                self.set(|info| {
                    info.restarts += 1;
                    info.last_end = Some(ended);
                })
                .await;
                if let Some(Next::Here(pause) | Next::Elsewhere(pause)) = next {
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.service.0.kept.stopping().cancelled() => return Outcome::Over(EndReason::Asked),
                    }
                }
                let failure = AttemptFailure {
                    stderr: reason.log().to_owned().into(),
                    ..AttemptFailure::new(kind, reason.to_string())
                };
                Outcome::Elsewhere { failure, lost }
            }
        }
    }

    async fn set(&self, change: impl FnOnce(&mut InstanceInfo)) {
        self.service.set(self.place, change).await;
    }

    /// Waits for something, unless the instance is told to end.
    async fn or_told<T>(&self, work: impl Future<Output = T>) -> Result<T, Leave> {
        tokio::select! {
            biased;
            () = self.service.0.kept.stopping().cancelled() => Err(Leave::Told(EndReason::Asked)),
            () = self.retire.cancelled() => Err(Leave::Told(self.service.0.kept.retired(self.place))),
            done = work => Ok(done),
        }
    }
}

impl Guard<'_> {
    /// The instance has left its machine in order.
    async fn end(mut self) {
        self.is_over = true;
        if let Some(member) = self.member.take() {
            leave_network(member).await;
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let kept = &self.service.0.kept;
        let why = "its rental ended".to_owned();
        let reason = EndReason::MachineLost { why };
        let policy = self.service.0.spec.restart;
        let next = kept.with_failures(self.place, |failures| policy.next(Ended::Machine, failures));
        let info = kept.change(self.place, self.service.0.clock.now(), |info| {
            let is_final = next == Some(Next::End) || kept.is_stopping();
            info.state = if is_final { InstanceState::Stopped } else { InstanceState::Pending };
            info.last_end = Some(if kept.is_stopping() { EndReason::Asked } else { reason });
            info.restarts += 1;
        });
        self.service.tell_all();
        let (member, book) = (self.member.take(), Arc::clone(&self.service.0.book));
        let clean_up = async move {
            if let Some(member) = member {
                leave_network(member).await;
            }
            if let Err(error) = book.changed(&info).await {
                tracing::debug!(error = chain(&error), "the end of an instance was not recorded");
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut cleaning = self.service.0.cleaning.lock().unwrap_or_else(PoisonError::into_inner);
            while cleaning.try_join_next().is_some() {}
            cleaning.spawn_on(clean_up, &runtime);
        }
    }
}

async fn leave_network(member: Membership) {
    let address: Ipv4Addr = member.address();
    if let Err(error) = member.leave().await {
        tracing::debug!(error = chain(&error), %address, "an address was not given back");
    }
}

/// The judgement of a check.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ready,
    NotYet(String),
    Ended(i32),
}

fn verdict(ready: &Ready, found: &Found) -> Verdict {
    match found.process {
        Process::Exited(code) => return Verdict::Ended(code),
        Process::Gone => return Verdict::Ended(-1),
        Process::Runs => {}
    }
    let last = found.log.lines().next_back().unwrap_or_default();
    match (ready, found.port, found.check) {
        (Ready::Running, _, _) => Verdict::Ready,
        (_, Some(Listens::Nowhere), _) => {
            Verdict::NotYet(format!("nothing listens on port {}", ready.port().unwrap_or_default()))
        }
        (_, Some(Listens::Locally), _) => Verdict::NotYet(format!(
            "port {} listens on 127.0.0.1 only, where nobody can reach it from outside of the machine: let the program listen \
             on 0.0.0.0",
            ready.port().unwrap_or_default()
        )),
        (Ready::Tcp(_), Some(Listens::ForAll), _) | (_, _, Some(0)) => Verdict::Ready,
        (_, _, Some(code)) => Verdict::NotYet(format!("its check ends with exit code {code}: {last}")),
        _ => Verdict::NotYet("its check brought no result".to_owned()),
    }
}

/// The end of the agreement, as its demand names it.
async fn expiration(ctx: &WorkContext) -> Option<Timestamp> {
    let terms = ctx.terms().await.ok()?;
    let at = terms.demand.properties.get(name::EXPIRATION)?.as_i64()?;
    Timestamp::from_millisecond(at).ok()
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

fn not_joined(error: &NetworkError) -> Leave {
    let why = chain(error);
    // It isn't the provider's fault.
    Leave::Lost(EndReason::MachineLost { why }, None, FailureKind::Rejected)
}

fn lost(error: ScriptError) -> Leave {
    let kind = error.kind();
    let why = chain(&error);
    let lost = (!error.leaves_activity_ready()).then_some(error);
    Leave::Lost(EndReason::MachineLost { why }, lost, kind)
}

fn unusable(error: RanNot) -> Leave {
    match error {
        RanNot::Script(error) => lost(error),
        other => {
            let why = other.to_string();
            Leave::Lost(EndReason::MachineLost { why }, None, FailureKind::CommandFailed)
        }
    }
}

/// The end of a machine that an error shows, if it does. An error of the daemon may pass.
fn end_of_machine(error: RanNot) -> Option<Leave> {
    match error {
        RanNot::Script(error @ (ScriptError::ActivityLost { .. } | ScriptError::AgreementEnded { .. })) => {
            Some(lost(error))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(process: Process, port: Option<Listens>, check: Option<i32>) -> Found {
        Found { process, port, check, log: "first\nlast".to_owned() }
    }

    #[test]
    fn a_program_that_listens_locally_is_told_from_one_that_is_down() {
        let ready = Ready::Tcp(80);
        let judged = |listens| verdict(&ready, &found(Process::Runs, Some(listens), None));
        assert_eq!(judged(Listens::ForAll), Verdict::Ready);
        assert_eq!(judged(Listens::Nowhere), Verdict::NotYet("nothing listens on port 80".to_owned()));
        let Verdict::NotYet(why) = judged(Listens::Locally) else { panic!("it can't be reached") };
        assert!(why.contains("127.0.0.1 only") && why.contains("0.0.0.0"), "{why}");
    }

    #[test]
    fn a_check_that_fails_says_why() {
        let ready = Ready::Http { port: 80, path: "/health".to_owned() };
        let judged = |check| verdict(&ready, &found(Process::Runs, Some(Listens::ForAll), check));
        assert_eq!(judged(Some(0)), Verdict::Ready);
        assert_eq!(judged(Some(22)), Verdict::NotYet("its check ends with exit code 22: last".to_owned()));
        assert_eq!(verdict(&ready, &found(Process::Exited(3), None, None)), Verdict::Ended(3));
    }
}
