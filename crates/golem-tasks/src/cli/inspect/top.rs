//! `top`: a run in a full-screen view, from the database. Here is the terminal, and what its keys ask for.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, stdin, stdout};
use std::time::Duration;

use golem_sdk::SystemClock;
use golem_sdk::text::chain;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use yagna_api::Clock;

use crate::description::RunDescription;
use crate::exit::{Exit, Failure};
use crate::signals::Stops;
use crate::store::{Ask, Store, StoreError};
use crate::view::kept::{state_text, task_text};
use crate::view::text::{one_line, quoted};
use crate::view::top::{Snapshot, Top, Wish, draw};

/// The time between two looks at the database.
const EVERY: Duration = Duration::from_secs(1);
/// The keyboard is asked this often whether the view goes on.
const KEYS: Duration = Duration::from_millis(100);
/// Runs that are listed.
const RUNS: u32 = 50;
/// Reasons of failures that are listed.
const REASONS: u32 = 50;
/// Keys that wait to be taken.
const WAITING: usize = 64;

/// The screen belongs to something else than a person.
#[derive(Debug, thiserror::Error)]
#[error("`top` needs a terminal, and standard input or output is none")]
struct NoTerminal;

/// The terminal as the view needs it; it is as it was once this is dropped, also by a panic.
struct Screen(ratatui::DefaultTerminal);

impl Screen {
    fn open() -> io::Result<Self> {
        // It restores the terminal before a panic is told, too.
        ratatui::try_init().map(Self)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Checks that the standard input and output are a terminal.
pub(super) fn check() -> Result<(), Failure> {
    if stdin().is_terminal() && stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, NoTerminal)
        .advise("`golem-tasks show --watch` and `summary --watch --json` work without one"))
}

/// Shows a run until somebody leaves.
pub(super) async fn top(store: &Store, run_id: String, coloured: bool) -> Result<Exit, Failure> {
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut screen = Screen::open().map_err(|error| Failure::new(Exit::Usage, error))?;
    let leave = CancellationToken::new();
    let (sender, mut events) = mpsc::channel(WAITING);
    let mut keyboard = JoinSet::new();
    keyboard.spawn_blocking({
        let leave = leave.clone();
        move || read_keys(&sender, &leave)
    });
    let shown = show(store, run_id, coloured, &mut screen, &mut events, &mut stops).await;
    leave.cancel();
    drop(screen);
    keyboard.join_next().await;
    shown.map(|()| Exit::Done).map_err(|error| Failure::new(Exit::Usage, error))
}

/// Reads the keyboard until the view ends.
fn read_keys(to: &mpsc::Sender<Event>, leave: &CancellationToken) {
    while !leave.is_cancelled() {
        match event::poll(KEYS) {
            Ok(false) => {}
            Ok(true) => match event::read() {
                Ok(event) => {
                    if to.blocking_send(event).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}

async fn show(
    store: &Store,
    mut run_id: String,
    coloured: bool,
    screen: &mut Screen,
    events: &mut mpsc::Receiver<Event>,
    stops: &mut Stops,
) -> io::Result<()> {
    let mut top = Top::new(coloured);
    let mut reading: JoinSet<Result<Snapshot, StoreError>> = JoinSet::new();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        screen.0.draw(|frame| draw(frame, &top))?;
        tokio::select! {
            biased;
            () = stops.next() => return Ok(()),
            event = events.recv() => {
                let Some(event) = event else { return Ok(()) };
                if let Event::Key(key) = event
                    && do_as_wished(store, &mut top, &mut run_id, key).await
                {
                    return Ok(());
                }
            }
            Some(read) = reading.join_next() => match read {
                Ok(Ok(snapshot)) if snapshot.overview.summary.run_id == run_id => top.see(snapshot),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => top.say(format!("the database can't be read: {}", chain(&error))),
                Err(error) => top.say(chain(&error)),
            },
            _ = tick.tick() => {
                // A slow database is asked again only when it has answered.
                if reading.is_empty() {
                    let (store, run_id) = (store.clone(), run_id.clone());
                    reading.spawn(async move { read(&store, &run_id).await });
                }
            }
        }
    }
}

async fn read(store: &Store, run_id: &str) -> Result<Snapshot, StoreError> {
    let overview = store.overview(run_id).await?;
    let (at_work, all_known) = store.tasks_at_work(run_id).await?;
    let record = store.run_record(run_id).await?;
    let description: Option<RunDescription> = record.as_ref().and_then(|record| record.description().ok());
    Ok(Snapshot {
        now: SystemClock.now(),
        overview,
        budget: description.and_then(|description| description.limits.budget.total()),
        all_known,
        activities: store.activities(run_id).await?,
        at_work,
        errors: store.error_groups(run_id, REASONS).await?.0,
        runs: store.runs(RUNS).await?,
    })
}

/// Takes a key and does what it asks for. `true` where the view is to end.
async fn do_as_wished(store: &Store, top: &mut Top, run_id: &mut String, key: KeyEvent) -> bool {
    let done = match top.press(key) {
        None => return false,
        Some(Wish::Quit) => return true,
        Some(Wish::Show(other)) => {
            *run_id = other;
            Ok("reading ..".to_owned())
        }
        Some(Wish::Cancel) => store.ask_to_cancel(run_id).await.map(|ask| match ask {
            Ask::Asked => "the run was asked to stop".to_owned(),
            Ask::Nobody(status) => format!("nobody to ask: {}", state_text(&status, None)),
        }),
        Some(Wish::Block(provider)) => {
            let name = one_line(&provider.name);
            let blocked = store.block_providers(&[provider], None, SystemClock.now()).await;
            blocked.map(|()| format!("{name} is blocked; `providers unblock` undoes it"))
        }
        Some(Wish::LookInto(task)) => match look_into(store, run_id, &task).await {
            Ok(text) => {
                top.show(format!("Task {task}"), text);
                return false;
            }
            Err(error) => Err(error),
        },
    };
    top.say(done.unwrap_or_else(|error| chain(&error)));
    false
}

/// The story of a task, its result and its output.
async fn look_into(store: &Store, run_id: &str, task: &str) -> Result<String, StoreError> {
    let story = store.task_story(run_id, task).await?;
    let mut text = task_text(&story);
    let Some(row) = store.task(run_id, story.task).await? else { return Ok(text) };
    if let Some(result) = row.result.filter(|result| !result.is_null()) {
        let _ = writeln!(text, "\nresult     {}", quoted(&result));
    }
    for (name, output) in [("standard output", &row.stdout), ("standard error", &row.stderr)] {
        if !output.is_empty() {
            let _ = writeln!(text, "\n{name}:\n{}", output.to_text().trim_end());
        }
    }
    Ok(text)
}
