//! The packets of a capture file, one after the other.

use std::io::{self, Read};
use std::time::Duration;

use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use super::CaptureError;
use crate::clock::Timestamp;

/// No tool writes packets beyond 256 KiB (libpcap's `MAXIMUM_SNAPLEN`); blocks of
/// pcapng that hold something else may be longer.
const LONGEST_BLOCK: usize = 1024 * 1024;

/// Interfaces of one section that are known; packets of others are of no known link.
const MOST_INTERFACES: usize = 4096;
/// The link type of an interface that was never described.
const NO_LINK: i32 = -1;

/// Whether a file that begins so is a capture.
#[must_use]
pub fn is_capture(beginning: &[u8]) -> bool {
    let magic: Option<[u8; 4]> = beginning.get(..4).and_then(|magic| magic.try_into().ok());
    // pcap with micro- and nanoseconds, and the modified format; pcapng's section header.
    magic.is_some_and(|magic| {
        let number = u32::from_be_bytes(magic);
        [number, number.swap_bytes()].iter().any(|number| {
            matches!(
                number,
                0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34 | 0x0a0d_0d0a
            )
        })
    })
}

/// What the clock of an interface counts.
#[derive(Clone, Copy)]
struct Interface {
    link: i32,
    per_second: u64,
    offset: i64,
}

/// Gives all packets with their time and link type. Says whether the file ends
/// within one.
pub(super) fn packets(
    reader: impl Read + Send,
    mut packet: impl FnMut(Timestamp, i32, &[u8]),
) -> Result<bool, CaptureError> {
    let mut packets = 0;
    let failed = |error: PcapError<&[u8]>, packets: u64| match error {
        PcapError::HeaderNotRecognized => CaptureError::NoCapture,
        PcapError::BufferTooSmall => CaptureError::TooLarge {
            packet: packets + 1,
            limit: LONGEST_BLOCK,
        },
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => CaptureError::Damaged {
            packet: packets + 1,
            message: kind.description().to_owned(),
        },
        other => CaptureError::Read(io::Error::other(other.to_string())),
    };
    let mut reader = match create_reader(LONGEST_BLOCK, Whole(reader)) {
        Ok(reader) => reader,
        // Not even a header.
        Err(PcapError::Eof | PcapError::Incomplete(_)) => return Err(CaptureError::NoCapture),
        Err(error) => return Err(failed(error, 0)),
    };
    let mut interfaces = Vec::new();
    let mut last = Timestamp::from_unix(Duration::ZERO);
    loop {
        match reader.next() {
            Ok((size, block)) => {
                if let Some((at, link, bytes)) = taken(&block, &mut interfaces, last) {
                    packets += 1;
                    last = at;
                    packet(at, link, bytes);
                }
                reader.consume(size);
            }
            Err(PcapError::Eof) => return Ok(false),
            Err(PcapError::UnexpectedEof) => return Ok(true),
            Err(PcapError::Incomplete(_)) => {
                let before = reader.data().len();
                reader.refill().map_err(|error| failed(error, packets))?;
                if reader.data().len() == before && !reader.reader_exhausted() {
                    return Err(failed(PcapError::BufferTooSmall, packets));
                }
            }
            Err(error) => return Err(failed(error, packets)),
        }
    }
}

/// The packet in a block, if there is one.
fn taken<'a>(
    block: &'a PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    last: Timestamp,
) -> Option<(Timestamp, i32, &'a [u8])> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let nanos = header.is_nanosecond_precision();
            interfaces.push(Interface {
                // Above are bits about frame check sequences.
                link: header.network.0 & 0xffff,
                per_second: if nanos { 1_000_000_000 } else { 1_000_000 },
                offset: 0,
            });
            None
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = interfaces.first()?;
            let ticks = u64::from(packet.ts_sec) * interface.per_second;
            let at = interface.time(ticks + u64::from(packet.ts_usec));
            Some((at, interface.link, packet.data))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(description)) => {
            if interfaces.len() < MOST_INTERFACES {
                interfaces.push(Interface {
                    link: description.linktype.0,
                    per_second: resolution(description.if_tsresol),
                    offset: description.if_tsoffset,
                });
            }
            None
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let id = usize::try_from(packet.if_id).unwrap_or(usize::MAX);
            let bytes = captured(packet.data, packet.caplen);
            let Some(interface) = interfaces.get(id) else {
                return Some((last, NO_LINK, bytes));
            };
            let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            Some((interface.time(ticks), interface.link, bytes))
        }
        // It has no time of its own.
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let bytes = captured(packet.data, packet.origlen);
            let link = interfaces
                .first()
                .map_or(NO_LINK, |interface| interface.link);
            Some((last, link, bytes))
        }
        PcapBlockOwned::NG(_) => None,
    }
}

/// A packet without the padding behind it.
fn captured(data: &[u8], size: u32) -> &[u8] {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    data.get(..size).unwrap_or(data)
}

/// Ticks per second of `if_tsresol`: a power of 10, or of 2 with the highest bit.
/// What does not fit counts as the usual microseconds.
fn resolution(if_tsresol: u8) -> u64 {
    let exponent = u32::from(if_tsresol & 0x7f);
    let base: u64 = if if_tsresol & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent).unwrap_or(1_000_000)
}

impl Interface {
    fn time(&self, ticks: u64) -> Timestamp {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.per_second.max(1));
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let moved = Duration::from_secs(self.offset.unsigned_abs());
        let at = Duration::from_nanos(nanos);
        Timestamp::from_unix(if self.offset < 0 {
            at.saturating_sub(moved)
        } else {
            at.saturating_add(moved)
        })
    }
}

/// Reads as much as there is room for: the header must come in one piece.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.0.read(room) {
                Ok(0) => break,
                Ok(size) => filled += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_known_by_their_first_octets() {
        for magic in [
            [0xa1, 0xb2, 0xc3, 0xd4],
            [0xd4, 0xc3, 0xb2, 0xa1],
            [0x4d, 0x3c, 0xb2, 0xa1],
            [0x0a, 0x0d, 0x0d, 0x0a],
        ] {
            assert!(is_capture(&magic));
        }
        for text in ["S> 220 mx", "\r\n\r\n", "", "C"] {
            assert!(!is_capture(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn clocks_count_in_powers_of_ten_or_two_from_their_offset() {
        let time = |if_tsresol, offset, ticks| {
            let per_second = resolution(if_tsresol);
            let interface = Interface {
                link: 1,
                per_second,
                offset,
            };
            interface.time(ticks).as_unix_nanos()
        };
        assert_eq!(time(6, 0, 1_500_000), 1_500_000_000);
        assert_eq!(time(9, 10, 5), 10_000_000_005);
        assert_eq!(time(9, -1, 3_000_000_000), 2_000_000_000);
        assert_eq!(time(0x80 | 10, 0, 512), 500_000_000);
        assert_eq!(time(0xff, 0, 1), 1_000);
        assert_eq!(time(6, i64::MAX, u64::MAX), u64::MAX);
    }
}
