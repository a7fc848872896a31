//! Carrying out a script, command by command, in the order and the states that Golem's exe-unit allows.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use yagna_api::activity::{Command, Deploy, Progress, Run, Start, State, StatePair};
use yagna_api::error::chain;

use super::Unit;
use super::batch::{Batch, Side};
use super::deployment;
use super::progress::Meter;
use super::transfer::{self, TransferError};
use super::vpn::Vpn;
use crate::runtime::{Output, RuntimeError};

/// Pieces of output that may wait between the runtime and us.
const OUTPUT_QUEUE: usize = 16;

/// The reasons why a command failed, in the words of Golem's exe-unit.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("ExeScript command exited with code {0}")]
    ExitCode(i32),
    #[error("Local service error: State error: {0}")]
    State(String),
    #[error("Local service error: Transfer error: {0}")]
    Transfer(TransferError),
    #[error("Runtime error: {}", chain(.0))]
    Runtime(RuntimeError),
    #[error("Runtime error: {0}")]
    Other(String),
    /// Nobody is told: the exe-unit is no more.
    #[error("the exe-unit died")]
    Died,
}

impl CommandError {
    fn return_code(&self) -> i32 {
        match self {
            Self::ExitCode(code) => *code,
            _ => -1,
        }
    }
}

impl From<RuntimeError> for CommandError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Died => Self::Died,
            error => Self::Runtime(error),
        }
    }
}

impl From<TransferError> for CommandError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::File(RuntimeError::Died) => Self::Died,
            error => Self::Transfer(error),
        }
    }
}

/// Runs a batch to its end, its first failure, or its interruption.
pub(super) async fn carry_out(unit: Arc<Unit>, batch: Arc<Batch>) {
    for (index, command) in (0_u32..).zip(batch.script()) {
        if batch.interrupt.is_cancelled() {
            break;
        }
        batch.started(index, command, unit.clock.now());
        let done = one(&unit, &batch, index, command).await;
        if matches!(done, Err(CommandError::Died)) {
            unit.die().await;
            return;
        }
        if unit.cancel.is_cancelled() {
            break;
        }
        let (code, message) = match &done {
            Ok(()) => (0, None),
            Err(error) => (error.return_code(), Some(error.to_string())),
        };
        batch.ended(index, code, message, unit.clock.now());
        if done.is_err() {
            break;
        }
    }
    batch.finished();
    unit.state().batch_ended(&batch, &unit.config);
}

async fn one(
    unit: &Arc<Unit>,
    batch: &Arc<Batch>,
    index: u32,
    command: &Command,
) -> Result<(), CommandError> {
    match command {
        Command::Sign(_) => {
            return Err(CommandError::Other("sign is possible only inside an enclave".to_owned()));
        }
        Command::Terminate(_) => {
            let terminated = batch.interrupt.run_until_cancelled(terminate(unit, batch)).await;
            return terminated.ok_or_else(interrupted);
        }
        _ => {}
    }
    let (busy, after) = unit.begin(command)?;
    unit.report(busy, None).await;
    let work = async {
        match command {
            Command::Deploy(deploy) => self::deploy(unit, deploy).await,
            Command::Start(start) => self::start(unit, start).await,
            Command::Run(run) => run_program(unit, batch, index, run).await,
            Command::Transfer(transfer) => {
                let tell = |progress: Progress| batch.progressed(index, progress, unit.clock.now());
                let mut meter = Meter::new(transfer.progress.as_ref(), &tell);
                Ok(transfer::transfer(&*unit.instance, &*unit.port, transfer, &mut meter).await?)
            }
            Command::Sign(_) | Command::Terminate(_) => Ok(()),
        }
    };
    // A panic must neither keep the requestor waiting nor leave the activity busy for ever.
    let work = AssertUnwindSafe(work).catch_unwind();
    let done = match batch.interrupt.run_until_cancelled(work).await {
        Some(Ok(done)) => done,
        Some(Err(_)) => Err(CommandError::Other("the runtime panicked".to_owned())),
        None => Err(interrupted()),
    };
    if matches!(done, Err(CommandError::Died)) || unit.cancel.is_cancelled() {
        return done;
    }
    // Golem's exe-unit goes on to the next state even when the command failed: a failed deploy can't be repeated.
    unit.set_pair(after).await;
    done
}

/// Ends all other batches and all that runs, and goes back to the beginning.
async fn terminate(unit: &Unit, this: &Arc<Batch>) {
    let others: Vec<Arc<Batch>> =
        unit.state().batches.values().filter(|batch| !Arc::ptr_eq(batch, this)).cloned().collect();
    for batch in others {
        batch.interrupt.cancel();
        batch.wait_finished().await;
    }
    unit.leave_networks();
    unit.instance.stop().await;
    unit.set_pair(StatePair(State::Initialized, None)).await;
}

async fn deploy(unit: &Unit, deploy: &Deploy) -> Result<(), CommandError> {
    let deployment = deployment::read(deploy).map_err(|error| CommandError::Other(error.to_string()))?;
    unit.instance.deploy(&deployment).await?;
    unit.state().networks = deployment.networks;
    Ok(())
}

/// Boots the machine and puts it into its virtual networks.
async fn start(unit: &Unit, start: &Start) -> Result<(), CommandError> {
    unit.instance.start(&start.args).await?;
    let networks = unit.state().networks.clone();
    if networks.is_empty() {
        return Ok(());
    }
    let card = unit.instance.card();
    let vpn = Vpn::join(&networks, &unit.port, card, &unit.tasks, &unit.cancel).await;
    let vpn = vpn.map_err(|error| CommandError::Other(error.message))?;
    unit.state().vpn = Some(vpn);
    Ok(())
}

async fn run_program(unit: &Unit, batch: &Batch, index: u32, run: &Run) -> Result<(), CommandError> {
    let (sender, mut receiver) = mpsc::channel(OUTPUT_QUEUE);
    let limit = unit.config.max_captured;
    let program = async { Ok(unit.instance.run(&run.entry_point, &run.args, sender).await?) };
    let collect = async {
        while let Some(output) = receiver.recv().await {
            let (side, piece) = match output {
                Output::Stdout(piece) => (Side::Out, piece),
                Output::Stderr(piece) => (Side::Err, piece),
            };
            if batch.wrote(index, side, &piece, unit.clock.now()) > limit {
                return Err(CommandError::Other(format!(
                    "the command wrote more than {limit} bytes to be captured: capture only head or tail, or write \
                     into a file"
                )));
            }
        }
        Ok(())
    };
    // The first error ends the other side too: too much output kills the program.
    let (code, ()) = tokio::try_join!(program, collect)?;
    if code == 0 { Ok(()) } else { Err(CommandError::ExitCode(code)) }
}

impl Unit {
    /// Takes the state that a command works in; gives it with the one that follows.
    fn begin(&self, command: &Command) -> Result<(StatePair, StatePair), CommandError> {
        let mut state = self.state();
        let pair = state.pair;
        let next = match (pair, command) {
            (StatePair(_, Some(_)), _) => Err(format!("Busy: {pair:?}")),
            (StatePair(State::Initialized, None), Command::Deploy(_)) => Ok(State::Deployed),
            (StatePair(State::Initialized, None), _) => {
                Err("Activity is initialized - deploy() command is expected now".to_owned())
            }
            (StatePair(State::Deployed, None), Command::Start(_)) => Ok(State::Ready),
            (StatePair(State::Deployed, None), _) => {
                Err("Activity is deployed - start() command is expected now".to_owned())
            }
            (StatePair(State::Ready, None), Command::Deploy(_) | Command::Start(_)) => {
                Err("Cannot send command after a successful start()".to_owned())
            }
            (StatePair(State::Ready, None), _) => Ok(State::Ready),
            _ => Err(format!("Invalid state: {pair:?}")),
        };
        let next = next.map_err(CommandError::State)?;
        state.pair.1 = Some(next);
        Ok((state.pair, StatePair(next, None)))
    }
}

fn interrupted() -> CommandError {
    CommandError::Other("the command was interrupted".to_owned())
}
