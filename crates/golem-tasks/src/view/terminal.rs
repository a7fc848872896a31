//! The one terminal that the bar, the results and the log share, so that none of them writes through another.

use std::io::{self, IsTerminal, Write};

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing_subscriber::fmt::MakeWriter;

/// Standard error, with or without a bar on it. Clones are the same terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    bars: MultiProgress,
    attended: bool,
}

/// Writes whole pieces of text to standard error, above the bar if there is one.
#[derive(Debug)]
pub struct TerminalWriter(MultiProgress);

impl Terminal {
    /// The process's standard error.
    pub fn stderr() -> Self {
        let attended = io::stderr().is_terminal();
        let target = if attended { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), attended }
    }

    /// True if a person looks at it.
    pub fn is_attended(&self) -> bool {
        self.attended
    }

    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }
}

impl<'a> MakeWriter<'a> for Terminal {
    type Writer = TerminalWriter;

    fn make_writer(&'a self) -> TerminalWriter {
        TerminalWriter(self.bars.clone())
    }
}

impl Write for TerminalWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(text))?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
