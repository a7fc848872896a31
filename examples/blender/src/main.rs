//! Renders frames of a Blender scene on the Golem Network, as many at a time as there are workers.
//!
//! The machines come from an image with Blender and an entry point for it, `run-blender.sh`, that reads which frames to
//! render, and how, from a JSON file. `docs/blender-side-by-side.md` compares this program with its ancestor in Python.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks with people")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use golem_examples::{CANCELLED, Failure, Flags, ended};
use golem_sdk::event::StopReason;
use golem_sdk::executor::Tasks;
use golem_sdk::payload::Vm;
use golem_sdk::{Program, WorkContext, WorkerError};
use serde_json::json;
use tokio::time::Instant;

/// Render frames 0, 10, .. 50 of a Blender scene on the Golem Network
#[derive(Debug, Parser)]
struct Args {
    /// The scene, a .blend file
    scene: PathBuf,
    /// The folder for the pictures
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    output: PathBuf,
    #[command(flatten)]
    flags: Flags,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended(render(Args::parse()).await)
}

async fn render(args: Args) -> Result<ExitCode, Failure> {
    if !args.scene.is_file() {
        return Err(format!("there is no scene at `{}`", args.scene.display()).into());
    }
    let golem = args.flags.open().await?;
    let payload = Vm::image_hash("9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae")
        .min_mem_gib(0.5)
        .min_storage_gib(2.0);
    let executor = golem
        .executor(payload)?
        .max_workers(3)
        .budget("10")
        .timeout(Duration::from_secs(30 * 60))
        .start()
        .await?;
    eprintln!("Payment driver: {}, network: {}", executor.driver(), executor.network());

    let begin = Instant::now();
    let (scene, output) = (args.scene, args.output);
    let mut frames = executor
        .submit(move |ctx, tasks| worker(ctx, tasks, scene.clone(), output.clone()), (0..60).step_by(10));
    let outcome = loop {
        match frames.try_next().await {
            Ok(Some(task)) => println!(
                "Frame {} is in {}, rendered by {} in {:.1?}",
                task.data(),
                task.result().display(),
                task.provider().name,
                task.running_time(),
            ),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // Whatever came of it: agreements are ended and bills settled before anything else.
    let end = executor.close().await?;
    eprintln!("{} frames in {:.1?} for {} GLM", end.done, begin.elapsed(), end.cost);
    if end.why == StopReason::Cancelled {
        return Ok(ExitCode::from(CANCELLED));
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// Renders frames on one provider. An error ends the rental; what it had in hand is rendered elsewhere.
async fn worker(
    mut ctx: WorkContext,
    mut tasks: Tasks<u32, PathBuf>,
    scene: PathBuf,
    output: PathBuf,
) -> Result<(), WorkerError> {
    ctx.send_file(scene, "/golem/resource/scene.blend");
    while let Some(task) = tasks.next().await {
        let frame = *task.data();
        let params = json!({
            "scene_file": "/golem/resource/scene.blend",
            "resolution": [400, 300],
            "use_compositing": false,
            "crops": [{ "outfilebasename": "out", "borders_x": [0.0, 1.0], "borders_y": [0.0, 1.0] }],
            "samples": 100,
            "frames": [frame],
            "output_format": "PNG",
            "RESOURCES_DIR": "/golem/resources",
            "WORK_DIR": "/golem/work",
            "OUTPUT_DIR": "/golem/output",
        });
        ctx.send_json(&params, "/golem/work/params.json")?;
        ctx.add(Program::new("/golem/entrypoints/run-blender.sh"));
        let picture = output.join(format!("output_{frame}.png"));
        ctx.download_file(format!("/golem/output/out{frame:04}.png"), &picture);
        // Two minutes are plenty for one frame of this size.
        ctx.commit(Duration::from_secs(120)).await?;
        if is_png(&picture).await {
            task.accept_result(picture).await;
        } else {
            task.reject_result("what came is no PNG", true).await;
        }
    }
    Ok(())
}

async fn is_png(file: &Path) -> bool {
    tokio::fs::read(file).await.is_ok_and(|bytes| bytes.starts_with(b"\x89PNG\r\n\x1a\n"))
}
