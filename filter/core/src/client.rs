//! A client: all addresses of one prefix.

use ipnet::IpNet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// A client, by its prefix. IPv4-mapped IPv6 addresses count as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(IpNet);

/// By whole numbers: octet by octet, as it would be derived, takes several times as much.
impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0.addr() {
            IpAddr::V4(address) => state.write_u32(address.to_bits()),
            IpAddr::V6(address) => state.write_u128(address.to_bits()),
        }
        state.write_u8(self.0.prefix_len());
    }
}

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

    /// The client to which all addresses of a prefix that somebody else names belong; `None` where
    /// they are those of several.
    #[must_use]
    pub fn holding(self, named: Client) -> Option<Client> {
        let ours = self.client(named.0.addr());
        ours.0.contains(&named.0).then_some(ours)
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

/// Text that names no client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an address or a network as \"203.0.113.7\" or \"2001:db8::/64\", got \"{0}\"")]
pub struct NoClient(String);

/// Reads an address, or a network in CIDR notation. `ipnet` has parsers of its own beside those of
/// the standard library.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return Some(IpNet::from(text.parse::<IpAddr>().ok()?));
    };
    let is_number = length.bytes().all(|octet| octet.is_ascii_digit());
    let length = length.parse().ok().filter(|_| is_number)?;
    IpNet::new(address.parse().ok()?, length).ok()
}

impl FromStr for Client {
    type Err = NoClient;

    /// An address, or a prefix with nothing behind it.
    fn from_str(text: &str) -> Result<Self, NoClient> {
        let network = network(text).ok_or_else(|| NoClient(text.to_owned()))?;
        let usual = match network {
            IpNet::V4(_) => Some(network),
            IpNet::V6(six) => match six.addr().to_ipv4_mapped() {
                Some(four) => six
                    .prefix_len()
                    .checked_sub(96)
                    .and_then(|length| IpNet::new(four.into(), length).ok()),
                None => Some(network),
            },
        };
        usual
            .filter(|network| network.trunc() == *network)
            .map(Self)
            .ok_or_else(|| NoClient(text.to_owned()))
    }
}

/// An address as its `Display` writes it. Every session's end writes some, and the standard formatter
/// takes several times as long for IPv4.
#[must_use]
pub fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255/32".len());
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

impl Client {
    /// The prefix, as its `Display` writes it.
    #[must_use]
    pub fn to_text(self) -> String {
        let mut text = address_text(self.0.addr());
        text.push('/');
        text.push_str(itoa::Buffer::new().format(self.0.prefix_len()));
        text
    }
}

impl fmt::Display for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.to_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const USUAL: Prefixes = Prefixes { ipv4: 32, ipv6: 64 };

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for address in [
            "0.0.0.0",
            "203.0.113.7",
            "255.255.255.255",
            "::",
            "2001:db8::1",
            "::ffff:192.0.2.1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(address_text(address), address.to_string());
            let client = USUAL.client(address);
            assert_eq!(client.to_text(), client.0.to_string());
        }
    }

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
    fn a_prefix_that_others_name_belongs_to_one_client_or_to_none() {
        let named = |text: &str| USUAL.holding(text.parse().unwrap());
        assert_eq!(named("203.0.113.7"), Some(client("203.0.113.7")));
        assert_eq!(named("2001:db8::5"), Some(client("2001:db8::1")));
        assert_eq!(named("2001:db8::/80"), Some(client("2001:db8::1")));
        assert_eq!(named("2001:db8::/64"), Some(client("2001:db8::1")));
        assert_eq!(named("2001:db8::/63"), None);
        assert_eq!(named("203.0.113.0/24"), None);
        assert_eq!(named("0.0.0.0/0"), None);
    }

    #[test]
    fn text_is_read_back_and_others_refused() {
        for address in ["0.0.0.0", "203.0.113.7", "::", "2001:db8::1"] {
            let client = client(address);
            assert_eq!(client.to_string().parse(), Ok(client));
        }
        let wide = Prefixes { ipv4: 24, ipv6: 48 }.client("203.0.113.7".parse().unwrap());
        assert_eq!("203.0.113.0/24".parse(), Ok(wide));
        assert_eq!("203.0.113.7".parse(), Ok(client("203.0.113.7")));
        assert_eq!("::ffff:203.0.113.7".parse(), Ok(client("203.0.113.7")));
        for text in [
            "",
            "x",
            "203.0.113.7/33",
            "203.0.113.7/24",
            "203.0.113.7/+32",
            "203.0.113.7/",
            "203.0.113.7/32/32",
            "203.0.113.7/256",
            "/32",
            "::ffff:203.0.113.7/80",
        ] {
            assert!(text.parse::<Client>().is_err(), "{text}");
        }
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
