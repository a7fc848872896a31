//! `init`: a job file to begin with, with a comment for each part. What isn't said by flags is asked at a terminal.

use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _, stdin};
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueHint};
use golem_sdk::{Budget, defaults};

use super::check;
use super::each::quoted;
use super::values::{at_least_one, budget};
use crate::exit::{Exit, Failure};
use crate::job::Job;
use crate::view::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  golem-tasks init
      Asks what the job is to do, and writes job.toml.
  golem-tasks init --lines words.txt --run 'echo {{ task | shell }} | sha256sum'
  golem-tasks init sweep.toml --range 100 --run './model --seed {{ task }}'
      With any of these flags, or without a terminal, it asks nothing.";

const IMAGE: &str = "golem/alpine:latest";
const RUN: &str = "echo {{ task | shell }}";

#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct InitFlags {
    /// The file to write.
    #[arg(value_name = "FILE", default_value = "job.toml", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The image, by its tag in Golem's registry [default: golem/alpine:latest]
    #[arg(long, value_name = "TAG")]
    image: Option<String>,
    #[command(flatten)]
    tasks: TasksFlags,
    /// The command line for each task; {{ task }} stands for the task [default: echo {{ task | shell }}]
    #[arg(long, value_name = "COMMAND")]
    run: Option<String>,
    /// GLM that may be spent: 3/h in any hour, 20/d in any day, 10 in all [default: 1]
    #[arg(long, value_name = "GLM", value_parser = budget)]
    budget: Option<Budget>,
    /// The most providers that work at the same time [default: 5]
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>)]
    workers: Option<u32>,
    /// Replace the file where it is there already.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Default, ClapArgs)]
#[group(multiple = false)]
struct TasksFlags {
    /// One task for each line of this file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    lines: Option<PathBuf>,
    /// One task for each record of this CSV file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    csv: Option<PathBuf>,
    /// One task for each file that matches this pattern.
    #[arg(long, value_name = "PATTERN")]
    glob: Option<String>,
    /// The numbers from 0 to N - 1 [default: 10]
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>)]
    range: Option<u64>,
}

/// The source of the tasks.
#[derive(Debug, Clone)]
enum Tasks {
    Lines(String),
    Csv(String),
    Glob(String),
    Range(u64),
}

/// The answers.
#[derive(Debug, Clone)]
struct Wanted {
    image: String,
    tasks: Tasks,
    run: String,
    budget: Budget,
    workers: u32,
}

/// The reasons why no file is written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("{} can't be written", path.display())]
    Unwritten { path: PathBuf, source: io::Error },
    #[error("standard input ended before all questions were answered")]
    NoAnswer,
}

/// Writes a job file.
pub(super) fn init(flags: &InitFlags) -> Result<Exit, Failure> {
    if flags.file.exists() && !flags.force {
        let error = InitError::Exists(flags.file.clone());
        return Err(Failure::new(Exit::Usage, error).advise("name another file, or replace it with --force"));
    }
    let wanted = if flags.says_something() || !stdin().is_terminal() { flags.wanted() } else { ask(flags)? };
    let text = wanted.text();
    write(&flags.file, &text, flags.force).map_err(|source| {
        let path = flags.file.clone();
        Failure::new(Exit::BrokeOff, InitError::Unwritten { path, source })
    })?;
    let file = flags.file.display();
    let mut say = Output::stderr();
    say.write(&format!("{file} is written\n"));
    // It may name files that are still to come: then this says which.
    let job = Job::parse(&text, &flags.file).map_err(Failure::from);
    let checked = job.and_then(|job| check::of_file(&job));
    if let Err(failure) = checked {
        say.write(&crate::view::report(&failure));
        say.write(&format!("  `golem-tasks check {file}` says when it is valid\n"));
        return Ok(Exit::Done);
    }
    let devnet = format!("golem-tasks run {file} --devnet");
    say.write(&format!(
        "  golem-tasks check {file}    shows what it does\n  {devnet}    tries it on an emulated network\n"
    ));
    Ok(Exit::Done)
}

/// Writes the whole file, or nothing where one is there that isn't to be replaced.
fn write(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if !replace {
        options.create_new(true);
    }
    options.open(path)?.write_all(text.as_bytes())
}

impl InitFlags {
    fn says_something(&self) -> bool {
        let Self { file: _, image, tasks, run, budget, workers, force: _ } = self;
        let tasks = tasks.tasks().is_some();
        tasks || image.is_some() || run.is_some() || budget.is_some() || workers.is_some()
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            image: self.image.clone().unwrap_or_else(|| IMAGE.to_owned()),
            tasks: self.tasks.tasks().unwrap_or(Tasks::Range(10)),
            run: self.run.clone().unwrap_or_else(|| RUN.to_owned()),
            budget: self.budget.unwrap_or(defaults::BUDGET),
            workers: self.workers.unwrap_or(defaults::WORKERS),
        }
    }
}

impl TasksFlags {
    fn tasks(&self) -> Option<Tasks> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let lines = self.lines.as_ref().map(|file| Tasks::Lines(path(file)));
        let csv = || self.csv.as_ref().map(|file| Tasks::Csv(path(file)));
        let glob = || self.glob.clone().map(Tasks::Glob);
        lines.or_else(csv).or_else(glob).or_else(|| self.range.map(Tasks::Range))
    }
}

/// Asks for everything, each with its default.
fn ask(flags: &InitFlags) -> Result<Wanted, Failure> {
    let mut wanted = flags.wanted();
    let mut say = Output::stderr();
    say.write("Five questions; Enter takes what stands in brackets.\n");
    wanted.image = answer("Image, by its tag in Golem's registry", IMAGE, |text| Ok(text.to_owned()))?;
    let question =
        "Tasks: a number N for 0 to N-1, a file with one a line, or a pattern such as scenes/*.blend";
    wanted.tasks = answer(question, "10", |text| {
        Ok(match text.parse() {
            Ok(0) => return Err("must be at least 1".to_owned()),
            Ok(n) => Tasks::Range(n),
            Err(_) if text.contains(['*', '?', '[']) => Tasks::Glob(text.to_owned()),
            Err(_) if Path::new(text).extension().is_some_and(|end| end == "csv") => {
                Tasks::Csv(text.to_owned())
            }
            Err(_) => Tasks::Lines(text.to_owned()),
        })
    })?;
    wanted.run = answer("Command for each task; {{ task }} stands for it", RUN, |text| Ok(text.to_owned()))?;
    wanted.budget = answer("GLM that may be spent, such as 10 in all or 3/h in any hour", "1", budget)?;
    wanted.workers = answer("Providers at the same time", "5", at_least_one)?;
    Ok(wanted)
}

/// Asks until there is an answer that can be read.
fn answer<T>(question: &str, default: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    let mut say = Output::stderr();
    loop {
        say.write(&format!("{question} [{default}]: "));
        let mut line = String::new();
        let n = stdin().lock().read_line(&mut line).unwrap_or(0);
        if n == 0 {
            say.write("\n");
            let failure = Failure::new(Exit::Usage, InitError::NoAnswer);
            return Err(failure.advise("say it by flags: `golem-tasks init --help`"));
        }
        let line = line.trim();
        match read(if line.is_empty() { default } else { line }) {
            Ok(answer) => return Ok(answer),
            Err(problem) => say.write(&format!("  {problem}\n")),
        }
    }
}

impl Wanted {
    fn text(&self) -> String {
        let (about, tasks) = match &self.tasks {
            Tasks::Lines(file) => ("one for each line of a file", format!("lines = {}", quoted(file))),
            Tasks::Csv(file) => {
                ("one for each record; {{ task.COLUMN }} is a field of it", format!("csv = {}", quoted(file)))
            }
            Tasks::Glob(pattern) => (
                "one for each file that matches; the task is its path",
                format!("glob = {}", quoted(pattern)),
            ),
            Tasks::Range(end) => ("numbers", format!("range = {{ start = 0, end = {end} }}")),
        };
        let upload = match &self.tasks {
            Tasks::Glob(_) => {
                "[[steps]]                               # sends the task's file\n\
                 upload = { from = \"{{ task }}\", to = \"/golem/input/file\" }\n\n"
            }
            _ => "",
        };
        format!(
            "# A job for golem-tasks. docs/job-file.md explains every key.\n\n\
             [payload]                               # the machine to rent\n\
             image_tag = {image}\n\
             # min_mem_gib = 2.0\n\
             # min_cpu_threads = 4\n\n\
             [tasks]                                 # {about}\n\
             {tasks}\n\n\
             {upload}[[steps]]                               # what to do for each task\n\
             run = {run}\n\n\
             # [[steps]]                             # a file to bring home, one for each task\n\
             # download = {{ from = \"/golem/output/out.txt\", to = \"out/{{{{ index }}}}.txt\" }}\n\n\
             [limits]                                # what it may take and cost\n\
             budget = {budget}\n\
             workers = {workers}\n\
             task_timeout = \"10m\"\n\
             # max_price_per_hour = \"0.5\"\n",
            image = quoted(&self.image),
            run = quoted(&self.run),
            budget = quoted(&self.budget.to_string()),
            workers = self.workers,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_a_valid_job_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("words.txt", "a\nb\n"), ("rows.csv", "x,y\n1,2\n"), ("it's.blend", "")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let tasks = [
            (Tasks::Range(3), "echo {{ task }}"),
            (Tasks::Lines("words.txt".into()), RUN),
            (Tasks::Csv("rows.csv".into()), "echo \"{{ task.x }}\" '\\' \t"),
            (Tasks::Glob("*.blend".into()), "cat /golem/input/file"),
        ];
        for (tasks, run) in tasks {
            let wanted = Wanted {
                image: IMAGE.into(),
                tasks,
                run: run.into(),
                budget: "3/h".parse().unwrap(),
                workers: 7,
            };
            let text = wanted.text();
            let job = Job::parse(&text, &folder.path().join("job.toml"));
            let job = job.unwrap_or_else(|error| panic!("{}\n{text}", crate::view::report(&error.into())));
            check::of_file(&job)
                .unwrap_or_else(|failure| panic!("{}\n{text}", crate::view::report(&failure)));
            assert_eq!((job.limits.workers, job.limits.budget.to_string().as_str()), (7, "3/h"));
        }
    }
}
