//! Showing something again and again: painted over what was there before on a terminal, below it elsewhere.

use std::fmt::Write as _;
use std::time::Duration;

use console::{Term, truncate_str};
use tokio::time::{MissedTickBehavior, interval};

use super::written;
use crate::exit::{Exit, Failure};
use crate::signals::Stops;
use crate::view::Output;
use crate::view::kept::Room;

/// The time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// The forms in which a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The size of the terminal that standard output is, if it is one.
pub(crate) fn room() -> Room {
    let size = Term::stdout().size_checked().filter(|_| Output::stdout().is_terminal());
    Room { width: size.map(|(_, columns)| usize::from(columns)), height: None }
}

/// The view of a run at one moment.
pub(crate) struct Seen {
    /// The text that shows it.
    pub(crate) text: String,
    /// True if the run has ended, so that nothing in it changes any more.
    pub(crate) is_last: bool,
}

/// Shows what `look` sees every second until the run has ended, or until Ctrl+C; where that isn't a terminal, only when it
/// has changed.
pub(crate) async fn watch<E>(
    manner: Manner,
    look: impl AsyncFn(Room) -> Result<Seen, E>,
) -> Result<Exit, Failure>
where
    Failure: From<E>,
{
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let mut output = Output::stdout();
    let in_place = manner == Manner::Text && output.is_terminal();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before: Option<String> = None;
    let mut painted = 0;
    loop {
        tokio::select! {
            biased;
            () = stops.next() => return written(&output),
            _ = tick.tick() => {}
        }
        let room = if in_place { screen() } else { Room::default() };
        let Seen { text: seen, is_last } = tokio::select! {
            biased;
            () = stops.next() => return written(&output),
            seen = look(room) => seen?,
        };
        if in_place {
            output.write(&repaint(&seen, painted, room));
            painted = seen.lines().count().min(room.height.unwrap_or(usize::MAX));
        } else if before.as_ref() != Some(&seen) {
            let gap = if manner == Manner::Text && before.is_some() { "\n" } else { "" };
            output.write(&format!("{gap}{seen}"));
            before = Some(seen);
        }
        if is_last || output.is_closed() {
            return written(&output);
        }
    }
}

/// The terminal's size, without the line that the cursor stands in.
fn screen() -> Room {
    let size = Term::stdout().size_checked();
    Room {
        width: size.map(|(_, columns)| usize::from(columns)),
        height: size.map(|(rows, _)| usize::from(rows).saturating_sub(1).max(1)),
    }
}

/// The text that replaces so many lines that were painted before. No line is longer than the terminal is wide, for it
/// would take two.
fn repaint(text: &str, painted: usize, room: Room) -> String {
    let mut paint = String::new();
    if painted > 0 {
        let _ = write!(paint, "\u{1b}[{painted}A\r");
    }
    for line in text.lines().take(room.height.unwrap_or(usize::MAX)) {
        paint.push_str(&truncate_str(line, room.width.unwrap_or(usize::MAX), "…"));
        // The earlier text in this line is removed.
        paint.push_str("\u{1b}[K\n");
    }
    paint.push_str("\u{1b}[J");
    paint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repaint_covers_what_was_there_and_stays_on_the_screen() {
        let room = Room { width: Some(5), height: Some(2) };
        assert_eq!(repaint("one\ntwo\nthree\n", 0, room), "one\u{1b}[K\ntwo\u{1b}[K\n\u{1b}[J");
        assert_eq!(repaint("a longer one\n", 2, room), "\u{1b}[2A\ra lo…\u{1b}[K\n\u{1b}[J");
    }
}
