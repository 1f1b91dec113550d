//! Addresses that nothing may be fetched from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Link-local networks, and where clouds serve a machine's own credentials.
const FORBIDDEN: [&str; 7] = [
    "169.254.0.0/16",
    "fe80::/10",
    // Metadata of Amazon, of Google, of Alibaba, of Azure and of Oracle.
    "fd00:ec2::254/128",
    "fd20:ce::254/128",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
];

/// IPv4 addresses behind a gateway from IPv6: 64:ff9b::/96.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

pub(crate) fn forbidden_by_default() -> Vec<IpNet> {
    FORBIDDEN.iter().map(|network| network.parse().expect("the networks above are networks")).collect()
}

/// Whether one of the networks has the address, in whatever form that is written.
pub(crate) fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let address = plain(address);
    networks.iter().any(|network| network.contains(&address))
}

/// The address that a packet would go to.
fn plain(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        // Linux takes the unspecified address for its own.
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.segments()[..6] == NAT64 => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_forbidden_however_they_are_written_and_private_networks_are_not() {
        let forbidden = forbidden_by_default();
        let is_forbidden = |address: &str| is_in(&forbidden, address.parse().unwrap());
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "::ffff:168.63.129.16",
        ] {
            assert!(is_forbidden(address), "{address} is let through");
        }
        for address in ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "fd00::1", "93.184.216.34"] {
            assert!(!is_forbidden(address), "{address} is refused");
        }
    }

    #[test]
    fn who_forbids_loopback_forbids_the_unspecified_address_too() {
        let loopback = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        for address in ["127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.2"] {
            assert!(is_in(&loopback, address.parse().unwrap()), "{address} is let through");
        }
    }
}
