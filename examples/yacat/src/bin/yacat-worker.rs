//! The worker: the program that is sent to providers, to search a part of the keyspace there.
//!
//! ```text
//! yacat-worker keyspace MASK                    prints how many words fit the mask
//! yacat-worker search MASK HASH START END       prints the word, if it is one of those from START to before END
//! ```
//!
//! On the real network it runs in a small image with another C library or none, so it should be linked statically:
//!
//! ```text
//! RUSTFLAGS="-C target-feature=+crt-static" cargo build --release -p yacat --bin yacat-worker \
//!     --no-default-features --target x86_64-unknown-linux-gnu
//! ```

#![expect(clippy::print_stderr, reason = "what goes wrong is read on standard error")]

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::thread;

use yacat::{Hash, Mask, search};

const USAGE: &str = "usage: yacat-worker keyspace MASK | yacat-worker search MASK HASH START END";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match carry_out(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(args: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    match args {
        ["keyspace", mask] => {
            let mask: Mask = mask.parse()?;
            writeln!(out, "{}", mask.keyspace())?;
        }
        ["search", mask, hash, start, end] => {
            let (mask, hash): (Mask, Hash) = (mask.parse()?, hash.parse()?);
            let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
            if let Some(word) = search(&mask, &hash, start.parse()?..end.parse()?, threads) {
                out.write_all(&word)?;
                writeln!(out)?;
            }
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
