//! Reads what a `deploy` command asks for.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use yagna_api::NetworkId;
use yagna_api::activity::{Deploy, DeployNetwork, Volumes};

use crate::runtime::Deployment;
use crate::vpn::Place;

/// The longest name that the kernel takes for a machine.
const LONGEST_NAME: usize = 64;
/// The prefix of a network that has no mask.
const PREFIX: u8 = 24;

/// A part of a `deploy` command that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DeployError {
    #[error("`{0}` is not a valid IPv4 address")]
    Address(String),
    #[error("`{0}` is not a valid network mask")]
    Mask(String),
    #[error("`{0}` is not a valid host name")]
    Name(String),
    #[error("the address {address} is not in the network {network}")]
    Outside { address: Ipv4Addr, network: String },
    #[error("the networks {0} and {1} overlap")]
    Overlap(String, String),
}

/// The machine that a command asks for. `env` in it has no effect, as on the real network.
pub(super) fn read(deploy: &Deploy) -> Result<Deployment, DeployError> {
    let volumes = match &deploy.volumes {
        None => Vec::new(),
        Some(Volumes::Paths(paths)) => paths.clone(),
        Some(Volumes::Mounts(mounts)) => mounts.keys().cloned().collect(),
    };
    let networks = deploy.net.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    for (at, network) in networks.iter().enumerate() {
        if let Some(other) = networks[..at].iter().find(|other| other.overlaps(network)) {
            return Err(DeployError::Overlap(other.network.to_string(), network.network.to_string()));
        }
    }
    let hosts = deploy.hosts.iter().map(|(name, ip)| {
        let address: IpAddr = ip.parse().map_err(|_| DeployError::Address(ip.clone()))?;
        Ok((host_name(name)?, address))
    });
    let hosts = hosts.collect::<Result<BTreeMap<_, _>, DeployError>>()?;
    let hostname = deploy.hostname.as_deref().map(host_name).transpose()?;
    Ok(Deployment { volumes, networks, hosts, hostname })
}

fn place(net: &DeployNetwork) -> Result<Place, DeployError> {
    // Clients send the network's address with and without its prefix.
    let (ip, prefix) = match net.ip.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix)),
        None => (net.ip.as_str(), None),
    };
    let base = address(ip)?;
    let mask = net.mask.as_deref().filter(|mask| !mask.is_empty());
    let prefix = match (mask, prefix) {
        (Some(mask), _) => {
            let bits = mask.parse::<Ipv4Addr>().map(Ipv4Addr::to_bits).ok();
            bits.filter(|bits| bits.leading_ones() == bits.count_ones())
                .and_then(|bits| u8::try_from(bits.leading_ones()).ok())
                .ok_or_else(|| DeployError::Mask(mask.to_owned()))?
        }
        (None, Some(prefix)) => prefix
            .parse()
            .ok()
            .filter(|prefix| *prefix <= 32)
            .ok_or_else(|| DeployError::Mask(prefix.to_owned()))?,
        (None, None) => PREFIX,
    };
    let own = address(&net.node_ip)?;
    let mut place = Place { network: NetworkId::new(&net.id), address: base, prefix, nodes: BTreeMap::new() };
    let within = |address: Ipv4Addr, place: &Place| {
        let other = Place { address, ..place.clone() };
        if other.overlaps(place) {
            Ok(address)
        } else {
            Err(DeployError::Outside { address, network: format!("{base}/{prefix}") })
        }
    };
    let mut nodes = BTreeMap::new();
    for (ip, node) in &net.nodes {
        nodes.insert(within(address(ip)?, &place)?, node.clone());
    }
    place.address = within(own, &place)?;
    place.nodes = nodes;
    Ok(place)
}

fn address(text: &str) -> Result<Ipv4Addr, DeployError> {
    text.parse().map_err(|_| DeployError::Address(text.to_owned()))
}

fn host_name(name: &str) -> Result<String, DeployError> {
    let is_valid = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_valid { Ok(name.to_owned()) } else { Err(DeployError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(ip: &str, mask: Option<&str>, node_ip: &str) -> DeployNetwork {
        DeployNetwork {
            id: format!("net-{ip}"),
            ip: ip.to_owned(),
            mask: mask.map(str::to_owned),
            gateway: None,
            node_ip: node_ip.to_owned(),
            nodes: BTreeMap::new(),
        }
    }

    fn networks(net: Vec<DeployNetwork>) -> Result<Vec<Place>, DeployError> {
        read(&Deploy { net, ..Deploy::default() }).map(|deployment| deployment.networks)
    }

    #[test]
    fn a_network_is_read_with_its_mask_or_its_prefix() {
        for (ip, mask, prefix) in [
            ("192.168.0.0", Some("255.255.255.0"), 24),
            ("192.168.0.0/16", Some(""), 16),
            ("192.168.0.0/16", Some("255.255.255.0"), 24),
            ("192.168.0.0", None, 24),
        ] {
            let places = networks(vec![net(ip, mask, "192.168.0.7")]).unwrap();
            assert_eq!(
                (places[0].prefix, places[0].address),
                (prefix, Ipv4Addr::new(192, 168, 0, 7)),
                "{ip}"
            );
        }
    }

    #[test]
    fn bad_networks_are_named() {
        let mut stray = net("10.0.0.0/24", None, "10.0.0.2");
        stray.nodes.insert("10.0.1.3".to_owned(), "0x1".to_owned());
        for (net, message) in [
            (net("ten", None, "10.0.0.2"), "`ten` is not a valid IPv4 address"),
            (net("10.0.0.0/33", None, "10.0.0.2"), "`33` is not a valid network mask"),
            (net("10.0.0.0", Some("255.0.255.0"), "10.0.0.2"), "`255.0.255.0` is not a valid network mask"),
            (net("10.0.0.0/24", None, "10.0.1.2"), "the address 10.0.1.2 is not in the network 10.0.0.0/24"),
            (stray, "the address 10.0.1.3 is not in the network 10.0.0.0/24"),
        ] {
            assert_eq!(networks(vec![net]).unwrap_err().to_string(), message);
        }
        let both = vec![net("10.0.0.0/24", None, "10.0.0.2"), net("10.0.0.0/16", None, "10.0.7.2")];
        assert!(matches!(networks(both), Err(DeployError::Overlap(..))));
    }

    #[test]
    fn names_are_names() {
        let deploy = |name: &str| Deploy { hostname: Some(name.to_owned()), ..Deploy::default() };
        assert_eq!(read(&deploy("db-1.local")).unwrap().hostname.as_deref(), Some("db-1.local"));
        for bad in ["", "-x", "a b", "a\nb", &"x".repeat(65)] {
            assert_eq!(read(&deploy(bad)), Err(DeployError::Name(bad.to_owned())), "{bad:?}");
        }
        let hosts = |name: &str, ip: &str| Deploy {
            hosts: [(name.to_owned(), ip.to_owned())].into(),
            ..Deploy::default()
        };
        assert_eq!(read(&hosts("db", "10.0.0.2")).unwrap().hosts["db"].to_string(), "10.0.0.2");
        assert!(read(&hosts("db", "10.0.0")).is_err());
        assert!(read(&hosts("d b", "10.0.0.2")).is_err());
    }
}
