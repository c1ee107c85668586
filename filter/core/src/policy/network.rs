//! Networks of clients, in CIDR notation.

use ipnet::IpNet;
use std::net::IpAddr;

/// A set of networks, IPv4 and IPv6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// A set of these networks; overlapping ones are joined.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self(IpNet::aggregate(&networks.to_vec()))
    }

    /// Whether `address` lies in one of them. IPv4-mapped IPv6 addresses count as IPv4.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn addresses_of_both_families() {
        let networks = Networks::new(&[
            "192.0.2.0/24".parse().unwrap(),
            "2001:db8:1::/48".parse().unwrap(),
        ]);
        for (address, inside) in [
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("::ffff:192.0.2.7", true),
            ("2001:db8:1:2::3", true),
            ("2001:db8:2::3", false),
        ] {
            assert_eq!(
                networks.contain(address.parse().unwrap()),
                inside,
                "{address}"
            );
        }
        assert!(!Networks::default().contain("127.0.0.1".parse().unwrap()));
    }
}
