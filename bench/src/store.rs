//! How fast the store is by itself: task lifecycles a second into a database, and how long it takes to read a run out
//! of it, for people and for taking it up again.
//!
//! A lifecycle is a task that is added, started and done, with its result. Commits are as the engine's are at full
//! speed: each holds what ended, what began and what became known since the one before. How many tasks share a commit
//! depends on the run, so several sizes are measured.

use std::time::Duration;

use futures_util::TryStreamExt;
use golem_sdk::SystemClock;
use golem_sdk::event::{Attempt, Event, EventKind, JobId, Provider, RentalId, TaskId, TaskOutput};
use golem_tasks::store::{Dsn, Holder, NewRun, Store};
use serde_json::json;
use tokio::time::Instant;
use yagna_api::{AppSessionId, Clock, ProposalId};

use crate::{Failure, peak_memory};

const RENTALS: u64 = 10;
/// Tasks that share a commit, and how many of all tasks are written so: small commits are measured shorter.
const GROUPS: [(u64, u64); 4] = [(1, 20), (10, 4), (100, 1), (1000, 1)];

/// Measures writing in groups of several sizes, then reading the largest run back.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
pub(crate) async fn measure(dsn: &Dsn, tasks: u64) -> Result<(), Failure> {
    let store = Store::open(dsn).await?;
    let chance = fastrand::u32(..);
    println!("place {}", store.place());
    for (group, part) in GROUPS {
        let run_id = format!("bench-{chance:08x}-{group}");
        let tasks = (tasks / part).max(group);
        let took = write(&store, &run_id, tasks, group).await?;
        println!("lifecycles_{group}_a_commit {:.0} tasks/s", per_second(tasks, took)?);
        if part == 1 {
            load(&store, &run_id, tasks, group).await?;
        }
    }
    if let Some(peak) = peak_memory() {
        println!("peak_memory {:.1} MiB", peak / 1024.0);
    }
    store.close().await;
    Ok(())
}

async fn write(store: &Store, run_id: &str, tasks: u64, group: u64) -> Result<Duration, Failure> {
    let new = NewRun {
        run_id: run_id.to_owned(),
        created: SystemClock.now(),
        app_session: AppSessionId::new("bench"),
        job: json!("bench"),
    };
    store.create_run(&new).await?;
    let lease = store.take(run_id, &Holder::here()).await?;
    let mut events = Vec::new();
    for rental in 1..=RENTALS {
        push(
            &mut events,
            EventKind::AgreementIntended {
                rental: RentalId(rental),
                provider: Provider {
                    id: format!("0x{rental:040x}").parse()?,
                    name: format!("provider-{rental}"),
                },
                proposal: ProposalId::new(format!("R-{rental}")),
                per_hour: "0.1".parse()?,
                start: "0".parse()?,
                terms: Box::default(),
            },
        );
        push(&mut events, EventKind::ActivityIntended { rental: RentalId(rental), job: JobId::FIRST });
    }
    lease.run().apply(&events).await?;
    let began = Instant::now();
    let groups = tasks / group;
    for round in 0..groups + 2 {
        events.clear();
        let its = |round: u64| (round * group)..((round + 1) * group);
        if round >= 2 {
            its(round - 2).for_each(|task| push(&mut events, done(task)));
        }
        if (1..=groups).contains(&round) {
            for task in its(round - 1) {
                let rental = RentalId(task % RENTALS + 1);
                push(&mut events, EventKind::TaskStarted { attempt: attempt(task), rental });
            }
        }
        if round < groups {
            for task in its(round) {
                let data = json!({ "frame": task, "file": format!("frames/{task:06}.png") });
                push(
                    &mut events,
                    EventKind::TaskAdded { job: JobId::FIRST, task: TaskId(task), data, spawned: false },
                );
            }
        }
        lease.run().apply(&events).await?;
    }
    let took = began.elapsed();
    lease.release().await?;
    Ok(took)
}

/// Reads a run back and checks that it is whole.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn load(store: &Store, run_id: &str, tasks: u64, group: u64) -> Result<(), Failure> {
    let began = Instant::now();
    let counted = store.run_summary(run_id).await?.tasks.done;
    println!("summary_{group}_a_commit {:.3} s", began.elapsed().as_secs_f64());
    let lease = store.take(run_id, &Holder::here()).await?;
    let began = Instant::now();
    let state = lease.run().state().await?;
    println!("recovery_{group}_a_commit {:.3} s", began.elapsed().as_secs_f64());
    lease.release().await?;
    if (state.done, state.rentals.len() as u64) != (tasks, RENTALS) {
        return Err(format!(
            "the state has {} of {tasks} tasks done, and {} rentals",
            state.done,
            state.rentals.len()
        )
        .into());
    }
    let began = Instant::now();
    let read = store.tasks(run_id).try_fold(0_u64, async |n, _| Ok(n + 1)).await?;
    let took = began.elapsed();
    println!("loading_{group}_a_commit {:.0} tasks/s", per_second(read, took)?);
    if (counted, read) != (tasks, tasks) {
        return Err(format!("{counted} of {tasks} tasks are done, and {read} were read").into());
    }
    Ok(())
}

fn push(events: &mut Vec<Event>, kind: EventKind) {
    events.push(Event { at: SystemClock.now(), kind });
}

fn attempt(task: u64) -> Attempt {
    Attempt { task: TaskId(task), number: 1 }
}

fn done(task: u64) -> EventKind {
    EventKind::TaskDone {
        attempt: attempt(task),
        rental: RentalId(task % RENTALS + 1),
        output: TaskOutput {
            result: json!({ "frame": task, "seconds": 0.25 }),
            stdout: format!("rendered frame {task}\n").into(),
            ..TaskOutput::default()
        },
        took: Duration::from_millis(250),
    }
}

fn per_second(tasks: u64, took: Duration) -> Result<f64, Failure> {
    Ok(f64::from(u32::try_from(tasks)?) / took.as_secs_f64())
}
