//! A runtime that wraps another one, spoils its work as the provider's behaviour says, and tells of its commands.

use std::collections::HashMap;
use std::fs::File;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use yagna_api::ActivityId;

use super::behaviour::Vanishing;
use super::manners::{Manners, Presence};
use crate::news::{CommandName, HappeningKind, Reporter};
use crate::runtime::{Deployment, Instance, Output, Runtime, RuntimeError};
use crate::vpn::Tap;

/// Runs commands by another runtime, unless the provider misbehaves.
#[derive(Debug)]
pub(crate) struct Saboteur {
    runtime: Arc<dyn Runtime>,
    manners: Manners,
    news: Reporter,
    /// The number of programs that each activity ran.
    counts: Mutex<HashMap<ActivityId, Arc<AtomicU64>>>,
}

impl Saboteur {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, manners: Manners, news: Reporter) -> Self {
        Self { runtime, manners, news, counts: Mutex::default() }
    }

    /// An activity is over: how many programs it ran.
    pub(crate) fn forget(&self, activity: &ActivityId) -> u64 {
        self.counts().remove(activity).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// So are all.
    pub(crate) fn forget_all(&self) {
        self.counts().clear();
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<ActivityId, Arc<AtomicU64>>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for Saboteur {
    fn create(&self, activity: &ActivityId) -> Result<Arc<dyn Instance>, RuntimeError> {
        let instance = self.runtime.create(activity)?;
        let count = Arc::clone(self.counts().entry(activity.clone()).or_default());
        let (manners, news) = (self.manners.clone(), self.news.clone());
        Ok(Arc::new(Sabotaged { activity: activity.clone(), instance, manners, news, count }))
    }

    fn vpn(&self) -> BoxFuture<'_, Result<(), String>> {
        self.runtime.vpn()
    }
}

#[derive(Debug)]
struct Sabotaged {
    activity: ActivityId,
    instance: Arc<dyn Instance>,
    manners: Manners,
    news: Reporter,
    count: Arc<AtomicU64>,
}

impl Sabotaged {
    /// Does the work of a command, and tells when it began and how it ended.
    async fn told<T>(
        &self,
        is_deploy: bool,
        name: impl Fn() -> CommandName,
        code: impl FnOnce(&T) -> i32,
        work: impl Future<Output = Result<T, RuntimeError>>,
    ) -> Result<T, RuntimeError> {
        let activity = &self.activity;
        let all = self.news.wants_commands();
        if all {
            self.news.tell(|| HappeningKind::CommandStarted { activity: activity.clone(), command: name() });
        }
        let began = Instant::now();
        let ended = work.await;
        if all || is_deploy {
            self.news.tell(|| HappeningKind::CommandEnded {
                activity: activity.clone(),
                command: name(),
                took: began.elapsed(),
                result: ended.as_ref().map(code).map_err(ToString::to_string),
            });
        }
        ended
    }

    async fn spoiled(
        &self,
        program: &str,
        args: &[String],
        output: mpsc::Sender<Output>,
    ) -> Result<i32, RuntimeError> {
        let before = self.manners.count_command();
        let behaviour = self.manners.behaviour();
        if matches!(behaviour.vanishes, Some(Vanishing::AfterCommands(most)) if before >= most) {
            self.manners.set_presence(Presence::Gone);
            // The provider's end takes this future along.
            return pending().await;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(code) = behaviour.fails_commands {
            return Ok(code);
        }
        if let Some(text) = &behaviour.loses_machine_on
            && std::iter::once(program).chain(args.iter().map(String::as_str)).any(|word| word.contains(text))
        {
            return Err(RuntimeError::Died);
        }
        let began = Instant::now();
        let is_cut = behaviour.cuts_output.is_some_and(|every| before % every.max(1) == every.max(1) - 1);
        let ended = if is_cut {
            self.run_and_cut(program, args, output).await
        } else {
            self.instance.run(program, args, output).await
        };
        let more = began.elapsed().as_secs_f64() * (behaviour.slowdown - 1.0);
        if let Ok(more) = Duration::try_from_secs_f64(more)
            && !more.is_zero()
        {
            sleep(more).await;
        }
        ended
    }
}

impl Sabotaged {
    /// Runs a program, and keeps back half of the last piece of its standard output.
    async fn run_and_cut(
        &self,
        program: &str,
        args: &[String],
        output: mpsc::Sender<Output>,
    ) -> Result<i32, RuntimeError> {
        let (inner, mut pieces) = mpsc::channel(1);
        let forward = async {
            let mut last: Option<Bytes> = None;
            while let Some(piece) = pieces.recv().await {
                // Nobody may listen any more: the program finishes all the same.
                match piece {
                    Output::Stdout(piece) => {
                        if let Some(whole) = last.replace(piece) {
                            output.send(Output::Stdout(whole)).await.ok();
                        }
                    }
                    said @ Output::Stderr(_) => drop(output.send(said).await),
                }
            }
            if let Some(mut cut) = last {
                cut.truncate(cut.len() / 2);
                output.send(Output::Stdout(cut)).await.ok();
            }
        };
        let (ended, ()) = tokio::join!(self.instance.run(program, args, inner), forward);
        ended
    }
}

impl Instance for Sabotaged {
    fn deploy<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let work = async {
            if self.manners.behaviour().fails_deploy {
                let failure = "the image can't be unpacked: no space left on device";
                return Err(RuntimeError::Failed(failure.into()));
            }
            self.instance.deploy(deployment).await
        };
        Box::pin(self.told(true, || CommandName::Deploy, |()| 0, work))
    }

    fn start<'a>(&'a self, args: &'a [String]) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.told(false, || CommandName::Start(args.into()), |()| 0, self.instance.start(args)))
    }

    fn run<'a>(
        &'a self,
        program: &'a str,
        args: &'a [String],
        output: mpsc::Sender<Output>,
    ) -> BoxFuture<'a, Result<i32, RuntimeError>> {
        let work = self.spoiled(program, args, output);
        Box::pin(self.told(false, move || words(program, args), |code| *code, work))
    }

    fn open(&self, path: &str) -> Result<File, RuntimeError> {
        self.instance.open(path)
    }

    fn create(&self, path: &str) -> Result<File, RuntimeError> {
        self.instance.create(path)
    }

    fn cpu_time(&self) -> Duration {
        self.instance.cpu_time()
    }

    fn counter(&self, name: &str) -> f64 {
        self.instance.counter(name)
    }

    fn card(&self) -> Option<Arc<Tap>> {
        self.instance.card()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.instance.stop()
    }
}

fn words(program: &str, args: &[String]) -> CommandName {
    CommandName::Run(std::iter::once(program.to_owned()).chain(args.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DevnetClock;
    use crate::news::NewsDesk;
    use crate::provider::Behaviour;
    use crate::runtime::{ScriptedAnswer, ScriptedRuntime};

    fn machine(behaviour: Behaviour) -> (Arc<dyn Instance>, Manners) {
        let manners = Manners::new(behaviour);
        let takes = ScriptedAnswer::ok().taking(Duration::from_secs(10));
        let runtime = Arc::new(ScriptedRuntime::new().on("/bin/work", &[], takes));
        let node = "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
        let news = Reporter::new(NewsDesk::new(), Arc::new(DevnetClock::real()), "ada", node);
        let instance = Saboteur::new(runtime, manners.clone(), news).create(&ActivityId::new("a")).unwrap();
        (instance, manners)
    }

    async fn run(instance: &dyn Instance) -> Result<i32, RuntimeError> {
        let (output, _kept) = mpsc::channel(8);
        instance.run("/bin/work", &[], output).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_provider_takes_its_factor_of_the_time() {
        let (instance, manners) = machine(Behaviour { slowdown: 3.0, ..Behaviour::default() });
        instance.deploy(&Deployment::default()).await.unwrap();
        instance.start(&[]).await.unwrap();
        let began = Instant::now();
        assert_eq!(run(&*instance).await.unwrap(), 0);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        manners.change(|behaviour| behaviour.slowdown = 1.0);
        assert_eq!(run(&*instance).await.unwrap(), 0);
        assert_eq!(began.elapsed(), Duration::from_secs(40));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_output_is_cut_now_and_then_and_nobody_says_so() {
        let manners = Manners::new(Behaviour { cuts_output: Some(2), ..Behaviour::default() });
        let runtime =
            Arc::new(ScriptedRuntime::new().on("/bin/work", &[], ScriptedAnswer::ok().stdout("12345678")));
        let node = "0xabcdef0123456789abcdef0123456789abcdef01".parse().unwrap();
        let news = Reporter::new(NewsDesk::new(), Arc::new(DevnetClock::real()), "ada", node);
        let instance = Saboteur::new(runtime, manners.clone(), news).create(&ActivityId::new("a")).unwrap();
        instance.deploy(&Deployment::default()).await.unwrap();
        instance.start(&[]).await.unwrap();
        for whole in ["12345678", "1234", "12345678", "1234"] {
            let (output, mut kept) = mpsc::channel(8);
            assert_eq!(instance.run("/bin/work", &[], output).await.unwrap(), 0);
            let Some(Output::Stdout(printed)) = kept.recv().await else { panic!("nothing was printed") };
            assert_eq!(printed, whole);
        }
        manners.change(|behaviour| behaviour.loses_machine_on = Some("work".into()));
        assert!(matches!(run(&*instance).await, Err(RuntimeError::Died)));
    }

    #[tokio::test(start_paused = true)]
    async fn failing_and_vanishing_take_effect_at_once() {
        let (instance, manners) = machine(Behaviour { fails_deploy: true, ..Behaviour::default() });
        assert!(matches!(instance.deploy(&Deployment::default()).await, Err(RuntimeError::Failed(_))));
        manners.change(|behaviour| *behaviour = Behaviour::default());
        instance.deploy(&Deployment::default()).await.unwrap();
        instance.start(&[]).await.unwrap();
        manners.change(|behaviour| behaviour.fails_commands = Some(7));
        assert_eq!(run(&*instance).await.unwrap(), 7);
        manners.change(|behaviour| behaviour.vanishes = Some(Vanishing::AfterCommands(1)));
        tokio::select! {
            ended = run(&*instance) => panic!("a vanished provider answered {ended:?}"),
            away = manners.away() => assert_eq!(away, Presence::Gone),
        }
    }
}
