//! The `[tasks]` section: where the pile of work comes from. Reading files is left to `source`.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::document::{Diagnostics, Entry, Section, describe};
use super::host::{Clash, HostFiles, Touch};
use super::input::{Input, LineForm};
use super::schema;
use super::source::{Csv, Lines, SourceError, TaskData};
use super::steps::{HostFile, Step, outputs_of};

/// The name that stands for standard input in place of a file.
const STANDARD_INPUT: &str = "-";

/// The pile of work of a job, not yet read.
#[derive(Debug, Clone)]
pub struct Tasks {
    source: TaskSource,
    pub(super) folder: Arc<Path>,
    /// Steps that write files, which are never tasks.
    pub(super) outputs: Arc<[Step]>,
    /// The lines that have come in on standard input, where tasks are read from that.
    pub(super) input: Arc<Input>,
}

/// The source of tasks. Paths are as the job file writes them, relative to its folder.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TaskSource {
    /// Values written in the job file itself.
    Values(Arc<[Value]>),
    /// Whole numbers.
    Range {
        /// The first.
        start: i64,
        /// The first that is not among them; none for tasks without end.
        end: Option<i64>,
        /// The distance from one to the next; never 0.
        step: i64,
    },
    /// A text file, each line that isn't empty a task.
    Lines(PathBuf),
    /// A CSV file with a header row, each record a task.
    Csv(PathBuf),
    /// A file of JSON values, one a line.
    Jsonl(PathBuf),
    /// The files that match a pattern, sorted by path.
    Glob(String),
    /// The lines of standard input, as they come.
    Input(LineForm),
}

/// Tasks in order. The first error is the last item.
pub struct TaskIter {
    values: Box<dyn Iterator<Item = Result<Value, SourceError>> + Send>,
    next: u64,
}

/// A section that was read, with what the steps want to know about it.
#[derive(Debug)]
pub(super) struct ReadTasks {
    pub(super) tasks: Tasks,
    /// The first task, unless it is still to come.
    pub(super) first: Option<TaskData>,
    pub(super) more_than_one: bool,
}

impl Tasks {
    /// The source of the tasks.
    pub fn source(&self) -> &TaskSource {
        &self.source
    }

    /// Starts reading the tasks from the first one; files are read as the iterator is, never whole.
    ///
    /// A source that doesn't change gives the same tasks with the same numbers each time. A `glob` is searched
    /// here and holds the paths it found.
    pub fn open(&self) -> Result<TaskIter, SourceError> {
        Ok(TaskIter { values: self.values()?, next: 0 })
    }

    /// Takes note of the files of one task, those of its steps in their order, and the one that it is where tasks are
    /// files.
    ///
    /// # Errors
    /// The step that clashes.
    pub(super) fn note_files(
        &self,
        host: &mut HostFiles,
        task: &TaskData,
        files: &[Option<HostFile>],
    ) -> Result<(), (usize, Clash)> {
        let touched =
            files.iter().enumerate().filter_map(|(step, file)| Some((step, file.as_ref()?.touch())));
        let own = self.own_file(&task.value);
        // Read only where something is written; then a step is there to be blamed.
        let written = touched.clone().find(|(_, touch)| matches!(touch, Touch::Write(_)));
        let own = written.and_then(|(step, _)| Some((step, Touch::Read(own.as_deref()?))));
        host.add(task.index, own.into_iter().chain(touched))
    }

    /// The file that the tasks are read from, if it is one.
    pub(super) fn source_file(&self) -> Option<PathBuf> {
        match &self.source {
            TaskSource::Lines(path) | TaskSource::Csv(path) | TaskSource::Jsonl(path) => {
                Some(self.file(path))
            }
            TaskSource::Values(_) | TaskSource::Range { .. } | TaskSource::Glob(_) | TaskSource::Input(_) => {
                None
            }
        }
    }

    /// The file that a task names by itself, where tasks are files.
    fn own_file(&self, task: &Value) -> Option<PathBuf> {
        match (&self.source, task) {
            (TaskSource::Glob(_), Value::String(path)) => Some(self.folder.join(path)),
            _ => None,
        }
    }

    /// True where the number of tasks is without bound.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self.source, TaskSource::Range { end: None, .. })
    }

    /// The number of tasks: `None` when they have no end, or when their source can't be read.
    ///
    /// Files are read through for it, in constant memory; a line that is malformed counts like any other.
    pub fn len_hint(&self) -> Option<u64> {
        match &self.source {
            TaskSource::Values(values) => u64::try_from(values.len()).ok(),
            TaskSource::Range { start, end, step } => {
                let distance = i128::from((*end)?) - i128::from(*start);
                let step = i128::from(*step);
                u64::try_from(((distance + step - step.signum()) / step).max(0)).ok()
            }
            TaskSource::Lines(path) => {
                Lines::open(&self.file(path)).ok()?.count(|line| !line.is_empty()).ok()
            }
            TaskSource::Csv(path) => Csv::open(&self.file(path)).ok()?.count().ok(),
            TaskSource::Jsonl(path) => {
                Lines::open(&self.file(path)).ok()?.count(|line| !line.trim_ascii().is_empty()).ok()
            }
            TaskSource::Glob(pattern) => u64::try_from(self.matches(pattern).ok()?.tasks.len()).ok(),
            TaskSource::Input(_) => None,
        }
    }

    /// Leaves out the files that these steps write.
    pub(super) fn without_outputs_of(self, steps: &[Step]) -> Self {
        Self { outputs: outputs_of(steps), ..self }
    }

    fn values(&self) -> Result<Box<dyn Iterator<Item = Result<Value, SourceError>> + Send>, SourceError> {
        Ok(match &self.source {
            TaskSource::Values(values) => {
                let values = Arc::clone(values);
                Box::new((0..values.len()).map(move |at| Ok(values[at].clone())))
            }
            &TaskSource::Range { start, end, step } => {
                let first = Some(start).filter(|number| is_before(*number, end, step));
                let numbers = std::iter::successors(first, move |number| {
                    number.checked_add(step).filter(|number| is_before(*number, end, step))
                });
                Box::new(numbers.map(|number| Ok(Value::from(number))))
            }
            TaskSource::Lines(path) => Box::new(Lines::open(&self.file(path))?.strings()),
            TaskSource::Csv(path) => Box::new(Csv::open(&self.file(path))?.records()),
            TaskSource::Jsonl(path) => Box::new(Lines::open(&self.file(path))?.json()),
            TaskSource::Glob(pattern) => {
                Box::new(self.matches(pattern)?.tasks.into_iter().map(|path| Ok(Value::from(path))))
            }
            TaskSource::Input(form) => Box::new(self.input.tasks(*form)),
        })
    }

    fn file(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

impl Iterator for TaskIter {
    type Item = Result<TaskData, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.values.next()?;
        let index = self.next;
        self.next += 1;
        Some(value.map(|value| TaskData { index, value }))
    }
}

impl fmt::Debug for TaskIter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskIter").field("next", &self.next).finish_non_exhaustive()
    }
}

pub(super) fn read(
    top: &Section<'_>,
    folder: &Arc<Path>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<ReadTasks> {
    if top.lacks("tasks") {
        diagnostics.missing(
            "the section [tasks] is missing",
            "say what the tasks are, for example\n\n    [tasks]\n    range = { start = 0, end = 24 }",
        );
        return None;
    }
    let section = top.section("tasks", schema::TASKS, diagnostics)?;
    let sources = section.entries(schema::TASKS);
    let [entry] = sources.as_slice() else {
        if let [first, second, ..] = sources.as_slice() {
            diagnostics.report_with_help(
                second.key_span.clone(),
                format!("[tasks] has two sources, `{}` and `{}`", first.name, second.name),
                "keep one of them",
            );
        } else if !section.has_unknown() {
            diagnostics.report_with_help(
                section.span,
                "[tasks] has no source",
                format!("add one of {}", schema::list(schema::TASKS, "or")),
            );
        }
        return None;
    };
    let source = source(entry, diagnostics)?;
    let tasks = Tasks { source, folder: Arc::clone(folder), outputs: Arc::default(), input: Arc::default() };
    if matches!(tasks.source, TaskSource::Input(_)) {
        return Some(ReadTasks { tasks, first: None, more_than_one: true });
    }
    let (first, more_than_one) = try_out(&tasks, entry, diagnostics)?;
    let first = Some(first);
    Some(ReadTasks { tasks, first, more_than_one })
}

fn source(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<TaskSource> {
    match entry.name.as_str() {
        "values" => {
            let items = entry.list("a list such as [1, 2, 3]", diagnostics)?;
            let values: Vec<_> = items.iter().map(|item| item.json(diagnostics)).collect();
            values.into_iter().collect::<Option<Arc<[Value]>>>().map(TaskSource::Values)
        }
        "range" => range(entry, diagnostics),
        "lines" if entry.as_str() == Some(STANDARD_INPUT) => Some(TaskSource::Input(LineForm::Text)),
        "jsonl" if entry.as_str() == Some(STANDARD_INPUT) => Some(TaskSource::Input(LineForm::Json)),
        "csv" if entry.as_str() == Some(STANDARD_INPUT) => {
            diagnostics.report_with_help(
                entry.span(),
                "`csv` can't be read from standard input",
                "lines = \"-\" and jsonl = \"-\" can; a file that is called so is \"./-\"",
            );
            None
        }
        "lines" => Some(TaskSource::Lines(entry.text(diagnostics)?.into())),
        "csv" => Some(TaskSource::Csv(entry.text(diagnostics)?.into())),
        "jsonl" => Some(TaskSource::Jsonl(entry.text(diagnostics)?.into())),
        _ => {
            let pattern = entry.text(diagnostics)?;
            if let Err(error) = glob::Pattern::new(pattern) {
                let message =
                    format!("`glob` is not a valid pattern: {} at character {}", error.msg, error.pos + 1);
                diagnostics.report(entry.span(), message);
                return None;
            }
            Some(TaskSource::Glob(pattern.to_owned()))
        }
    }
}

fn range(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<TaskSource> {
    let table = entry.table(schema::RANGE, "{ start = 0, end = 24 }", diagnostics)?;
    let mut number = |key: &str, default: Option<i64>| match table.get(key) {
        Some(entry) => entry.integer(diagnostics).map(Some),
        None => Some(default),
    };
    let (start, end, step) = (number("start", Some(0)), number("end", None), number("step", Some(1)));
    let (start, end, step) = (start??, end?, step??);
    let place =
        |key: &str| -> Range<usize> { table.get(key).map_or_else(|| entry.span(), |entry| entry.span()) };
    if step == 0 {
        diagnostics.report(place("step"), "a range with a step of 0 never gets anywhere");
        return None;
    }
    if !is_before(start, end, step) {
        let end = end.expect("a range without end is never empty");
        let help = if start == end {
            format!("`end` itself is not among the tasks: {start} alone is end = {}", end.saturating_add(1))
        } else if step > 0 {
            "to count down, add step = -1".to_owned()
        } else {
            "to count up, leave `step` out".to_owned()
        };
        let message = format!("there are no tasks from {start} to {end} in steps of {step}");
        diagnostics.report_with_help(entry.span(), message, help);
        return None;
    }
    Some(TaskSource::Range { start, end, step })
}

/// Reads the first task, and whether there is a second one.
fn try_out(tasks: &Tasks, entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<(TaskData, bool)> {
    let mut items = match tasks.open() {
        Ok(items) => items,
        Err(error) => {
            report_source_error(&error, entry, diagnostics);
            return None;
        }
    };
    match items.next() {
        Some(Ok(first)) => Some((first, items.next().is_some())),
        Some(Err(error)) => {
            report_source_error(&error, entry, diagnostics);
            None
        }
        None => {
            let message = match &tasks.source {
                TaskSource::Glob(pattern) => format!("there are no tasks: no file matches `{pattern}`"),
                TaskSource::Csv(path) => {
                    format!("there are no tasks: `{}` has no record below its header", path.display())
                }
                TaskSource::Lines(path) | TaskSource::Jsonl(path) => {
                    format!("there are no tasks: `{}` is empty", path.display())
                }
                _ => format!(
                    "there are no tasks: `values` is {} without items",
                    describe(entry.value.get_ref())
                ),
            };
            let help = match &tasks.source {
                TaskSource::Values(_) => "add at least one value",
                TaskSource::Glob(_) => "patterns are relative to the folder of the job file",
                _ => "add at least one task to the file",
            };
            diagnostics.report_with_help(entry.span(), message, help);
            None
        }
    }
}

fn report_source_error(error: &SourceError, entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) {
    let mut message = format!("`{}`: {error}", entry.name);
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    match error {
        SourceError::Open { source, .. } if source.kind() == std::io::ErrorKind::NotFound => diagnostics
            .report_with_help(entry.span(), message, "paths are relative to the folder of the job file"),
        _ => diagnostics.report(entry.span(), message),
    }
}

/// True if a number of a range is still before its end.
fn is_before(number: i64, end: Option<i64>, step: i64) -> bool {
    end.is_none_or(|end| if step > 0 { number < end } else { number > end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: Option<i64>, step: i64) -> Tasks {
        Tasks {
            source: TaskSource::Range { start, end, step },
            folder: Arc::from(Path::new("")),
            outputs: Arc::default(),
            input: Arc::default(),
        }
    }

    fn numbers(tasks: &Tasks, most: usize) -> Vec<i64> {
        tasks.open().unwrap().take(most).map(|task| task.unwrap().value.as_i64().unwrap()).collect()
    }

    #[test]
    fn a_range_counts_as_it_says() {
        for (start, end, step, all) in [
            (0, 3, 1, vec![0, 1, 2]),
            (0, 10, 4, vec![0, 4, 8]),
            (0, 8, 4, vec![0, 4]),
            (3, 0, -1, vec![3, 2, 1]),
            (5, -5, -4, vec![5, 1, -3]),
            (2, 2, 1, vec![]),
            (i64::MAX - 1, i64::MAX, 5, vec![i64::MAX - 1]),
        ] {
            let tasks = range(start, Some(end), step);
            assert_eq!(numbers(&tasks, 100), all, "{start}..{end} by {step}");
            assert_eq!(tasks.len_hint(), Some(all.len() as u64), "{start}..{end} by {step}");
        }
    }

    #[test]
    fn a_range_may_have_no_end() {
        assert_eq!(numbers(&range(7, None, 10), 3), [7, 17, 27]);
        assert_eq!(range(7, None, 10).len_hint(), None);
        assert_eq!(numbers(&range(i64::MAX - 1, None, 1), 9), [i64::MAX - 1, i64::MAX]);
        assert_eq!(range(i64::MIN, Some(i64::MAX), 1).len_hint(), Some(u64::MAX));
    }

    #[test]
    fn tasks_may_be_read_by_another_thread() {
        fn assert_send<T: Send>(_: &T) {}
        assert_send(&range(0, None, 1).open().unwrap());
    }
}
