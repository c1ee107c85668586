//! Captures made up packet by packet.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a helper of tests fails the test"
)]

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header,
    TcpHeader, VlanId,
};

/// How packets are wrapped, by tcpdump's `LINKTYPE_` number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    Ethernet,
    Vlan,
    DoubleVlan,
    Null,
    Loop,
    Raw,
    Ipv4,
    Cooked,
    Cooked2,
}

impl Link {
    pub(crate) const ALL: [Self; 9] = [
        Self::Ethernet,
        Self::Vlan,
        Self::DoubleVlan,
        Self::Null,
        Self::Loop,
        Self::Raw,
        Self::Ipv4,
        Self::Cooked,
        Self::Cooked2,
    ];

    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Ethernet | Self::Vlan | Self::DoubleVlan => 1,
            Self::Null => 0,
            Self::Loop => 108,
            Self::Raw => 101,
            Self::Ipv4 => 228,
            Self::Cooked => 113,
            Self::Cooked2 => 276,
        }
    }

    fn wrap(self, ip: &[u8]) -> Vec<u8> {
        let six = ip[0] >> 4 == 6;
        let ether_type: u16 = if six { 0x86dd } else { 0x0800 };
        let mut frame = match self {
            Self::Ethernet => ethernet(&[], ether_type),
            Self::Vlan => ethernet(&[7], ether_type),
            Self::DoubleVlan => ethernet(&[7, 4000], ether_type),
            Self::Null => u32::from(2 + 28 * u8::from(six)).to_le_bytes().to_vec(),
            Self::Loop => u32::from(2 + 28 * u8::from(six)).to_be_bytes().to_vec(),
            Self::Raw | Self::Ipv4 => Vec::new(),
            Self::Cooked => [
                &[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..],
                &ether_type.to_be_bytes(),
            ]
            .concat(),
            Self::Cooked2 => [
                &ether_type.to_be_bytes()[..],
                &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0],
            ]
            .concat(),
        };
        frame.extend_from_slice(ip);
        // Ethernet fills short frames up.
        if self.number() == 1 {
            frame.resize(frame.len().max(60), 0);
        }
        frame
    }
}

fn ethernet(tags: &[u16], ether_type: u16) -> Vec<u8> {
    let first = if tags.is_empty() { ether_type } else { 0x8100 };
    let header = Ethernet2Header {
        source: [2, 0, 0, 0, 0, 1],
        destination: [2, 0, 0, 0, 0, 2],
        ether_type: EtherType(first),
    };
    let mut bytes = header.to_bytes().to_vec();
    for (index, tag) in tags.iter().enumerate() {
        let next = if index + 1 < tags.len() {
            0x8100
        } else {
            ether_type
        };
        bytes.extend(VlanId::try_new(*tag).unwrap().value().to_be_bytes());
        bytes.extend(next.to_be_bytes());
    }
    bytes
}

/// A TCP segment.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: Option<u32>,
    pub(crate) flags: &'static str,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn ip(&self) -> Vec<u8> {
        let mut tcp = TcpHeader::new(self.from.port(), self.to.port(), self.seq, 1000);
        tcp.ack = self.ack.is_some();
        tcp.acknowledgment_number = self.ack.unwrap_or(0);
        tcp.syn = self.flags.contains('S');
        tcp.fin = self.flags.contains('F');
        tcp.rst = self.flags.contains('R');
        let size = tcp.header_len() + self.payload.len();
        let headers = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let size = u16::try_from(size).unwrap();
                let header = Ipv4Header::new(size, 64, IpNumber::TCP, from.octets(), to.octets());
                IpHeaders::Ipv4(header.unwrap(), Default::default())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let header = Ipv6Header {
                    traffic_class: 0,
                    flow_label: Ipv6FlowLabel::ZERO,
                    payload_length: u16::try_from(size).unwrap(),
                    next_header: IpNumber::TCP,
                    hop_limit: 64,
                    source: from.octets(),
                    destination: to.octets(),
                };
                IpHeaders::Ipv6(header, Default::default())
            }
            mixed => panic!("{mixed:?}"),
        };
        let mut bytes = Vec::new();
        headers.write(&mut bytes).unwrap();
        tcp.write(&mut bytes).unwrap();
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A file with these packets, one a millisecond.
pub(crate) fn pcap(link: Link, packets: &[Packet]) -> Vec<u8> {
    let frames: Vec<_> = packets
        .iter()
        .map(|packet| link.wrap(&packet.ip()))
        .collect();
    pcap_of(link.number(), &frames)
}

/// Seconds since 1970 at which every capture here begins.
pub(crate) const BEGUN: u32 = 1_700_000_000;

pub(crate) fn pcap_of(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, link] {
        file.extend(u32::to_le_bytes(word));
    }
    for (index, frame) in frames.iter().enumerate() {
        let size = u32::try_from(frame.len()).unwrap();
        let micros = 1000 * u32::try_from(index).unwrap();
        for word in [BEGUN + micros / 1_000_000, micros % 1_000_000, size, size] {
            file.extend(word.to_le_bytes());
        }
        file.extend_from_slice(frame);
    }
    file
}

/// The same in nanoseconds and the other byte order.
pub(crate) fn pcap_big_endian(link: Link, packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_3c4d_u32.to_be_bytes());
    file.extend([0, 2, 0, 4]);
    for word in [0, 0, 262_144, link.number()] {
        file.extend(u32::to_be_bytes(word));
    }
    for (index, packet) in packets.iter().enumerate() {
        let frame = link.wrap(&packet.ip());
        let size = u32::try_from(frame.len()).unwrap();
        let nanos = 1_000_000 * u32::try_from(index).unwrap();
        for word in [BEGUN, nanos, size, size] {
            file.extend(word.to_be_bytes());
        }
        file.extend(frame);
    }
    file
}

/// As pcapng: each packet on one of two interfaces in turn, whose clocks count
/// milliseconds and microseconds, with blocks in between that say nothing.
pub(crate) fn pcapng(links: [Link; 2], packets: &[Packet]) -> Vec<u8> {
    let mut file = block(
        0x0a0d_0d0a,
        &[
            &0x1a2b_3c4d_u32.to_le_bytes()[..],
            &[1, 0, 0, 0],
            &[0xff; 8],
        ]
        .concat(),
    );
    for (link, resolution) in links.into_iter().zip([3, 6]) {
        let link = u16::try_from(link.number()).unwrap().to_le_bytes();
        let options = [9, 0, 1, 0, resolution, 0, 0, 0, 0, 0, 0, 0];
        file.extend(block(
            1,
            &[&link[..], &[0; 2], &[0, 0, 4, 0], &options].concat(),
        ));
    }
    for (index, packet) in packets.iter().enumerate() {
        file.extend(block(0x0bad, &[0; 8]));
        let interface = index % 2;
        let frame = links[interface].wrap(&packet.ip());
        let millis = u64::from(BEGUN) * 1000 + index as u64;
        let ticks = if interface == 0 {
            millis
        } else {
            millis * 1000
        };
        let size = u32::try_from(frame.len()).unwrap();
        let mut body = Vec::new();
        let (high, low) = (ticks >> 32, ticks & 0xffff_ffff);
        for word in [interface as u64, high, low, size.into(), size.into()] {
            body.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, &body));
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
    [&kind.to_le_bytes()[..], &size, body, &size].concat()
}
