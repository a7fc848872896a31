//! Where text goes. A reader that goes away ends the text, never the run.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

/// A stream of text to people or programs.
pub struct Output {
    to: Option<Box<dyn Write + Send>>,
    lost: Option<io::Error>,
    terminal: bool,
}

impl Output {
    /// Standard output: results.
    pub fn stdout() -> Self {
        Self { to: Some(Box::new(io::stdout())), lost: None, terminal: io::stdout().is_terminal() }
    }

    /// Standard error: everything else.
    pub fn stderr() -> Self {
        Self { to: Some(Box::new(io::stderr())), lost: None, terminal: io::stderr().is_terminal() }
    }

    /// Any other place; it counts as no terminal.
    pub fn new(to: impl Write + Send + 'static) -> Self {
        Self { to: Some(Box::new(to)), lost: None, terminal: false }
    }

    /// Does a person read this as it is written?
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Is what comes left out, for its reader has gone or it can't be written?
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_none()
    }

    /// Nowhere.
    pub fn none() -> Self {
        Self { to: None, lost: None, terminal: false }
    }

    /// Why some of the text was lost, though its reader was still there.
    pub fn lost(&self) -> Option<&io::Error> {
        self.lost.as_ref()
    }

    /// The same, of an output that is done.
    #[cfg(feature = "devnet")]
    pub(crate) fn into_lost(self) -> Option<io::Error> {
        self.lost
    }

    /// Writes text and flushes it.
    ///
    /// Once the reader has gone (`| head`), what comes is left out in silence: the results are in the store, and
    /// the run goes on. After any other error it is left out too, and [`Output::lost`] tells.
    pub fn write(&mut self, text: &str) {
        self.write_bytes(text.as_bytes());
    }

    /// Writes bytes that need not be text, as [`Output::write`] writes text.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        let Some(to) = &mut self.to else { return };
        if bytes.is_empty() {
            return;
        }
        if let Err(error) = to.write_all(bytes).and_then(|()| to.flush()) {
            self.to = None;
            if error.kind() != ErrorKind::BrokenPipe {
                self.lost = Some(error);
            }
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("open", &self.to.is_some())
            .field("lost", &self.lost)
            .field("terminal", &self.terminal)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Broken(Arc<AtomicUsize>);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_asked_once() {
        let tries = Arc::new(AtomicUsize::new(0));
        let mut output = Output::new(Broken(Arc::clone(&tries)));
        output.write("a\n");
        output.write("b\n");
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }
}
