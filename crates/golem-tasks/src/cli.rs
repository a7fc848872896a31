//! The command line: what was typed becomes validated options, once; errors are printed, once.
//!
//! The raw flags of `args` are resolved together with the environment and the job file into [`RunOptions`], which
//! the rest of the program believes. Left to others: doing what was asked.

mod args;
mod check;
#[cfg(feature = "devnet")]
mod devnet;
mod install;
mod logging;
mod options;
mod report;

use std::future::Future;
use std::io;

use clap::{CommandFactory, Parser};
use golem_core::event::RunEnd;

use crate::exit::{Exit, Failure};
use crate::view::{Output, Terminal};
use args::{Args, Command};
pub use options::{DaemonChoice, RunOptions};
pub use report::report;

/// The whole program but for the run itself, which is handed in: reads the command line, does what it says, reports
/// what went wrong, and says how the process is to end.
pub fn main<F>(run: impl FnOnce(RunOptions, Terminal) -> F) -> Exit
where
    F: Future<Output = Result<RunEnd, Failure>>,
{
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(told) => return tell(&told),
    };
    let terminal = Terminal::stderr();
    let done = logging::start(&args.logging, &terminal).and_then(|()| match &args.command {
        Command::Check(check) => check::check(check, &mut Output::stdout()),
        Command::Install(flags) => {
            let environment = |name: &str| std::env::var(name).ok();
            runtime()?.block_on(install::install(flags, &environment, &mut Output::stdout()))
        }
        Command::Run(flags) => {
            let environment = |name: &str| std::env::var(name).ok();
            let options = options::resolve(flags, &environment, &mut fastrand::Rng::new())?;
            runtime()?.block_on(run(options, terminal.clone())).map(|end| Exit::of(&end))
        }
        #[cfg(feature = "devnet")]
        Command::Devnet(flags) => {
            let environment = |name: &str| std::env::var(name).ok();
            let options = devnet::resolve(flags, &environment, &mut fastrand::Rng::new())?;
            runtime()?.block_on(crate::devnet::serve(options))
        }
    });
    match done {
        Ok(exit) => exit,
        Err(failure) => {
            Output::stderr().write(&report(&failure));
            failure.exit()
        }
    }
}

/// The text of `--help`, or of a command's `--help`, at a width of 100 columns.
pub fn help(command: Option<&str>) -> Option<String> {
    let mut program = Args::command().term_width(100);
    match command {
        None => Some(program.render_long_help().to_string()),
        Some(name) => {
            program.build();
            let command = program.find_subcommand_mut(name)?;
            Some(command.clone().term_width(100).render_long_help().to_string())
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Runtime::new().map_err(|error| Failure::new(Exit::Bug, RuntimeError(error)))
}

/// The system didn't let us start any threads.
#[derive(Debug, thiserror::Error)]
#[error("can't start working")]
struct RuntimeError(#[source] io::Error);

/// Help, version, or what is wrong with the command line.
fn tell(told: &clap::Error) -> Exit {
    // A reader that has gone away misses the help; that's all.
    let _gone = told.print();
    if told.use_stderr() { Exit::Usage } else { Exit::Done }
}
