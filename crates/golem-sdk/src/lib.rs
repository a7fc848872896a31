//! The SDK: run piles of work on the Golem Network from async Rust.
//!
//! On the [Golem Network](https://www.golem.network) strangers rent out their machines by the second. A `yagna` daemon on
//! your own machine finds them on a market, makes agreements with them and pays them in GLM. With this crate a program
//! says which machine it needs, what that may cost and what is to be done there; the crate sees to the rest.
//!
//! Those who know yapapi find the same parts here: [`Executor`], [`Task`](executor::Task), [`WorkContext`], worker,
//! [`Strategy`], [event consumer](EventConsumer), [`log_summary`](log::log_summary). [`coming_from_yapapi`] has each of its
//! names with ours.
//!
//! # A first program
//!
//! It has eight numbers squared. `YAGNA_APPKEY` has a key of your daemon.
//! ```
//! use golem_sdk::prelude::*;
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//! #   let devnet = golem_devnet::devnet::Devnet::builder().providers(3).start().await?;
//! #   let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! #   struct Vm;
//! #   impl Vm {
//! #       fn image_tag(tag: &str) -> golem_sdk::payload::PayloadSpec {
//! #           golem_sdk::payload::Vm::image_tag(tag).registry(golem_sdk::image::Registry::devnet())
//! #       }
//! #   }
//!     Executor::builder(Vm::image_tag("golem/alpine:latest"))
//! #       .api_url(format!("http://{address}"))
//! #       .app_key(devnet.requestor().key.clone())
//!         .budget(0.5)
//!         .run(async |golem| {
//!             let mut squares = golem.map(1..=8, async |ctx, n| {
//!                 Ok(ctx.sh(format!("echo $(( {n} * {n} ))")).await?.stdout().trim().to_owned())
//!             });
//!             while let Some((n, square)) = squares.try_next().await? {
//!                 println!("{n} squared is {square}");
//! #               assert_eq!(square, (n * n).to_string());
//!             }
//!             Ok(())
//!         })
//!         .await?;
//! #   devnet.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! [`map`](Executor::map) gives each input to one call of the function, on any provider. Results come as they are there, or with
//! [`ordered`](executor::Mapped::ordered) in the order of the inputs; an input that fails ends no other.
//! [`run`](executor::ExecutorBuilder::run) closes the executor at the end of its function, whatever comes of it.
//!
//! The examples below run on a devnet, which is a whole network of providers in this process (crate `golem-devnet`).
//!
//! # Payloads: which machine
//!
//! An [`Executor`] is begun with a payload. [`payload::Vm`] describes a virtual machine with an image: from Golem's
//! registry, from an address, or a file that the program serves to providers itself. [`payload::PayloadSpec::runtime`]
//! describes a machine with any other runtime. A payload that is to reach the internet carries a signed [`manifest`].
//! ```
//! # use golem_sdk::image::Registry;
//! use golem_sdk::payload::{PayloadSpec, Vm};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), golem_sdk::payload::PayloadError> {
//! let blender = Vm::image_tag("golem/blender:latest").min_mem_gib(4.0).min_cpu_threads(2);
//! let own = Vm::image_file("target/app.gvmi").min_storage_gib(10.0).capabilities(["vpn"]);
//! let wasm = PayloadSpec::runtime("wasmtime")
//!     .version_at_least("0.3.0")
//!     .task_package("hash:sha3:55aa:http://modules.example/hello.ywasi")
//!     .constraint("(golem.inf.cpu.architecture=x86_64)");
//! # let blender = blender.registry(Registry::devnet()).resolve().await?;
//! # assert!(blender.constraints().to_string().contains("(golem.inf.cpu.threads>=2)"));
//! # assert!(own.resolve().await.is_err(), "it has to be served");
//! # assert!(wasm.resolve().await?.constraints().to_string().contains("x86_64"));
//! # Ok(())
//! # }
//! ```
//!
//! # Workers and tasks
//!
//! A worker is a function that is called once for each activity, that is once for each provider and job. What it does
//! before it asks for its first task is done once per provider. Then it asks for tasks until there are none, and answers
//! each: [`accept_result`](executor::Task::accept_result) hands a result in,
//! [`reject_result`](executor::Task::reject_result) says that it is no good and whether another provider may try. It may
//! [add](executor::Tasks::add) tasks to its job.
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(2).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! # let builder = Executor::builder(Payload::default()).api_url(format!("http://{address}"));
//! # let executor = builder.app_key(devnet.requestor().key.clone()).start().await?;
//! let words = Arc::new("golem\ntask\nbudget\n".to_owned());
//! let mut found = executor.submit(
//!     move |mut ctx, mut tasks| {
//!         // There will be several calls: each takes its own share of what they all need.
//!         let words = Arc::clone(&words);
//!         async move {
//!             ctx.send_bytes(words.to_string(), "/golem/input/words.txt");
//!             while let Some(task) = tasks.next().await {
//!                 let line = ctx.shell(format!("sed -n {}p /golem/input/words.txt", task.data()));
//!                 let done = ctx.commit(Duration::from_secs(60)).await?;
//!                 match done[line].stdout().trim_end() {
//!                     "" => task.reject_result("there is no such line", true).await,
//!                     word => {
//!                         if word == "golem" {
//!                             tasks.add(3).await;
//!                         }
//!                         task.accept_result(word.to_owned()).await;
//!                     }
//!                 }
//!             }
//!             Ok(())
//!         }
//!     },
//!     [1, 2],
//! );
//! # let mut lines = Vec::new();
//! while let Some(task) = found.try_next().await? {
//!     println!("line {} is {:?}", task.data(), task.result());
//! #   lines.push((*task.data(), task.into_result()));
//! }
//! # lines.sort();
//! # assert_eq!(lines, [(1, "golem".to_owned()), (2, "task".to_owned()), (3, "budget".to_owned())]);
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # The work context: files and commands
//!
//! A [`WorkContext`] queues commands: files to send, programs to run, files to fetch. [`commit`](WorkContext::commit)
//! sends what is queued as one batch, within a time, and gives the result of each command under the handle that queueing
//! it gave. Sources come first and targets second, as with `cp`. What is fetched into memory has a limit, and more is an
//! error. Deploy and start are done before the worker is called, unless an executor with
//! [`implicit_start(false)`](executor::ExecutorBuilder::implicit_start) leaves them to it.
//! ```
//! use std::time::Duration;
//!
//! use golem_sdk::{Capture, Program, ScriptError, WorkContext};
//! use serde_json::json;
//!
//! /// The seeds of a frame, for its number.
//! async fn seeds(ctx: &mut WorkContext, frame: u32) -> Result<Vec<u32>, ScriptError> {
//!     ctx.send_json(&json!([frame, frame + 1]), "/golem/input/seeds.json")?;
//!     let program = Program::shell("cp /golem/input/seeds.json $OUT && echo copied")
//!         .env("OUT", "/golem/output/seeds.json")
//!         .stdout(Capture::tail(4096));
//!     let copy = ctx.add(program);
//!     let seeds = ctx.download_json("/golem/output/seeds.json", 64 * 1024);
//!     let done = ctx.commit(Duration::from_secs(120)).await?;
//!     println!("{}: {}", ctx.provider_name(), done[copy].stdout());
//!     done.json(seeds)
//! }
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! # let builder = Executor::builder(Payload::default()).api_url(format!("http://{address}"));
//! # let executor = builder.app_key(devnet.requestor().key.clone()).start().await?;
//! # let mut job = executor.submit(
//! #     async |mut ctx, mut tasks| {
//! #         while let Some(task) = tasks.next().await {
//! #             let found = seeds(&mut ctx, *task.data()).await?;
//! #             task.accept_result(found).await;
//! #         }
//! #         Ok(())
//! #     },
//! #     [7],
//! # );
//! # assert_eq!(job.try_next().await?.ok_or("no result")?.result(), &[7, 8]);
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Output as it comes
//!
//! [`commit_streamed`](WorkContext::commit_streamed) is a commit that tells what happens while it happens: each
//! command's start, output, progress and end, each once, whether or not the connection to the daemon holds.
//! ```
//! use std::time::Duration;
//!
//! use futures_util::TryStreamExt;
//! use golem_sdk::{BatchEvent, ScriptError, WorkContext};
//!
//! async fn count(ctx: &mut WorkContext) -> Result<String, ScriptError> {
//!     let count = ctx.shell("for n in 1 2 3; do echo $n; done");
//!     let mut batch = ctx.commit_streamed(Duration::from_secs(60));
//!     while let Some(event) = batch.try_next().await? {
//!         if let BatchEvent::Stdout(chunk) = event {
//!             print!("{}", chunk.text());
//!         }
//!     }
//!     let done = batch.finish().await?;
//!     Ok(done[count].stdout().into_owned())
//! }
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! # let builder = Executor::builder(Payload::default()).api_url(format!("http://{address}"));
//! # let executor = builder.app_key(devnet.requestor().key.clone()).start().await?;
//! # let mut job = executor.submit(
//! #     async |mut ctx, mut tasks| {
//! #         while let Some(task) = tasks.next().await {
//! #             let counted = count(&mut ctx).await?;
//! #             task.accept_result(counted).await;
//! #         }
//! #         Ok(())
//! #     },
//! #     [()],
//! # );
//! # assert_eq!(job.try_next().await?.ok_or("no result")?.result(), "1\n2\n3\n");
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When a script fails
//!
//! A [`ScriptError`] says what failed: which command, with its exit code and the end of its standard error; a transfer;
//! the time; the activity; or that the provider ended the agreement, and why. A worker that passes it on with `?` gives
//! its provider up, and the task in its hands is tried elsewhere. One that knows better goes on with the next task.
//! ```
//! use std::time::Duration;
//!
//! use golem_sdk::ScriptError;
//!
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(2).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! # let builder = Executor::builder(Payload::default()).api_url(format!("http://{address}"));
//! # let executor = builder.app_key(devnet.requestor().key.clone()).start().await?;
//! let mut job = executor.submit(
//!     async |mut ctx, mut tasks| {
//!         while let Some(task) = tasks.next().await {
//!             ctx.shell(format!("test {} -gt 1 || exit 3", task.attempt()));
//!             match ctx.commit(Duration::from_secs(60)).await {
//!                 Ok(_) => task.accept_result(()).await,
//!                 // This program's way to say that another machine may do better.
//!                 Err(ScriptError::CommandFailed(failure)) if failure.exit_code == Some(3) => {
//!                     task.reject_result(failure.to_string(), true).await;
//!                 }
//!                 Err(error) => return Err(error.into()),
//!             }
//!         }
//!         Ok(())
//!     },
//!     ["a"],
//! );
//! let done = job.try_next().await?.ok_or("no result")?;
//! assert_eq!(done.attempts(), 2);
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Budget and time
//!
//! All jobs of an executor share its budget, its time-out and its workers. The budget is set aside in the daemon's
//! account before anything is bought. No agreement is signed that could take the cost past it, and what runs is stopped
//! while it can still be paid. Every debit note and invoice is checked against our own measure of use, time and price
//! before it is accepted; one that asks for too much is refused with a reason. The budget can be raised on the way.
//! ```
//! use std::time::Duration;
//!
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! let executor = Executor::builder(Payload::default())
//!     .max_workers(10)
//!     .budget("2.5") // GLM, exact to 18 places
//!     .timeout(Duration::from_secs(30 * 60))
//!     .retries(2)
//!     .driver("erc20")
//!     .network("hoodi") // GLM for tests; `polygon` is where it is money
//!     .subnet_tag("public")
//! #   .api_url(format!("http://{address}"))
//! #   .app_key(devnet.requestor().key.clone())
//!     .start()
//!     .await?;
//! assert_eq!((executor.driver(), executor.network()), ("erc20", "hoodi"));
//! assert_eq!(executor.add_budget("0.5".parse()?).await?.to_string(), "3");
//! let end = executor.close().await?;
//! assert!(end.cost.is_zero());
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Strategies: which offers
//!
//! A [`Strategy`] gives each offer a score or refuses it with a reason, when it comes and again when one is to be
//! chosen. An executor that isn't told otherwise takes the least expensive first, up to 0.5 GLM for the start and 5 GLM an
//! hour, and puts providers back that failed or didn't confirm. Strategies are put together of small ones, and their
//! lists may change while they are at work; a strategy of your own is one method.
//! ```
//! use std::time::Duration;
//!
//! use golem_sdk::{LeastExpensive, PriceCaps, ProviderList, Strategy};
//!
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! let blocked = ProviderList::from(["mighty-badger"]);
//! let caps = PriceCaps::none().start_at_most("0.01".parse()?).per_hour_at_most("0.2".parse()?);
//! let strategy = LeastExpensive::new(caps)
//!     .for_use(Duration::from_secs(30 * 60))
//!     .except(&blocked)
//!     .refuse_if("it has fewer than four threads", |candidate| candidate.offer.threads < 4)
//!     .rescaled(|candidate, score| if candidate.record.tasks_done > 0 { score * 1.5 } else { score });
//! let executor = Executor::builder(Payload::default())
//!     .strategy(strategy)
//! #   .api_url(format!("http://{address}"))
//! #   .app_key(devnet.requestor().key.clone())
//!     .start()
//!     .await?;
//! blocked.add("0xabcdef0123456789abcdef0123456789abcdef01"); // counts from the next choice on
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Events, log and summary
//!
//! All that happens is one stream of typed [`Event`](event::Event)s: offers, agreements, activities, tasks, bills,
//! each with its own time and ids. An [event consumer](executor::ExecutorBuilder::event_consumer) is called with each of
//! them; there may be any number, and a slow one holds nobody up. [`log::log_summary`] is the one that an executor has
//! where none is set: it writes lines for people to the log. [`log::enable_default_logger`] shows the log of a program
//! that has no logger of its own.
//! ```
//! use golem_sdk::event::EventKind;
//! use golem_sdk::log::{LogOptions, enable_default_logger, log_summary};
//!
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! enable_default_logger(&LogOptions::default())?;
//! let executor = Executor::builder(Payload::default())
//!     .event_consumer(log_summary())
//!     .on_event(|event| {
//!         if let EventKind::BillAccepted { amount, total, .. } = &event.kind {
//!             println!("{amount} GLM accepted at {}, this agreement costs {total} now", event.at);
//!         }
//!     })
//! #   .api_url(format!("http://{address}"))
//! #   .app_key(devnet.requestor().key.clone())
//!     .start()
//!     .await?;
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Several jobs at once
//!
//! Every [`submit`](Executor::submit) is a job of its own, and they all run at the same time on the same providers.
//! Tasks may also come from an async stream, by [`submit_stream`](Executor::submit_stream): what one job finds may be
//! the other's work. [`Executor::job`] is for what `submit` leaves out: how tasks are described in events and in the log,
//! retries and a time-out of the job's own.
//! ```
//! use futures_util::TryStreamExt;
//! use golem_sdk::executor::Finished;
//!
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(2).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! # let builder = Executor::builder(Payload::default()).api_url(format!("http://{address}"));
//! # let executor = builder.app_key(devnet.requestor().key.clone()).start().await?;
//! let numbers = executor.submit_stream(
//!     async |_ctx, mut tasks| {
//!         while let Some(task) = tasks.next().await {
//!             let n: u32 = *task.data();
//!             task.accept_result(n * n).await;
//!         }
//!         Ok(())
//!     },
//!     futures_util::stream::iter(1..=3),
//! );
//! let names = executor.submit(
//!     async |_ctx, mut tasks| {
//!         while let Some(task) = tasks.next().await {
//!             let name: &str = task.data();
//!             let upper = name.to_uppercase();
//!             task.accept_result(upper).await;
//!         }
//!         Ok(())
//!     },
//!     ["ada", "bob"],
//! );
//! let numbers = numbers.map_ok(Finished::into_result).try_collect::<Vec<_>>();
//! let names = names.map_ok(Finished::into_result).try_collect::<Vec<_>>();
//! let (numbers, names) = tokio::join!(numbers, names);
//! assert_eq!(numbers?.iter().sum::<u32>(), 14);
//! assert_eq!(names?.len(), 2);
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When things fail
//!
//! A task that fails, or is rejected with `retry`, or whose provider is lost, is tried again: elsewhere where that can
//! be, and as often as [`retries`](executor::ExecutorBuilder::retries) says. One that fails for good costs no other
//! its result. A job ends without an error only when every task has a result; else its last item is a
//! [`SubmitError`](executor::SubmitError) that says why, which tasks failed and which weren't finished.
//! ```
//! # use golem_sdk::Executor;
//! # use golem_sdk::payload::Payload;
//! # use golem_devnet::devnet::Devnet;
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let devnet = Devnet::builder().providers(1).start().await?;
//! # let address = devnet.listen(([127, 0, 0, 1], 0).into()).await?;
//! # let builder = Executor::builder(Payload::default()).api_url(format!("http://{address}"));
//! # let executor = builder.app_key(devnet.requestor().key.clone()).start().await?;
//! let mut job = executor.submit(
//!     async |_ctx, mut tasks| {
//!         while let Some(task) = tasks.next().await {
//!             match 12_u32.checked_div(*task.data()) {
//!                 Some(quotient) => task.accept_result(quotient).await,
//!                 None => task.reject_result("nothing is divided by zero", false).await,
//!             }
//!         }
//!         Ok(())
//!     },
//!     [0, 3, 4],
//! );
//! let mut quotients = Vec::new();
//! let error = loop {
//!     match job.try_next().await {
//!         Ok(Some(task)) => quotients.push(task.into_result()),
//!         Ok(None) => break None,
//!         Err(error) => break Some(error),
//!     }
//! };
//! assert_eq!(quotients, [4, 3]);
//! let failed = error.ok_or("one task can't be done")?;
//! assert_eq!(failed.failed()[0].data(), &0);
//! println!("{failed}"); // not every task could be done; 1 failed, such as task 0 after 1 attempt: ...
//! # executor.close().await?;
//! # devnet.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it ends
//!
//! [`Executor::close`] ends what still runs, ends the agreements, waits for the last bills, gives the rest of the money
//! back, and says how it all went; all of it takes a bounded time. Dropping a job's stream cancels that job alone, and a
//! dropped executor closes in the background while the async runtime lives. So an early `return` or `?` leaks nothing,
//! but a program that wants its bills settled closes, or works within [`Executor::scope`], which closes whatever comes of
//! the work. With
//! [`stop_on_ctrl_c`](executor::ExecutorBuilder::stop_on_ctrl_c) a first Ctrl+C ends everything in order and a second
//! leaves at once.
//!
//! # Testing in virtual time
//!
//! On a devnet whose clock is tokio's, with tokio's clock paused, hours of work take milliseconds. Commands are answered
//! by a table instead of being run, providers misbehave as they are told, and the devnet's books show what is left
//! open.
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use golem_sdk::Executor;
//! use golem_sdk::payload::Payload;
//! use golem_devnet::clock::DevnetClock;
//! use golem_devnet::devnet::Devnet;
//! use golem_devnet::runtime::{ScriptedAnswer, ScriptedRuntime};
//! use yagna_client::{Client, InProcessTransport};
//!
//! # /*
//! #[tokio::test(start_paused = true)]
//! # */
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> { renders_for_hours().await }
//! async fn renders_for_hours() -> Result<(), Box<dyn std::error::Error>> {
//!     let half_an_hour = ScriptedAnswer::ok().taking(Duration::from_secs(1800));
//!     let devnet = Devnet::builder()
//!         .clock(DevnetClock::starting_at("2026-01-01T00:00:00Z".parse()?))
//!         .runtime(ScriptedRuntime::new().on("/bin/render", &[], half_an_hour))
//!         .providers(2)
//!         .start()
//!         .await?;
//!     let transport = InProcessTransport::new(devnet.router(), &devnet.requestor().key)?;
//!     let executor = Executor::builder(Payload::default())
//!         .client(Client::new(Arc::new(transport)))
//!         .clock(Arc::new(devnet.clock()))
//!         .timeout(Duration::from_secs(4 * 3600))
//!         .budget("20")
//!         .start()
//!         .await?;
//!     let mut frames = executor.submit(
//!         async |mut ctx, mut tasks| {
//!             while let Some(task) = tasks.next().await {
//!                 ctx.run("/bin/render", [""; 0]);
//!                 ctx.commit(Duration::from_secs(3600)).await?;
//!                 task.accept_result(()).await;
//!             }
//!             Ok(())
//!         },
//!         0..6,
//!     );
//!     while let Some(frame) = frames.try_next().await? {
//!         assert!(frame.running_time() >= Duration::from_secs(1800));
//!     }
//!     assert_eq!(executor.close().await?.done, 6);
//!     assert_eq!(devnet.books().open_agreements().count(), 0);
//!     devnet.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! # Further down
//!
//! The executor is a thin layer. What it is made of can be used by itself:
//!
//! - A [`Run`] is one budget and one market, and [`Handle`]s hand jobs to it; [`jobs`] has an example.
//! - A [`Worker`] is the trait behind worker functions. It has tasks of JSON, which can be stored.
//! - A [`Script`] is a batch as a value, and [`execute`](WorkContext::execute) leaves the judgement of how it ended to
//!   its caller.
//! - A [`Journal`] makes events durable before anything follows from them: the way to runs that survive their process.
//! - A [`yagna_client::Client`] sends any request of the daemon's API, as values of [`yagna_api`].
//! - All decisions are made in the crate [`golem_core`], which does no I/O: [`golem_core::run::Run`] takes what happened and
//!   says what to do.
//!
//! # Modules
//!
//! | module | what it holds |
//! |---|---|
//! | [`executor`] | tasks of any type in, finished ones out: where to begin |
//! | [`context`] | a worker's view of its activity: commands in, results and output out, cost |
//! | [`script`] | programs with their environment and captures, and whole scripts |
//! | [`payload`] | which machine the work needs, and with which image |
//! | [`image`] | finds images by hash or tag |
//! | [`manifest`] | what a payload is going to do on the internet, signed (feature `manifest`) |
//! | [`strategy`] | which offers are taken, and which of them first |
//! | [`market`] | who offers what, and for how much: looked at without taking part |
//! | [`service`] | programs that run until they are stopped, kept up on rented machines |
//! | [`network`] | virtual networks between machines and this daemon |
//! | [`connect`] | the way to the daemon that the environment names |
//! | [`budget`] | how much may be spent, in all and in any hour or day; why it couldn't be raised |
//! | [`consumer`] | who hears of what happens |
//! | [`log`] | what happens in the log: a summary for people, each event for programs, a default logger |
//! | [`summary`] | the lines of that summary |
//! | [`run`] | a run itself: options, start, stop, end |
//! | [`jobs`] | several jobs in one run, handed in while it goes on |
//! | [`worker`] | the trait that does tasks, and the tasks it is handed |
//! | [`journal`] | where events become durable |
//! | [`payments`] | what is accepted, scheduled and paid of agreements |
//! | [`reach`] | bytes to and from programs on providers: tunnels, forwarded ports, an HTTP proxy |
//! | [`transfer`] | files to and from providers, and to whoever asks for longer |
//! | [`defaults`] | what holds where nobody says otherwise |
//! | [`clock`], [`text`] | the real hour; errors with their causes on one line |
//! | [`event`] | everything that happens in a run |
//! | [`standing`] | what is known of providers from earlier runs |
//! | [`coming_from_yapapi`] | each name of yapapi, and ours |

mod account;
pub mod budget;
pub mod clock;
pub mod coming_from_yapapi;
pub mod connect;
pub mod consumer;
pub mod context;
mod engine;
pub mod error;
pub mod executor;
mod fault;
pub mod image;
pub mod jobs;
pub mod journal;
mod label;
pub mod log;
#[cfg(feature = "manifest")]
pub mod manifest;
pub mod market;
pub mod network;
pub mod payload;
pub mod payments;
pub mod prelude;
pub mod reach;
pub mod reading;
pub mod run;
pub mod script;
pub mod service;
pub mod summary;
pub mod text;
pub mod transfer;
pub mod worker;

pub use golem_core::{defaults, event, standing, strategy};

pub use yagna_api::{AppKey, Clock, Glm, NetworkId, NodeId, Timestamp};
pub use yagna_client::Client;

pub use golem_core::caps::{PriceCaps, Refusal};
pub use golem_core::explain::{Explanation, FunnelStep};
pub use golem_core::raise::{AboveCap, CappedPrice, Raise};
pub use golem_core::strategy::{LeastExpensive, ProviderList, Strategy};
pub use golem_core::terms::{MidAgreementPayments, TermsPolicy, TimeRange};

pub use crate::budget::{Budget, BudgetError, OnBudget};
pub use crate::clock::SystemClock;
pub use crate::consumer::EventConsumer;
pub use crate::context::{
    Batch, BatchEvent, Command, Download, Execution, ExecutionEnd, Json, ScriptError, Streamed, Together,
    WorkContext,
};
pub use crate::error::{Error, Result};
pub use crate::executor::Executor;
pub use crate::jobs::{Handle, JobEvents, JobOptions, JobSource, RunOver, TaskStream};
pub use crate::journal::{Journal, JournalError, MemoryJournal};
pub use crate::run::{Run, RunError, RunOptions, TaskSource, Timing};
pub use crate::script::{Capture, Program, Script, Source, Target};
pub use crate::transfer::{Arrivals, TransferError};
pub use crate::worker::{Task, Tasks, Worker, WorkerError};
