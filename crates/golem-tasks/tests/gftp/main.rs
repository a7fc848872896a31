//! The program `gftp` as other SDKs use it: started, talked to over its standard input and output, with the devnet's
//! providers fetching and bringing files.

#![cfg(all(target_os = "linux", feature = "devnet"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod provider;
mod requests;
mod server;
mod transfers;
