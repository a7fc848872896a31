//! Prints what happens, in a thread of its own: a reader of standard output that stalls holds nothing up.

use std::io;
use std::thread;
use std::time::Duration;

use golem_devnet::news::{Heard, News};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::json;
use super::lines::Lines;
use crate::exit::{Exit, Failure};
use crate::view::Output;

/// The time that the last lines may take once nothing more happens.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The forms in which events are shown.
#[derive(Debug)]
pub(super) enum Manner {
    /// Lines for people.
    Text(Lines),
    /// JSON, perhaps with commands.
    Json { commands: bool },
    /// Not at all.
    Quiet,
}

/// A thread that prints until nobody is left to tell anything.
#[derive(Debug)]
pub(super) struct Printer {
    done: oneshot::Receiver<Option<io::Error>>,
}

impl Printer {
    /// Begins with this text.
    pub(super) fn start(first: String, manner: Manner, news: News) -> Result<Self, Failure> {
        let (sender, done) = oneshot::channel();
        let print = move || {
            let mut out = Output::stdout();
            out.write(&first);
            follow(&mut out, manner, news);
            // Nobody waits for it after the patience with the last lines is over.
            drop(sender.send(out.into_lost()));
        };
        let thread = thread::Builder::new().name("printer".to_owned()).spawn(print);
        thread.map(|_| Self { done }).map_err(|error| Failure::new(Exit::Bug, error))
    }

    /// Waits for the last lines, but not for a reader that has stalled.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        match timeout(LAST_LINES, self.done).await {
            Ok(Ok(Some(error))) => Err(Failure::lost_output(&error)),
            // The rest of the process is about to end; a thread that hangs in a write ends with it.
            Ok(Ok(None) | Err(_)) | Err(_) => Ok(()),
        }
    }
}

fn follow(out: &mut Output, mut manner: Manner, mut news: News) {
    if matches!(manner, Manner::Quiet) {
        return;
    }
    while let Some(heard) = news.blocking_next() {
        let line = match (&heard, &mut manner) {
            (Heard::Happening(happening), Manner::Text(lines)) => lines.line(happening),
            (Heard::Happening(happening), Manner::Json { commands }) => json::line(happening, *commands),
            (Heard::Missed(missed), Manner::Text(_)) => Some(Lines::missed(*missed)),
            (Heard::Missed(missed), Manner::Json { .. }) => Some(json::missed(*missed)),
            (_, Manner::Quiet) => None,
        };
        if let Some(line) = line {
            out.write(&line);
        }
    }
}
