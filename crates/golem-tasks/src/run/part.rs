//! A run of which only a part is asked for: the tasks of that part, those of them that are done already, and their outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use golem_core::event::TaskId;
use golem_core::selection::Selection;
use golem_core::source::SourceDigest;
use golem_core::state::RunState;
use serde_json::Value;

use crate::exit::{Exit, Failure};
use crate::options::Wish;
use crate::store::{RunStore, TaskStatus};
use crate::view::text::plural;
use crate::work::AnyJob;

/// Tasks of a source that are looked through for those that were asked for by what they are.
const LOOKED_THROUGH: usize = 1_000_000;
/// So many tasks are named one by one.
const NAMED: usize = 10;

/// A task was asked for that there isn't.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("there is no task {number}: the job has {}, with the numbers 0 to {}", plural(*n_tasks, "task"), n_tasks.saturating_sub(1))]
    Number { number: u64, n_tasks: u64 },
    #[error("there is no task {number}: the job has no tasks at all")]
    NoTasks { number: u64 },
    #[error("there is no task `{task}`")]
    Task { task: String },
}

/// The source as far as it is known before it is read for the run.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Tasks that were asked for by what they are, where they were found.
    found: BTreeMap<String, Vec<SourceDigest>>,
    /// The number of tasks, if it is known; at least as many as were looked at.
    n_tasks: Option<u64>,
}

/// The part that is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) selection: Arc<Selection>,
    /// Those of its tasks that were done before.
    done_before: Vec<u64>,
    /// Those of its tasks that the run knows and that aren't done.
    known: u64,
    /// True if some aren't known to the run yet.
    has_unread: bool,
}

/// The outcome of the tasks that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    pub(super) asked: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) known: u64,
}

/// Looks through the source for what was asked for by what it is. To be called before the source is opened for the run.
pub(super) fn look(wishes: &[Wish], job: &dyn AnyJob) -> Result<Looked, Failure> {
    let mut looked = Looked::default();
    let texts: Vec<&str> = wishes
        .iter()
        .filter_map(|wish| match wish {
            Wish::Task(task) => Some(task.as_str()),
            Wish::Numbers(_) => None,
        })
        .collect();
    let last = wishes.iter().filter_map(|wish| match wish {
        Wish::Numbers(numbers) => Some(*numbers.end()),
        Wish::Task(_) => None,
    });
    let last = last.max();
    if wishes.is_empty() {
        return Ok(looked);
    }
    if job.reads_input() {
        // Their existence shows as they come.
        for text in texts {
            let as_text = SourceDigest::of(&Value::from(text));
            let as_json = serde_json::from_str::<Value>(text).ok().map(|task| SourceDigest::of(&task));
            looked.found.insert(text.to_owned(), std::iter::once(as_text).chain(as_json).collect());
        }
        return Ok(looked);
    }
    let opened = job.open()?;
    looked.n_tasks = opened.total;
    let counts = looked.n_tasks.is_none();
    if texts.is_empty() && !counts {
        return Ok(looked);
    }
    let mut n_tasks = 0;
    // Unreadable tasks are reported where they are read for the run.
    for task in opened.tasks.take(LOOKED_THROUGH).map_while(Result::ok) {
        n_tasks += 1;
        for text in texts.iter().filter(|text| is_called(&task, text)) {
            looked.found.entry((*text).to_owned()).or_default().push(SourceDigest::of(&task));
        }
        let is_counted = !counts || last.is_none_or(|last| n_tasks > last);
        if is_counted && looked.found.len() == texts.len() {
            break;
        }
    }
    let is_whole = n_tasks < u64::try_from(LOOKED_THROUGH).unwrap_or(u64::MAX);
    if counts && is_whole && last.is_some_and(|last| n_tasks <= last) {
        looked.n_tasks = Some(n_tasks);
    }
    Ok(looked)
}

/// Finds out which tasks are meant. Each must be there: among those that the run has, or in what is left of the source.
pub(super) async fn find(
    wishes: &[Wish],
    looked: Looked,
    run: Option<&RunStore>,
    state: &RunState,
) -> Result<Option<Part>, Failure> {
    if wishes.is_empty() {
        return Ok(None);
    }
    let mut selection = Selection::default();
    let mut texts: BTreeMap<&str, bool> = BTreeMap::new();
    let left = looked.n_tasks.map(|n_tasks| n_tasks.saturating_sub(state.source.read));
    let n_tasks = left.map(|left| state.next_task.saturating_add(left));
    for wish in wishes {
        match wish {
            Wish::Task(task) => {
                texts.insert(task, false);
            }
            Wish::Numbers(numbers) => {
                if let Some(n_tasks) = n_tasks.filter(|n_tasks| numbers.end() >= n_tasks) {
                    let number = (*numbers.start()).max(n_tasks);
                    return Err(unknown(if n_tasks == 0 {
                        Unknown::NoTasks { number: *numbers.start() }
                    } else {
                        Unknown::Number { number, n_tasks }
                    }));
                }
                selection.add_numbers(numbers.clone());
            }
        }
    }
    let mut part = Part::default();
    let numbers = selection.clone();
    if let Some(run) = run {
        run.all_tasks(|task, status| {
            let mut is_named = false;
            for (text, found) in &mut texts {
                if is_called(&task.data, text) {
                    (*found, is_named) = (true, true);
                }
            }
            if is_named {
                selection.add_numbers(task.task.0..=task.task.0);
            }
            if is_named || numbers.has_number(task.task) {
                match status {
                    TaskStatus::Done => part.done_before.push(task.task.0),
                    _ => part.known += 1,
                }
            }
        })
        .await?;
    }
    for (text, is_known) in texts {
        match looked.found.get(text) {
            _ if is_known => {}
            Some(found) => {
                for digest in found {
                    selection.add_data(*digest);
                }
            }
            None => return Err(unknown(Unknown::Task { task: text.to_owned() })),
        }
    }
    part.has_unread = !selection.data().is_empty() || selection.numbers_end() > state.next_task;
    part.selection = Arc::new(selection);
    Ok(Some(part))
}

impl Part {
    /// True if everything that is asked for was done before.
    pub(super) fn is_done(&self) -> bool {
        self.known == 0 && !self.has_unread
    }

    /// The first words about it, where some of it was done before.
    pub(super) fn note(&self) -> Option<String> {
        let n = u64::try_from(self.done_before.len()).unwrap_or(u64::MAX);
        let named: Vec<_> = self.done_before.iter().take(NAMED).map(u64::to_string).collect();
        let others = n.saturating_sub(u64::try_from(NAMED).unwrap_or(u64::MAX));
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        match n {
            0 => None,
            1 => Some(format!("asked for and done before: task {}", named.concat())),
            _ => Some(format!("asked for and done before: tasks {}{others}", named.join(", "))),
        }
    }

    /// Its outcome.
    pub(super) async fn outcome(&self, run: &RunStore) -> Result<Outcome, Failure> {
        let mut outcome = Outcome::default();
        run.all_tasks(|task, status| {
            outcome.known += 1;
            if self.selection.has(task.task, &task.data) {
                outcome.asked += 1;
                match status {
                    TaskStatus::Done => outcome.done += 1,
                    TaskStatus::Failed => outcome.failed += 1,
                    _ => {}
                }
            }
        })
        .await?;
        Ok(outcome)
    }

    /// True if the task is one of those that are asked for.
    pub(super) fn has(&self, task: TaskId, data: &Value) -> bool {
        self.selection.has(task, data)
    }
}

impl Outcome {
    /// In words, for a job of so many tasks.
    pub(super) fn words(self, total: Option<u64>) -> String {
        let of = match total {
            Some(total) => format!("{} of {}", self.asked, plural(total.max(self.known), "task")),
            None => plural(self.asked, "task"),
        };
        let were = if self.asked == 1 { "was" } else { "were" };
        let mut text = format!("{of} {were} asked for (--only): {} done", self.done);
        if self.failed > 0 {
            text = format!("{text}, {} failed", self.failed);
        }
        text
    }
}

/// True if people would call the task so.
fn is_called(task: &Value, text: &str) -> bool {
    match task {
        Value::String(own) => own == text,
        Value::Null => false,
        other => serde_json::from_str::<Value>(text)
            .is_ok_and(|asked| SourceDigest::of(&asked) == SourceDigest::of(other)),
    }
}

fn unknown(error: Unknown) -> Failure {
    if let Unknown::NoTasks { .. } = error {
        return Failure::new(Exit::Usage, error)
            .advise("look at the job's [tasks]: its source is empty; nothing was begun");
    }
    Failure::new(Exit::Usage, error).advise(
        "--only takes the numbers that results begin with, such as 1,4,10-20, or the tasks themselves; nothing was begun",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn of_a_job_without_tasks_none_can_be_asked_for() {
        for asked in ["0", "3-5", "7"] {
            let looked = Looked { n_tasks: Some(0), ..Looked::default() };
            let wishes = [asked.parse::<Wish>().unwrap()];
            let failure = find(&wishes, looked, None, &RunState::default()).await.unwrap_err();
            let told = format!("{failure:?}");
            assert!(told.contains("NoTasks") && told.contains("its source is empty"), "{told}");
        }
        let told = Unknown::NoTasks { number: 3 }.to_string();
        assert_eq!(told, "there is no task 3: the job has no tasks at all");
    }

    #[test]
    fn tasks_are_asked_for_by_numbers_ranges_and_themselves() {
        let wish = |text: &str| text.parse::<Wish>();
        assert_eq!(wish("4"), Ok(Wish::Numbers(4..=4)));
        assert_eq!(wish(" 10 - 20 "), Ok(Wish::Numbers(10..=20)));
        for task in ["shot 02.blend", "-4", "1-b", "2026-01-01", "{\"n\":1}", "1.5"] {
            assert_eq!(wish(task), Ok(Wish::Task(task.to_owned())), "{task}");
        }
        assert!(wish("").is_err() && wish("9-3").is_err());
        assert!(is_called(&json!("a b"), "a b") && !is_called(&json!("a"), "b"));
        assert!(is_called(&json!({ "a": 1, "b": 2 }), "{\"b\":2, \"a\":1}") && is_called(&json!(1.5), "1.5"));
    }

    #[test]
    fn what_came_of_a_part_is_said_in_numbers() {
        let outcome = Outcome { asked: 3, done: 2, failed: 1, known: 8 };
        assert_eq!(outcome.words(Some(24)), "3 of 24 tasks were asked for (--only): 2 done, 1 failed");
        assert_eq!(
            Outcome { asked: 1, done: 1, failed: 0, known: 8 }.words(None),
            "1 task was asked for (--only): 1 done"
        );
        let part = Part { done_before: (0..12).collect(), ..Part::default() };
        assert!(part.note().unwrap().ends_with("tasks 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"));
    }
}
