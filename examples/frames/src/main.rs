//! Renders an animation on the Golem Network, with a renderer of its own that it sends to the providers, and puts its
//! frames together to one picture.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks with people")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use frames::Picture;
use golem_examples::{CANCELLED, Failure, Flags, ended};
use golem_sdk::event::StopReason;
use golem_sdk::executor::Tasks;
use golem_sdk::payload::Vm;
use golem_sdk::{WorkContext, WorkerError};

/// Where the renderer is on a provider's machine.
const RENDERER: &str = "/golem/work/frames-worker";
/// How long one frame may take.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Render an animation on the Golem Network: each frame a PNG, and all of them on one sheet
#[expect(clippy::doc_markdown, reason = "the help shows it as it is")]
#[derive(Debug, Parser)]
struct Args {
    /// The folder for frame_000.png, frame_001.png and so on, and for sheet.png
    #[arg(value_name = "FOLDER", default_value = "frames")]
    output: PathBuf,
    /// How many frames the animation has
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    frames: u32,
    /// How many pixels a frame is wide; its height is three quarters of that
    #[arg(long, value_name = "PIXELS", default_value_t = 192, value_parser = clap::value_parser!(u32).range(4..=4096))]
    width: u32,
    /// How many providers may render at the same time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,
    /// The program to send to providers [default: frames-worker beside this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended(render(Args::parse()).await)
}

async fn render(args: Args) -> Result<ExitCode, Failure> {
    let renderer = match args.worker {
        Some(file) => file,
        None => std::env::current_exe()?.with_file_name("frames-worker"),
    };
    if !renderer.is_file() {
        let file = renderer.display();
        let what = format!(
            "there is no renderer at `{file}`: `cargo build -p frames` builds it, or name one with `--worker`"
        );
        return Err(what.into());
    }
    let golem = args.flags.open().await?;
    let executor = golem
        .executor(Vm::image_tag("golem/alpine:latest"))?
        .max_workers(args.workers)
        .budget("1")
        .start()
        .await?;

    let animation = Animation {
        renderer,
        frames: args.frames,
        width: args.width,
        height: args.width * 3 / 4,
        output: args.output.clone(),
    };
    let mut rendered = executor.submit(move |ctx, tasks| draw(ctx, tasks, animation.clone()), 0..args.frames);
    let mut pictures = Vec::new();
    let outcome = loop {
        match rendered.try_next().await {
            Ok(Some(task)) => {
                println!("frame {} by {} in {:.1?}", task.data(), task.provider().name, task.running_time());
                pictures.push((*task.data(), task.into_result()));
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // Whatever came of it: agreements are ended and bills settled before anything else.
    let end = executor.close().await?;
    eprintln!("{} of {} frames for {} GLM", end.done, args.frames, end.cost);
    if end.why == StopReason::Cancelled {
        return Ok(ExitCode::from(CANCELLED));
    }
    outcome?;

    // They came in the order in which they were done.
    pictures.sort_unstable_by_key(|(frame, _)| *frame);
    let pictures: Vec<_> = pictures.into_iter().map(|(_, picture)| picture).collect();
    let sheet = Picture::sheet(&pictures, 4).ok_or("the frames don't fit onto one sheet")?;
    let file = args.output.join("sheet.png");
    tokio::fs::write(&file, sheet.to_png()?).await.map_err(|error| format!("{}: {error}", file.display()))?;
    println!("all of them are in {}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// What every worker needs to know.
#[derive(Debug, Clone)]
struct Animation {
    renderer: PathBuf,
    frames: u32,
    width: u32,
    height: u32,
    output: PathBuf,
}

/// Draws frames on one provider. An error ends the rental; what it had in hand is drawn elsewhere.
async fn draw(
    mut ctx: WorkContext,
    mut tasks: Tasks<u32, Picture>,
    animation: Animation,
) -> Result<(), WorkerError> {
    let Animation { renderer, frames, width, height, output } = animation;
    // Once for each provider, with the first batch.
    ctx.send_file(renderer, RENDERER);
    ctx.run("/bin/chmod", ["+x", RENDERER]);
    while let Some(task) = tasks.next().await {
        let frame = *task.data();
        let numbers = [frame, frames, width, height].map(|number| number.to_string());
        ctx.run(RENDERER, numbers.into_iter().chain(["/golem/output/frame.png".to_owned()]));
        let file = output.join(format!("frame_{frame:03}.png"));
        ctx.download_file("/golem/output/frame.png", &file);
        ctx.commit(FRAME_TIMEOUT).await?;
        // A stranger's machine drew it: look at it before it counts.
        let bytes = tokio::fs::read(&file).await.unwrap_or_default();
        match Picture::from_png(&bytes) {
            Ok(picture) if picture.size() == (width, height) => task.accept_result(picture).await,
            Ok(_) => task.reject_result("the frame has another size", true).await,
            Err(error) => task.reject_result(error.to_string(), true).await,
        }
    }
    Ok(())
}
