//! The addresses in an Ethernet frame.

use std::net::Ipv4Addr;

const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];

/// The sender and the receiver of a frame, by their addresses in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) source: Ipv4Addr,
    pub(super) target: Ipv4Addr,
}

/// Reads the addresses of an IPv4 packet, or those of an ARP message about IPv4. Frames of other kinds have none.
pub(super) fn addresses(frame: &[u8]) -> Option<Addresses> {
    let kind = frame.get(12..ETHERNET)?;
    let packet = frame.get(ETHERNET..)?;
    let (source, target) = if kind == IPV4 {
        (12, 16)
    } else if kind == ARP && packet.get(2..4)? == IPV4 {
        (14, 24)
    } else {
        return None;
    };
    let address = |at: usize| packet.get(at..)?.first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes));
    Some(Addresses { source: address(source)?, target: address(target)? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A frame with an IPv4 packet between two addresses.
    pub(crate) fn packet(source: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(IPV4);
        frame.extend([0x45; 12]);
        frame.extend(source);
        frame.extend(target);
        frame
    }

    /// A question who has an address.
    pub(crate) fn question(source: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ARP);
        frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
        frame.extend([1; 6]);
        frame.extend(source);
        frame.extend([0; 6]);
        frame.extend(target);
        frame
    }

    #[test]
    fn addresses_are_read_from_packets_and_from_questions() {
        let (one, two) = ([192, 168, 0, 1], [192, 168, 0, 2]);
        let both = Some(Addresses { source: one.into(), target: two.into() });
        assert_eq!(addresses(&packet(one, two)), both);
        assert_eq!(addresses(&question(one, two)), both);
    }

    #[test]
    fn other_frames_and_short_ones_have_no_addresses() {
        let whole = packet([1; 4], [2; 4]);
        for length in 0..whole.len() {
            assert_eq!(addresses(&whole[..length]), None, "{length}");
        }
        let mut ipv6 = whole;
        ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(addresses(&ipv6), None);
        let mut appletalk = question([1; 4], [2; 4]);
        appletalk[16..18].copy_from_slice(&[0x80, 0x9b]);
        assert_eq!(addresses(&appletalk), None);
    }
}
