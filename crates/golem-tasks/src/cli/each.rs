//! `each`: a pile of work in one line. The command line becomes the text of a job file, so that everything else is as with one.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stdin};
use std::path::Path;
use std::sync::Arc;

use clap::Args as ClapArgs;

use crate::exit::{Exit, Failure};
use crate::job::Job;
use crate::work::{AnyJob, Typed};

/// Stands for the argument in the command, as with GNU parallel and xargs.
const PLACE: &str = "{}";

/// Stands before the arguments, as with GNU parallel.
const BEHIND: &str = ":::";

pub(super) const EXAMPLES: &str = "\
Examples:
  golem-tasks each --devnet 'echo -n {} | sha256sum' ::: red green blue
      Three tasks on an emulated network.
  golem-tasks each --image golem/alpine:latest 'factor {}' < numbers.txt
      A task for each line.
  golem-tasks each 'factor' ::: 12 15
      Without {} the argument stands at the end.

Arguments are quoted for the shell of the image. Files, set-up steps and
everything else are in job files: `golem-tasks init` writes one to begin with.";

/// A command, and its arguments.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct Pile {
    /// The command line for the shell of the image; {} stands for the argument.
    #[arg(value_name = "COMMAND")]
    command: String,
    /// The arguments, behind `:::`, a task for each [default: the lines of standard input]
    #[arg(value_name = "::: ARGUMENTS", num_args = 0..)]
    arguments: Vec<String>,
    /// The image, by its tag in Golem's registry.
    #[arg(long, value_name = "TAG", default_value = "golem/alpine:latest")]
    image: String,
}

/// The errors of a command line that describes no tasks.
#[derive(Debug, thiserror::Error)]
enum PileError {
    #[error("the command is empty")]
    EmptyCommand,
    #[error("`{0}` stands where `:::` should be")]
    Separator(String),
    #[error("there are no arguments: `:::` has none behind it")]
    Arguments,
    #[error("there are no arguments, and standard input is a terminal")]
    TerminalInput,
}

impl PileError {
    fn advice(&self) -> &'static str {
        match self {
            Self::EmptyCommand => "give a command line, such as 'echo {}'",
            Self::Separator(_) => {
                "quote the whole command, and put `:::` before its arguments: 'echo {}' ::: a b c"
            }
            Self::Arguments | Self::TerminalInput => {
                "put arguments behind `:::`, or one a line into standard input: 'echo {}' ::: a b c"
            }
        }
    }
}

impl Pile {
    /// The job that does this.
    pub(super) fn job(&self) -> Result<Arc<dyn AnyJob>, Failure> {
        let text = self.text(stdin().is_terminal()).map_err(|error| {
            let advice = error.advice();
            Failure::new(Exit::Usage, error).advise(advice)
        })?;
        let job = Job::parse(&text, Path::new("the command line")).map_err(Failure::from)?;
        Ok(Arc::new(Typed::new(job)))
    }

    /// The text of a job file that does this.
    fn text(&self, at_terminal: bool) -> Result<String, PileError> {
        if self.command.trim().is_empty() {
            return Err(PileError::EmptyCommand);
        }
        let arguments = match self.arguments.split_first() {
            None => None,
            Some((first, [])) if first == BEHIND => return Err(PileError::Arguments),
            Some((first, arguments)) if first == BEHIND => Some(arguments),
            Some((first, _)) => return Err(PileError::Separator(first.clone())),
        };
        let tasks = match arguments {
            Some(arguments) => format!("values = {}", toml::Value::from(arguments.to_vec())),
            None if at_terminal => return Err(PileError::TerminalInput),
            None => "lines = \"-\"".to_owned(),
        };
        Ok(format!(
            "[payload]\nimage_tag = {}\n[tasks]\n{tasks}\n[[steps]]\nrun = {}\n",
            quoted(&self.image),
            quoted(&template(&self.command)),
        ))
    }
}

/// A command line as a template: `{}` becomes the argument, and nothing else means anything.
fn template(command: &str) -> String {
    let mut parts = command.split(PLACE);
    let mut text = literal(parts.next().unwrap_or_default());
    let mut has_place = false;
    for part in parts {
        has_place = true;
        let _ = write!(text, "{{{{ task | shell }}}}{}", literal(part));
    }
    if !has_place {
        text.push_str(" {{ task | shell }}");
    }
    text
}

/// Text that a template gives back as it is.
fn literal(text: &str) -> String {
    if ["{{", "{%", "{#"].iter().all(|mark| !text.contains(mark)) {
        return text.to_owned();
    }
    // A brace by itself begins nothing.
    text.replace('{', "{{ '{' }}")
}

/// A text in TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::RenderedAction;

    fn pile(command: &str, arguments: &[&str]) -> Pile {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Pile { command: command.to_owned(), arguments, image: "golem/alpine:latest".to_owned() }
    }

    /// The command lines of all tasks.
    fn lines(command: &str, arguments: &[&str]) -> Vec<String> {
        let text = pile(command, arguments).text(true).unwrap();
        let job = Job::parse(&text, Path::new("each")).unwrap();
        let tasks = job.tasks.open().unwrap();
        let rendered = tasks.map(|task| match job.steps[0].render(&task.unwrap()).unwrap().action {
            RenderedAction::Run { args, .. } => args.last().unwrap().clone(),
            other => panic!("{other:?}"),
        });
        rendered.collect()
    }

    #[test]
    fn an_argument_stands_where_braces_are_or_at_the_end() {
        for command in ["factor {}", "factor"] {
            let lines = lines(command, &[BEHIND, "12", "it's"]);
            assert_eq!(lines, ["factor 12", r"factor 'it'\''s'"]);
        }
        assert_eq!(lines("cp {} {}.old", &[BEHIND, "a"]), ["cp a a.old"]);
    }

    #[test]
    fn marks_of_templates_in_a_command_or_an_argument_mean_nothing() {
        let lines = lines("awk '{{ print }} {% x {# y' {}", &[BEHIND, "{{ index }}"]);
        assert_eq!(lines, ["awk '{{ print }} {% x {# y' '{{ index }}'"]);
    }

    #[test]
    fn what_is_no_pile_is_refused() {
        let refused = |command, arguments: &[&str], at_terminal| {
            pile(command, arguments).text(at_terminal).map_err(|error| error.to_string())
        };
        assert_eq!(refused(" ", &[], false), Err("the command is empty".to_owned()));
        assert!(refused("echo", &["a", "b"], false).unwrap_err().contains("`a` stands where `:::`"));
        assert!(refused("echo", &[BEHIND], false).unwrap_err().contains("no arguments"));
        assert!(refused("echo", &[], true).unwrap_err().contains("standard input is a terminal"));
        assert!(refused("echo", &[], false).unwrap().contains("lines = \"-\""));
    }
}
