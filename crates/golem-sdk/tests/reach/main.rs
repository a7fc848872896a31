//! Ways to reach programs on providers: tunnels, forwarded ports and the HTTP proxy, on the devnet's daemon and on one that
//! is stricter than any.

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod bytes;
mod forward;
mod ground;
mod http;
mod http_trouble;
mod strict;
mod tunnel;
