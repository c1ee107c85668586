//! From the frame of a link to the TCP segment in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, TcpSlice, TransportSlice};

/// Why a packet is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    UnknownLink,
    OtherProtocol,
    Fragment,
    Broken,
}

/// A TCP segment as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    /// What it acknowledges.
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
    /// Octets of the payload that were not captured, at its end.
    pub(super) missing: usize,
}

/// Takes the TCP segment out of a frame of this link type (`LINKTYPE_` numbers of
/// tcpdump.org).
pub(super) fn tcp(link: i32, frame: &[u8]) -> Result<Packet<'_>, Left> {
    let sliced = match link {
        1 => LaxSlicedPacket::from_ethernet(frame).map_err(|_| Left::Broken)?,
        // BSD loopback: four octets of address family, whose number each system
        // chose for itself. The IP header tells the version, too.
        0 | 108 => ip(after(frame, 4)?)?,
        // Raw IP; 12 and 14 are what some systems call it.
        12 | 14 | 101 | 228 | 229 => ip(frame)?,
        // Linux cooked: the protocol ends the header in version 1, begins it in 2.
        113 => ether_type(frame, 14, 16)?,
        276 => ether_type(frame, 0, 20)?,
        _ => return Err(Left::UnknownLink),
    };
    segment(sliced)
}

fn after(frame: &[u8], header: usize) -> Result<&[u8], Left> {
    frame.get(header..).ok_or(Left::Broken)
}

fn ip(packet: &[u8]) -> Result<LaxSlicedPacket<'_>, Left> {
    match packet.first().map(|first| first >> 4) {
        Some(4 | 6) => LaxSlicedPacket::from_ip(packet).map_err(|_| Left::Broken),
        Some(_) => Err(Left::OtherProtocol),
        None => Err(Left::Broken),
    }
}

fn ether_type(frame: &[u8], at: usize, header: usize) -> Result<LaxSlicedPacket<'_>, Left> {
    let number: [u8; 2] = after(frame, at)?
        .first_chunk()
        .copied()
        .ok_or(Left::Broken)?;
    let payload = after(frame, header)?;
    let ether_type = EtherType(u16::from_be_bytes(number));
    Ok(LaxSlicedPacket::from_ether_type(ether_type, payload))
}

fn segment(sliced: LaxSlicedPacket<'_>) -> Result<Packet<'_>, Left> {
    let stopped = sliced.stop_err.is_some();
    let net = match sliced.net {
        Some(net) => net,
        None if stopped => return Err(Left::Broken),
        None => return Err(Left::OtherProtocol),
    };
    let (from, to, claimed): (IpAddr, IpAddr, usize) = match &net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let claimed = usize::from(header.total_len()).saturating_sub(header.slice().len());
            let extensions = ip.extensions().auth.map_or(0, |auth| auth.slice().len());
            let claimed = claimed.saturating_sub(extensions);
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                claimed,
            )
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let claimed = usize::from(header.payload_length());
            let claimed = claimed.saturating_sub(ip.extensions().slice().len());
            (
                header.source_addr().into(),
                header.destination_addr().into(),
                claimed,
            )
        }
        LaxNetSlice::Arp(_) => return Err(Left::OtherProtocol),
    };
    let payload = net.ip_payload_ref().ok_or(Left::OtherProtocol)?;
    if payload.ip_number != IpNumber::TCP {
        return Err(Left::OtherProtocol);
    }
    if payload.fragmented {
        return Err(Left::Fragment);
    }
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        return Err(Left::Broken);
    };
    let missing = match payload.incomplete {
        true => claimed.saturating_sub(payload.payload.len()),
        false => 0,
    };
    Ok(packet(from, to, &tcp, missing))
}

fn packet<'a>(from: IpAddr, to: IpAddr, tcp: &TcpSlice<'a>, missing: usize) -> Packet<'a> {
    Packet {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload(),
        missing,
    }
}
