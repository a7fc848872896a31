//! A runtime without processes: commands are answered from a table, in given times.
//!
//! Time is tokio's, so that under a paused clock an hour passes at once. Made for tests and for benchmarks of
//! everything but the commands: an answer costs about as much as one message through a channel.

use std::collections::HashMap;
use std::fmt;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use yagna_api::ActivityId;

use super::folder::Folder;
use super::{Deployment, Instance, Output, Runtime, RuntimeError};

/// The scripted behaviour of a command. The default: exit code 0 at once, without a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptedAnswer {
    stdout: Bytes,
    stderr: Bytes,
    exit_code: i32,
    takes: Duration,
    files: Vec<(String, Bytes)>,
    counts: Vec<(String, u32)>,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    Exits,
    Hangs,
    Dies,
}

impl ScriptedAnswer {
    /// Exits with 0.
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// Exits with this code.
    #[must_use]
    pub fn exit(code: i32) -> Self {
        Self { exit_code: code, ..Self::default() }
    }

    /// Never ends by itself.
    #[must_use]
    pub fn hang() -> Self {
        Self { ending: Ending::Hangs, ..Self::default() }
    }

    /// The whole machine vanishes, and the exe-unit with it.
    #[must_use]
    pub fn die() -> Self {
        Self { ending: Ending::Dies, ..Self::default() }
    }

    /// Writes this to its standard output, at its end.
    #[must_use]
    pub fn stdout(self, text: impl Into<Bytes>) -> Self {
        Self { stdout: text.into(), ..self }
    }

    /// Writes this to its standard error, at its end.
    #[must_use]
    pub fn stderr(self, text: impl Into<Bytes>) -> Self {
        Self { stderr: text.into(), ..self }
    }

    /// Takes this long, all of it on one CPU.
    #[must_use]
    pub fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    /// Leaves a file in the activity.
    #[must_use]
    pub fn writing(mut self, path: impl Into<String>, content: impl Into<Bytes>) -> Self {
        self.files.push((path.into(), content.into()));
        self
    }

    /// Adds to a usage counter of the provider's own, at its end.
    #[must_use]
    pub fn counting(mut self, counter: impl Into<String>, units: u32) -> Self {
        self.counts.push((counter.into(), units));
        self
    }
}

type Rule = Box<dyn Fn(&str, &[String]) -> Option<ScriptedAnswer> + Send + Sync>;

/// Answers commands by the first of its rules that fits; where none does, with exit code 0.
///
/// # Example
/// ```
/// use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
/// use std::time::Duration;
///
/// let runtime = ScriptedRuntime::new()
///     .on("/bin/render", &["--version"], ScriptedAnswer::ok().stdout("3.1\n"))
///     .on_prefix("/bin/render", &["--frame"], ScriptedAnswer::ok().taking(Duration::from_secs(90)))
///     .when(|program, _| program.ends_with("false").then(|| ScriptedAnswer::exit(1)));
/// # drop(runtime);
/// ```
#[derive(Default)]
pub struct ScriptedRuntime {
    table: Arc<Table>,
}

#[derive(Default)]
struct Table {
    rules: Vec<Rule>,
    deploy: ScriptedAnswer,
    start: ScriptedAnswer,
}

impl ScriptedRuntime {
    /// Every command exits with 0 at once.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers this program with exactly these arguments.
    #[must_use]
    pub fn on(self, program: &str, args: &[&str], answer: ScriptedAnswer) -> Self {
        let (program, args) = (program.to_owned(), owned(args));
        self.when(move |is, with| (is == program && with == args).then(|| answer.clone()))
    }

    /// Answers this program when its arguments begin with these.
    #[must_use]
    pub fn on_prefix(self, program: &str, args: &[&str], answer: ScriptedAnswer) -> Self {
        let (program, args) = (program.to_owned(), owned(args));
        self.when(move |is, with| (is == program && with.starts_with(&args)).then(|| answer.clone()))
    }

    /// Answers whatever the closure answers; `None` leaves the command to the next rule.
    #[must_use]
    pub fn when(
        self,
        rule: impl Fn(&str, &[String]) -> Option<ScriptedAnswer> + Send + Sync + 'static,
    ) -> Self {
        self.changed(|table| table.rules.push(Box::new(rule)))
    }

    /// Scripts `deploy`; an exit code other than 0 makes it fail with what it writes to its standard error.
    #[must_use]
    pub fn deploying(self, answer: ScriptedAnswer) -> Self {
        self.changed(|table| table.deploy = answer)
    }

    /// Scripts `start`; an exit code other than 0 makes it fail with what it writes to its standard error.
    #[must_use]
    pub fn starting(self, answer: ScriptedAnswer) -> Self {
        self.changed(|table| table.start = answer)
    }

    fn changed(mut self, change: impl FnOnce(&mut Table)) -> Self {
        change(
            Arc::get_mut(&mut self.table).expect("instances are made by reference, so nobody shares it yet"),
        );
        self
    }
}

impl fmt::Debug for ScriptedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedRuntime").field("rules", &self.table.rules.len()).finish_non_exhaustive()
    }
}

impl Runtime for ScriptedRuntime {
    fn create(&self, _activity: &ActivityId) -> Result<Arc<dyn Instance>, RuntimeError> {
        Ok(Arc::new(ScriptedInstance { table: Arc::clone(&self.table), state: Mutex::default() }))
    }
}

struct ScriptedInstance {
    table: Arc<Table>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    deployed: bool,
    dead: bool,
    cpu: Duration,
    counters: HashMap<String, f64>,
    /// Made when the first file is.
    folder: Option<Arc<Folder>>,
}

impl fmt::Debug for ScriptedInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedInstance").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Instance for ScriptedInstance {
    fn deploy<'a>(&'a self, _deployment: &'a Deployment) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(async move {
            self.state().deployed = true;
            let done = self.step(&self.table.deploy).await;
            self.state().deployed = done.is_ok();
            done
        })
    }

    fn start<'a>(&'a self, _args: &'a [String]) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.step(&self.table.start))
    }

    fn run<'a>(
        &'a self,
        program: &'a str,
        args: &'a [String],
        output: mpsc::Sender<Output>,
    ) -> BoxFuture<'a, Result<i32, RuntimeError>> {
        Box::pin(async move {
            let answer = self.table.rules.iter().find_map(|rule| rule(program, args)).unwrap_or_default();
            self.perform(&answer).await?;
            // With nobody to receive it, output is dropped.
            if !answer.stdout.is_empty() {
                drop(output.send(Output::Stdout(answer.stdout)).await);
            }
            if !answer.stderr.is_empty() {
                drop(output.send(Output::Stderr(answer.stderr)).await);
            }
            Ok(answer.exit_code)
        })
    }

    fn open(&self, path: &str) -> Result<std::fs::File, RuntimeError> {
        let folder = self.alive()?.folder.clone();
        folder.ok_or_else(|| RuntimeError::NoSuchFile(path.to_owned()))?.open(path)
    }

    fn create(&self, path: &str) -> Result<std::fs::File, RuntimeError> {
        let folder = {
            let mut state = self.alive()?;
            if state.folder.is_none() {
                let folder = Folder::new(&std::env::temp_dir()).map_err(RuntimeError::Folder)?;
                state.folder = Some(Arc::new(folder));
            }
            state.folder.clone()
        };
        folder.ok_or(RuntimeError::NotDeployed)?.create(path)
    }

    fn cpu_time(&self) -> Duration {
        self.state().cpu
    }

    fn counter(&self, name: &str) -> f64 {
        self.state().counters.get(name).copied().unwrap_or_default()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let folder = {
                let mut state = self.state();
                state.deployed = false;
                state.folder.take()
            };
            drop(folder);
        })
    }
}

impl ScriptedInstance {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    fn alive(&self) -> Result<MutexGuard<'_, State>, RuntimeError> {
        let state = self.state();
        match (state.dead, state.deployed) {
            (true, _) => Err(RuntimeError::Died),
            (false, false) => Err(RuntimeError::NotDeployed),
            (false, true) => Ok(state),
        }
    }

    async fn step(&self, answer: &ScriptedAnswer) -> Result<(), RuntimeError> {
        self.perform(answer).await?;
        match answer.exit_code {
            0 => Ok(()),
            _ => Err(RuntimeError::Failed(String::from_utf8_lossy(&answer.stderr).into_owned())),
        }
    }

    /// Everything but the output.
    async fn perform(&self, answer: &ScriptedAnswer) -> Result<(), RuntimeError> {
        drop(self.alive()?);
        if !answer.takes.is_zero() {
            tokio::time::sleep(answer.takes).await;
        }
        {
            let mut state = self.alive()?;
            state.cpu += answer.takes;
            for (counter, units) in &answer.counts {
                *state.counters.entry(counter.clone()).or_default() += f64::from(*units);
            }
        }
        for (path, content) in &answer.files {
            let written = self.create(path)?.write_all(content);
            written.map_err(|source| RuntimeError::Open { path: path.clone(), source })?;
        }
        match answer.ending {
            Ending::Exits => Ok(()),
            Ending::Hangs => std::future::pending().await,
            Ending::Dies => {
                self.state().dead = true;
                Err(RuntimeError::Died)
            }
        }
    }
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use tokio::time::Instant;

    async fn deployed(runtime: &ScriptedRuntime) -> Arc<dyn Instance> {
        let instance = runtime.create(&ActivityId::new("a")).unwrap();
        instance.deploy(&Deployment::default()).await.unwrap();
        instance
    }

    async fn run(
        instance: &Arc<dyn Instance>,
        program: &str,
        args: &[&str],
    ) -> (Result<i32, RuntimeError>, String) {
        let (sender, mut receiver) = mpsc::channel(8);
        let code = instance.run(program, &owned(args), sender).await;
        let mut text = String::new();
        while let Some(Output::Stdout(piece) | Output::Stderr(piece)) = receiver.recv().await {
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        (code, text)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_rule_that_fits_answers() {
        let runtime = ScriptedRuntime::new()
            .on("echo", &["a"], ScriptedAnswer::ok().stdout("exact"))
            .on_prefix("echo", &["a"], ScriptedAnswer::exit(3).stderr("prefix"))
            .when(|program, args| (program == "sum").then(|| ScriptedAnswer::ok().stdout(args.concat())));
        let instance = deployed(&runtime).await;
        for (program, args, code, text) in [
            ("echo", &["a"][..], 0, "exact"),
            ("echo", &["a", "b"], 3, "prefix"),
            ("echo", &["b", "a"], 0, ""),
            ("sum", &["1", "2"], 0, "12"),
            ("other", &[], 0, ""),
        ] {
            let (got, said) = run(&instance, program, args).await;
            assert_eq!((got.unwrap(), said.as_str()), (code, text), "{program} {args:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_is_virtual_and_counts_as_cpu() {
        let hour = Duration::from_secs(3600);
        let runtime = ScriptedRuntime::new().on("work", &[], ScriptedAnswer::ok().taking(hour));
        let instance = deployed(&runtime).await;
        let begun = Instant::now();
        run(&instance, "work", &[]).await.0.unwrap();
        assert_eq!(begun.elapsed(), hour);
        assert_eq!(instance.cpu_time(), hour);
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_left_and_removed() {
        let runtime =
            ScriptedRuntime::new().on("w", &[], ScriptedAnswer::ok().writing("/golem/out/f", "content"));
        let instance = deployed(&runtime).await;
        assert!(matches!(instance.open("/golem/out/f"), Err(RuntimeError::NoSuchFile(_))));
        run(&instance, "w", &[]).await.0.unwrap();
        let mut text = String::new();
        instance.open("/golem/out/f").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        instance.stop().await;
        assert!(matches!(instance.open("/golem/out/f"), Err(RuntimeError::NotDeployed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hang_hangs_and_a_death_is_final() {
        let runtime = ScriptedRuntime::new().on("hang", &[], ScriptedAnswer::hang()).on(
            "die",
            &[],
            ScriptedAnswer::die(),
        );
        let instance = deployed(&runtime).await;
        let day = Duration::from_secs(86_400);
        assert!(tokio::time::timeout(day, run(&instance, "hang", &[])).await.is_err());
        run(&instance, "fine", &[]).await.0.unwrap();
        assert!(matches!(run(&instance, "die", &[]).await.0, Err(RuntimeError::Died)));
        assert!(matches!(run(&instance, "fine", &[]).await.0, Err(RuntimeError::Died)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_deployment_says_why_and_leaves_nothing() {
        let runtime = ScriptedRuntime::new().deploying(ScriptedAnswer::exit(1).stderr("no such image"));
        let instance = runtime.create(&ActivityId::new("a")).unwrap();
        let error = instance.deploy(&Deployment::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "no such image");
        assert!(matches!(run(&instance, "x", &[]).await.0, Err(RuntimeError::NotDeployed)));
    }
}
