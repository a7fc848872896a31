//! The outputs for text. A reader that goes away ends the text, never the run.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

use super::text::clean;

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

    /// True if a person reads this as it is written.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// True if further text is left out, for its reader has gone or it can't be written.
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_none()
    }

    /// Nowhere.
    pub fn none() -> Self {
        Self { to: None, lost: None, terminal: false }
    }

    /// The error by which text was lost, though its reader was still there.
    pub fn lost(&self) -> Option<&io::Error> {
        self.lost.as_ref()
    }

    /// The error of an output that is done.
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
    ///
    /// A terminal gets text without what could steer it, whoever wrote that; a file or a pipe gets the bytes as they are.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        let Some(to) = &mut self.to else { return };
        if bytes.is_empty() {
            return;
        }
        let harmless;
        let bytes = if self.terminal {
            harmless = clean(&String::from_utf8_lossy(bytes));
            harmless.as_bytes()
        } else {
            bytes
        };
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

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

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_gets_nothing_that_steers_it_and_everything_else_gets_the_bytes() {
        let printed = b"\x1b]0;title\x07a\tb\xff\xc2\x9b2J\xe2\x80\xae\r\n";
        for (terminal, expected) in [
            (false, &printed[..]),
            (true, "\u{fffd}]0;title\u{fffd}a\tb\u{fffd}\u{fffd}2J\u{fffd}\u{fffd}\n".as_bytes()),
        ] {
            let kept = Kept::default();
            let mut output = Output { terminal, ..Output::new(kept.clone()) };
            output.write_bytes(printed);
            assert_eq!(*kept.0.lock().unwrap(), expected, "{terminal}");
        }
    }

    #[test]
    fn a_reader_that_went_away_is_asked_once() {
        let attempts = Arc::new(AtomicUsize::new(0));
        let mut output = Output::new(Broken(Arc::clone(&attempts)));
        output.write("a\n");
        output.write("b\n");
        assert_eq!(attempts.load(Ordering::SeqCst), 1);
    }
}
