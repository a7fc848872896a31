//! What must hold when a run is over, by the network's books, the database, the files and the machine's processes. Pure.

#[cfg(test)]
mod wrong;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use yagna_api::Glm;

use crate::books::{Bill, Books, Command, Rental, sum};
use crate::record::{Record, Task};

/// All that is known after a run.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    pub(crate) books: Books,
    pub(crate) record: Record,
    /// What was downloaded, by task.
    pub(crate) files: BTreeMap<u64, String>,
    /// Command lines of this machine's processes that are the run's work.
    pub(crate) processes: Vec<String>,
    /// `summary --json`.
    pub(crate) summary: Value,
}

/// What the run was to do.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) requestor: String,
    pub(crate) tasks: u64,
    /// Was it let run to its end?
    pub(crate) complete: bool,
    pub(crate) budget: Glm,
    /// An allocation of the same requestor that isn't the run's.
    pub(crate) bystander: String,
    /// Is in every command of the run, a task's number between dots behind it.
    pub(crate) mark: String,
    /// How often its process was killed. Each worker may have had work in its hands that wasn't recorded yet: it is
    /// done once more, as the same attempt.
    pub(crate) kills: u32,
}

/// What doesn't hold.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) wrong: Vec<String>,
    /// What waits for the run's next start, as its record says: right bills, and acceptances that may not have arrived.
    pub(crate) late: Vec<String>,
}

/// Holds everything against everything.
pub(crate) fn check(evidence: &Evidence, expected: &Expected) -> Findings {
    let mut findings = Findings::default();
    let rentals = evidence.books.rentals(&expected.requestor);
    if evidence.books.missed > 0 {
        findings
            .wrong(format!("the books have missed {} happenings: they prove nothing", evidence.books.missed));
    }
    findings.results(evidence, expected);
    findings.executions(evidence, expected, &rentals);
    findings.nothing_left(evidence, expected, &rentals);
    for rental in rentals.values() {
        findings.bills(rental, &evidence.record);
    }
    findings.money(evidence, expected, &rentals);
    findings.recorded_bills(evidence, &rentals);
    findings
}

type Rentals<'b> = BTreeMap<&'b str, Rental<'b>>;

/// The words that a task's command wrote: its number, the right answer, and a token made by that one execution.
fn token(task: &Task) -> Option<&str> {
    let mut words = task.stdout.split_whitespace();
    let right = words.next()?.parse() == Ok(task.number) && words.next()?.parse() == Ok(task.number * 7);
    let token = words.next().filter(|_| right)?;
    (words.next().is_none() && token.len() == 36).then_some(token)
}

impl Findings {
    fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Every task has exactly one result, and the right one, of one execution.
    fn results(&mut self, evidence: &Evidence, expected: &Expected) {
        let record = &evidence.record;
        if record.status != "ended" {
            self.wrong(format!("the run is recorded as `{}`, not as ended", record.status));
        }
        let numbers: Vec<_> = record.tasks.iter().map(|task| task.number).collect();
        if expected.complete && numbers != (0..expected.tasks).collect::<Vec<_>>() {
            self.wrong(format!("the tasks are {numbers:?}, not 0 to {}", expected.tasks - 1));
        }
        let mut tokens = HashMap::new();
        for task in &record.tasks {
            let number = task.number;
            let attempts: Vec<_> = record.attempts.iter().filter(|attempt| attempt.task == number).collect();
            let done = attempts.iter().filter(|attempt| attempt.outcome.as_deref() == Some("done")).count();
            for open in attempts.iter().filter(|attempt| attempt.outcome.is_none()) {
                self.wrong(format!("attempt {} of task {number} is recorded as running", open.number));
            }
            if task.status != "done" {
                if expected.complete {
                    self.wrong(format!("task {number} is `{}`: its result is lost", task.status));
                }
                continue;
            }
            if done != 1 {
                self.wrong(format!("task {number} has {done} attempts with a result"));
            }
            let Some(token) = token(task) else {
                self.wrong(format!("task {number} has the wrong result {:?}", task.stdout));
                continue;
            };
            if let Some(other) = tokens.insert(token, number) {
                self.wrong(format!("tasks {other} and {number} have the result of one execution"));
            }
            match evidence.files.get(&number) {
                Some(file) if file.trim() == token => {}
                Some(_) => {
                    self.wrong(format!("the file of task {number} is of another execution than its result"));
                }
                None => self.wrong(format!("the file of task {number} is lost")),
            }
        }
        let told = evidence.summary["tasks"]["done"].as_u64();
        let done = record.tasks.iter().filter(|task| task.status == "done").count() as u64;
        if told != Some(done) {
            self.wrong(format!("`summary` says that {told:?} tasks are done, the tasks say {done}"));
        }
    }

    /// What was done is what was recorded, and nothing was done again.
    fn executions(&mut self, evidence: &Evidence, expected: &Expected, rentals: &Rentals<'_>) {
        let ours: HashSet<_> =
            rentals.values().flat_map(|rental| &rental.activities).map(|row| row.id.as_str()).collect();
        let mut by_task: BTreeMap<u64, Vec<&Command>> = BTreeMap::new();
        for command in &evidence.books.commands {
            if let Some(task) = task_of(command, &expected.mark) {
                by_task.entry(task).or_default().push(command);
                if !ours.contains(command.activity.as_str()) {
                    self.wrong(format!(
                        "task {task} ran in activity {}, which isn't the run's",
                        command.activity
                    ));
                }
            }
        }
        for task in &evidence.record.tasks {
            let runs = by_task.remove(&task.number).unwrap_or_default();
            if runs.len() as u64 > task.attempt + u64::from(expected.kills) {
                let (number, attempt) = (task.number, task.attempt);
                self.wrong(format!("task {number} ran {} times in {attempt} attempts", runs.len()));
            }
            if task.status != "done" {
                continue;
            }
            let Some(finished) = task.finished else {
                self.wrong(format!("task {} is done, and nobody knows when", task.number));
                continue;
            };
            if !runs.iter().any(|run| run.exit_code == Some(0) && run.started <= finished) {
                self.wrong(format!("task {} has a result and never ran", task.number));
            }
            for again in runs.iter().filter(|run| run.started > finished) {
                self.wrong(format!(
                    "task {} ran again at {}, after its result was recorded at {finished}",
                    task.number, again.started
                ));
            }
        }
        for task in by_task.keys() {
            self.wrong(format!("task {task} ran and isn't recorded"));
        }
    }

    /// No agreement, activity, command, process or allocation of the run is left; what isn't the run's is untouched.
    fn nothing_left(&mut self, evidence: &Evidence, expected: &Expected, rentals: &Rentals<'_>) {
        let record = &evidence.record;
        let recorded: HashSet<_> = record.rentals.iter().filter_map(|row| row.agreement.as_deref()).collect();
        for (id, rental) in rentals {
            if matches!(rental.agreement.state.as_str(), "Approved" | "Pending") {
                self.wrong(format!("agreement {id} is still `{}`", rental.agreement.state));
            }
            // One that was made and not yet recorded when the process died is ended by the next one.
            let was_used = rental.agreement.approved.is_some() && !rental.activities.is_empty();
            if was_used && !recorded.contains(id) {
                self.wrong(format!("agreement {id} was used and isn't recorded"));
            }
            for activity in rental.activities.iter().filter(|activity| activity.alive) {
                self.wrong(format!("activity {} is still alive", activity.id));
            }
            let left = |command: &&Command| {
                command.ended.is_none() && rental.activities.iter().any(|row| row.id == command.activity)
            };
            for command in evidence.books.commands.iter().filter(left) {
                self.wrong(format!("a command of activity {} still runs", command.activity));
            }
        }
        for process in &evidence.processes {
            self.wrong(format!("a process is left: {process}"));
        }
        for rental in &record.rentals {
            if !matches!(rental.status.as_str(), "ended" | "failed") {
                self.wrong(format!("rental {} is recorded as `{}`", rental.number, rental.status));
            }
        }
        for row in evidence.books.allocations.iter().filter(|row| row.requestor == expected.requestor) {
            if row.id == expected.bystander {
                if row.released || !row.spent.is_zero() {
                    self.wrong("an allocation that isn't the run's was released or spent from".to_owned());
                }
            } else if !row.released {
                self.wrong(format!("allocation {} isn't released", row.id));
            }
        }
        for row in record.allocations.iter().filter(|row| row.status != "released" && row.id.is_some()) {
            self.wrong(format!("allocation {:?} is recorded as `{}`", row.id, row.status));
        }
    }

    /// Of one agreement: what is owed is accepted once, what isn't never.
    fn bills(&mut self, rental: &Rental<'_>, record: &Record) {
        let id = rental.agreement.id.as_str();
        // Where nothing is asked for, nothing can be owed to anybody.
        let is_right = |bill: &&&Bill, owed: Option<Glm>| {
            !bill.amount.is_zero() && owed.is_some_and(|owed| bill.amount <= owed)
        };
        let is_awaited = record
            .rentals
            .iter()
            .any(|rental| rental.agreement.as_deref() == Some(id) && rental.final_bill.is_none());
        let owed = rental.owed();
        let accepted = rental.accepted();
        if owed.is_none_or(|owed| accepted > owed) && !accepted.is_zero() {
            self.wrong(format!("{accepted} GLM were accepted for agreement {id}, which owes {owed:?}"));
        }
        let n_accepted = rental.invoices.iter().filter(|invoice| invoice.is_accepted()).count();
        if n_accepted > 1 {
            self.wrong(format!("{n_accepted} invoices were accepted for agreement {id}"));
        }
        if n_accepted > 0 {
            return;
        }
        let right: Vec<_> = rental.invoices.iter().filter(|invoice| is_right(invoice, owed)).collect();
        if let Some(first) = right.first() {
            self.unpaid(first, "invoice", is_awaited);
            return;
        }
        for activity in &rental.activities {
            let its = |note: &&&Bill| note.activity.as_deref() == Some(activity.id.as_str());
            let notes = || rental.notes.iter().filter(its);
            let paid = notes().filter(|note| note.is_accepted()).map(|note| note.amount).max();
            let highest =
                notes().filter(|note| is_right(note, rental.owed_for(note))).max_by_key(|note| note.amount);
            if let Some(note) = highest.filter(|note| note.amount > paid.unwrap_or_default()) {
                self.unpaid(note, "debit note", is_awaited);
            }
        }
    }

    fn unpaid(&mut self, bill: &Bill, kind: &str, is_awaited: bool) {
        let what = format!("{kind} {} of {} GLM is right and `{}`", bill.id, bill.amount, bill.status);
        // What wasn't sent yet can't be answered.
        let may_come = bill.status == "ISSUED" || bill.is_open() && is_awaited;
        if may_come { self.late.push(what) } else { self.wrong.push(what) }
    }

    /// The sums are the same everywhere, and within the budget.
    fn money(&mut self, evidence: &Evidence, expected: &Expected, rentals: &Rentals<'_>) {
        let total = sum(rentals.values().map(Rental::accepted)).expect("a test spends little");
        if total > expected.budget {
            self.wrong(format!("{total} GLM were accepted, more than the budget of {}", expected.budget));
        }
        for rental in &evidence.record.rentals {
            let accepted = rental.agreement.as_deref().and_then(|id| rentals.get(id)).map(Rental::accepted);
            let accepted = accepted.unwrap_or_default();
            if rental.cost != accepted {
                let number = rental.number;
                self.wrong(format!(
                    "rental {number} is recorded to cost {} GLM, accepted were {accepted}",
                    rental.cost
                ));
            }
        }
        let told = evidence.summary["cost"].as_str().and_then(|text| text.parse::<Glm>().ok());
        if told != Some(total) {
            self.wrong(format!("`summary` tells a cost of {told:?} GLM, accepted were {total}"));
        }
    }

    /// The database and the books know the same bills.
    fn recorded_bills(&mut self, evidence: &Evidence, rentals: &Rentals<'_>) {
        let mut recorded: HashMap<_, _> =
            evidence.record.bills.iter().map(|bill| (bill.id.as_str(), bill)).collect();
        for rental in rentals.values() {
            let settled = rental.invoices.iter().any(|invoice| invoice.is_accepted());
            for bill in rental.notes.iter().chain(&rental.invoices) {
                let Some(row) = recorded.remove(bill.id.as_str()) else {
                    if bill.is_accepted() {
                        self.wrong(format!("bill {} is accepted and isn't recorded", bill.id));
                    }
                    continue;
                };
                if row.amount != bill.amount {
                    self.wrong(format!(
                        "bill {} asks for {}, recorded is {}",
                        bill.id, bill.amount, row.amount
                    ));
                }
                if row.status == "accepting" {
                    self.late.push(format!("bill {} is being accepted, as it is recorded", bill.id));
                    continue;
                }
                // A daemon takes the acceptance of a debit note whose invoice is accepted, and does nothing.
                let covered = bill.activity.is_some() && settled;
                let agree = match row.status.as_str() {
                    "accepted" => bill.is_accepted() || covered,
                    _ => !bill.is_accepted(),
                };
                if !agree {
                    self.wrong(format!(
                        "bill {} is `{}`, recorded is `{}`",
                        bill.id, bill.status, row.status
                    ));
                }
            }
        }
        for id in recorded.keys() {
            self.wrong(format!("bill {id} is recorded, and nobody sent it"));
        }
    }
}

/// Which task a command is of, if it is of this run.
fn task_of(command: &Command, mark: &str) -> Option<u64> {
    let rest = command.command.iter().find_map(|word| word.split_once(mark))?.1;
    rest.strip_prefix('.')?.split_once('.')?.0.parse().ok()
}
