//! What a database says of a run, read by SQL of our own.

use yagna_api::{Glm, Timestamp};

use crate::ground::Ground;

/// All that is recorded of one run.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) status: String,
    pub(crate) tasks: Vec<Task>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) rentals: Vec<Rental>,
    pub(crate) bills: Vec<Bill>,
    pub(crate) allocations: Vec<Allocation>,
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) number: u64,
    pub(crate) status: String,
    pub(crate) attempt: u64,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) stdout: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) task: u64,
    pub(crate) number: u64,
    pub(crate) outcome: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Rental {
    pub(crate) number: u64,
    pub(crate) agreement: Option<String>,
    pub(crate) status: String,
    pub(crate) cost: Glm,
    /// What became of its final bill, if it has come and was decided about.
    pub(crate) final_bill: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Bill {
    pub(crate) id: String,
    pub(crate) amount: Glm,
    pub(crate) status: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Allocation {
    pub(crate) id: Option<String>,
    pub(crate) status: String,
}

/// Rows are read as texts, so they are put in order here.
fn sorted<T>(mut rows: Vec<T>, by: impl Fn(&T) -> u64) -> Vec<T> {
    rows.sort_by_key(by);
    rows
}

type Row = Vec<Option<String>>;

impl Record {
    /// Reads it; `None` where there is no such run, or no database.
    pub(crate) async fn read(ground: &Ground, run_id: &str) -> Option<Self> {
        let run = format!("run_no = (SELECT run_no FROM runs WHERE run_id = '{run_id}')");
        let at = |column: &str| ground.micros(column);
        let runs = ground.rows(&["status"], &format!("runs WHERE {run}")).await?;
        let [status] = runs.first()?.clone().try_into().ok()?;
        let tasks = ["task_no", "status", "attempt", &at("finished_at"), "coalesce(stdout, '')"];
        let tasks = ground.rows(&tasks, &format!("tasks WHERE {run}")).await?;
        let attempts =
            ground.rows(&["task_no", "number", "outcome"], &format!("attempts WHERE {run}")).await?;
        let rentals = ["rental_no", "agreement_id", "status", "cost", "final_bill"];
        let rentals = ground.rows(&rentals, &format!("rentals WHERE {run}")).await?;
        let bills = ground.rows(&["bill_id", "amount", "status"], &format!("bills WHERE {run}")).await?;
        let allocations =
            ground.rows(&["allocation_id", "status"], &format!("allocations WHERE {run}")).await?;
        Some(Self {
            status: status?,
            tasks: sorted(tasks.into_iter().map(task).collect(), |task: &Task| task.number),
            attempts: attempts.into_iter().map(attempt).collect(),
            rentals: rentals.into_iter().map(rental).collect(),
            bills: bills.into_iter().map(bill).collect(),
            allocations: allocations.into_iter().map(allocation).collect(),
        })
    }
}

fn cells<const N: usize>(row: Row) -> [Option<String>; N] {
    row.try_into().expect("a row has the columns that were asked for")
}

fn number(text: Option<String>) -> u64 {
    text.unwrap().parse().unwrap()
}

fn instant(micros: &str) -> Timestamp {
    Timestamp::from_microsecond(micros.parse().unwrap()).unwrap()
}

fn task(row: Row) -> Task {
    let [n, status, attempt, finished, stdout] = cells(row);
    Task {
        number: number(n),
        status: status.unwrap(),
        attempt: number(attempt),
        finished: finished.map(|text| instant(&text)),
        stdout: stdout.unwrap(),
    }
}

fn attempt(row: Row) -> Attempt {
    let [task, n, outcome] = cells(row);
    Attempt { task: number(task), number: number(n), outcome }
}

fn rental(row: Row) -> Rental {
    let [n, agreement, status, cost, final_bill] = cells(row);
    let cost = cost.unwrap().parse().unwrap();
    Rental { number: number(n), agreement, status: status.unwrap(), cost, final_bill }
}

fn bill(row: Row) -> Bill {
    let [id, amount, status] = cells(row);
    Bill { id: id.unwrap(), amount: amount.unwrap().parse().unwrap(), status: status.unwrap() }
}

fn allocation(row: Row) -> Allocation {
    let [id, status] = cells(row);
    Allocation { id, status: status.unwrap() }
}
