//! The host's side of one connection: what is buffered, and how far it has come.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use crate::observe::{CloseReason, Summary};

/// One client's connection and its way to the server.
pub(crate) struct Connection {
    /// The context id the filter knows it by.
    pub(crate) context: u32,
    /// Which VM of the worker it belongs to; a dead VM's connections end at their next data.
    pub(crate) generation: u32,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) phase: Phase,
    pub(crate) downstream: Stream,
    pub(crate) upstream: Stream,
    /// What stands in for the server, where the filter routed the connection so.
    pub(crate) echo: Option<Echo>,
    /// What the client wrote and the host has not read yet: the kernel's buffer.
    pub(crate) unread: Unread,
    /// The server's address, once it has said something.
    pub(crate) heard_server: Option<SocketAddr>,
    pub(crate) filter_state: BTreeMap<String, Vec<u8>>,
    pub(crate) envoy_filter_state: BTreeMap<String, String>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
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
    pub(crate) fn new(context: u32, generation: u32, peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            context,
            generation,
            peer,
            local,
            phase: Phase::Held,
            downstream: Stream::default(),
            upstream: Stream::default(),
            echo: None,
            unread: Unread::default(),
            heard_server: None,
            filter_state: BTreeMap::new(),
            envoy_filter_state: BTreeMap::new(),
            bytes_received: 0,
            bytes_sent: 0,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// Takes the next piece the client wrote into the read buffer, never beyond
    /// `limit` bytes there. Says what came of it.
    pub(crate) fn read_client(&mut self, limit: usize) -> ReadClient {
        if self.phase != Phase::Open {
            return ReadClient::Nothing;
        }
        if !self.unread.bytes.is_empty() {
            let room = limit.saturating_sub(self.downstream.bytes.len());
            if room == 0 {
                return ReadClient::Nothing;
            }
            let taken = room.min(self.unread.bytes.len());
            self.downstream
                .bytes
                .extend(self.unread.bytes.drain(..taken));
            self.bytes_received += taken as u64;
            return ReadClient::Data;
        }
        match self.unread.end.take() {
            Some(End::HalfClose) => {
                self.downstream.ended = true;
                ReadClient::Data
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
