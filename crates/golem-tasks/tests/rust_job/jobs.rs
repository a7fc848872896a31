//! The jobs that the tests run.

use std::process::ExitCode;

use golem_tasks::golem_sdk::payload::{Image, Payload, WantedImage};
use golem_tasks::{Job, Limits, PayloadSpec, Pile, Task, TaskError, Tasks, Vm, WorkContext, WorkerError};
use serde::{Deserialize, Serialize};

/// Names the job to be.
pub(crate) const VARIABLE: &str = "GOLEM_TEST_JOB";

/// Becomes the program of this job.
pub(crate) fn start(job: &str) -> ExitCode {
    match job {
        "lengths" => golem_tasks::main(Lengths),
        "endless" => golem_tasks::main(Endless),
        "tree" => golem_tasks::main(Tree),
        "keyed" => golem_tasks::main(Keyed),
        "listed" => golem_tasks::main(Listed),
        "packs" => golem_tasks::main(Packs),
        "trouble" => golem_tasks::main(Trouble::InRun),
        "no payload" => golem_tasks::main(Trouble::InPayload),
        "no tasks" => golem_tasks::main(Trouble::InTasks),
        "no file" => golem_tasks::main(Trouble::NoFile),
        "broken line" => golem_tasks::main(Trouble::BrokenLine),
        other => panic!("there is no job `{other}`"),
    }
}

/// By its hash: the devnet knows every image.
fn image() -> PayloadSpec {
    Vm::image_hash(HASH)
}

const HASH: &str = "9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae";

/// Counts the letters of words on the provider.
pub(crate) struct Lengths;

/// A word, of a type of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) word: String,
}

/// What comes of it.
#[derive(Debug, Serialize)]
pub(crate) struct Length {
    word: String,
    length: usize,
}

impl Job for Lengths {
    type Task = Word;
    type Output = Length;

    fn payload(&self) -> PayloadSpec {
        image()
    }

    fn tasks(&self) -> Pile<Word> {
        Pile::new(["one", "three", "seventeen"].map(|word| Word { word: word.to_owned() }))
    }

    async fn set_up(&self, ctx: &mut WorkContext) -> Result<(), WorkerError> {
        // A second set-up in the same place would fail.
        ctx.shell("set -C; echo -n > /golem/work/ready");
        ctx.commit(golem_tasks::golem_sdk::context::DEFAULT_LIMIT).await?;
        Ok(())
    }

    async fn run(&self, ctx: &mut WorkContext, task: &Task<Self>) -> Result<Length, TaskError> {
        ctx.send_bytes(task.data().word.clone(), "/golem/input/word");
        let count = ctx.shell("cat /golem/work/ready /golem/input/word | wc -c");
        let done = ctx.commit(task.time_limit()).await?;
        let length = done[count].stdout().trim().parse().map_err(TaskError::other)?;
        Ok(Length { word: task.data().word.clone(), length })
    }

    fn limits(&self) -> Limits {
        Limits::default().workers(2)
    }
}

/// Counts for ever and asks nothing of its providers.
pub(crate) struct Endless;

impl Job for Endless {
    type Task = u64;
    type Output = u64;

    fn payload(&self) -> PayloadSpec {
        // Of a daemon nobody knows that it is emulated: no registry must be asked.
        let image = Image { hash: HASH.to_owned(), url: "http://registry.invalid/image".to_owned() };
        PayloadSpec::new(Payload::default(), WantedImage::Known(image))
    }

    fn tasks(&self) -> Pile<u64> {
        Pile::new(0..)
    }

    async fn run(&self, _: &mut WorkContext, task: &Task<Self>) -> Result<u64, TaskError> {
        Ok(task.data() * 2)
    }
}

/// Each task adds two, down to the third level; the first attempt of some fails after it has added its own.
struct Tree;

impl Job for Tree {
    type Task = String;
    type Output = String;

    fn payload(&self) -> PayloadSpec {
        image()
    }

    fn tasks(&self) -> Pile<String> {
        Pile::new(["t".to_owned()])
    }

    async fn run(&self, _: &mut WorkContext, task: &Task<Self>) -> Result<String, TaskError> {
        let name = task.data();
        if name.len() < 4 {
            for branch in ["l", "r"] {
                task.add(format!("{name}{branch}"));
            }
        }
        if name.ends_with('l') && task.attempt() == 1 {
            return Err(TaskError::rejected("not the first time"));
        }
        Ok(name.to_uppercase())
    }
}

/// Walks a graph: whatever is found is visited once, though many ways lead there.
struct Keyed;

impl Job for Keyed {
    type Task = (u32, u32);
    type Output = u32;

    fn payload(&self) -> PayloadSpec {
        image()
    }

    fn tasks(&self) -> Pile<(u32, u32)> {
        Pile::new([(0, 1), (1, 0), (0, 1)])
    }

    async fn run(&self, _: &mut WorkContext, task: &Task<Self>) -> Result<u32, TaskError> {
        let (x, y) = *task.data();
        if x + y < 3 {
            task.add((x + 1, y));
            task.add((x, y + 1));
            task.add((x + 1, y));
        }
        Ok(x * 10 + y)
    }

    fn key(&self, (x, y): &(u32, u32)) -> Option<String> {
        Some(format!("{x},{y}"))
    }
}

/// Takes its tasks from a file that may be another one the next time.
struct Listed;

impl Job for Listed {
    type Task = String;
    type Output = String;

    fn payload(&self) -> PayloadSpec {
        image()
    }

    fn tasks(&self) -> Pile<String> {
        let words = std::fs::read_to_string("job/pile.txt").unwrap();
        Pile::new(words.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    async fn run(&self, _: &mut WorkContext, task: &Task<Self>) -> Result<String, TaskError> {
        Ok(task.data().to_uppercase())
    }

    fn limits(&self) -> Limits {
        Limits::default().workers(1)
    }
}

/// Does several tasks in one batch, as job files do.
struct Packs;

impl Job for Packs {
    type Task = u32;
    type Output = String;

    fn payload(&self) -> PayloadSpec {
        image()
    }

    fn tasks(&self) -> Pile<u32> {
        Pile::new(0..40)
    }

    async fn run(&self, _: &mut WorkContext, _: &Task<Self>) -> Result<String, TaskError> {
        Err(TaskError::for_good("tasks travel in packs"))
    }

    async fn work(&self, ctx: &mut WorkContext, tasks: &mut Tasks<'_, Self>) -> Result<(), WorkerError> {
        while let Some(pack) = tasks.next_pack(8).await {
            let own: Vec<_> = pack
                .into_iter()
                .map(|task| {
                    let echo = ctx.run("/bin/echo", [format!("pack {}", task.data())]);
                    (task, echo)
                })
                .collect();
            let done = ctx.commit(tasks.time_limit()).await?;
            for (task, echo) in own {
                tasks.accept(task, done[echo].stdout().trim().to_owned()).await;
            }
        }
        Ok(())
    }
}

/// What a job's own code may do wrong.
enum Trouble {
    InPayload,
    InTasks,
    InRun,
    NoFile,
    BrokenLine,
}

impl Job for Trouble {
    type Task = u32;
    type Output = u32;

    fn payload(&self) -> PayloadSpec {
        assert!(!matches!(self, Self::InPayload), "no image today");
        image()
    }

    fn tasks(&self) -> Pile<u32> {
        let breaks = match self {
            Self::NoFile => return Pile::broken("words.txt isn't there"),
            Self::InTasks => {
                return Pile::new((0..5).inspect(|n| assert!(*n < 3, "number {n} is one too many")));
            }
            Self::BrokenLine => 3,
            Self::InPayload | Self::InRun => u32::MAX,
        };
        Pile::fallible((0..5).map(move |n| if n < breaks { Ok(n) } else { Err("line 3 makes no sense") }))
    }

    async fn run(&self, ctx: &mut WorkContext, task: &Task<Self>) -> Result<u32, TaskError> {
        let mut attempts = 0;
        match task.data() {
            1 => return Err(TaskError::for_good("one is not a number")),
            2 => panic!("two is too much"),
            3 => {
                ctx.shell("echo three >&2; exit 3");
            }
            // What the task before has left is nothing to this one.
            _ => attempts = ctx.queued(),
        }
        if ctx.queued() > 0 {
            ctx.commit(task.time_limit()).await?;
        }
        Ok(task.data() + u32::try_from(attempts).unwrap())
    }

    fn limits(&self) -> Limits {
        Limits::default().retries(1).workers(1)
    }
}

/// Gives each number back. Its pile may hold other ones when a run is resumed, or may not.
pub(crate) struct Echoes {
    pub(crate) tasks: &'static [u64],
    pub(crate) may_change: bool,
}

impl Job for Echoes {
    type Task = u64;
    type Output = u64;

    fn payload(&self) -> PayloadSpec {
        Vm::image_tag("golem/alpine:latest")
    }

    fn tasks(&self) -> Pile<u64> {
        Pile::new(self.tasks.iter().copied())
    }

    async fn run(&self, _: &mut WorkContext, task: &Task<Self>) -> Result<u64, TaskError> {
        Ok(*task.data())
    }

    fn may_change(&self) -> bool {
        self.may_change
    }
}
