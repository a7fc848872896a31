//! `resume`: the command line that a run was last started with, once more.
//!
//! A run keeps the words of that command line, without secrets and without what is asked for once. `resume` adds the run's id
//! and the flags that are given to it, which win, and the result is read as any command line of `run`.

use std::path::Path;

use clap::{Arg, Args as ClapArgs};

use super::inspect;
use super::inspect::args::Place;
use crate::description::CommandLine;
use crate::exit::{Exit, Failure};
use crate::store::RunRecord;

pub(super) const EXAMPLES: &str = "\
Examples:
  golem-tasks resume
      The newest run, as it was last started.
  golem-tasks resume brave-otter-4821 --budget 5 --workers 20
      Flags of `run` replace those that the run was started with.

Variables such as YAGNA_APPKEY are read anew: secrets are not kept with a run.
What is done stays done. `golem-tasks run JOB.toml --run-id ID` does the same.";

/// Flags that are not kept: secrets, the database, where the run is found anyway, and what is asked for once.
const NOT_KEPT: [&str; 10] = [
    "app-key",
    "dsn",
    "run-id",
    "retry-failed",
    "changed-job",
    "only",
    "confirm",
    "confirm-above",
    "yes",
    "notify",
];

#[derive(Debug, Clone, Default, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct ResumeFlags {
    #[command(flatten)]
    place: Place,
    /// The run, by its id or the beginning of it, and flags of `run` [default: the newest run]
    #[arg(value_names = ["RUN", "FLAGS"], num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The reasons why a run can't be resumed by its id alone.
#[derive(Debug, thiserror::Error)]
enum ResumeError {
    #[error("run `{0}` was not started from a command line")]
    NoCommand(String),
    #[error("run `{run_id}` was started by `{program}`")]
    OtherProgram { run_id: String, program: String },
}

/// The part of a command line that is kept with its run.
pub(super) fn kept(words: &[String], run: &clap::Command) -> CommandLine {
    let folder = std::env::current_dir().ok().map(|folder| folder.to_string_lossy().into_owned());
    let mut words = words.to_vec();
    for flag in NOT_KEPT {
        remove(&mut words, flag, run);
    }
    CommandLine { folder, words }
}

impl ResumeFlags {
    /// The whole command line that resumes the run.
    ///
    /// `program` is the first word of this command line, and `run` the command `run`, which knows its flags.
    pub(super) async fn words(
        &self,
        program: &str,
        run: &clap::Command,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<String>, Failure> {
        let mut given = self.words.clone();
        let named = given.first().is_some_and(|word| !word.starts_with('-')).then(|| given.remove(0));
        // Behind the run's name they are words like any others; still they say where the run is kept.
        let mut place = self.place.clone();
        place.devnet |= !remove(&mut given, "devnet", run).is_empty();
        place.dsn = remove(&mut given, "dsn", run).pop().or(place.dsn);
        let record = inspect::record(&place, named.as_deref(), environment).await?;
        let mut words = started(&record, program)?;
        for word in &given {
            if let Some(arg) = arg_of(word, run) {
                remove(&mut words, arg.get_id().as_str(), run);
            }
        }
        words.extend(given);
        words.extend(["--run-id".to_owned(), record.run_id]);
        if let Some(dsn) = place.dsn {
            words.extend(["--dsn".to_owned(), dsn]);
        }
        Ok(words)
    }
}

/// The command line that a run was last started with, as this program would read it in its own folder.
fn started(record: &RunRecord, program: &str) -> Result<Vec<String>, Failure> {
    let run_id = record.run_id.clone();
    let description = record.description()?;
    let CommandLine { folder, mut words } = description.command.clone().unwrap_or_default();
    let Some(first) = words.first_mut() else {
        let advice = format!("start the program that began it again, with the run's id `{run_id}`");
        return Err(Failure::new(Exit::Usage, ResumeError::NoCommand(run_id)).advise(advice));
    };
    if file_name(first) != file_name(program) {
        let other = file_name(first).to_owned();
        let advice = format!("`{other} resume {run_id}`");
        return Err(
            Failure::new(Exit::Usage, ResumeError::OtherProgram { run_id, program: other }).advise(advice)
        );
    }
    program.clone_into(first);
    // A path of a job file counts from the folder where it was typed.
    if let (Some(file), Some(folder)) = (description.job_file(), folder)
        && let Some(word) = words.iter_mut().find(|word| *word == file)
        && !std::env::current_dir().is_ok_and(|here| here == Path::new(&folder))
    {
        *word = Path::new(&folder).join(file).to_string_lossy().into_owned();
    }
    Ok(words)
}

fn file_name(program: &str) -> &str {
    Path::new(program).file_stem().and_then(|name| name.to_str()).unwrap_or(program)
}

/// The flag of `run` that a word is, with or without a value behind `=`.
fn arg_of<'c>(word: &str, run: &'c clap::Command) -> Option<&'c Arg> {
    if let Some(long) = word.strip_prefix("--") {
        let name = long.split_once('=').map_or(long, |(name, _)| name);
        return run.get_arguments().find(|arg| arg.get_long() == Some(name));
    }
    let mut short = word.strip_prefix('-')?.chars();
    let first = short.next()?;
    run.get_arguments().find(|arg| arg.get_short() == Some(first)).filter(|_| short.next().is_none())
}

/// Removes a flag of `run`, named by its id or long name, wherever it is given. Returns its values; an empty one where it takes none.
fn remove(words: &mut Vec<String>, flag: &str, run: &clap::Command) -> Vec<String> {
    let is_meant = |arg: &&Arg| arg.get_id() == flag || arg.get_long() == Some(flag);
    let mut removed = Vec::new();
    let mut place = 0;
    while let Some(word) = words.get(place) {
        let Some(arg) = arg_of(word, run).filter(is_meant) else {
            place += 1;
            continue;
        };
        let word = words.remove(place);
        removed.push(match word.split_once('=') {
            Some((_, value)) => value.to_owned(),
            None if arg.get_action().takes_values() && place < words.len() => words.remove(place),
            None => String::new(),
        });
    }
    removed
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use serde_json::{Value, json};

    use super::*;
    use crate::cli::args::{Args, JobFile};

    fn run() -> clap::Command {
        let mut program = Args::<JobFile>::command();
        program.build();
        program.find_subcommand("run").unwrap().clone()
    }

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    fn record(command: &Value) -> RunRecord {
        RunRecord {
            run_id: "calm-fox-1".to_owned(),
            created: yagna_api::Timestamp::UNIX_EPOCH,
            app_session: yagna_api::AppSessionId::new("s"),
            version: String::new(),
            job: json!({ "job": "jobs/a.toml", "payload": {}, "command": command }),
            ended: None,
        }
    }

    #[test]
    fn secrets_and_what_is_asked_for_once_are_not_kept() {
        let line = "golem-tasks -v run a.toml --app-key 1234 --dsn=postgres://me:pw@h/d --run-id x --retry-failed --only 1,2 --budget 2";
        let kept = kept(&words(line), &run());
        assert_eq!(kept.words, words("golem-tasks -v run a.toml --budget 2"));
    }

    #[test]
    fn a_flag_that_is_given_again_replaces_each_of_the_old_ones() {
        let mut line = words("p run a.toml --budget 2/h --budget=9/d -q --workers 3");
        assert_eq!(remove(&mut line, "budget", &run()), ["2/h", "9/d"]);
        assert_eq!(remove(&mut line, "quiet", &run()), [""]);
        assert_eq!(remove(&mut line, "results", &run()).len(), 0);
        assert_eq!(line, words("p run a.toml --workers 3"));
    }

    #[test]
    fn a_job_file_is_found_from_another_folder() {
        let started_at = |folder: &str| {
            let command = json!({ "folder": folder, "words": ["/bin/golem-tasks", "run", "jobs/a.toml"] });
            started(&record(&command), "golem-tasks").unwrap().join(" ")
        };
        assert_eq!(started_at("/elsewhere"), "golem-tasks run /elsewhere/jobs/a.toml");
        let here = std::env::current_dir().unwrap();
        assert_eq!(started_at(here.to_str().unwrap()), "golem-tasks run jobs/a.toml");
    }

    #[test]
    fn runs_of_other_programs_and_without_a_command_line_are_refused_with_advice() {
        let other = started(&record(&json!({ "words": ["./squares", "run"] })), "golem-tasks").unwrap_err();
        assert_eq!(other.to_string(), "run `calm-fox-1` was started by `squares`");
        assert_eq!(other.advice(), Some("`squares resume calm-fox-1`"));
        let none = started(&record(&Value::Null), "golem-tasks").unwrap_err();
        assert_eq!(none.to_string(), "run `calm-fox-1` was not started from a command line");
    }
}
