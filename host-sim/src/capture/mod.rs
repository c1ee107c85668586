//! Packet captures (pcap and pcapng): the SMTP sessions in them, as scenarios.
//!
//! Packets are read one after the other, the TCP streams put together again, and
//! each connection handed over when it has ended, as a [`Conversation`]: who said
//! what in which segments, and when. [`Conversation::scenario`] makes a
//! [`Scenario`](crate::scenario::Scenario) of it, which says that each side reads
//! what the other wrote.
//!
//! Understood are Ethernet, Linux cooked (both versions), BSD loopback and raw IP,
//! VLAN tags, IPv4 and IPv6. Segments may come in any order, repeatedly, or
//! overlap; the first copy of an octet counts. Octets that were not captured are
//! replayed as others ([`FillKind::Lost`](crate::scenario::FillKind)), once the
//! receiver has acknowledged them or nothing else can come. IP fragments are
//! counted and left out, checksums are not looked at: on the sending machine the
//! network card computes them after the capture.
//!
//! ```no_run
//! use std::fs::File;
//! use portcullis_host_sim::capture;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = capture::Options::default();
//! let summary = capture::read(File::open("mx.pcap")?, &options, |conversation| {
//!     print!("{}", conversation.scenario());
//! })?;
//! eprintln!("{summary}");
//! # Ok(())
//! # }
//! ```

mod conversation;
mod file;
mod frame;
mod stream;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use thiserror::Error;

pub use conversation::{Beginning, Conversation, Event, Happening};
pub use file::is_capture;

use crate::clock::Timestamp;
use frame::Left;
use table::Table;

/// Which connections are taken, and how much is kept of them.
#[derive(Clone, Debug)]
pub struct Options {
    /// Server ports whose connections are taken whatever is said on them; on any
    /// other those are taken in which an SMTP server greets or a client begins
    /// with EHLO, HELO or LHLO. 25, 465 and 587 by default.
    pub ports: Vec<u16>,
    /// How much is kept.
    pub limits: Limits,
}

/// How much is kept in memory. What is beyond is handed over as it is, and says so.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, those just ended included; the one unheard for
    /// longest is given up for another. 65,536 by default.
    pub connections: usize,
    /// Octets of all connections that have not ended; likewise. 256 MiB by default.
    pub octets: usize,
    /// Octets of one connection; later ones are left out. 16 MiB by default.
    pub octets_per_connection: usize,
    /// Octets of one direction that wait for others before them, which count as
    /// lost then. 256 KiB by default.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            octets: 256 * 1024 * 1024,
            octets_per_connection: 16 * 1024 * 1024,
            waiting: 256 * 1024,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ports: vec![25, 465, 587],
            limits: Limits::default(),
        }
    }
}

/// Why a capture cannot be read.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The first octets are those of something else.
    #[error("this is neither pcap nor pcapng; decompress it first if it is compressed")]
    NoCapture,
    /// A packet or block is longer than any capture tool writes.
    #[error("packet {packet} does not fit into {limit} octets; the file is damaged, or no capture")]
    TooLarge {
        /// Its place in the file, from 1.
        packet: u64,
        /// What fits.
        limit: usize,
    },
    /// A packet or block is not as it must be.
    #[error("packet {packet} cannot be read: {message}; the file is damaged")]
    Damaged {
        /// Its place in the file, from 1.
        packet: u64,
        /// What the reader found.
        message: String,
    },
    /// The file cannot be read.
    #[error("the capture cannot be read: {0}")]
    Read(#[from] std::io::Error),
}

/// What there was in a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All packets.
    pub packets: u64,
    /// Conversations handed over.
    pub conversations: u64,
    /// TCP connections in which nobody spoke SMTP.
    pub other_connections: u64,
    /// Packets that are no TCP.
    pub other_packets: u64,
    /// IP fragments, which are not put together.
    pub fragments: u64,
    /// Packets cut short before their TCP header's end, or broken.
    pub broken: u64,
    /// Packets of link types not understood, by type (tcpdump's `LINKTYPE_` numbers);
    /// -1 are those of interfaces that a pcapng file never described.
    pub unknown_links: BTreeMap<i32, u64>,
    /// Whether the file ends within a packet, as when its writer was killed.
    pub ends_early: bool,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            packets,
            conversations,
            other_connections,
            ..
        } = self;
        write!(f, "{packets} packets, {conversations} SMTP connections")?;
        let counts = [
            (*other_connections, "other connections"),
            (self.other_packets, "packets that are no TCP"),
            (self.fragments, "IP fragments left out"),
            (self.broken, "packets cut short or broken"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        for (link, count) in &self.unknown_links {
            write!(f, ", {count} packets of unknown link type {link}")?;
        }
        if self.ends_early {
            f.write_str(", and the file ends within a packet")?;
        }
        Ok(())
    }
}

/// Reads a capture and hands over each SMTP connection when it has ended.
///
/// # Errors
/// [`CaptureError`] when this is no capture or a damaged one; what was handed over
/// before stays good. A file that only ends too early is none.
pub fn read(
    reader: impl Read + Send,
    options: &Options,
    mut conversation: impl FnMut(Conversation),
) -> Result<Summary, CaptureError> {
    let mut summary = Summary::default();
    let mut table = Table::new(options);
    let mut over = |ended: Conversation, summary: &mut Summary| {
        if ended.is_smtp(&options.ports) {
            summary.conversations += 1;
            conversation(ended);
        } else {
            summary.other_connections += 1;
        }
    };
    let ends_early = file::packets(reader, |at: Timestamp, link, bytes| {
        summary.packets += 1;
        match frame::tcp(link, bytes) {
            Ok(packet) => {
                for ended in table.packet(at, &packet) {
                    over(ended, &mut summary);
                }
            }
            Err(Left::OtherProtocol) => summary.other_packets += 1,
            Err(Left::Fragment) => summary.fragments += 1,
            Err(Left::Broken) => summary.broken += 1,
            Err(Left::UnknownLink) => *summary.unknown_links.entry(link).or_default() += 1,
        }
    })?;
    summary.ends_early = ends_early;
    for ended in table.finish() {
        over(ended, &mut summary);
    }
    Ok(summary)
}
