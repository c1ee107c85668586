//! Zones as rbldnsd(8) reads them.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

/// A list to be served: what its files say.
#[derive(Debug, Clone)]
pub struct Zone {
    domain: String,
    v4: String,
    v6: String,
}

impl Zone {
    /// A list that names nobody but its test points (RFC 5782 section 5).
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let head = format!(
            "$SOA 3600 ns.{domain} hostmaster.{domain} 0 3600 600 86400 300\n\
             $NS 3600 ns.{domain}\n\
             $TTL 300\n\
             :127.0.0.2:Listed by {domain}: $\n"
        );
        Self {
            domain: domain.into(),
            v4: head.clone() + "127.0.0.2\n",
            v6: head + "::ffff:7f00:2\n",
        }
    }

    /// A list that lost its test points: it must not be believed.
    #[must_use]
    pub fn without_test_points(mut self) -> Self {
        self.v4 = self.v4.replace("\n127.0.0.2\n", "\n");
        self.v6 = self.v6.replace("\n::ffff:7f00:2\n", "\n");
        self
    }

    /// Its answers hold for so many seconds, those that deny as well.
    #[must_use]
    pub fn ttl(mut self, seconds: u32) -> Self {
        for text in [&mut self.v4, &mut self.v6] {
            *text = text
                .replace("$TTL 300", &format!("$TTL {seconds}"))
                .replace("86400 300", &format!("86400 {seconds}"));
        }
        self
    }

    /// Names a network of either family, answered with `code` and `text`, in which `$` is the
    /// client's address.
    #[must_use]
    pub fn lists(mut self, network: impl Into<IpNet>, code: Ipv4Addr, text: &str) -> Self {
        let network = network.into();
        // Writing to a String cannot fail.
        let _ = match network {
            IpNet::V4(_) => writeln!(self.v4, "{network} :{code}:{text}"),
            IpNet::V6(_) => writeln!(self.v6, "{network} :{code}:{text}"),
        };
        self
    }

    /// Names the first `count` addresses of 100.64.0.0/10 and as many networks of 2001:db8:64::/48,
    /// so that it is as large as a real list.
    #[must_use]
    pub fn crowded(mut self, count: u16) -> Self {
        for number in 0..count {
            let [high, low] = number.to_be_bytes();
            // Writing to a String cannot fail.
            let _ = writeln!(self.v4, "100.64.{high}.{low}");
            let _ = writeln!(self.v6, "2001:db8:64:{number:x}::/64");
        }
        self
    }

    /// Its name.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Its files: dataset type, name and text.
    pub(super) fn files(&self) -> [(&'static str, String, &str); 2] {
        let Self { domain, v4, v6 } = self;
        [
            ("ip4set", format!("{domain}.ip4"), v4),
            ("ip6trie", format!("{domain}.ip6"), v6),
        ]
    }
}

/// The name to ask a list for about a client (RFC 5782 sections 2.1 and 2.4).
#[must_use]
pub fn query_name(client: IpAddr, domain: &str) -> String {
    let mut name = String::new();
    // Writing to a String cannot fail.
    match client {
        IpAddr::V4(client) => client.octets().iter().rev().for_each(|octet| {
            let _ = write!(name, "{octet}.");
        }),
        IpAddr::V6(client) => client.octets().iter().rev().for_each(|octet| {
            let _ = write!(name, "{:x}.{:x}.", octet & 15, octet >> 4);
        }),
    }
    name + domain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_rfc_5782() {
        let v4 = query_name("192.0.2.99".parse().unwrap(), "bad.example.com");
        assert_eq!(v4, "99.2.0.192.bad.example.com");
        let client = "2001:db8:1:2:3:4:567:89ab".parse().unwrap();
        assert_eq!(
            query_name(client, "ugly.example.com"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com"
        );
    }

    #[test]
    fn test_points_can_be_lost() {
        let zone = Zone::new("bl.example.test").without_test_points();
        for (_, _, text) in zone.files() {
            assert!(
                !text.contains("\n127.0.0.2\n") && !text.contains("\n::ffff"),
                "{text}"
            );
        }
    }
}
