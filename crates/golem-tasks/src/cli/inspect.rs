//! The commands that look into a database of runs, ask for a run's end there, and block providers. No daemon is asked
//! anything.
//!
//! Left to others: what is read (`store`), and how it looks (`view::kept`).

pub(super) mod args;
mod cancel;
pub(super) mod elsewhere;
mod output;
mod providers;
mod remove;
mod top;
mod wait;
mod watch;

use std::path::Path;

use futures_util::TryStreamExt;

use crate::exit::{Exit, Failure};
use crate::signals::Stops;
use crate::store::{Grouping, Overview, ResultRow, RunRecord, RunStatus, RunsWanted, Store, StoreError};
use crate::view::Output;
use crate::view::kept::{self, Columns, Grouped, Room, Show};
use crate::view::text::plural;
use args::{
    By, CancelFlags, CostFlags, ErrorsFlags, ExplainFlags, Format, Place, ResultsFlags, RunsAction,
    RunsFlags, TopFlags, WaitFlags, WatchFlags, Which,
};
pub(super) use output::Destination;
pub(super) use providers::providers;
pub(crate) use watch::{Manner, Seen, room, watch};

/// The variables of the environment.
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
    looked(flags, environment, read, |show| &show.overview, text, Show::json).await
}

/// `summary`: where a run stands.
pub(super) async fn summary(flags: &WatchFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    let read = async |store: &Store, run_id: &str| store.overview(run_id).await;
    looked(flags, environment, read, |overview| overview, kept::overview_text, kept::overview_json).await
}

/// `runs`: all runs; `rm` and `prune`.
pub(super) async fn runs(flags: &RunsFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    match &flags.action {
        Some(RunsAction::Rm(flags)) => return remove::rm(flags, environment).await,
        Some(RunsAction::Prune(flags)) => return remove::prune(flags, environment).await,
        None => {}
    }
    let listed = within(&flags.place, environment, async |store| {
        let states: Vec<_> = flags.state.iter().map(|state| state.word()).collect();
        let wanted = RunsWanted { limit: flags.limit, since: flags.since, states: &states };
        let runs = store.runs_wanted(&wanted).await?;
        if runs.is_empty() && flags.state.is_empty() && flags.since.is_none() {
            return Err(StoreError::NothingYet { place: store.place().to_owned() }.into());
        }
        let text = if flags.json { kept::runs_json(&runs) } else { kept::runs_text(&runs, watch::room()) };
        told(&text)
    })
    .await;
    listed.or_else(|failure| nothing_yet(failure, flags.json, || kept::runs_json(&[])))
}

/// A list of nothing is no failure: why it is empty goes to standard error.
fn nothing_yet(failure: Failure, as_json: bool, json: impl FnOnce() -> String) -> Result<Exit, Failure> {
    if !matches!(failure.error().downcast_ref(), Some(StoreError::NothingYet { .. })) {
        return Err(failure);
    }
    if as_json {
        return told(&json());
    }
    let advice = failure.advice().map(|advice| format!("  try: {advice}\n")).unwrap_or_default();
    Output::stderr().write(&format!("{}\n{advice}", failure.error()));
    Ok(Exit::Done)
}

/// `results`: what came of each task.
pub(super) async fn results(flags: &ResultsFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which, environment).await?;
        if let Some(path) = &flags.joblog {
            let path = Some(path.as_path()).filter(|path| *path != Path::new("-"));
            return write_joblog(store, &run_id, Destination::open(path)?).await;
        }
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

async fn write_joblog(store: &Store, run_id: &str, mut to: Destination) -> Result<Exit, Failure> {
    to.text(kept::JOBLOG_HEADER)?;
    let mut last = None;
    loop {
        let page = store.last_attempts(run_id, last).await?;
        let Some(newest) = page.last() else { break };
        last = Some(newest.task);
        for attempt in &page {
            if let Some(line) = kept::joblog(attempt) {
                to.text(&line)?;
            }
        }
        if to.is_closed() {
            break;
        }
    }
    to.finish()?;
    Ok(Exit::Done)
}

async fn write_results(store: &Store, run_id: &str, flags: &ResultsFlags) -> Result<Exit, Failure> {
    let path = flags.output.as_deref();
    let named_csv = path.is_some_and(|path| path.extension().is_some_and(|end| end == "csv"));
    let as_csv = named_csv || flags.columns.is_some();
    let format = flags.format.unwrap_or(if as_csv { Format::Csv } else { Format::Jsonl });
    let mut columns = flags.columns.as_deref().map(Columns::new);
    if columns.is_some() && format != Format::Csv {
        return Err(Failure::new(Exit::Usage, "--columns chooses columns of CSV, and the format is JSON")
            .advise("leave --format out, or choose fields of JSON with `jq`"));
    }
    let mut to = Destination::open(path)?;
    match (format, &columns) {
        (Format::Csv, Some(columns)) => to.row(&columns.header())?,
        (Format::Csv, None) => to.row(&kept::CSV_HEADER)?,
        (Format::Jsonl, _) => {}
    }
    let mut write = |to: &mut Destination, result: &ResultRow| match (format, &mut columns) {
        (Format::Csv, Some(columns)) => to.row(&columns.row(result)),
        (Format::Csv, None) => to.row(&kept::result_csv(result)),
        (Format::Jsonl, _) => to.text(&kept::result_json(result)),
    };
    let mut results = store.results(run_id, flags.all);
    let (mut last, mut n_written) = (None, 0);
    let damage = loop {
        match results.try_next().await {
            Ok(Some(result)) => {
                write(&mut to, &result)?;
                last = Some(result.task.task.0);
                if to.is_closed() {
                    return to.finish().map(|()| Exit::Done);
                }
                n_written += 1;
            }
            Ok(None) => break None,
            Err(error) if error.is_damage() => break Some(error),
            Err(error) => return Err(error.into()),
        }
    };
    drop(results);
    let Some(damage) = damage else {
        if let Some(Err(missing)) = columns.map(Columns::check) {
            let advice = missing.advice();
            return Err(Failure::new(Exit::Usage, missing).advise(advice));
        }
        to.finish()?;
        if !flags.all {
            tell_left_out(store, run_id, n_written).await?;
        }
        return Ok(Exit::Done);
    };
    let mut failed = None;
    let salvaged = store.salvage(run_id, last, flags.all, |result| {
        failed = write(&mut to, result).err();
        failed.is_none() && !to.is_closed()
    });
    // Where nothing more can be found, what was found before is still worth having.
    let unread = salvaged.await.ok();
    if let Some(failed) = failed {
        return Err(failed);
    }
    to.finish()?;
    let advice = match unread {
        Some(unread) => format!("what could be read is written; {} can't be", plural(unread, "task")),
        None => "what could be read is written; tasks after it can't be found".to_owned(),
    };
    let more = damage.advice().map(|more| format!("; {more}")).unwrap_or_default();
    Err(Failure::from(damage).advise(format!("{advice}{more}")))
}

/// Says on standard error what isn't among the results, if there is something.
async fn tell_left_out(store: &Store, run_id: &str, n_written: u64) -> Result<(), Failure> {
    let tasks = store.run_summary(run_id).await?.tasks;
    let left_out =
        [(tasks.no_result, "without a result"), (tasks.failed, "failed"), (tasks.unfinished(), "unfinished")];
    let left_out: Vec<_> =
        left_out.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !left_out.is_empty() {
        let results = plural(n_written, "result");
        let left_out = listed(&left_out);
        let text = format!("{results} written; {left_out} left out: --all writes every task\n");
        Output::stderr().write(&text);
    }
    Ok(())
}

/// `a, b and c`.
fn listed(all: &[String]) -> String {
    match all {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        all => all.concat(),
    }
}

/// `errors`: what failed.
pub(super) async fn errors(flags: &ErrorsFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which, environment).await?;
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

/// `top`: a run in a full-screen view.
pub(super) async fn top(flags: &TopFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    top::check()?;
    // A provider may be blocked there, and a run asked to stop.
    within_to_write(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which, environment).await?;
        let coloured = environment("NO_COLOR").is_none_or(|value| value.is_empty());
        top::top(store, run_id, coloured).await
    })
    .await
}

/// `explain`: why no more providers work for a run, or the story of one of its tasks.
pub(super) async fn explain(flags: &ExplainFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.place, environment, async |store| {
        let run_id = choose(store, flags.run_id.as_deref(), &flags.place, environment).await?;
        let text = if let Some(task) = &flags.task {
            let story = match store.task_story(&run_id, task).await {
                // The name of a run stands there in the other commands.
                Err(StoreError::NoSuchTask { .. }) if store.choose_run(Some(task)).await.is_ok() => {
                    let error =
                        format!("run `{run_id}` has no task `{task}`, but there is a run of this name");
                    return Err(Failure::new(Exit::Usage, error)
                        .advise(format!("`golem-tasks explain --run-id {task}` explains the run")));
                }
                story => story?,
            };
            if flags.json { kept::task_json(&story) } else { kept::task_text(&story) }
        } else {
            let run = store.explain(&run_id).await?;
            if flags.json { kept::explain_json(&run) } else { kept::explain_text(&run) }
        };
        told(&text)
    })
    .await
}

/// `wait`: the end of a run, and its exit code.
pub(super) async fn wait(flags: &WaitFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which, environment).await?;
        wait::wait(store, &run_id, &mut Output::stderr()).await
    })
    .await
}

/// `cost`: what was paid.
pub(super) async fn cost(flags: &CostFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    let grouping = match flags.by {
        By::Run => Grouping::Run,
        By::Provider => Grouping::Provider,
        By::Day => Grouping::Day,
    };
    let empty = |since| kept::Costs { by: grouping, since, rows: Vec::new() };
    let listed = within(&flags.place, environment, async |store| {
        let (since, rows) = store.costs(grouping, flags.since).await?;
        let costs = kept::Costs { by: grouping, since, rows };
        told(&if flags.json { costs.json() } else { costs.text(watch::room()) })
    })
    .await;
    listed.or_else(|failure| nothing_yet(failure, flags.json, || empty(None).json()))
}

/// `cancel`: the end of a run of another process.
pub(super) async fn cancel(flags: &CancelFlags, environment: Environment<'_>) -> Result<Exit, Failure> {
    within_to_write(&flags.which.place, environment, async |store| {
        let run_id = chosen(store, &flags.which, environment).await?;
        cancel::cancel(store, &run_id, &mut Output::stderr()).await
    })
    .await
}

/// Reads something in the database that is meant, and closes it again. Nothing is written there.
pub(super) async fn within<T>(
    place: &Place,
    environment: Environment<'_>,
    work: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let dsn = place.dsn(environment)?;
    let store = match Store::open_to_read(&dsn).await {
        Ok(store) => store,
        Err(error) => return Err(elsewhere::hinted(error.into(), None, &dsn).await),
    };
    let done = work(&store).await;
    store.close().await;
    done
}

/// Does something that changes the database that is meant, and closes it again.
pub(super) async fn within_to_write<T>(
    place: &Place,
    environment: Environment<'_>,
    work: impl AsyncFnOnce(&Store) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let dsn = place.dsn(environment)?;
    let store = match Store::open_existing(&dsn).await {
        Ok(store) => store,
        Err(error) => return Err(elsewhere::hinted(error.into(), None, &dsn).await),
    };
    let done = work(&store).await;
    store.close().await;
    done
}

/// Reads the record of a run, named by its id or the beginning of it; without a name, of the newest.
pub(super) async fn record(
    place: &Place,
    run_id: Option<&str>,
    environment: Environment<'_>,
) -> Result<RunRecord, Failure> {
    within(place, environment, async |store| {
        let run_id = choose(store, run_id, place, environment).await?;
        let record = store.run_record(&run_id).await?;
        record.ok_or_else(|| {
            let (place, nearest) = (store.place().to_owned(), Vec::new());
            StoreError::NoSuchRun { run_id, place, nearest }.into()
        })
    })
    .await
}

pub(super) async fn chosen(
    store: &Store,
    which: &Which,
    environment: Environment<'_>,
) -> Result<String, Failure> {
    choose(store, which.run_id(), &which.place, environment).await
}

/// The run that is meant; where it is in the other database, the failure says so.
async fn choose(
    store: &Store,
    run_id: Option<&str>,
    place: &Place,
    environment: Environment<'_>,
) -> Result<String, Failure> {
    match store.choose_run(run_id).await {
        Ok(run_id) => Ok(run_id),
        Err(error) => Err(elsewhere::hinted(error.into(), run_id, &place.dsn(environment)?).await),
    }
}

/// Shows something about a run once, or again and again.
async fn looked<D>(
    flags: &WatchFlags,
    environment: Environment<'_>,
    read: impl AsyncFn(&Store, &str) -> Result<D, StoreError>,
    overview: impl Fn(&D) -> &Overview,
    text: impl Fn(&D, Room) -> String,
    json: impl Fn(&D) -> String,
) -> Result<Exit, Failure> {
    within(&flags.which.place, environment, async |store| {
        let manner = if flags.json { Manner::Json } else { Manner::Text };
        // The one that is meant now: the newest run may be another one a second later.
        let run_id = chosen(store, &flags.which, environment).await?;
        let look = async |room: Room| {
            let seen = read(store, &run_id).await?;
            // An interrupted run may be resumed.
            let is_last = matches!(overview(&seen).status, RunStatus::Ended(_));
            let text = if flags.json { json(&seen) } else { text(&seen, room) };
            Ok::<_, StoreError>(Seen { text, is_last })
        };
        if flags.watch {
            return watch(manner, look).await;
        }
        told(&look(if flags.json { Room::default() } else { watch::room() }).await?.text)
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
