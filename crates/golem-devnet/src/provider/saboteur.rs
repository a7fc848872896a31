//! A runtime that wraps another one and spoils its work as the provider's behaviour says.

use std::fs::File;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use yagna_api::ActivityId;

use super::behaviour::Vanishing;
use super::manners::{Manners, Presence};
use crate::runtime::{Deployment, Instance, Output, Runtime, RuntimeError};

/// Runs commands by another runtime, unless the provider misbehaves.
#[derive(Debug)]
pub(crate) struct Saboteur {
    runtime: Arc<dyn Runtime>,
    manners: Manners,
}

impl Saboteur {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, manners: Manners) -> Self {
        Self { runtime, manners }
    }
}

impl Runtime for Saboteur {
    fn create(&self, activity: &ActivityId) -> Result<Arc<dyn Instance>, RuntimeError> {
        let instance = self.runtime.create(activity)?;
        Ok(Arc::new(Sabotaged { instance, manners: self.manners.clone() }))
    }
}

#[derive(Debug)]
struct Sabotaged {
    instance: Arc<dyn Instance>,
    manners: Manners,
}

impl Instance for Sabotaged {
    fn deploy<'a>(&'a self, deployment: &'a Deployment) -> BoxFuture<'a, Result<(), RuntimeError>> {
        if self.manners.behaviour().fails_deploy {
            let failure = RuntimeError::Failed("the image can't be unpacked: no space left on device".into());
            return Box::pin(async { Err(failure) });
        }
        self.instance.deploy(deployment)
    }

    fn start<'a>(&'a self, args: &'a [String]) -> BoxFuture<'a, Result<(), RuntimeError>> {
        self.instance.start(args)
    }

    fn run<'a>(
        &'a self,
        program: &'a str,
        args: &'a [String],
        output: mpsc::Sender<Output>,
    ) -> BoxFuture<'a, Result<i32, RuntimeError>> {
        Box::pin(async move {
            let before = self.manners.count_command();
            let behaviour = self.manners.behaviour();
            if matches!(behaviour.vanishes, Some(Vanishing::AfterCommands(most)) if before >= most) {
                self.manners.set_presence(Presence::Gone);
                // The provider's end takes this future along.
                return pending().await;
            }
            if let Some(code) = behaviour.fails_commands {
                return Ok(code);
            }
            let began = Instant::now();
            let ended = self.instance.run(program, args, output).await;
            let more = began.elapsed().as_secs_f64() * (behaviour.slowdown - 1.0);
            if let Ok(more) = Duration::try_from_secs_f64(more)
                && !more.is_zero()
            {
                sleep(more).await;
            }
            ended
        })
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

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.instance.stop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Behaviour;
    use crate::runtime::{ScriptedAnswer, ScriptedRuntime};

    fn machine(behaviour: Behaviour) -> (Arc<dyn Instance>, Manners) {
        let manners = Manners::new(behaviour);
        let takes = ScriptedAnswer::ok().taking(Duration::from_secs(10));
        let runtime = Arc::new(ScriptedRuntime::new().on("/bin/work", &[], takes));
        let instance = Saboteur::new(runtime, manners.clone()).create(&ActivityId::new("a")).unwrap();
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
            () = manners.gone() => {}
        }
    }
}
