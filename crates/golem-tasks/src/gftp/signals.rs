//! The signals that end `gftp`.
//!
//! Ctrl+C in a terminal reaches a requestor and the `gftp server` it has started at the same moment. The requestor may
//! still want to settle its work, files included, so the server leaves the first one to it: the requestor ends the
//! server by `shutdown` or by closing its standard input. A second one ends it, and so does the first one where
//! requests are typed in by hand.

use std::io::{self, IsTerminal};

/// The signals that count.
pub(super) struct Stops {
    /// The number of Ctrl+C that are left to others.
    spared: u32,
    #[cfg(unix)]
    end: Vec<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stops {
    pub(super) fn listen(server: bool) -> io::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            spared: u32::from(server && !io::stdin().is_terminal()),
            #[cfg(unix)]
            end: vec![signal(SignalKind::terminate())?, signal(SignalKind::hangup())?],
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the one that ends the program.
    pub(super) async fn next(&mut self) {
        while self.is_interrupt().await && self.spared > 0 {
            self.spared -= 1;
        }
    }

    #[cfg(unix)]
    async fn is_interrupt(&mut self) -> bool {
        use std::task::Poll;

        std::future::poll_fn(|context| {
            if self.end.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
                Poll::Ready(false)
            } else {
                self.interrupt.poll_recv(context).map(|_| true)
            }
        })
        .await
    }

    #[cfg(not(unix))]
    async fn is_interrupt(&mut self) -> bool {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::warn!(%error, "Ctrl+C can't be heard: it will end the program at once");
            std::future::pending().await
        }
        true
    }
}
