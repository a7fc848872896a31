//! Services described by a file: brought up, kept up, looked into and brought down.
//!
//! Each service is kept up by a run of its own, whose tasks are the places of its instances; so its rentals, its bills
//! and its budget are those of any run, and a later process goes on with it as with any run. What other processes see of it
//! is in the store.
//!
//! | module | what it covers |
//! |---|---|
//! | `file` | the file of services |
//! | `environment` | variables whose values depend on other services |
//! | `job` | a service as a job of a run |
//! | `up` | bringing services up in their order, and keeping them up |
//! | `doors` | ports of this machine that lead to services |
//! | `access` | the way to the daemon for other processes |
//! | `look` | listing instances, their logs, and commands on them |
//! | `forward` | ports of this machine that lead to services, for as long as a command runs |
//! | `connect` | the standard streams, connected to a port of an instance |
//! | `ssh` | a shell on an instance |
//! | `down` | bringing services down |

pub(crate) mod access;
pub(crate) mod connect;
mod doors;
pub(crate) mod down;
mod environment;
pub(crate) mod file;
pub(crate) mod forward;
mod job;
pub(crate) mod look;
pub(crate) mod ssh;
pub(crate) mod up;
