//! The network's books in a file, for tests of requestors: what was agreed, run, billed and paid, and what is still open.
//!
//! They are written whenever SIGUSR1 comes, and when the devnet is told to end, before anything of it ends. Left to
//! others: the books themselves ([`golem_devnet::node::Books`]). `docs/json-output.md` is the reference of the file.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use golem_devnet::news::{CommandName, Happening, HappeningKind, Heard, News};
use golem_devnet::node::{ActivityRow, AgreementRow, AllocationRow, BillRow, Books, World};
use golem_devnet::provider::ProviderHandle;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use yagna_api::{ActivityId, Clock, Timestamp};

use super::file::{Readers, write_whole};
use super::json::{VERSION, ended, words};
use crate::exit::{Exit, Failure};

/// The books couldn't be written to their file.
#[derive(Debug, thiserror::Error)]
#[error("can't write the books to `{}`", path.display())]
struct BooksError {
    path: PathBuf,
    source: io::Error,
}

/// The source of the books.
#[derive(Debug)]
pub(super) struct NetworkView {
    pub(super) world: World,
    pub(super) providers: Vec<ProviderHandle>,
}

/// Notes every command from the beginning on, and writes the books when it is asked.
#[derive(Debug)]
pub(super) struct Bookkeeper {
    task: JoinSet<Result<(), BooksError>>,
    closing: CancellationToken,
}

impl Bookkeeper {
    /// `news` must tell of commands, and have missed nothing.
    ///
    /// Fails where the file can't be written: better now than after hours.
    pub(super) fn start(path: PathBuf, network: NetworkView, news: News) -> Result<Self, Failure> {
        let closing = CancellationToken::new();
        let asked = Asked::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
        try_folder(&path).map_err(|source| usage(BooksError { path: path.clone(), source }))?;
        let mut task = JoinSet::new();
        task.spawn(keep(path, network, news, asked, closing.clone()));
        Ok(Self { task, closing })
    }

    /// Writes the books a last time, as they are now.
    pub(super) async fn close(mut self) -> Result<(), Failure> {
        self.closing.cancel();
        match self.task.join_next().await {
            Some(Ok(written)) => written.map_err(usage),
            Some(Err(error)) => Err(Failure::new(Exit::Bug, error)),
            None => Ok(()),
        }
    }
}

fn usage(error: BooksError) -> Failure {
    Failure::new(Exit::Usage, error)
}

/// Checks that files can be made beside this one.
fn try_folder(path: &Path) -> io::Result<()> {
    let mut probe = path.as_os_str().to_owned();
    probe.push(".new");
    std::fs::File::create(&probe)?;
    std::fs::remove_file(&probe)
}

async fn keep(
    path: PathBuf,
    network: NetworkView,
    mut news: News,
    mut asked: Asked,
    closing: CancellationToken,
) -> Result<(), BooksError> {
    let mut commands = Commands::default();
    let mut times = 0;
    loop {
        // News come first: whoever asks gets all that was told before.
        let last = tokio::select! {
            biased;
            heard = news.next() => match heard {
                Some(heard) => {
                    commands.hear(&heard);
                    continue;
                }
                None => true,
            },
            () = asked.next() => false,
            () = closing.cancelled() => true,
        };
        times += 1;
        let object = told(&network, &commands, times);
        match write_whole(&path, ended(&object).as_bytes(), Readers::Usual) {
            Ok(()) if last => return Ok(()),
            Ok(()) => {}
            Err(source) if last => return Err(BooksError { path, source }),
            Err(error) => tracing::error!(%error, path = %path.display(), "the books can't be written"),
        }
    }
}

/// All that was run, and what still runs.
#[derive(Debug, Default)]
struct Commands {
    rows: Vec<CommandRow>,
    /// An activity runs one command at a time: the place of the one that runs.
    running: HashMap<ActivityId, usize>,
    missed: u64,
}

#[derive(Debug)]
struct CommandRow {
    activity: ActivityId,
    provider: Arc<str>,
    command: CommandName,
    started: Timestamp,
    ended: Option<(Timestamp, Result<i32, String>)>,
}

impl Commands {
    fn hear(&mut self, heard: &Heard) {
        match heard {
            Heard::Happening(happening) => self.on(happening),
            Heard::Missed(missed) => self.missed += missed,
        }
    }

    fn on(&mut self, happening: &Happening) {
        match &happening.kind {
            HappeningKind::CommandStarted { activity, command } => {
                self.running.insert(activity.clone(), self.rows.len());
                self.rows.push(CommandRow {
                    activity: activity.clone(),
                    provider: Arc::clone(&happening.provider),
                    command: command.clone(),
                    started: happening.at,
                    ended: None,
                });
            }
            HappeningKind::CommandEnded { activity, result, .. } => {
                if let Some(place) = self.running.remove(activity) {
                    self.rows[place].ended = Some((happening.at, result.clone()));
                }
            }
            // Programs that ran there ended with it.
            HappeningKind::ActivityEnded { activity, .. } => {
                self.cut(happening.at, |row| row.activity == *activity);
            }
            HappeningKind::Vanished => self.cut(happening.at, |row| row.provider == happening.provider),
            _ => {}
        }
    }

    fn cut(&mut self, at: Timestamp, is_gone: impl Fn(&CommandRow) -> bool) {
        let rows = &mut self.rows;
        self.running.retain(|_, place| {
            let row = &mut rows[*place];
            let gone = is_gone(row);
            if gone {
                row.ended = Some((at, Err("ended with its activity".to_owned())));
            }
            !gone
        });
    }

    fn json(&self) -> Vec<Value> {
        let row = |row: &CommandRow| {
            let end = row.ended.as_ref();
            json!({
                "activity": row.activity,
                "provider": &*row.provider,
                "command": words(&row.command),
                "started": row.started,
                "ended": end.map(|(at, _)| at),
                "exit_code": end.and_then(|(_, result)| result.as_ref().ok()),
                "failure": end.and_then(|(_, result)| result.as_ref().err()),
            })
        };
        self.rows.iter().map(row).collect()
    }
}

fn told(network: &NetworkView, commands: &Commands, times: u64) -> Value {
    let books: Books = network.world.books();
    let providers: Vec<_> = network
        .providers
        .iter()
        .map(|provider| json!({ "id": provider.node(), "name": provider.name(), "gone": provider.is_gone() }))
        .collect();
    json!({
        "type": "books",
        "version": VERSION,
        "times": times,
        "at": network.world.clock().now(),
        "providers": providers,
        "demands": books.demands,
        "offers": books.offers,
        "agreements": books.agreements.iter().map(agreement).collect::<Vec<_>>(),
        "activities": books.activities.iter().map(activity).collect::<Vec<_>>(),
        "commands": commands.json(),
        "missed": commands.missed,
        "debit_notes": books.debit_notes.iter().map(bill).collect::<Vec<_>>(),
        "invoices": books.invoices.iter().map(bill).collect::<Vec<_>>(),
        "allocations": books.allocations.iter().map(allocation).collect::<Vec<_>>(),
        "payments": books.payments,
    })
}

fn agreement(row: &AgreementRow) -> Value {
    json!({
        "id": row.id,
        "state": row.state,
        "requestor": row.requestor,
        "provider": row.provider,
        "session": row.session,
        "created": row.created,
        "approved": row.approved,
        "ended": row.ended,
        "ended_by": row.terminator,
        "reason": row.reason,
    })
}

fn activity(row: &ActivityRow) -> Value {
    json!({
        "id": row.id,
        "agreement": row.agreement,
        "state": row.state.state.0,
        "alive": row.alive,
        "created": row.created,
        "usage": row.usage,
        "owed": row.owed,
    })
}

fn bill(row: &BillRow) -> Value {
    json!({
        "id": row.id,
        "agreement": row.agreement,
        "activity": row.activity,
        "amount": row.amount,
        "status": row.status,
        "issued": row.issued,
    })
}

fn allocation(row: &AllocationRow) -> Value {
    json!({
        "id": row.id,
        "requestor": row.owner,
        "total": row.total,
        "spent": row.spent,
        "released": row.released,
    })
}

#[cfg(unix)]
use self::unix::Asked;

#[cfg(not(unix))]
use self::other::Asked;

#[cfg(unix)]
mod unix {
    use std::io;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// SIGUSR1.
    pub(super) struct Asked(Signal);

    impl Asked {
        pub(super) fn listen() -> io::Result<Self> {
            signal(SignalKind::user_defined1()).map(Self)
        }

        /// Waits for the next one. Cancel safe.
        pub(super) async fn next(&mut self) {
            if self.0.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::io;

    /// Elsewhere nobody can ask.
    pub(super) struct Asked;

    impl Asked {
        #[expect(clippy::unnecessary_wraps, reason = "listening for signals may fail elsewhere")]
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn happening(provider: &str, second: i64, kind: HappeningKind) -> Heard {
        let node = "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
        let at = Timestamp::from_second(second).unwrap();
        Heard::Happening(Arc::new(Happening { at, provider: provider.into(), node, kind }))
    }

    fn run(word: &str) -> CommandName {
        CommandName::Run(Arc::new([word.to_owned()]))
    }

    fn started(activity: &str, word: &str) -> HappeningKind {
        HappeningKind::CommandStarted { activity: ActivityId::new(activity), command: run(word) }
    }

    #[test]
    fn a_command_runs_until_it_ends_or_its_activity_or_its_provider_does() {
        let mut commands = Commands::default();
        commands.hear(&happening("ada", 1, started("a", "one")));
        commands.hear(&happening("bob", 2, started("b", "two")));
        let done = HappeningKind::CommandEnded {
            activity: ActivityId::new("a"),
            command: run("one"),
            took: Duration::from_secs(2),
            result: Ok(7),
        };
        commands.hear(&happening("ada", 3, done));
        commands.hear(&happening("ada", 4, started("a", "three")));
        commands.hear(&Heard::Missed(2));
        let ends = |commands: &Commands| -> Vec<_> {
            commands.json().iter().map(|row| (row["ended"].is_null(), row["exit_code"].clone())).collect()
        };
        assert_eq!(ends(&commands), [(false, json!(7)), (true, Value::Null), (true, Value::Null)]);
        commands.hear(&happening("bob", 5, HappeningKind::Vanished));
        assert_eq!(ends(&commands), [(false, json!(7)), (false, Value::Null), (true, Value::Null)]);
        assert_eq!((commands.missed, commands.running.len()), (2, 1));
        assert_eq!(commands.json()[1]["failure"], json!("ended with its activity"));
    }
}
