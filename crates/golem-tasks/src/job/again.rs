//! A source of tasks that is read again: when something has come into it, where in it a task is, and which of the files that a `glob`
//! finds are the job's own outputs.

use std::collections::HashSet;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use golem_sdk::reading::{Coming, Reopen};
use golem_sdk::text::chain;
use serde_json::Value;

use super::document::{Diagnostics, Section};
use super::source::{Csv, Lines, SourceError, TaskData, glob_files};
use super::steps::Step;
use super::tasks::{ReadTasks, TaskSource, Tasks};
use crate::work::Again;

/// The facts that tell two states of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    file: (u64, u64),
}

/// The files that a `glob` finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Matches {
    /// Those that are tasks.
    pub(crate) tasks: Vec<String>,
    /// Those that the job itself writes.
    pub(crate) outputs: Vec<String>,
}

impl Tasks {
    /// The way to read the source again.
    pub(crate) fn again(&self) -> Again {
        let places = self.clone();
        Again {
            place: Box::new(move |index| places.place(index)),
            reopen: self.reopen(),
            ordered: !matches!(self.source(), TaskSource::Glob(_)),
            coming: self.coming(),
        }
    }

    /// The files that the pattern of a `glob` finds.
    pub(crate) fn matches(&self, pattern: &str) -> Result<Matches, SourceError> {
        let files = glob_files(pattern, &self.folder)?;
        let steps: Vec<&Step> = self.outputs.iter().filter(|step| step.writes_file()).collect();
        if steps.is_empty() {
            return Ok(Matches { tasks: files, outputs: Vec::new() });
        }
        let mut targets = HashSet::new();
        for (index, file) in (0..).zip(&files) {
            let own = plain(&self.folder.join(file));
            let data = TaskData { index, value: Value::from(file.as_str()) };
            let next = TaskData { index: index + 1, value: data.value.clone() };
            for step in &steps {
                // One that can't be rendered is told of where its task is.
                let Some(target) = step.target(&data) else { continue };
                // A file that is to be replaced by its own output is a task all the same. One that is called by a number is
                // an output: which task has that number changes with each file that is found.
                let by_number = step.target(&next).is_some_and(|other| other != target);
                let target = plain(&target);
                if by_number || target != own {
                    targets.insert(target);
                }
            }
        }
        let (outputs, tasks) =
            files.into_iter().partition(|file| targets.contains(&plain(&self.folder.join(file))));
        Ok(Matches { tasks, outputs })
    }

    fn reopen(&self) -> Option<Reopen> {
        let tasks = self.clone();
        let open = move || -> Result<golem_sdk::TaskSource, String> {
            let opened = tasks.open().map_err(|error| chain(&error))?;
            Ok(Box::new(opened.map(|task| task.map(|task| task.value).map_err(|error| chain(&error)))))
        };
        match self.source() {
            TaskSource::Values(_) | TaskSource::Range { .. } | TaskSource::Input(_) => None,
            TaskSource::Glob(_) => Some(Box::new(move || Some(open()))),
            TaskSource::Lines(path) | TaskSource::Csv(path) | TaskSource::Jsonl(path) => {
                let file = self.folder.join(path);
                let mut before = Stamp::of(&file);
                Some(Box::new(move || {
                    let now = Stamp::of(&file);
                    if now == before {
                        return None;
                    }
                    before = now;
                    Some(open())
                }))
            }
        }
    }

    /// Tells whether more may come on standard input, where tasks are read from that.
    fn coming(&self) -> Option<Coming> {
        let TaskSource::Input(_) = self.source() else { return None };
        let input = Arc::clone(&self.input);
        Some(Box::new(move || input.is_open()))
    }

    /// The place of a task in its source, for people.
    fn place(&self, index: u64) -> String {
        match self.source() {
            TaskSource::Values(_) => format!("item {} of `values`", index + 1),
            TaskSource::Range { .. } => format!("number {} of `range`", index + 1),
            TaskSource::Glob(pattern) => format!("file {} that matches `{pattern}`", index + 1),
            TaskSource::Lines(path) => {
                self.line(path, |path| Lines::open(path)?.place(|line| !line.is_empty(), index))
            }
            TaskSource::Jsonl(path) => {
                self.line(path, |path| Lines::open(path)?.place(|line| !line.trim_ascii().is_empty(), index))
            }
            TaskSource::Csv(path) => self.line(path, |path| Csv::open(path)?.place(index)),
            TaskSource::Input(form) => self.input.place(*form, index),
        }
    }

    fn line(&self, path: &Path, line: impl FnOnce(&Path) -> Result<Option<u64>, SourceError>) -> String {
        let file = self.folder.join(path);
        match line(&file) {
            Ok(Some(line)) => format!("{}:{line}", file.display()),
            Ok(None) => format!("the end of {}", file.display()),
            Err(error) => error.to_string(),
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { len: metadata.len(), modified: metadata.modified().ok(), file: identity(&metadata) })
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere its size and time have to do.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// A path without the parts that say nothing.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Refuses downloads that a `glob` finds and that nobody could tell from files that are tasks: their names depend on the task and on
/// its number, and that changes with each file that is found.
pub(super) fn check_outputs(
    top: &Section<'_>,
    read: &ReadTasks,
    steps: &[Step],
    diagnostics: &mut Diagnostics<'_>,
) {
    let TaskSource::Glob(pattern) = read.tasks.source() else { return };
    let Ok(found) = glob::Pattern::new(pattern) else { return };
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let folder = plain(&read.tasks.folder);
    let Some(name) = read.first.as_ref().and_then(|first| first.value.as_str()) else { return };
    for step in steps {
        let target = |index, name: String| step.target(&TaskData { index, value: Value::from(name) });
        let Some(first) = target(0, name.to_owned()) else { continue };
        let by_number = target(1, name.to_owned()).is_some_and(|other| other != first);
        let by_task = target(0, format!("{name}x")).is_some_and(|other| other != first);
        let first = plain(&first);
        let below = first.strip_prefix(&folder).unwrap_or(&first);
        if by_number && by_task && found.matches_path_with(below, options) {
            let place = top.get("tasks").map_or(0..0, |entry| entry.span());
            diagnostics.report_with_help(
                place,
                format!("`glob` matches what the job itself downloads, such as `{}`", below.display()),
                "download into another folder, or leave {{ index }} out of the name",
            );
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::job::Job;

    fn job(folder: &TempDir, source: &str, step: &str) -> Job {
        let text = format!(
            "[payload]\nimage_tag = \"golem/alpine:latest\"\n[tasks]\n{source}\n[[steps]]\nrun = \"true\"\n{step}"
        );
        Job::parse(&text, &folder.path().join("job.toml")).unwrap()
    }

    fn values(job: &Job) -> Vec<Value> {
        job.tasks.open().unwrap().map(|task| task.unwrap().value).collect()
    }

    #[test]
    fn a_jobs_own_outputs_are_no_tasks_of_it() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        for name in ["a", "b", "b.png"] {
            fs::write(folder.path().join("in").join(name), "").unwrap();
        }
        let download =
            |to: &str| format!("[[steps]]\ndownload = {{ from = \"/golem/output/x\", to = \"{to}\" }}\n");
        for (to, expected) in [
            ("in/{{ task | basename }}.png", vec!["in/a", "in/b"]),
            ("out/{{ task | basename }}.png", vec!["in/a", "in/b", "in/b.png"]),
        ] {
            let job = job(&folder, "glob = \"in/*\"", &download(to));
            let expected: Vec<Value> = expected.into_iter().map(Value::from).collect();
            if to.contains("stem") {
                assert_eq!(values(&job), expected[..2], "{to}: `b.png` is what `b` becomes");
            } else {
                assert_eq!(values(&job), expected, "{to}");
            }
            assert_eq!(job.tasks.len_hint(), Some(values(&job).len() as u64), "{to}");
        }
        // The files that a run writes don't change its tasks.
        let job = job(&folder, "glob = \"in/*\"", &download("in/{{ index }}.out"));
        let before = values(&job);
        for n in 0..3 {
            fs::write(folder.path().join(format!("in/{n}.out")), "").unwrap();
        }
        assert_eq!(values(&job), before);
    }

    #[test]
    fn a_place_is_the_line_that_an_editor_shows() {
        let folder = TempDir::new().unwrap();
        let place = |source: &str, index| (job(&folder, source, "").tasks.again().place)(index);
        let in_folder = |name: &str| folder.path().join(name).display().to_string();
        fs::write(folder.path().join("l"), "a\n\n\nb\n").unwrap();
        assert_eq!(place("lines = \"l\"", 0), format!("{}:1", in_folder("l")));
        assert_eq!(place("lines = \"l\"", 1), format!("{}:4", in_folder("l")));
        assert_eq!(place("lines = \"l\"", 2), format!("the end of {}", in_folder("l")));
        fs::write(folder.path().join("c"), "x,y\n1,\"two\nlines\"\n3,4\n").unwrap();
        assert_eq!(place("csv = \"c\"", 1), format!("{}:4", in_folder("c")));
        fs::write(folder.path().join("j"), "1\n \n{\"a\":2}\n").unwrap();
        assert_eq!(place("jsonl = \"j\"", 1), format!("{}:3", in_folder("j")));
        assert_eq!(place("values = [1, 2]", 1), "item 2 of `values`");
        assert_eq!(place("range = { end = 3 }", 2), "number 3 of `range`");
        assert_eq!(place("glob = \"*\"", 0), "file 1 that matches `*`");
    }

    #[test]
    fn a_file_is_opened_again_only_when_it_has_changed() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("l");
        fs::write(&file, "a\nb\n").unwrap();
        let mut reopen = job(&folder, "lines = \"l\"", "").tasks.again().reopen.unwrap();
        assert!(reopen().is_none());
        fs::write(&file, "a\nb\nc\n").unwrap();
        assert_eq!(reopen().unwrap().unwrap().count(), 3);
        assert!(reopen().is_none());
        assert!(job(&folder, "range = { end = 3 }", "").tasks.again().reopen.is_none());
    }
}
