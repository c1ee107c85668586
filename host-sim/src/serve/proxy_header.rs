//! The PROXY protocol header a client's front proxy sends first.

use std::net::SocketAddr;

use ppp::{HeaderResult, PartialResult, v1, v2};

/// Longer headers than this are refused; v2 allows more, nobody sends it.
const LIMIT: usize = 4096;

/// Who connected to whom, as far as the front proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

/// What the first bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// More bytes are needed.
    Incomplete,
    /// No PROXY header.
    Invalid,
    /// A header of so many bytes. Without addresses (v1 `UNKNOWN`, v2 `LOCAL`)
    /// those of the connection itself hold, as in Envoy.
    Complete(usize, Option<Addresses>),
}

pub(super) fn parse(bytes: &[u8]) -> Header {
    let result = HeaderResult::parse(bytes);
    if result.is_incomplete() && bytes.len() < LIMIT {
        return Header::Incomplete;
    }
    match result {
        HeaderResult::V1(Ok(header)) => {
            Header::Complete(header.header.len(), addresses_v1(&header.addresses))
        }
        HeaderResult::V2(Ok(header)) => {
            let addresses = match header.command {
                v2::Command::Proxy => addresses_v2(&header.addresses),
                v2::Command::Local => None,
            };
            Header::Complete(header.len(), addresses)
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Header::Invalid,
    }
}

fn addresses_v1(addresses: &v1::Addresses) -> Option<Addresses> {
    match addresses {
        v1::Addresses::Tcp4(ip) => Some(Addresses {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        v1::Addresses::Tcp6(ip) => Some(Addresses {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        v1::Addresses::Unknown => None,
    }
}

fn addresses_v2(addresses: &v2::Addresses) -> Option<Addresses> {
    match addresses {
        v2::Addresses::IPv4(ip) => Some(Addresses {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        v2::Addresses::IPv6(ip) => Some(Addresses {
            peer: (ip.source_address, ip.source_port).into(),
            local: (ip.destination_address, ip.destination_port).into(),
        }),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(peer: &str, local: &str) -> Option<Addresses> {
        Some(Addresses {
            peer: peer.parse().unwrap(),
            local: local.parse().unwrap(),
        })
    }

    #[test]
    fn version_1() {
        let table: [(&[u8], Header); 6] = [
            (
                b"PROXY TCP4 203.0.113.7 192.0.2.25 5555 25\r\nEHLO",
                Header::Complete(43, pair("203.0.113.7:5555", "192.0.2.25:25")),
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::25 5555 25\r\n",
                Header::Complete(45, pair("[2001:db8::7]:5555", "[2001:db8::25]:25")),
            ),
            (b"PROXY UNKNOWN\r\n", Header::Complete(15, None)),
            (b"PROXY TCP4 203.0.113.7 192", Header::Incomplete),
            (b"", Header::Incomplete),
            (b"EHLO bot.example.test\r\n", Header::Invalid),
        ];
        for (bytes, expected) in table {
            assert_eq!(parse(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn version_2() {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend([203, 0, 113, 7, 192, 0, 2, 25, 0x15, 0xb3, 0, 25]);
        let complete = Header::Complete(28, pair("203.0.113.7:5555", "192.0.2.25:25"));
        assert_eq!(parse(&header), complete);
        for at in 0..header.len() {
            assert_eq!(parse(&header[..at]), Header::Incomplete, "{at}");
        }
        header[12] = 0x20;
        assert_eq!(parse(&header), Header::Complete(28, None), "LOCAL");
    }
}
