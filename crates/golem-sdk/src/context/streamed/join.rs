//! Joins a stream of events that may lack its beginning, or break off, with results that are whole: everything is told
//! once, and output in its order wherever that can be known in time.
//!
//! No I/O: events and results go in, what is to be told comes out.

use bytes::Bytes;
use yagna_api::activity::{CaptureMode, CommandResult, Output, Progress, RuntimeEvent, RuntimeEventKind};

use crate::script::Step;

/// The two output streams of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Out,
    Err,
}

/// Something to tell the reader.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Started { place: usize },
    Piece { place: usize, side: Side, bytes: Bytes, belated: bool },
    Progress { place: usize, progress: Progress },
    Finished { place: usize, exit_code: Option<i32>, message: Option<String> },
}

/// The events of a batch that have been reported, and those that are still owed.
#[derive(Debug)]
pub(super) struct Join {
    commands: Vec<Followed>,
    /// The last command whose events had to wait for results: once is enough.
    waited_for: Option<usize>,
    /// The last command's end, or a failure, has been seen.
    over: bool,
}

#[derive(Debug)]
struct Followed {
    /// Its start has been told.
    begun: bool,
    /// Its end has been told.
    ended: bool,
    /// The stream was there when it began.
    from_start: bool,
    /// The stream broke off while it ran: its pieces have a hole, and the results alone can fill it.
    cut: bool,
    sides: [Written; 2],
}

/// One output of one command.
#[derive(Debug)]
struct Written {
    mode: Mode,
    text: bool,
    /// The number of its bytes that the stream has brought.
    streamed: usize,
    /// These, where it isn't known where in the output they belong.
    kept: Vec<u8>,
    /// The beginning of a character that isn't complete.
    unfinished: Vec<u8>,
    /// The results have been compared.
    settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nothing,
    AtEnd,
    Stream,
}

impl Join {
    pub(super) fn new(steps: &[Step]) -> Self {
        let commands = steps.iter().map(Followed::new).collect();
        Self { commands, waited_for: None, over: false }
    }

    /// True if the results must be looked at before this event is reported.
    ///
    /// Of what came before it, or of the command that it ends, something isn't known from the stream.
    pub(super) fn needs_results(&mut self, event: &RuntimeEvent) -> bool {
        let place = event.index as usize;
        let Some(command) = self.commands.get(place).filter(|command| !command.ended) else {
            return false;
        };
        if matches!(event.kind, RuntimeEventKind::Finished { .. }) && !command.is_known() {
            return true;
        }
        let open = self.commands[..place].iter().any(|command| !command.ended);
        open && self.waited_for.replace(place) != Some(place)
    }

    pub(super) fn on_event(&mut self, event: RuntimeEvent, mut tell: impl FnMut(Told)) {
        let place = event.index as usize;
        let last = place + 1 == self.commands.len();
        let Some(command) = self.commands.get_mut(place).filter(|command| !command.ended) else {
            return;
        };
        if !command.begun {
            command.begun = true;
            command.from_start = matches!(event.kind, RuntimeEventKind::Started { .. });
            tell(Told::Started { place });
        }
        match event.kind {
            RuntimeEventKind::Started { .. } => {}
            RuntimeEventKind::StdOut(output) => command.piece(place, Side::Out, &output, &mut tell),
            RuntimeEventKind::StdErr(output) => command.piece(place, Side::Err, &output, &mut tell),
            RuntimeEventKind::Progress(progress) => tell(Told::Progress { place, progress }),
            RuntimeEventKind::Finished { return_code, message } => {
                self.over |= last || return_code != 0;
                if command.is_known() {
                    command.flush(place, &mut tell);
                    command.ended = true;
                    let exit_code = Some(return_code).filter(|code| *code >= 0);
                    tell(Told::Finished { place, exit_code, message });
                }
            }
        }
    }

    /// The results so far, from the first command on.
    pub(super) fn on_results(&mut self, results: &[CommandResult], mut tell: impl FnMut(Told)) {
        for (place, (command, result)) in self.commands.iter_mut().zip(results).enumerate() {
            if !std::mem::replace(&mut command.begun, true) {
                tell(Told::Started { place });
            }
            let (from_start, cut) = (command.from_start, command.cut);
            for (side, output) in [(Side::Out, &result.stdout), (Side::Err, &result.stderr)] {
                let whole = output.as_ref().map(Output::as_bytes).unwrap_or_default();
                command.side(side).settle(place, side, whole, from_start, cut, &mut tell);
            }
            command.flush(place, &mut tell);
            if !std::mem::replace(&mut command.ended, true) {
                let (exit_code, message) = (result.exit_code(), result.message.clone());
                tell(Told::Finished { place, exit_code, message });
            }
        }
    }

    /// The stream broke off.
    pub(super) fn on_cut(&mut self) {
        for command in self.commands.iter_mut().filter(|command| command.begun && !command.ended) {
            command.cut = true;
        }
    }

    /// No results will come.
    pub(super) fn on_expired(&mut self, mut tell: impl FnMut(Told)) {
        for (place, command) in self.commands.iter_mut().enumerate() {
            command.flush(place, &mut tell);
        }
    }

    /// True if the stream has reported the batch's end.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

impl Followed {
    fn new(step: &Step) -> Self {
        let (capture, text) = match step {
            // Output that can't be sent won't be followed either.
            Step::Program(program) => {
                (program.command(true).ok().and_then(|run| run.capture), program.is_text())
            }
            _ => (None, true),
        };
        let capture = capture.unwrap_or_default();
        let sides = [capture.stdout, capture.stderr].map(|mode| Written {
            mode: match mode {
                None => Mode::Nothing,
                Some(CaptureMode::AtEnd { .. }) => Mode::AtEnd,
                Some(CaptureMode::Stream { .. }) => Mode::Stream,
            },
            text,
            streamed: 0,
            kept: Vec::new(),
            unfinished: Vec::new(),
            settled: false,
        });
        Self { begun: false, ended: false, from_start: false, cut: false, sides }
    }

    /// True if the stream reports all of it.
    fn is_known(&self) -> bool {
        self.from_start && !self.cut && self.sides.iter().all(|side| side.mode != Mode::AtEnd)
    }

    fn side(&mut self, side: Side) -> &mut Written {
        match side {
            Side::Out => &mut self.sides[0],
            Side::Err => &mut self.sides[1],
        }
    }

    fn piece(&mut self, place: usize, side: Side, output: &Output, tell: &mut impl FnMut(Told)) {
        // After a hole nothing fits on to what was told.
        if self.cut {
            return;
        }
        let (bytes, from_start) = (output.as_bytes(), self.from_start);
        let written = self.side(side);
        written.streamed += bytes.len();
        if !from_start {
            written.kept.extend_from_slice(bytes);
        }
        written.tell(place, side, bytes, tell);
    }

    fn flush(&mut self, place: usize, tell: &mut impl FnMut(Told)) {
        for side in [Side::Out, Side::Err] {
            let rest = std::mem::take(&mut self.side(side).unfinished);
            if !rest.is_empty() {
                tell(Told::Piece { place, side, bytes: rest.into(), belated: false });
            }
        }
    }
}

impl Written {
    /// Tells what the results have beyond what was streamed.
    fn settle(
        &mut self,
        place: usize,
        side: Side,
        whole: &[u8],
        from_start: bool,
        cut: bool,
        tell: &mut impl FnMut(Told),
    ) {
        if std::mem::replace(&mut self.settled, true) || whole.len() <= self.streamed {
            return;
        }
        let kept = std::mem::take(&mut self.kept);
        let at = if from_start || self.streamed == 0 {
            0
        } else if cut {
            // Nobody knows where these are from. Wherever they are found they can be: all others make the same whole.
            find(whole, &kept).unwrap_or(whole.len() - self.streamed)
        } else {
            whole.len() - self.streamed
        };
        if at > 0 {
            let bytes = Bytes::copy_from_slice(&whole[..at]);
            tell(Told::Piece { place, side, bytes, belated: true });
        }
        self.tell(place, side, &whole[at + self.streamed..], tell);
    }

    /// Tells bytes, of text whole characters only.
    fn tell(&mut self, place: usize, side: Side, bytes: &[u8], tell: &mut impl FnMut(Told)) {
        let mut piece = std::mem::take(&mut self.unfinished);
        piece.extend_from_slice(bytes);
        if self.text {
            self.unfinished = piece.split_off(piece.len() - unfinished(&piece));
        }
        if !piece.is_empty() {
            tell(Told::Piece { place, side, bytes: piece.into(), belated: false });
        }
    }
}

/// The number of bytes at the end that begin a character which further bytes may complete.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let Some(lead) = tail.iter().rposition(|byte| !matches!(byte, 0x80..=0xBF)) else {
        return 0;
    };
    let needed = match tail[lead] {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    let there = tail.len() - lead;
    if there < needed { there } else { 0 }
}

fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    whole.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests;
