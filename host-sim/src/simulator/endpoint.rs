//! The two ends of a simulated connection.

use std::time::Duration;

use super::wire::Input;
use crate::chance::Way;
use crate::observe::Summary;
use crate::worker::{Effect, Upstream};

/// One piece as it was read, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Time since the simulation began.
    pub at: Duration,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What one side has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    /// The pieces in order.
    pub pieces: Vec<Piece>,
    /// When the end of the stream was read, as time since the simulation began.
    pub ended: Option<Duration>,
    taken: usize,
}

/// What was taken from an inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The bytes that had not been taken yet.
    pub bytes: Vec<u8>,
    /// Whether the end of the stream follows them.
    pub ended: bool,
}

impl Inbox {
    /// All bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let pieces = self.pieces.iter();
        pieces.flat_map(|piece| &piece.bytes).copied().collect()
    }

    pub(super) fn take(&mut self) -> Taken {
        let new = self.pieces.iter().skip(self.taken);
        let bytes = new.flat_map(|piece| &piece.bytes).copied().collect();
        self.taken = self.pieces.len();
        Taken {
            bytes,
            ended: self.ended.is_some(),
        }
    }

    fn read(&mut self, at: Duration, bytes: Vec<u8>) {
        self.pieces.push(Piece { at, bytes });
    }

    fn end(&mut self, at: Duration) {
        self.ended.get_or_insert(at);
    }
}

/// Both sides of one connection.
#[derive(Default)]
pub(super) struct Endpoint {
    pub(super) client: Inbox,
    pub(super) server: Inbox,
    pub(super) upstream: Option<Upstream>,
    /// Whether the server was reached.
    pub(super) reached: bool,
    pub(super) summary: Option<Summary>,
    pub(super) ways: Ways,
    /// Whether the client is among those that have something new to read.
    pub(super) is_heard: bool,
    /// What the server was told to write before it was reached.
    pub(super) early: Vec<Input>,
}

/// The ways to the host: on each, nothing overtakes anything.
#[derive(Default)]
pub(super) struct Ways {
    pub(super) from_client: Way,
    pub(super) from_server: Way,
}

impl Endpoint {
    pub(super) fn apply(&mut self, effect: Effect, at: Duration) {
        match effect {
            Effect::Connect(upstream) => self.upstream = Some(upstream),
            Effect::ToServer(bytes) => self.server.read(at, bytes),
            Effect::ToClient(bytes) => self.client.read(at, bytes),
            Effect::EndServer => self.server.end(at),
            Effect::EndClient => self.client.end(at),
            Effect::Close => {
                self.client.end(at);
                self.server.end(at);
            }
            Effect::Finished(summary) => self.summary = Some(summary),
        }
    }
}
