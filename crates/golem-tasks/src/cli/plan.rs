//! The `plan` command, and the question of `run --confirm`.

use std::io::{IsTerminal, stdin};
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use yagna_api::Glm;

use super::args::{PlanFlags, RunFlags};
use super::{block_on, options};
use crate::exit::{Exit, Failure};
use crate::options::RunOptions;
use crate::run::plan::{PlanOptions, look};
use crate::view::Output;
use crate::view::text::one_amount;
use crate::work::AnyJob;

/// The time to look at the market before a run.
const LASTING: Duration = Duration::from_secs(5);

/// The question whether a run may begin, as it was asked for.
pub(super) struct Asked {
    confirm: bool,
    above: Option<Glm>,
    yes: bool,
}

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("there is no terminal to ask at whether the run may begin")]
    NoTerminal,
    #[error(
        "the run may cost {expected} GLM, which is more than {above}, and there is no terminal to ask at"
    )]
    NoTerminalAbove { expected: String, above: Glm },
}

/// The plan that is asked for, and whether as JSON.
pub(super) fn resolve<J: ClapArgs>(
    flags: &PlanFlags<J>,
    job: impl FnOnce(&J) -> Result<Arc<dyn AnyJob>, Failure>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(PlanOptions, bool), Failure> {
    let run = options::resolve(&flags.run, job, environment, &mut fastrand::Rng::new())?;
    Ok((PlanOptions { run, task_takes: flags.task_takes, lasting: flags.lasting }, flags.run.json))
}

impl Asked {
    /// The question that these flags ask for.
    pub(super) fn of<J: ClapArgs>(flags: &RunFlags<J>) -> Self {
        Self { confirm: flags.confirm, above: flags.confirm_above, yes: flags.yes }
    }
}

/// Shows the plan and asks, where that was asked for. `false` where the answer is no.
pub(super) fn confirmed(asked: &Asked, options: &RunOptions) -> Result<bool, Failure> {
    if !asked.confirm && asked.above.is_none() {
        return Ok(true);
    }
    let mut say = Output::stderr();
    let attended = stdin().is_terminal() && say.is_terminal();
    if asked.confirm && !attended && !asked.yes {
        return Err(unattended(AskError::NoTerminal));
    }
    let planned = PlanOptions { run: options.clone(), task_takes: None, lasting: LASTING };
    let plan = block_on(look(&planned))?;
    say.write(&plan.text(super::inspect::room()));
    let expected = plan.expected(options.limits.budget.total());
    if asked.yes || !asked.must_ask(expected) {
        return Ok(true);
    }
    if !attended {
        let expected = expected.map_or_else(|| "any number of".to_owned(), one_amount);
        let above = asked.above.unwrap_or_default();
        return Err(unattended(AskError::NoTerminalAbove { expected, above }));
    }
    say.write("Begin this run? [y/N] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| Failure::new(Exit::Usage, error))?;
    let begins = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !begins {
        say.write("nothing was begun\n");
    }
    Ok(begins)
}

impl Asked {
    /// True if somebody has to be asked about a run of this cost; of an unknown cost, always.
    fn must_ask(&self, expected: Option<Glm>) -> bool {
        self.above.is_none_or(|above| expected.is_none_or(|expected| expected > above))
    }
}

fn unattended(error: AskError) -> Failure {
    Failure::new(Exit::Usage, error).advise("add --yes to begin without a question")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_about_costs_above_the_limit_and_unknown_ones() {
        let glm = |text: &str| text.parse::<Glm>().unwrap();
        let above = Asked { confirm: false, above: Some(glm("5")), yes: false };
        for (expected, asks) in [(Some("5"), false), (Some("5.01"), true), (Some("0"), false), (None, true)] {
            assert_eq!(above.must_ask(expected.map(glm)), asks, "{expected:?}");
        }
        assert!(Asked { confirm: true, above: None, yes: false }.must_ask(Some(glm("0"))));
    }
}
