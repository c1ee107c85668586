//! A client: all addresses of one prefix.

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// A client, by its prefix. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(IpNet);

/// How many leading bits make a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixes {
    /// Of an IPv4 address, at most 32.
    pub ipv4: u8,
    /// Of an IPv6 address, at most 128.
    pub ipv6: u8,
}

impl Prefixes {
    /// The client at this address.
    #[must_use]
    pub fn client(self, address: IpAddr) -> Client {
        let address = address.to_canonical();
        let length = match address {
            IpAddr::V4(_) => self.ipv4.min(32),
            IpAddr::V6(_) => self.ipv6.min(128),
        };
        Client(IpNet::new_assert(address, length).trunc())
    }
}

/// Octets of an encoded client.
pub const ENCODED_LEN: usize = 18;

impl Client {
    /// The client as octets: the prefix length, the family (4 or 6), the address.
    #[must_use]
    pub fn encode(self) -> [u8; ENCODED_LEN] {
        let (family, address) = match self.0.addr() {
            IpAddr::V4(address) => (4, address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => (6, address.octets()),
        };
        let mut octets = [self.0.prefix_len(); ENCODED_LEN];
        let (head, tail) = octets.split_at_mut(2);
        if let Some(place) = head.last_mut() {
            *place = family;
        }
        tail.copy_from_slice(&address);
        octets
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(octets: &[u8; ENCODED_LEN]) -> Option<Self> {
        let [length, family, address @ ..] = octets;
        let address = std::net::Ipv6Addr::from(*address);
        let address = match family {
            4 => IpAddr::V4(address.to_ipv4_mapped()?),
            6 => IpAddr::V6(address),
            _ => return None,
        };
        let network = IpNet::new(address, *length).ok()?;
        (network.trunc() == network).then_some(Self(network))
    }
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const USUAL: Prefixes = Prefixes { ipv4: 32, ipv6: 64 };

    fn client(address: &str) -> Client {
        USUAL.client(address.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_prefix_are_one_client() {
        assert_eq!(client("203.0.113.7"), client("::ffff:203.0.113.7"));
        assert_ne!(client("203.0.113.7"), client("203.0.113.8"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("2001:db8::1").to_string(), "2001:db8::/64");
        let wide = Prefixes { ipv4: 24, ipv6: 48 };
        let address = "203.0.113.7".parse().unwrap();
        assert_eq!(wide.client(address).to_string(), "203.0.113.0/24");
    }

    #[test]
    fn octets_are_read_back_and_others_refused() {
        for address in ["0.0.0.0", "203.0.113.7", "::", "2001:db8::1"] {
            let client = client(address);
            assert_eq!(Client::decode(&client.encode()), Some(client));
        }
        let good = client("203.0.113.7").encode();
        for (at, octet) in [(0, 33), (0, 24), (1, 6), (1, 5), (3, 1)] {
            let mut bad = good;
            bad[at] = octet;
            let read = Client::decode(&bad);
            assert!(read != Some(client("203.0.113.7")), "{at}: {octet}");
        }
        assert_eq!(Client::decode(&[0xff; ENCODED_LEN]), None);
    }
}
