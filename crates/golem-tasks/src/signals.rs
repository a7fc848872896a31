//! The signals that ask a run, or a devnet, to end: Ctrl+C everywhere, and on Unix also SIGTERM (a service manager, a shutdown) and
//! SIGHUP (a terminal that closes). What comes of them is decided by who listens.

#[cfg(unix)]
pub(crate) use self::unix::Stops;

#[cfg(not(unix))]
pub(crate) use self::other::Stops;

#[cfg(unix)]
mod unix {
    use std::future::poll_fn;
    use std::io;
    use std::task::Poll;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// Every signal that counts like Ctrl+C; one that comes between two calls isn't missed.
    pub(crate) struct Stops(Vec<Signal>);

    impl Stops {
        pub(crate) fn listen() -> io::Result<Self> {
            let mut signals = vec![signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
            if !hangups_are_ignored() {
                signals.push(signal(SignalKind::hangup())?);
            }
            Ok(Self(signals))
        }

        /// Waits for the next one. Cancel safe.
        pub(crate) async fn next(&mut self) {
            poll_fn(|context| {
                let heard = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
                if heard { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// True if the program was started to outlive its terminal, by `nohup` for example. Listening would undo that.
    fn hangups_are_ignored() -> bool {
        // Only Linux tells in a file; elsewhere nothing is known.
        std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangups(&status))
    }

    fn ignores_hangups(status: &str) -> bool {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // Signal n is bit n - 1, and SIGHUP is signal 1.
        mask.is_some_and(|mask| mask & 1 == 1)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_mask_of_ignored_signals_is_understood() {
            assert!(ignores_hangups("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
            assert!(!ignores_hangups("Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"));
            assert!(!ignores_hangups("Name:\tx\n"));
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::io;

    /// Ctrl+C.
    pub(crate) struct Stops;

    impl Stops {
        #[expect(clippy::unnecessary_wraps, reason = "listening for signals may fail elsewhere")]
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) async fn next(&mut self) {
            if let Err(error) = tokio::signal::ctrl_c().await {
                tracing::warn!(%error, "Ctrl+C can't be heard: it will end the program at once");
                std::future::pending().await
            }
        }
    }
}
