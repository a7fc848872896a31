//! `completions` and `man`: what is made from the command line's own description.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::{Exit, Failure};
use crate::view::Output;

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(golem-tasks completions bash)
      In ~/.bashrc.
  golem-tasks completions zsh > ~/.zfunc/_golem-tasks
      With `fpath+=~/.zfunc` before `compinit` in ~/.zshrc.
  golem-tasks completions fish > ~/.config/fish/completions/golem-tasks.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  golem-tasks man run | man -l -
      The manual page of the command `run`.
  golem-tasks man --output ~/.local/share/man/man1
      A page for each command, so that `man golem-tasks-run` finds it.";

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct CompletionsFlags {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Default, ClapArgs)]
pub(super) struct ManFlags {
    /// The command whose page is printed [default: the program itself]
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    command: Option<String>,
    /// Write the pages of the program and of all its commands into this folder.
    #[arg(short, long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
}

/// A word that is not a command of the program.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a command")]
struct NoCommand(String);

/// A page can't be written.
#[derive(Debug, thiserror::Error)]
#[error("{} can't be written", path.display())]
struct Unwritten {
    path: PathBuf,
    source: io::Error,
}

/// Prints a shell's script.
pub(super) fn completions(flags: &CompletionsFlags, mut program: clap::Command) -> Result<Exit, Failure> {
    let name = program.get_bin_name().unwrap_or_else(|| program.get_name()).to_owned();
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut program, name, &mut script);
    print(&script)
}

/// Prints one manual page, or writes all of them.
pub(super) fn man(flags: &ManFlags, program: clap::Command) -> Result<Exit, Failure> {
    let program = named(program);
    if let Some(folder) = &flags.output {
        return write_all(folder, &program);
    }
    let page = match &flags.command {
        None => program,
        Some(name) => {
            let found = program.get_subcommands().find(|command| {
                command.get_name() == name || command.get_all_aliases().any(|alias| alias == name)
            });
            let found = found.cloned();
            found.ok_or_else(|| {
                Failure::new(Exit::Usage, NoCommand(name.clone()))
                    .advise("`golem-tasks --help` lists the commands")
            })?
        }
    };
    print(&rendered(page)?)
}

/// The program with all its commands, each with the name that its page has: `golem-tasks-run`.
fn named(mut program: clap::Command) -> clap::Command {
    program = program.disable_help_subcommand(true).term_width(80);
    program.build();
    let names: Vec<_> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let own = program.get_name().to_owned();
    names.into_iter().fold(program, |program, name| {
        let title = format!("{own}-{name}");
        program.mut_subcommand(name, |command| command.display_name(title))
    })
}

fn write_all(folder: &Path, program: &clap::Command) -> Result<Exit, Failure> {
    let unwritten =
        |path: &Path, source| Failure::new(Exit::BrokeOff, Unwritten { path: path.to_owned(), source });
    std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, error))?;
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    let mut pages = 0;
    for command in commands.chain([program]) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let path = folder.join(format!("{name}.1"));
        std::fs::write(&path, rendered(command.clone())?).map_err(|error| unwritten(&path, error))?;
        pages += 1;
    }
    Output::stderr().write(&format!("{pages} pages are in {}\n", folder.display()));
    Ok(Exit::Done)
}

fn rendered(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| Failure::new(Exit::Bug, error))?;
    Ok(page)
}

fn print(bytes: &[u8]) -> Result<Exit, Failure> {
    let mut output = Output::stdout();
    output.write(&String::from_utf8_lossy(bytes));
    output.lost().map_or(Ok(Exit::Done), |error| Err(Failure::lost_output(error)))
}
