//! The addresses at which the program answers browsers and collectors of metrics.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::TcpListener;

use crate::exit::{Exit, Failure};

/// The port of the page.
const PAGE: u16 = 8899;
/// The port of metrics, which collectors know for programs that bring their own.
const METRICS: u16 = 9464;

/// An address to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    address: SocketAddr,
    /// Nobody named it, so any other port of the machine does as well.
    is_default: bool,
}

/// The address can't be listened at.
#[derive(Debug, thiserror::Error)]
#[error("can't listen at {address}")]
struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl Listen {
    /// The page's own address on this machine.
    pub(crate) const PAGE: Self = Self::here(PAGE);
    /// The address of metrics on this machine.
    pub(crate) const METRICS: Self = Self::here(METRICS);

    const fn here(port: u16) -> Self {
        Self { address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port), is_default: true }
    }

    /// Begins to listen.
    pub(crate) async fn bind(self) -> Result<TcpListener, Failure> {
        let Self { address, .. } = self;
        TcpListener::bind(address).await.map_err(|source| {
            let advice = match source.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("another program uses port {}: name another one, or 0 for any that is free", address.port())
                }
                io::ErrorKind::PermissionDenied => {
                    format!("port {} is for privileged programs: name one above 1023", address.port())
                }
                io::ErrorKind::AddrNotAvailable => {
                    "this machine doesn't have that address: 127.0.0.1 is this machine alone, 0.0.0.0 all of its addresses"
                        .to_owned()
                }
                _ => "name another address, such as 127.0.0.1:0".to_owned(),
            };
            Failure::new(Exit::Usage, ListenError { address, source }).advise(advice)
        })
    }

    /// Begins to listen there, or at any free port where nobody named the address and it is taken.
    pub(crate) async fn bind_or_near(self) -> Result<TcpListener, Failure> {
        match self.bind().await {
            Err(_) if self.is_default => {
                let free = SocketAddr::new(self.address.ip(), 0);
                Self { address: free, is_default: false }.bind().await
            }
            bound => bound,
        }
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let address = match (text.parse::<SocketAddr>(), text.parse::<u16>(), text.split_once(':')) {
            (Ok(address), ..) => Some(address),
            (_, Ok(port), _) => Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
            (.., Some(("localhost", port))) => {
                port.parse().ok().map(|port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
            }
            _ => None,
        };
        address
            .map(|address| Self { address, is_default: false })
            .ok_or("expected an address and a port, such as 127.0.0.1:8899, or a port alone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_or_without_a_host() {
        for (text, address) in [
            ("127.0.0.1:8899", "127.0.0.1:8899"),
            ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            (" 9464 ", "127.0.0.1:9464"),
            ("localhost:1", "127.0.0.1:1"),
        ] {
            assert_eq!(text.parse::<Listen>().unwrap().address.to_string(), address);
        }
        for text in ["", "example.org:80", "127.0.0.1", "70000", "localhost:x"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_told_unless_nobody_named_it() {
        let taken = "127.0.0.1:0".parse::<Listen>().unwrap().bind().await.unwrap();
        let address = taken.local_addr().unwrap();
        let named = Listen { address, is_default: false };
        let failure = named.bind().await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.advice().unwrap().contains(&format!("uses port {}", address.port())));
        assert!(named.bind_or_near().await.is_err());
        let near = Listen { address, is_default: true }.bind_or_near().await.unwrap();
        assert_ne!(near.local_addr().unwrap().port(), address.port());
    }
}
