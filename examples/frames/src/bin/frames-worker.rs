//! The renderer: the program that frames sends to providers, to draw one frame of the animation there.
//!
//! ```text
//! frames-worker FRAME FRAMES WIDTH HEIGHT FILE     draws a frame of so many into a PNG file
//! ```
//!
//! On the real network it runs in a small image with another C library or none, so it should be linked statically:
//!
//! ```text
//! RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p frames --bin frames-worker \
//!     --no-default-features --target x86_64-unknown-linux-gnu
//! ```

#![expect(clippy::print_stderr, reason = "what goes wrong is read on standard error")]

use std::error::Error;
use std::process::ExitCode;

use frames::{Scene, render};

/// A picture has this many pixels a side, at most.
const LARGEST: u32 = 10_000;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match draw(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [frame, frames, width, height, file] = args else {
        return Err("usage: frames-worker FRAME FRAMES WIDTH HEIGHT FILE".into());
    };
    let (width, height): (u32, u32) = (width.parse()?, height.parse()?);
    if width.max(height) > LARGEST {
        return Err(format!("a picture has {LARGEST} pixels a side at most").into());
    }
    let picture = render(&Scene::at(frame.parse()?, frames.parse()?), width, height);
    std::fs::write(file, picture.to_png()?)?;
    Ok(())
}
