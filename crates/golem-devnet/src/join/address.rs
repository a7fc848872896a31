//! The address of a daemon: its REST API, its bus, and the key that says which identity sells there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use yagna_api::AppKey;

/// The bus's port where an address names none.
const DEFAULT_PORT: u16 = 7464;

/// The addresses of a real daemon, and the key of the identity that sells there.
#[derive(Debug, Clone)]
pub struct DaemonAddress {
    /// Its REST API, such as `http://127.0.0.1:7465`.
    pub api: String,
    /// Its bus.
    pub gsb: GsbAddress,
    /// A key of the identity that sells.
    pub key: AppKey,
}

/// The address of a daemon's bus.
///
/// # Example
/// ```
/// use golem_devnet::join::GsbAddress;
///
/// let address: GsbAddress = "tcp://127.0.0.1:7464".parse()?;
/// assert_eq!(address, GsbAddress::Tcp("127.0.0.1:7464".into()));
/// assert_eq!(GsbAddress::default().to_string(), "unix:/tmp/yagna.sock");
/// # Ok::<(), golem_devnet::join::GsbAddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GsbAddress {
    /// At a host and port.
    Tcp(String),
    /// At a socket in the file system.
    Unix(PathBuf),
}

/// Text that names no place of a bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid address of a bus: expected tcp://host:port or unix:/path")]
pub struct GsbAddressError(String);

impl Default for GsbAddress {
    /// The address of a daemon's bus unless `GSB_URL` names another one.
    fn default() -> Self {
        if cfg!(unix) {
            Self::Unix("/tmp/yagna.sock".into())
        } else {
            Self::Tcp(format!("127.0.0.1:{DEFAULT_PORT}"))
        }
    }
}

impl FromStr for GsbAddress {
    type Err = GsbAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || GsbAddressError(text.to_owned());
        if let Some(rest) = text.strip_prefix("unix:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let place = match text.split_once("://") {
            Some(("tcp", place)) => place.trim_end_matches('/'),
            Some(_) => return Err(wrong()),
            // The daemon itself takes that for TCP.
            None => text,
        };
        // The part after the last colon is a port, unless that colon is part of a bracketed IPv6 address.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (place, DEFAULT_PORT),
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong());
        }
        Ok(Self::Tcp(format!("{host}:{port}")))
    }
}

impl fmt::Display for GsbAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => write!(f, "tcp://{place}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_daemon_reads_them() {
        for (text, shown) in [
            ("tcp://127.0.0.1:7464", "tcp://127.0.0.1:7464"),
            ("tcp://127.0.0.1:7464/", "tcp://127.0.0.1:7464"),
            ("tcp://bus.example", "tcp://bus.example:7464"),
            ("tcp://[::1]", "tcp://[::1]:7464"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
            ("127.0.0.1:1", "tcp://127.0.0.1:1"),
            ("unix:/tmp/yagna.sock", "unix:/tmp/yagna.sock"),
            ("unix:///run/y.sock", "unix:/run/y.sock"),
        ] {
            let address: GsbAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.to_string().parse(), Ok(address), "{text} survives its own form");
        }
        for bad in
            ["", "tcp://", "tcp://:1", "tcp://h:port", "tcp://h:70000", "http://h:1", "unix:", "unix:x"]
        {
            assert_eq!(bad.parse::<GsbAddress>(), Err(GsbAddressError(bad.to_owned())), "{bad}");
        }
    }
}
