//! The name a client has in a zone (RFC 5782).

use std::fmt::Write;
use std::net::IpAddr;

/// The name to ask about `client` in the zone `domain`: the octets of an IPv4 address in reverse
/// order (RFC 5782 section 2.1), the 32 nibbles of an IPv6 address in reverse order (section 2.4).
/// IPv4-mapped IPv6 addresses count as IPv4.
#[must_use]
pub fn query_name(domain: &str, client: IpAddr) -> String {
    let mut name = String::new();
    // Writing to a String does not fail.
    match client.to_canonical() {
        IpAddr::V4(client) => {
            for octet in client.octets().iter().rev() {
                let _ = write!(name, "{octet}.");
            }
        }
        IpAddr::V6(client) => {
            for octet in client.octets().iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", octet & 0xf, octet >> 4);
            }
        }
    }
    name.push_str(domain);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_are_those_of_the_rfc() {
        // RFC 5782 sections 2.1 and 2.4.
        let nibbles = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4";
        for (client, expected) in [
            ("192.0.2.99", "99.2.0.192"),
            ("::ffff:192.0.2.99", "99.2.0.192"),
            ("4321:0:1:2:3:4:567:89ab", nibbles),
        ] {
            let name = query_name("bad.example.com", client.parse().unwrap());
            assert_eq!(name, format!("{expected}.bad.example.com"));
        }
    }
}
