//! Addresses that no public list can know anything about.

use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// What IANA's IPv4 special-purpose address registry calls not globally reachable, and multicast
/// (RFC 5771).
const IPV4: [Ipv4Net; 14] = [
    v4(0, 0, 0, 8),
    v4(10, 0, 0, 8),
    v4(100, 64, 0, 10),
    v4(127, 0, 0, 8),
    v4(169, 254, 0, 16),
    v4(172, 16, 0, 12),
    v4(192, 0, 0, 24),
    v4(192, 0, 2, 24),
    v4(192, 168, 0, 16),
    v4(198, 18, 0, 15),
    v4(198, 51, 100, 24),
    v4(203, 0, 113, 24),
    v4(224, 0, 0, 4),
    v4(240, 0, 0, 4),
];

/// The same of IANA's IPv6 registry, multicast (RFC 4291 section 2.7) and the former site-local
/// addresses (RFC 3879).
const IPV6: [Ipv6Net; 13] = [
    v6(0, 0, 0, 0, 128),
    Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
    v6(0x64, 0xff9b, 1, 0, 48),
    v6(0x100, 0, 0, 0, 64),
    v6(0x100, 0, 0, 1, 64),
    v6(0x2001, 0, 0, 0, 23),
    v6(0x2001, 0xdb8, 0, 0, 32),
    v6(0x3fff, 0, 0, 0, 20),
    v6(0x5f00, 0, 0, 0, 16),
    v6(0xfc00, 0, 0, 0, 7),
    v6(0xfe80, 0, 0, 0, 10),
    v6(0xfec0, 0, 0, 0, 10),
    v6(0xff00, 0, 0, 0, 8),
];

/// Whether `client` is private, local or otherwise of no public meaning. To ask about one would
/// tell a list about our network and teach nothing. IPv4-mapped IPv6 addresses count as IPv4.
#[must_use]
pub fn is_reserved(client: IpAddr) -> bool {
    match client.to_canonical() {
        IpAddr::V4(client) => IPV4.iter().any(|network| network.contains(&client)),
        IpAddr::V6(client) => IPV6.iter().any(|network| network.contains(&client)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn ipv4() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ] {
            let [first, last] = [first, last].map(|text| text.parse::<Ipv4Addr>().unwrap());
            assert!(is_reserved(first.into()), "{first}");
            assert!(is_reserved(last.into()), "{last}");
            assert!(is_reserved(last.to_ipv6_mapped().into()), "{last}");
            if let Some(before) = u32::from(first).checked_sub(1) {
                assert!(!is_reserved(Ipv4Addr::from(before).into()), "{first}");
            }
            if let Some(after) = u32::from(last).checked_add(1) {
                assert!(!is_reserved(Ipv4Addr::from(after).into()), "{last}");
            }
        }
    }

    #[test]
    fn ipv6() {
        for (client, reserved) in [
            ("::", true),
            ("::1", true),
            ("::2", false),
            ("::ffff:192.168.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("64:ff9b::808:808", false),
            ("64:ff9b:1::1", true),
            ("64:ff9b:2::", false),
            ("100::1", true),
            ("100:0:0:1::1", true),
            ("100:0:0:2::", false),
            ("2001::1", true),
            ("2001:1ff:ffff::", true),
            ("2001:200::", false),
            ("2001:db7:ffff::", false),
            ("2001:db8::1", true),
            ("2001:db9::", false),
            ("2a00:1450:4001::1", false),
            ("3ffe:ffff::", false),
            ("3fff::1", true),
            ("3fff:1000::", false),
            ("5f00::1", true),
            ("fbff::", false),
            ("fc00::1", true),
            ("fdff:ffff::1", true),
            ("fe00::", false),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", true),
            ("ff02::1", true),
        ] {
            assert_eq!(is_reserved(client.parse().unwrap()), reserved, "{client}");
        }
    }
}
