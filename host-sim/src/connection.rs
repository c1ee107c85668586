//! The host's side of one connection: what is buffered, and how far it has come.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::observe::{CloseReason, Summary};

/// How much Envoy reads from a socket at once, bytes.
const SLICE: usize = 16 * 1024;

/// Properties that connections are given, by their path, its segments parted by NUL.
pub(crate) type Given = BTreeMap<String, Vec<u8>>;

/// One client's connection and its way to the server.
pub(crate) struct Connection {
    /// The id it has on its worker.
    pub(crate) context: u32,
    pub(crate) filter: Filter,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) phase: Phase,
    pub(crate) downstream: Stream,
    pub(crate) upstream: Stream,
    /// What stands in for the server, where the filter routed the connection so.
    pub(crate) echo: Option<Echo>,
    /// What the client wrote and the host has not read yet: the kernel's buffer.
    pub(crate) unread: Unread,
    /// Sides that were reset after their end was read: nobody notices before something
    /// is written to them.
    pub(crate) gone: Gone,
    /// When the client connected.
    pub(crate) opened: Timestamp,
    /// The server's address, once it has been reached.
    pub(crate) server: Option<SocketAddr>,
    /// Properties it has in place of the usual ones.
    pub(crate) given: Arc<Given>,
    pub(crate) filter_state: BTreeMap<String, Vec<u8>>,
    pub(crate) envoy_filter_state: BTreeMap<String, String>,
    /// Properties that this context has declared, which nobody asks for.
    pub(crate) declared: BTreeMap<String, bool>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

/// Who filters a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The worker's VM of this generation, which knows it as context `id`. A dead
    /// VM's connections end at their next data.
    Vm { generation: u32, id: u32 },
    /// Nobody: there was no VM when it came.
    Nobody,
}

/// Which sides are gone unnoticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gone {
    pub(crate) client: bool,
    pub(crate) server: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `on_new_connection` returned Pause: nothing is read, no server is asked.
    Held,
    /// The server is being connected to; the client is not read yet.
    Connecting,
    /// Bytes flow.
    Open,
    /// Closed; the filter is still to be told that it is over.
    Closed(CloseReason),
}

/// One direction's read buffer, as the filter sees it.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    /// Whether hostcalls may read and write `bytes` at this moment.
    pub(crate) held_by_guest: bool,
    /// The sender has ended its direction and the filter was told.
    pub(crate) ended: bool,
    /// The end has been passed on to the other side.
    pub(crate) end_passed: bool,
}

/// Bytes waiting outside the host, and how they end.
#[derive(Default)]
pub(crate) struct Unread {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: Option<End>,
}

/// An echo in place of the server: what it has read and not yet sent back.
#[derive(Default)]
pub(crate) struct Echo {
    pub(crate) chunks: VecDeque<Vec<u8>>,
    pub(crate) ended: bool,
}

/// How a side stopped sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It closed its direction; it still reads.
    HalfClose,
    /// It is gone.
    Reset,
}

impl Connection {
    pub(crate) fn new(
        context: u32,
        filter: Filter,
        (peer, local): (SocketAddr, SocketAddr),
        given: Arc<Given>,
        opened: Timestamp,
    ) -> Self {
        Self {
            context,
            given,
            filter,
            gone: Gone::default(),
            opened,
            peer,
            local,
            phase: Phase::Held,
            downstream: Stream::default(),
            upstream: Stream::default(),
            echo: None,
            unread: Unread::default(),
            server: None,
            filter_state: BTreeMap::new(),
            envoy_filter_state: BTreeMap::new(),
            declared: BTreeMap::new(),
            bytes_received: 0,
            bytes_sent: 0,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// Takes what the client wrote into the read buffer, unless more than `limit` bytes
    /// are there. Says what came of it.
    pub(crate) fn read_client(&mut self, limit: usize) -> ReadClient {
        if self.phase != Phase::Open {
            return ReadClient::Nothing;
        }
        if !self.unread.bytes.is_empty() {
            let held = self.downstream.bytes.len();
            if held > limit {
                return ReadClient::Nothing;
            }
            // Slice by slice up to the limit, which the last one may pass.
            let slices = (limit - held).div_ceil(SLICE).max(1);
            let taken = slices.saturating_mul(SLICE).min(self.unread.bytes.len());
            self.downstream
                .bytes
                .extend(self.unread.bytes.drain(..taken));
            self.bytes_received += taken as u64;
            // An end that is there already is read together with what came before it.
            if self.unread.bytes.is_empty() && self.unread.end == Some(End::HalfClose) {
                self.unread.end = None;
                self.downstream.ended = true;
            }
            return ReadClient::Data;
        }
        match self.unread.end.take() {
            Some(End::HalfClose) => {
                self.downstream.ended = true;
                ReadClient::Data
            }
            Some(End::Reset) if self.downstream.ended => {
                self.gone.client = true;
                ReadClient::Nothing
            }
            Some(End::Reset) => ReadClient::Reset,
            None => ReadClient::Nothing,
        }
    }

    /// Whether the host would take more bytes from the client now.
    pub(crate) fn wants_client_bytes(&self, limit: usize) -> bool {
        !self.is_closed() && self.unread.bytes.len() + self.downstream.bytes.len() < limit
    }

    pub(crate) fn summary(&self, reason: CloseReason) -> Summary {
        Summary {
            peer: self.peer,
            local: self.local,
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            reason,
            properties: self.filter_state.clone(),
        }
    }
}

/// What reading from the client brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadClient {
    /// Bytes or the end of stream are in the buffer for the filter.
    Data,
    /// The client is gone.
    Reset,
    /// Nothing to read, or no room, or not the time.
    Nothing,
}
