//! The command line: what was typed becomes validated options, once; errors are printed, once.
//!
//! The raw flags of `args` are resolved together with the environment and the job file into [`RunOptions`], which
//! the rest of the program believes. Left to others: doing what was asked.

pub(crate) mod args;
mod check;
#[cfg(feature = "devnet")]
mod devnet;
mod each;
mod generated;
mod init;
pub(crate) mod inspect;
mod install;
mod logging;
mod look;
pub(crate) mod options;
pub(crate) mod panics;
mod plan;
mod platform;
mod reach;
mod repeated;
mod resume;
mod services;
mod settle;
mod site;
mod unknown;
pub(crate) mod values;
mod web;

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args as ClapArgs, CommandFactory, FromArgMatches};
use futures_util::future::LocalBoxFuture;
use golem_core::event::RunEnd;

use crate::exit::{Exit, Failure};
use crate::job;
use crate::store::Dsn;
use crate::view::{Output, Terminal};
use crate::work::{AnyJob, Typed};
use args::{Args, Command, JobFile, OWN_EXAMPLES, OWN_RUN_EXAMPLES, OwnJob};

pub use crate::options::{DaemonChoice, RunOptions};
pub use crate::view::report;

/// The function that carries a run out. It is handed in, because the modules of the engine know the command line's options.
///
/// A plain function and a boxed future, so that the command line is compiled once, in the library.
pub(crate) type StartRun = fn(RunOptions, Terminal) -> LocalBoxFuture<'static, Result<RunEnd, Failure>>;

/// Jobs that have a name on the command line, where the path of a job file would stand.
pub(crate) struct NamedJobs<'a> {
    /// The placeholder for a job file or such a name in `--help`.
    pub(crate) value_name: &'static str,
    /// The words that explain it there.
    pub(crate) help: &'static str,
    /// Finds the job; nothing where the name is the path of a job file.
    pub(crate) find: &'a FindJob<'a>,
}

/// Finds the job of a name.
type FindJob<'a> = dyn Fn(&Path) -> Found + 'a;

/// A job, or nothing where the name is the path of a job file.
pub(crate) type Found = Result<Option<Arc<dyn AnyJob>>, Failure>;

/// The whole program but for the run itself, which is handed in: reads the command line, does what it says, reports
/// what went wrong, and says how the process is to end.
pub(crate) fn main(run: StartRun) -> Exit {
    main_with(&own_words(), None, run)
}

/// The whole program with these words for a command line, the first of which is the name of the program.
pub(crate) fn main_with(words: &[OsString], named: Option<&NamedJobs<'_>>, run: StartRun) -> Exit {
    let load = |file: JobFile| job::Job::load(&file.job).map_err(Failure::from);
    let find = |file: &JobFile| named.map_or(Ok(None), |named| (named.find)(&file.job));
    let checked = |job: &job::Job| {
        // Where a run would be kept unless a flag says otherwise.
        let kept_in = |devnet| Dsn::choose(None, &|name| std::env::var(name).ok(), devnet);
        let kept_in = [false, true].into_iter().filter_map(|devnet| kept_in(devnet).ok());
        job.protect(&kept_in.flat_map(|dsn| dsn.files()).collect::<Vec<_>>());
        check::of_file(job)
    };
    panics::told(|| match read::<JobFile>(words, || command(named)) {
        Ok((args, words)) => go(
            args,
            &words,
            || command(named),
            |args| match find(&args)? {
                Some(job) => check::of_job(&*job),
                None => checked(&load(args)?),
            },
            |file| match find(file)? {
                Some(job) => Ok(job),
                None => Ok(Arc::new(Typed::new(load(file.clone())?)) as Arc<dyn AnyJob>),
            },
            run,
        ),
        Err(exit) => exit,
    })
}

/// The command line of the program, with the names that jobs have beside those of their files.
fn command(named: Option<&NamedJobs<'_>>) -> clap::Command {
    let command = Args::<JobFile>::command();
    let Some(named) = named else { return command };
    ["run", "check", "plan"].into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            command.mut_arg("job", |job| job.value_name(named.value_name).help(named.help))
        })
    })
}

/// The words of this process's command line.
fn own_words() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// Runs a program that brings its own job, under the program's own name.
pub(crate) fn main_of(job: &Arc<dyn AnyJob>, run: StartRun) -> Exit {
    main_of_with(job, &own_words(), run)
}

/// Runs a program that brings its own job, with these words for a command line, the first of which is its name.
pub(crate) fn main_of_with(job: &Arc<dyn AnyJob>, words: &[OsString], run: StartRun) -> Exit {
    let name = words.first().map(Path::new).and_then(Path::file_stem).map(|name| name.to_string_lossy());
    let command = || own_command(name.as_deref().unwrap_or("job"));
    panics::told_of_own(|| match read::<OwnJob>(words, command) {
        Ok((args, words)) => {
            go(args, &words, command, |_| check::of_job(&**job), |_| Ok(Arc::clone(job)), run)
        }
        Err(exit) => exit,
    })
}

/// Reads a command line, and gives it with its words; of `resume`, those that it stands for.
fn read<J: ClapArgs>(
    typed: &[OsString],
    command: impl Fn() -> clap::Command,
) -> Result<(Args<J>, Vec<String>), Exit> {
    let parsed = |words: &[String]| -> Result<Args<J>, Exit> {
        let matches = command().try_get_matches_from(words).map_err(|error| tell(&unknown::hinted(error)))?;
        Args::from_arg_matches(&matches).map_err(|error| tell(&error))
    };
    // The parser gets what was typed as it is: a path need not be text.
    let matches = command().try_get_matches_from(typed).map_err(|error| tell(&unknown::hinted(error)))?;
    let args = Args::from_arg_matches(&matches).map_err(|error| tell(&error))?;
    let words: Vec<_> = typed.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Command::Resume(flags) = &args.command else { return Ok((args, words)) };
    let program = words.first().map_or("golem-tasks", String::as_str);
    let environment = |name: &str| std::env::var(name).ok();
    let run = run_command(command());
    let mut words = block_on(flags.words(program, &run, &environment)).map_err(|failure| told(&failure))?;
    words.extend(args.logging.words());
    Ok((parsed(&words)?, words))
}

/// The command `run` with all its flags.
fn run_command(mut program: clap::Command) -> clap::Command {
    program.build();
    program.find_subcommand("run").cloned().unwrap_or_default()
}

/// The command line of a program with its own job: ours, without job files.
fn own_command(name: &str) -> clap::Command {
    let examples = |text: &str| text.replace("PROGRAM", name);
    let command = inspect::args::EXAMPLES.iter().fold(Args::<OwnJob>::command(), |command, (about, text)| {
        command.mut_subcommand(*about, |command| command.after_help(text.replace("golem-tasks", name)))
    });
    let others = [
        ("settle", settle::EXAMPLES),
        ("resume", resume::EXAMPLES),
        ("completions", generated::COMPLETIONS_EXAMPLES),
        ("man", generated::MAN_EXAMPLES),
        ("market", look::MARKET_EXAMPLES),
        ("plan", args::PLAN_EXAMPLES),
        ("doctor", look::DOCTOR_EXAMPLES),
        ("web", web::WEB_EXAMPLES),
        ("report", web::REPORT_EXAMPLES),
    ];
    let command = others.into_iter().fold(command, |command, (about, text)| {
        let text = text.replace("golem-tasks", name).replace("run JOB.toml", "run").replace(" job.toml", "");
        command.mut_subcommand(about, |command| command.after_help(text))
    });
    command
        .bin_name(name)
        .display_name(name)
        .version(concat!("(golem-tasks ", env!("CARGO_PKG_VERSION"), ")"))
        .after_help(examples(OWN_EXAMPLES))
        .mut_subcommand("run", |run| {
            run.about("Run this program's job").after_help(examples(OWN_RUN_EXAMPLES)).mut_args(|arg| {
                match arg.get_help_heading() {
                    Some(heading) if heading.starts_with("Limits") => arg.help_heading("Limits"),
                    _ => arg,
                }
            })
        })
        .mut_subcommand("check", |check| check.about("Check the job and its tasks; nothing is bought"))
        // This program has its job.
        .mut_subcommand("each", |each| each.hide(true))
        .mut_subcommand("up", |up| up.hide(true))
        .mut_subcommand("down", |down| down.hide(true))
        .mut_subcommand("ps", |ps| ps.hide(true))
        .mut_subcommand("logs", |logs| logs.hide(true))
        .mut_subcommand("exec", |exec| exec.hide(true))
        .mut_subcommand("forward", |forward| forward.hide(true))
        .mut_subcommand("ssh", |ssh| ssh.hide(true))
        .mut_subcommand("init", |init| init.hide(true))
}

fn go<J: ClapArgs>(
    args: Args<J>,
    words: &[String],
    command: impl Fn() -> clap::Command,
    check: impl FnOnce(J) -> Result<String, Failure>,
    job: impl FnOnce(&J) -> Result<Arc<dyn AnyJob>, Failure>,
    run: StartRun,
) -> Exit {
    let terminal = Terminal::stderr();
    let environment = |name: &str| std::env::var(name).ok();
    let done = logging::start(&args.logging, &terminal).and_then(|()| match args.command {
        Command::Check(flags) => {
            let mut output = Output::stdout();
            output.write(&check(flags.which)?);
            output.lost().map_or(Ok(Exit::Done), |error| Err(Failure::lost_output(error)))
        }
        Command::Up(flags) => {
            let options = flags.resolve(&environment)?;
            block_on(crate::services::up::up(options, terminal.clone()))
        }
        Command::Down(flags) => {
            let (looking, settling) = flags.resolve(&environment)?;
            block_on(crate::services::down::down(&looking, settling))
        }
        Command::Ps(flags) => {
            let looking = flags.place.looking(&environment)?;
            block_on(crate::services::look::ps(&looking, flags.all, flags.json))
        }
        Command::Logs(flags) => {
            let looking = flags.place.looking(&environment)?;
            let site = || flags.place.site(&environment);
            block_on(crate::services::look::logs(&looking, &flags.name, flags.follow, site))
        }
        Command::Exec(flags) => {
            let looking = flags.place.looking(&environment)?;
            let site = || flags.place.site(&environment);
            block_on(crate::services::look::exec(&looking, &flags.name, &flags.words, flags.timeout, site))
        }
        Command::Forward(flags) => {
            let looking = flags.place.looking(&environment)?;
            let site = || flags.place.site(&environment);
            let (name, ports) = (&flags.name, &flags.ports);
            block_on(crate::services::forward::forward(&looking, name, ports, flags.address, site))
        }
        Command::Ssh(flags) => {
            let (looking, shell) = (flags.place.looking(&environment)?, flags.shell(&environment)?);
            block_on(crate::services::ssh::ssh(&looking, &shell, || flags.place.site(&environment)))
        }
        Command::Connect(flags) => {
            let looking = flags.place.looking(&environment)?;
            let site = || flags.place.site(&environment);
            block_on(crate::services::connect::connect(&looking, &flags.name, flags.port, site))
        }
        Command::Install(flags) => block_on(install::install(&flags, &environment, &mut Output::stdout())),
        Command::Show(flags) => block_on(inspect::show(&flags, &environment)),
        Command::Summary(flags) => block_on(inspect::summary(&flags, &environment)),
        Command::Runs(flags) => block_on(inspect::runs(&flags, &environment)),
        Command::Wait(flags) => block_on(inspect::wait(&flags, &environment)),
        Command::Cost(flags) => block_on(inspect::cost(&flags, &environment)),
        Command::Completions(flags) => generated::completions(&flags, command()),
        Command::Man(flags) => generated::man(&flags, command()),
        Command::Init(flags) => init::init(&flags),
        Command::Market(flags) => block_on(crate::run::market::market(flags.resolve(&environment)?)),
        Command::Doctor(flags) => block_on(crate::run::doctor::doctor(flags.resolve(&environment)?)),
        Command::Results(flags) => block_on(inspect::results(&flags, &environment)),
        Command::Errors(flags) => block_on(inspect::errors(&flags, &environment)),
        Command::Providers(flags) => block_on(inspect::providers(&flags, &environment)),
        Command::Top(flags) => block_on(inspect::top(&flags, &environment)),
        Command::Explain(flags) => block_on(inspect::explain(&flags, &environment)),
        Command::Cancel(flags) => block_on(inspect::cancel(&flags, &environment)),
        Command::Web(flags) => block_on(web::web(&flags, &environment)),
        Command::Report(flags) => block_on(web::report(&flags, &environment)),
        Command::Settle(flags) => {
            let options = settle::resolve(&flags, &environment)?;
            block_on(crate::run::settle::settle(options))
        }
        Command::Run(flags) => {
            let options = options::resolve(&flags, job, &environment, &mut fastrand::Rng::new())?;
            if !plan::confirmed(&plan::Asked::of(&flags), &options)? {
                return Ok(Exit::Cancelled);
            }
            start(options, words, run_command(command()), run, &terminal)
        }
        Command::Each(flags) => {
            let options = options::resolve(&flags, each::Pile::job, &environment, &mut fastrand::Rng::new())?;
            if !plan::confirmed(&plan::Asked::of(&flags), &options)? {
                return Ok(Exit::Cancelled);
            }
            start(options, words, run_command(command()), run, &terminal)
        }
        Command::Plan(flags) => {
            let (options, json) = plan::resolve(&flags, job, &environment)?;
            block_on(crate::run::plan::plan(options, json))
        }
        Command::Resume(_) => Err(Failure::new(Exit::Bug, "a resumed run was not read as a `run`")),
        #[cfg(feature = "devnet")]
        Command::Devnet(flags) => {
            let options = devnet::resolve(&flags, &environment, &mut fastrand::Rng::new())?;
            block_on(crate::devnet::serve(options))
        }
    });
    match done {
        Ok(exit) => exit,
        Err(failure) => told(&failure),
    }
}

/// Starts a run, which keeps the words that started it.
#[expect(clippy::needless_pass_by_value, reason = "the flags of `run` are made for this")]
fn start(
    mut options: RunOptions,
    words: &[String],
    flags: clap::Command,
    run: StartRun,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    options.retry_command = Some(repeated::retrying(words.iter().cloned(), &options.run_id));
    options.command = Some(resume::kept(words, &flags));
    block_on(run(options, terminal.clone())).map(|end| Exit::of(&end))
}

/// Reports what went wrong.
fn told(failure: &Failure) -> Exit {
    Output::stderr().write(&report(failure));
    failure.exit()
}

/// The text of `--help`, or of a command's `--help`, at a width of 100 columns.
pub fn help(command: Option<&str>) -> Option<String> {
    let mut program = Args::<JobFile>::command().term_width(100);
    match command {
        None => Some(program.render_long_help().to_string()),
        Some(name) => {
            program.build();
            let command = program.find_subcommand_mut(name)?;
            Some(command.clone().term_width(100).render_long_help().to_string())
        }
    }
}

/// Carries a command out, and ends with it whatever a thread does that waits for a file system.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error| Failure::new(Exit::Bug, RuntimeError(error)))?;
    crate::run::ready::raise_file_limit();
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(LAST_THREADS);
    done
}

/// A thread that waits for something is left behind after this.
const LAST_THREADS: Duration = Duration::from_secs(1);

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
