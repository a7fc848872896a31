//! Ranges of addresses: which machines can have, and which overlap.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// The longest prefix of a range that has room for our daemon and one machine.
const LONGEST: u8 = 30;
/// The shortest prefix: more addresses than that nobody needs, and each of them would be walked through.
const SHORTEST: u8 = 16;

/// A range of IPv4 addresses, such as `192.168.7.0/24`.
///
/// # Example
/// ```
/// use golem_sdk::network::Range;
///
/// let range: Range = "192.168.7.0/24".parse()?;
/// assert_eq!(range.first().to_string(), "192.168.7.1");
/// assert_eq!(range.n_machines(), 253);
/// assert!("192.168.7.0".parse::<Range>()?.overlaps(range));
/// # Ok::<(), golem_sdk::network::RangeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    network: Ipv4Addr,
    prefix: u8,
}

/// The reasons why a text is not a valid range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// It doesn't read as a range.
    #[error("`{0}` is not a valid range of addresses: expected something like 192.168.7.0/24")]
    Malformed(String),
    /// It is too small or too large.
    #[error(
        "`{0}` is not a valid range of a network: the number behind `/` must be from {SHORTEST} to {LONGEST}"
    )]
    Size(String),
    /// Its addresses have another meaning.
    #[error("`{0}` is not a valid range of a network: its addresses are not those of single machines")]
    Special(String),
}

impl Range {
    /// The ranges that are tried where none is named.
    pub(super) fn usual() -> impl Iterator<Item = Self> {
        (0..=255).map(|third| Self { network: Ipv4Addr::new(192, 168, third, 0), prefix: 24 })
    }

    /// The first address, which is our daemon's.
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + 1)
    }

    /// The mask as an address.
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.mask_bits())
    }

    /// The number of machines that find room in it.
    pub fn n_machines(self) -> u64 {
        // Without the range's own address, the daemon's, and the one that means all.
        (1_u64 << (32 - self.prefix)) - 3
    }

    /// The addresses that machines can have, in order.
    pub fn machines(self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let first = self.network.to_bits() + 2;
        let last = self.network.to_bits() | !self.mask_bits();
        (first..last).map(Ipv4Addr::from_bits)
    }

    /// True if a machine can have this address.
    pub fn has_machine(self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        bits > self.first().to_bits() && bits < (self.network.to_bits() | !self.mask_bits())
    }

    /// True if both ranges have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        let mask = self.mask_bits() & other.mask_bits();
        self.network.to_bits() & mask == other.network.to_bits() & mask
    }

    fn mask_bits(self) -> u32 {
        u32::MAX << (32 - self.prefix)
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || RangeError::Malformed(text.to_owned());
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, prefix.parse().map_err(|_| malformed())?),
            None => (text.trim(), 24),
        };
        let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        if !(SHORTEST..=LONGEST).contains(&prefix) {
            return Err(RangeError::Size(text.to_owned()));
        }
        let range = Self { network: address, prefix };
        let network = Ipv4Addr::from_bits(address.to_bits() & range.mask_bits());
        if network.is_loopback()
            || network.is_unspecified()
            || network.is_multicast()
            || network.octets()[0] == 0
        {
            return Err(RangeError::Special(text.to_owned()));
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_room_for_machines_behind_our_daemon() {
        let range: Range = "10.1.2.7/29".parse().unwrap();
        assert_eq!(range.to_string(), "10.1.2.0/29");
        let machines: Vec<_> = range.machines().map(|address| address.to_string()).collect();
        assert_eq!(machines, ["10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"]);
        assert_eq!(range.n_machines(), 5);
        assert!(!range.has_machine(range.first()) && !range.has_machine(Ipv4Addr::new(10, 1, 2, 7)));
        assert!(
            range.has_machine(Ipv4Addr::new(10, 1, 2, 6)) && !range.has_machine(Ipv4Addr::new(10, 1, 2, 9))
        );
        assert_eq!("10.0.0.0/30".parse::<Range>().unwrap().machines().count(), 1);
    }

    #[test]
    fn ranges_that_are_not_valid_are_refused_with_an_example() {
        for text in ["", "home", "192.168.1", "192.168.1.0/", "192.168.1.0/x", "fd00::/64", "1.2.3.4/24/3"] {
            assert_eq!(text.parse::<Range>(), Err(RangeError::Malformed(text.to_owned())), "{text}");
        }
        for text in ["10.0.0.0/8", "10.0.0.0/31", "10.0.0.0/33", "10.0.0.0/0"] {
            assert_eq!(text.parse::<Range>(), Err(RangeError::Size(text.to_owned())), "{text}");
        }
        for text in ["127.0.0.0/24", "0.0.0.0/24", "224.1.0.0/16"] {
            assert_eq!(text.parse::<Range>(), Err(RangeError::Special(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn ranges_overlap_where_one_is_in_the_other() {
        let range = |text: &str| text.parse::<Range>().unwrap();
        assert!(range("10.0.0.0/16").overlaps(range("10.0.255.0/24")));
        assert!(range("10.0.255.0/24").overlaps(range("10.0.0.0/16")));
        assert!(!range("10.0.0.0/24").overlaps(range("10.0.1.0/24")));
    }
}
