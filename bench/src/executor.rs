//! The SDK's executor alone: what Python's is measured against.
//!
//! Tasks from memory to a worker and back, over providers in this process that answer at once; with a command for each task, or without any.

use std::sync::Arc;

use golem_devnet::devnet::Devnet;
use golem_devnet::runtime::ScriptedRuntime;
use golem_sdk::Executor;
use golem_sdk::payload::Payload;
use tokio::time::Instant;
use yagna_client::{Client, InProcessTransport};

use crate::Failure;

/// Runs so many tasks, and says how long that took and how much of the CPUs.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
pub(crate) async fn measure(tasks: usize, providers: usize, commit: bool) -> Result<(), Failure> {
    let devnet =
        Devnet::builder().providers(providers).seed(1).runtime(ScriptedRuntime::new()).start().await?;
    let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key)?;
    let executor = Executor::builder(Payload::default())
        .client(Client::new(Arc::new(transport)))
        .max_workers(u32::try_from(providers)?)
        .budget("10")
        .quiet()
        .start()
        .await?;
    let (started, used) = (Instant::now(), cpu_seconds());
    let mut done = executor.submit(
        move |mut ctx, mut tasks| async move {
            while let Some(task) = tasks.next().await {
                if commit {
                    ctx.run("task", [task.data().to_string()]);
                    ctx.commit(None).await?;
                }
                let n = *task.data();
                task.accept_result(n).await;
            }
            Ok(())
        },
        0..tasks,
    );
    let mut count = 0;
    while done.try_next().await?.is_some() {
        count += 1;
    }
    let took = started.elapsed();
    drop(done);
    executor.close().await?;
    devnet.stop().await;
    let used = cpu_seconds() - used;
    if count != tasks {
        return Err(format!("{count} of {tasks} tasks are done").into());
    }
    println!("tasks {tasks} tasks");
    let tasks = f64::from(u32::try_from(tasks)?);
    println!("throughput {:.0} tasks/s", tasks / took.as_secs_f64());
    println!("cpu_per_task {:.3} ms", used / tasks * 1000.0);
    Ok(())
}

/// The CPU time of this process so far, to the hundredth of a second; 0 where the system doesn't tell.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program comes before it, and may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}
