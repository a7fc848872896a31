//! The contract: one suite of scenarios, in a requestor's terms, on three grounds.
//!
//! | ground | the daemon | the providers |
//! |---|---|---|
//! | `inside` | the devnet's, called in the process | the devnet's |
//! | `http` | the devnet's, over TCP | the devnet's |
//! | `daemons` | two real ones, version 0.17.6 | the same code, joined by REST and bus |
//!
//! What a scenario shows of the daemon's answers goes into a transcript. Transcripts are recorded on real daemons, kept
//! beside the code, and must come out the same on every ground.
//!
//! The third ground needs Linux, the right to make a network namespace, and `GOLEM_YAGNA` naming a daemon's program.
//! Where one is missing, it is said that this ground wasn't run; with `GOLEM_GROUNDS=all` that is a failure.

mod grounds;
mod hand;
mod keyless;
mod namespace;
mod rental;
mod rig;
mod scenarios;
mod stage;
mod transcript;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::grounds::{Ground, Grounds};
use crate::scenarios::Scenario;
use crate::stage::Scene;

/// Most scenarios wait for daemons far longer than they compute; more at once, and machines of two cores fall behind.
const AT_ONCE: usize = 9;

#[expect(clippy::print_stderr, reason = "a test program talks to who started it")]
fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let third = namespace::third_ground();
    if third.is_ok() && !arguments.list && !namespace::is_inside() {
        return namespace::enter();
    }
    if !arguments.list {
        match &third {
            Ok(_) => {}
            Err(why) if std::env::var_os("GOLEM_GROUNDS").is_some_and(|wanted| wanted == "all") => {
                eprintln!("error: the scenarios can't be run on real daemons: {why}");
                return ExitCode::FAILURE;
            }
            Err(why) => eprintln!("NOTE: the scenarios were not run on real daemons: {why}"),
        }
    }
    arguments.test_threads.get_or_insert(AT_ONCE);
    // With RUST_LOG the client and the providers tell what they do; the daemons have logs of their own.
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let grounds = Arc::new(Grounds::new(third.ok()));
    let mut trials = Vec::new();
    for ground in Ground::ALL.into_iter().filter(|ground| grounds.has(*ground)) {
        for scenario in scenarios::all() {
            if scenario.grounds.contains(&ground) {
                trials.push(trial(Arc::clone(&grounds), ground, scenario));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    grounds.end();
    conclusion.exit_code()
}

fn trial(grounds: Arc<Grounds>, ground: Ground, scenario: Scenario) -> Trial {
    Trial::test(format!("{ground}::{}", scenario.name), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            let play = (scenario.play)(Scene::new(grounds, ground, scenario.name));
            tokio::time::timeout(scenario.deadline, play).await
        });
        outcome.map_err(|_| Failed::from(format!("not done within {:?}", scenario.deadline)))
    })
}
