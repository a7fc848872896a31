//! Network cards for systems that have none of Linux's namespaces: there are none.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::Instant;

/// A machine's network card. There are none on this system.
#[derive(Debug)]
pub enum Tap {}

/// The tools that make network cards. There are none on this system.
#[derive(Debug, Clone)]
pub(crate) enum Tools {}

/// The requestor's own end of a network. There are none on this system.
#[derive(Debug)]
pub(crate) enum Gate {}

/// The reasons why a connection into a network doesn't stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateError {
    Refused,
    Silent,
}

impl Tools {
    #[expect(clippy::unused_async, reason = "the same signature as on Linux, which has to wait")]
    pub(crate) async fn get() -> Result<Self, String> {
        Err("only Linux has network namespaces".to_owned())
    }
}

impl Tap {
    pub(crate) async fn read(&self, _frame: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn write(&self, _frame: &[u8]) {
        match *self {}
    }
}

impl Gate {
    pub(crate) async fn open(tools: &Tools, _address: Ipv4Addr, _prefix: u8) -> Result<Self, String> {
        match *tools {}
    }

    pub(crate) fn tap(&self) -> Arc<Tap> {
        match *self {}
    }

    pub(crate) async fn connect(&self, _to: SocketAddrV4, _until: Instant) -> Result<TcpStream, GateError> {
        match *self {}
    }
}
