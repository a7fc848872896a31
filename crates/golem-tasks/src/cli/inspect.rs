//! The commands that look into a database of runs, ask for a run's end there, and block providers. No daemon is asked
//! anything.
//!
//! Left to others: what is read (`store`), and how it looks (`view::kept`).

pub(super) mod args;
mod cancel;
mod output;
mod providers;
mod watch;

use futures_util::TryStreamExt;

use crate::exit::{Exit, Failure};
use crate::run::signals::Stops;
use crate::store::{Dsn, Store, StoreError};
use crate::view::Output;
use crate::view::kept::{self, Grouped, Room, Show};
use args::{CancelFlags, ErrorsFlags, Format, Place, ResultsFlags, RunsFlags, WatchFlags, Which};
use output::Destination;
pub(super) use providers::providers;
use watch::Manner;

/// What is read out of the environment.
type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Reasons shown by `errors`.
const REASONS: u32 = 50;
/// Text is written when there is so much of it.
const CHUNK: usize = 1 << 16;

/// `show`: the activities of a run.
pub(super) async fn show(flags: &WatchFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    let with_summary = flags.watch;
    let read = async |store: &Store, run_id: &str| {
        let (overview, activities) = (store.overview(run_id).await?, store.activities(run_id).await?);
        Ok(Show { overview, activities })
    };
    let text = |show: &Show, room: Room| {
        if !with_summary {
            return show.text(room);
        }
        let below = kept::overview_text(&show.overview, room);
        let taken = below.lines().count() + 1;
        let room = Room { height: room.height.map(|height| height.saturating_sub(taken)), ..room };
        format!("{}\n{below}", show.text(room))
    };
    looked(flags, environment, read, text, Show::json).await
}

/// `summary`: where a run stands.
pub(super) async fn summary(flags: &WatchFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    let read = async |store: &Store, run_id: &str| store.overview(run_id).await;
    looked(flags, environment, read, kept::overview_text, kept::overview_json).await
}

/// `runs`: all runs.
pub(super) async fn runs(flags: &RunsFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.place, environment, async |store| {
        let runs = store.runs(flags.limit).await?;
        if runs.is_empty() {
            return Err(StoreError::NothingYet { place: store.place().to_owned() }.into());
        }
        let text = if flags.json { kept::runs_json(&runs) } else { kept::runs_text(&runs, watch::room()) };
        told(&text)
    })
    .await
}

/// `results`: what came of each task.
pub(super) async fn results(flags: &ResultsFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which).await?;
        if flags.output.is_none() {
            // Ctrl+C ends the program, as it ends any that writes into a pipe.
            return write_results(store, &run_id, flags).await;
        }
        let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
        tokio::select! {
            biased;
            // The file that was begun goes with what writes it.
            () = stops.next() => Ok(Exit::Cancelled),
            done = write_results(store, &run_id, flags) => done,
        }
    })
    .await
}

async fn write_results(store: &Store, run_id: &str, flags: &ResultsFlags) -> Result<Exit, Failure> {
    let path = flags.output.as_deref();
    let named_csv = path.is_some_and(|path| path.extension().is_some_and(|end| end == "csv"));
    let format = flags.format.unwrap_or(if named_csv { Format::Csv } else { Format::Jsonl });
    let mut to = Destination::open(path)?;
    if format == Format::Csv {
        to.row(&kept::CSV_HEADER)?;
    }
    let mut results = store.results(run_id, flags.all);
    while let Some(result) = results.try_next().await? {
        match format {
            Format::Csv => to.row(&kept::result_csv(&result))?,
            Format::Jsonl => to.text(&kept::result_json(&result))?,
        }
        if to.is_closed() {
            break;
        }
    }
    to.finish()?;
    Ok(Exit::Done)
}

/// `errors`: what failed.
pub(super) async fn errors(flags: &ErrorsFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which).await?;
        if !flags.all {
            let (groups, total) = store.error_groups(&run_id, REASONS).await?;
            let grouped = Grouped { run_id, groups, total };
            return told(&if flags.json { grouped.json() } else { grouped.text() });
        }
        let mut output = Output::stdout();
        let mut errors = store.errors(&run_id);
        let mut text = String::new();
        let mut nothing = true;
        while let Some(error) = errors.try_next().await? {
            nothing = false;
            text.push_str(&if flags.json { kept::error_json(&error) } else { kept::error_text(&error) });
            if text.len() >= CHUNK {
                output.write(&std::mem::take(&mut text));
            }
            if output.is_closed() {
                break;
            }
        }
        if nothing && !flags.json {
            text = Grouped { run_id: run_id.clone(), groups: Vec::new(), total: 0 }.text();
        }
        output.write(&text);
        written(&output)
    })
    .await
}

/// `cancel`: the end of a run of another process.
pub(super) async fn cancel(flags: &CancelFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which).await?;
        cancel::cancel(store, &run_id, &mut Output::stderr()).await
    })
    .await
}

/// Does something with the database that is meant, and closes it again.
async fn within<T>(
    place: &Place,
    environment: Environment<'_>,
    work: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let store = Store::open_existing(&Dsn::choose(place.dsn.as_deref(), environment)?).await?;
    let done = work(&store).await;
    store.close().await;
    done
}

async fn chosen(store: &Store, which: &Which) -> Result<String, Failure> {
    Ok(store.choose_run(which.run_id.as_deref()).await?)
}

/// Shows something about a run once, or again and again.
async fn looked<D>(
    flags: &WatchFlags,
    environment: Environment<'_>,
    read: impl AsyncFn(&Store, &str) -> Result<D, StoreError>,
    text: impl Fn(&D, Room) -> String,
    json: impl Fn(&D) -> String,
) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let manner = if flags.json { Manner::Json } else { Manner::Text };
        let look = async |room: Room| {
            // The newest run may be another one than it was.
            let run_id = store.choose_run(flags.which.run_id.as_deref()).await?;
            let seen = read(store, &run_id).await?;
            Ok::<_, StoreError>(if flags.json { json(&seen) } else { text(&seen, room) })
        };
        if flags.watch {
            return watch::watch(manner, look).await;
        }
        told(&look(if flags.json { Room::default() } else { watch::room() }).await?)
    })
    .await
}

/// Writes something to standard output.
fn told(text: &str) -> Result<Exit, Failure> {
    let mut output = Output::stdout();
    output.write(text);
    written(&output)
}

fn written(output: &Output) -> Result<Exit, Failure> {
    match output.lost() {
        Some(error) => Err(Failure::lost_output(error)),
        None => Ok(Exit::Done),
    }
}
