//! Instances for people and programs: told of as they change, listed, their logs, and commands on them.

use std::collections::BTreeMap;
use std::time::Duration;

use golem_sdk::service::{
    EndReason, InstanceInfo, InstanceState, Place, RanNot, RemoteMachine, exec_script, shell_word,
};
use golem_sdk::text::chain;
use serde::Serialize;
use tokio::time::sleep;
use yagna_api::Timestamp;

use super::access;
use crate::exit::{Exit, Failure};
use crate::options::Site;
use crate::signals::Stops;
use crate::store::{Dsn, RunStatus, ServiceRow, Store};
use crate::view::services::{Listed, table};
use crate::view::{JSON_VERSION, Output, json_line};

/// The time between two looks at a log that is followed.
const FOLLOWED: Duration = Duration::from_secs(1);

/// Tells of instances as they change.
pub(super) struct Teller {
    json: bool,
    out: Output,
    err: Output,
    told: BTreeMap<(String, Place), (InstanceState, u32)>,
}

/// An instance as a JSON object.
#[derive(Debug, Serialize)]
struct InstanceJson<'a> {
    version: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<&'a str>,
    #[serde(flatten)]
    info: &'a InstanceInfo,
}

impl Teller {
    pub(super) fn new(json: bool) -> Self {
        Self { json, out: Output::stdout(), err: Output::stderr(), told: BTreeMap::new() }
    }

    pub(super) fn begins(&mut self, stack: &str, place: &str) {
        self.say(&format!("{stack} is being brought up, kept in {place}"));
    }

    /// A line for people.
    pub(super) fn say(&mut self, line: &str) {
        self.err.write(&format!("{line}\n"));
    }

    /// Tells of those that have changed since they were told of.
    pub(super) fn tell(&mut self, instances: impl Iterator<Item = InstanceInfo>) {
        for info in instances {
            let key = (info.service.clone(), info.place);
            let now = (info.state, info.restarts);
            if self.told.insert(key, now) == Some(now) {
                continue;
            }
            if self.json {
                self.out.write(&instance_json(&info, None));
            } else if info.state != InstanceState::Pending || info.last_end.is_some() {
                self.err.write(&instance_line(&info));
            }
        }
    }
}

fn instance_json(info: &InstanceInfo, stack: Option<&str>) -> String {
    json_line(&InstanceJson { version: JSON_VERSION, kind: "instance", name: info.name(), stack, info })
}

/// What there is to say of an instance that has changed.
fn instance_line(info: &InstanceInfo) -> String {
    let mut line = format!("{}  {}", info.name(), info.state);
    if let Some(address) = info.address.filter(|_| info.state != InstanceState::Stopped) {
        line = format!("{line} at {address}");
    }
    if let Some(provider) =
        info.provider.as_ref().filter(|_| info.state.has_machine() || info.state == InstanceState::Starting)
    {
        line = format!("{line} on {}", provider.name);
    }
    let is_telling =
        matches!(info.state, InstanceState::Stopped | InstanceState::Pending | InstanceState::Running);
    if let Some(reason) = info.last_end.as_ref().filter(|_| is_telling) {
        line = format!("{line}: {reason}");
        let is_own = !matches!(reason, EndReason::Asked | EndReason::Renewed | EndReason::Surplus);
        if is_own && !reason.log().is_empty() {
            return format!("{line}\n    {}\n", reason.log().replace('\n', "\n    "));
        }
    }
    format!("{line}\n")
}

/// Which services, and where they are recorded.
pub(crate) struct Looking {
    pub(crate) dsn: Dsn,
    /// The stack; whichever it is where none is named.
    pub(crate) stack: Option<String>,
}

/// A service with where it stands.
pub(super) struct Found {
    pub(super) row: ServiceRow,
    status: RunStatus,
    pub(super) instances: Vec<InstanceInfo>,
}

impl Found {
    fn is_up(&self) -> bool {
        !matches!(self.status, RunStatus::Ended(_))
    }
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("no services are up in {place}")]
    NothingUp { place: String },
    #[error("`{name}` is not a service or an instance that is up: {known}")]
    NoSuch { name: String, known: String },
    #[error("`{name}` is in several stacks: {stacks}")]
    Several { name: String, stacks: String },
    #[error("{name} is {state}{why}: nothing can be run on it now")]
    NoMachine { name: String, state: InstanceState, why: String },
    #[error("the machine of {name} can't be reached")]
    Unreachable { name: String },
}

/// `ps`: the instances of the services that are up, or of all.
pub(crate) async fn ps(looking: &Looking, all: bool, json: bool) -> Result<Exit, Failure> {
    let store = Store::open_existing(&looking.dsn).await?;
    let listed = list(&store, looking, all, json).await;
    store.close().await;
    listed
}

async fn list(store: &Store, looking: &Looking, all: bool, json: bool) -> Result<Exit, Failure> {
    let found = found(store, looking.stack.as_deref()).await?;
    let shown: Vec<_> = found.into_iter().filter(|one| all || one.is_up()).collect();
    let mut out = Output::stdout();
    if shown.is_empty() && !json {
        Output::stderr().write(&format!(
            "no services are up in {}; `golem-tasks up FILE` brings them up, `golem-tasks runs` lists runs\n",
            store.place()
        ));
        return Ok(Exit::Done);
    }
    let now = now();
    let mut rows = Vec::new();
    for one in &shown {
        // What an earlier process saw last needn't be true any more.
        let is_stale = matches!(one.status, RunStatus::Interrupted(_));
        for info in one.instances.iter().filter(|info| all || !is_past(info, &one.instances)) {
            if json {
                out.write(&instance_json(info, Some(&one.row.stack)));
            } else {
                rows.push(Listed { stack: &one.row.stack, info, is_stale, now });
            }
        }
    }
    if !json {
        out.write(&table(&rows, crate::cli::inspect::room()));
    }
    out.lost().map_or(Ok(Exit::Done), |error| Err(Failure::lost_output(error)))
}

/// True for an instance whose place another one has taken.
fn is_past(info: &InstanceInfo, all: &[InstanceInfo]) -> bool {
    info.state == InstanceState::Stopped
        && all
            .iter()
            .any(|other| other.place.number == info.place.number && other.place.turn > info.place.turn)
}

async fn found(store: &Store, stack: Option<&str>) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for row in store.services(stack).await? {
        // The run of a service that was never started isn't recorded.
        let Ok(status) = store.run_status(&row.run_id).await else { continue };
        let instances = store.instances(&row.run_id).await?;
        found.push(Found { row, status, instances });
    }
    Ok(found)
}

/// The service of a name and, where the name is that of an instance, its number.
pub(super) async fn chosen(
    store: &Store,
    looking: &Looking,
    name: &str,
) -> Result<(Found, Option<u32>), Failure> {
    let up: Vec<_> = found(store, looking.stack.as_deref()).await?.into_iter().filter(Found::is_up).collect();
    if up.is_empty() {
        let error = LookError::NothingUp { place: store.place().to_owned() };
        return Err(Failure::new(Exit::Usage, error).advise(
            "`golem-tasks up FILE` brings services up; add --devnet for those on an emulated network",
        ));
    }
    let number = |one: &Found| {
        let number = name.strip_prefix(one.row.service.as_str())?.strip_prefix('-')?;
        number.parse::<u32>().ok().filter(|number| (1..=one.row.wanted).contains(number))
    };
    let known: Vec<_> = up.iter().flat_map(names).collect();
    let mut matching: Vec<_> = up
        .into_iter()
        .filter_map(|one| match number(&one) {
            Some(number) => Some((one, Some(number))),
            None => (one.row.service == name).then_some((one, None)),
        })
        .collect();
    match matching.len() {
        1 => Ok(matching.remove(0)),
        0 => {
            let error = LookError::NoSuch { name: name.to_owned(), known: known.join(", ") };
            Err(Failure::new(Exit::Usage, error))
        }
        _ => {
            let stacks: Vec<_> = matching.iter().map(|(one, _)| one.row.stack.as_str()).collect();
            let error = LookError::Several { name: name.to_owned(), stacks: stacks.join(", ") };
            Err(Failure::new(Exit::Usage, error).advise("name one of them by --stack"))
        }
    }
}

fn names(one: &Found) -> Vec<String> {
    (1..=one.row.wanted).map(|number| golem_sdk::service::instance_name(&one.row.service, number)).collect()
}

/// The instances of a service that are meant, in the order of their numbers: of each place the one that does its work.
fn meant(one: &Found, number: Option<u32>) -> Vec<InstanceInfo> {
    let mut meant = BTreeMap::<u32, InstanceInfo>::new();
    for info in &one.instances {
        if number.is_some_and(|number| number != info.place.number) {
            continue;
        }
        let known = meant.get(&info.place.number);
        if known.is_none_or(|known| known.state != InstanceState::Ready || info.state == InstanceState::Ready)
        {
            meant.insert(info.place.number, info.clone());
        }
    }
    meant.into_values().collect()
}

/// A machine on which commands can be run, with its instance and its service.
pub(crate) struct Reached {
    pub(crate) info: InstanceInfo,
    pub(crate) row: ServiceRow,
    pub(crate) client: yagna_client::Client,
}

/// Finds the instance of this name; of a service's name the first that is ready.
pub(crate) async fn reach(
    store: &Store,
    looking: &Looking,
    name: &str,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Reached, Failure> {
    let (one, number) = chosen(store, looking, name).await?;
    let instances = meant(&one, number);
    let ready = instances.iter().find(|info| info.state == InstanceState::Ready);
    let Some(info) = ready.or_else(|| instances.iter().find(|info| info.state.has_machine())) else {
        let state = instances.first().map_or(InstanceState::Pending, |info| info.state);
        let why = instances.first().and_then(|info| info.last_end.as_ref());
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        let error = LookError::NoMachine { name: name.to_owned(), state, why };
        return Err(Failure::new(Exit::BrokeOff, error).advise("`golem-tasks ps` shows all instances"));
    };
    let client = access::client(&looking.dsn, &one.row, site).await?;
    Ok(Reached { info: info.clone(), row: one.row, client })
}

/// `exec`: runs a command on an instance. Its exit code is that of the command.
pub(crate) async fn exec(
    looking: &Looking,
    name: &str,
    words: &[String],
    limit: Duration,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Exit, Failure> {
    let store = Store::open_existing(&looking.dsn).await?;
    let reached = reach(&store, looking, name, site).await;
    store.close().await;
    let reached = reached?;
    let machine = machine(&reached)?;
    let env: BTreeMap<String, String> = reached
        .row
        .body
        .get("env")
        .and_then(|env| serde_json::from_value(env.clone()).ok())
        .unwrap_or_default();
    let line = words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
    let script = exec_script(&env, &line);
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let ran = tokio::select! {
        biased;
        () = stops.next() => return Ok(Exit::Cancelled),
        ran = machine.sh(&script, limit) => ran.map_err(|error| not_run(&reached, error))?,
    };
    Output::stdout().write(&ran.stdout);
    Output::stderr().write(&ran.stderr);
    Ok(match ran.code {
        0 => Exit::Done,
        code => Exit::Command(u8::try_from(code).unwrap_or(1)),
    })
}

/// `logs`: the output of the main processes of a service's instances.
pub(crate) async fn logs(
    looking: &Looking,
    name: &str,
    follow: bool,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Exit, Failure> {
    let store = Store::open_existing(&looking.dsn).await?;
    let told = tell_logs(&store, looking, name, follow, site).await;
    store.close().await;
    told
}

async fn tell_logs(
    store: &Store,
    looking: &Looking,
    name: &str,
    follow: bool,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Exit, Failure> {
    let (one, number) = chosen(store, looking, name).await?;
    let instances = meant(&one, number);
    let client = access::client(&looking.dsn, &one.row, site).await?;
    let mut out = Output::stdout();
    let with_names = instances.len() > 1;
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut next = BTreeMap::<(Option<yagna_api::ActivityId>, u32), u64>::new();
    let mut instances = instances;
    let mut failed = None;
    loop {
        for info in &instances {
            let key = (info.activity.clone(), info.place.number);
            let Some(machine) = RemoteMachine::of(&client, info) else {
                // The last lines of one that has ended are recorded.
                if let Some(reason) = info.last_end.as_ref().filter(|_| !next.contains_key(&key)) {
                    write_log(&mut out, with_names.then(|| info.name()), reason.log());
                    next.insert(key, 0);
                }
                continue;
            };
            let read = tokio::select! {
                biased;
                () = stops.next() => return Ok(Exit::Done),
                read = machine.log(next.get(&key).copied()) => read,
            };
            match read {
                Ok(piece) => {
                    write_log(&mut out, with_names.then(|| info.name()), &piece.text);
                    next.insert(key, piece.next);
                }
                Err(error) if follow => tracing::debug!(error = chain(&error), "a log is read later"),
                Err(error) => failed = Some((info.clone(), error)),
            }
        }
        if let Some((info, error)) = failed.take() {
            return Err(Failure::new(Exit::BrokeOff, error)
                .advise(format!("{} may be starting or ending", info.name())));
        }
        if !follow || matches!(store.run_status(&one.row.run_id).await?, RunStatus::Ended(_)) {
            break;
        }
        tokio::select! {
            biased;
            () = stops.next() => return Ok(Exit::Done),
            () = sleep(FOLLOWED) => {}
        }
        let row = ServiceRow { ..one.row.clone() };
        let again = Found { instances: store.instances(&row.run_id).await?, row, status: one.status.clone() };
        instances = meant(&again, number);
    }
    out.lost().map_or(Ok(Exit::Done), |error| Err(Failure::lost_output(error)))
}

fn write_log(out: &mut Output, name: Option<String>, text: &str) {
    match name {
        None => out.write(text),
        Some(name) => {
            for line in text.lines() {
                out.write(&format!("{name} | {line}\n"));
            }
        }
    }
}

pub(super) fn machine(reached: &Reached) -> Result<RemoteMachine, Failure> {
    RemoteMachine::of(&reached.client, &reached.info).ok_or_else(|| {
        let error = LookError::Unreachable { name: reached.info.name() };
        Failure::new(Exit::BrokeOff, error).advise("`golem-tasks ps` shows all instances")
    })
}

pub(super) fn not_run(reached: &Reached, error: RanNot) -> Failure {
    let advice = match &error {
        RanNot::Expired { .. } => "--timeout gives a command more time".to_owned(),
        _ => format!("`golem-tasks ps` shows whether {} is up", reached.info.name()),
    };
    Failure::new(Exit::BrokeOff, error).advise(advice)
}

fn now() -> Timestamp {
    use yagna_api::Clock as _;
    golem_sdk::SystemClock.now()
}
