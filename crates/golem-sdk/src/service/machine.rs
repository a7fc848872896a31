//! A machine on which an instance runs: short commands beside its main process, one at a time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use yagna_api::activity::{CommandResult, Outcome, Output};

use crate::context::{Execution, ExecutionEnd, ScriptError, WorkContext};
use crate::script::{Program, Script};

/// The first pause where somebody else's command runs; later ones are longer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The words by which a machine says that another batch runs on it.
const BUSY: &str = "State error: Busy";

/// A machine. Clones are the same machine.
#[derive(Clone)]
pub(super) struct Machine {
    ctx: WorkContext,
    turn: Arc<Mutex<()>>,
}

/// The outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Its standard output, as text.
    pub stdout: String,
    /// Its standard error, as text.
    pub stderr: String,
}

/// The reasons why a command didn't run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RanNot {
    /// Another command runs on the machine.
    #[error(
        "another command runs on the machine of {provider}, which carries out one at a time: try again later"
    )]
    Busy {
        /// The provider's name.
        provider: String,
    },
    /// It took too long, and may still run.
    #[error("the command took longer than {} s; it may still run", limit.as_secs())]
    Expired {
        /// The time that it had.
        limit: Duration,
    },
    /// It could not be started.
    #[error("the command could not be started: {0}")]
    NotStarted(String),
    /// The machine can't be reached, or is gone.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("provider", self.ctx.provider()).finish_non_exhaustive()
    }
}

impl Machine {
    pub(super) fn new(ctx: WorkContext) -> Self {
        Self { ctx, turn: Arc::default() }
    }

    pub(super) fn ctx(&self) -> &WorkContext {
        &self.ctx
    }

    /// Runs a script of the machine's shell, beside all that is recorded, as soon as nothing else runs there.
    pub(super) async fn sh(&self, script: impl Into<String>, limit: Duration) -> Result<Ran, RanNot> {
        let _turn = self.turn.lock().await;
        self.run(Program::new("/bin/sh").args(["-c".to_owned(), script.into()]), limit).await
    }

    /// Runs a script as `sh` does, unless another command of this process runs on the machine.
    pub(super) async fn sh_if_idle(&self, script: String, limit: Duration) -> Option<Result<Ran, RanNot>> {
        let _turn = self.turn.try_lock().ok()?;
        Some(self.run(Program::new("/bin/sh").args(["-c".to_owned(), script]), limit).await)
    }

    async fn run(&self, program: Program, limit: Duration) -> Result<Ran, RanNot> {
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        loop {
            let script = Script::new().program(program.clone());
            let Execution { results, end, .. } = self.ctx.execute_aside(script, limit).await?;
            let result = results.into_iter().next();
            match (end, result) {
                (ExecutionEnd::Expired, _) => return Err(RanNot::Expired { limit }),
                (_, Some(result)) if is_busy(&result) => {
                    if Instant::now() + pause >= deadline {
                        return Err(RanNot::Busy { provider: self.ctx.provider_name().to_owned() });
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                (_, Some(result)) => return ran(&result),
                (_, None) => return Err(RanNot::NotStarted("the machine brought no result".to_owned())),
            }
        }
    }
}

/// True if the machine refused a command because another one runs there.
pub(super) fn is_busy(result: &CommandResult) -> bool {
    result.result == Outcome::Error && result.message.as_deref().is_some_and(|message| message.contains(BUSY))
}

fn ran(result: &CommandResult) -> Result<Ran, RanNot> {
    let Some(code) = result.exit_code() else {
        return Err(RanNot::NotStarted(result.reason().to_owned()));
    };
    let text = |output: Option<&Output>| output.map(Output::to_text).unwrap_or_default().into_owned();
    Ok(Ran { code, stdout: text(result.stdout.as_ref()), stderr: text(result.stderr.as_ref()) })
}
