//! Networks of clients, in CIDR notation.

use super::error::{ConfigError, quoted};
use crate::client;
use ipnet::IpNet;
use std::net::IpAddr;

/// A set of networks, IPv4 and IPv6: sorted, none overlapping another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Reads networks in CIDR notation, a lone address being a network of one. What is wrong is
    /// added to `errors`, under `path`.
    pub(super) fn read(path: &str, texts: &[String], errors: &mut Vec<ConfigError>) -> Self {
        let mut networks: Vec<IpNet> = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match client::network(text) {
                Some(network) => {
                    // To sort them all takes more code than such a list is worth.
                    let network = network.trunc();
                    let at = networks.partition_point(|other| *other < network);
                    networks.insert(at, network);
                }
                None => errors.push(ConfigError::new(
                    &format!("{path}[{index}]"),
                    "a network as \"192.0.2.0/24\" or \"2001:db8::/32\"",
                    quoted(text),
                )),
            }
        }
        // A network sorts before those it contains (its prefix being shorter).
        networks.dedup_by(|inner, outer| outer.contains(&*inner));
        Self(networks)
    }

    /// Whether `address` lies in one of them. IPv4-mapped IPv6 addresses count as IPv4.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let behind = self
            .0
            .partition_point(|network| network.network() <= address);
        // The last that begins at or before the address is the only one that can hold it.
        let last = behind.checked_sub(1).and_then(|at| self.0.get(at));
        last.is_some_and(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn addresses_of_both_families() {
        let texts = ["192.0.2.0/24", "198.51.100.7", "2001:db8:1::/48"].map(str::to_owned);
        let mut errors = Vec::new();
        let networks = Networks::read("networks", &texts, &mut errors);
        assert_eq!(errors, []);
        for (address, inside) in [
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("::ffff:192.0.2.7", true),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1:2::3", true),
            ("2001:db8:2::3", false),
        ] {
            assert_eq!(
                networks.contain(address.parse().unwrap()),
                inside,
                "{address}"
            );
        }
        assert!(!networks.contain("255.255.255.255".parse().unwrap()));
        assert!(!networks.contain("::".parse().unwrap()));
        assert!(!Networks::default().contain("127.0.0.1".parse().unwrap()));
    }
}
