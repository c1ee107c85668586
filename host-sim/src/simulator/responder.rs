//! A server that answers by itself.

use crate::mta::Flow;
use crate::observe::ConnId;

/// Plays the server on every connection that reaches it. Closures do.
pub trait Responder: 'static {
    /// What the server says to this. It arrives after the delay of
    /// [`Builder::server_delay`](crate::Builder::server_delay).
    fn hear(&mut self, conn: ConnId, heard: Heard<'_>) -> Said;
}

impl<F: FnMut(ConnId, Heard<'_>) -> Said + 'static> Responder for F {
    fn hear(&mut self, conn: ConnId, heard: Heard<'_>) -> Said {
        self(conn, heard)
    }
}

/// What the server notices of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// It has been reached.
    Connected,
    /// It has read these bytes.
    Bytes(&'a [u8]),
    /// The client's direction has ended.
    Ended,
    /// The connection is closed: nothing the server says is read.
    Gone,
}

/// What the server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it writes, in one segment.
    pub bytes: Vec<u8>,
    /// Whether it ends its direction afterwards.
    pub flow: Flow,
}

impl Said {
    /// Writes these bytes and goes on; no bytes are silence.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            flow: Flow::Open,
        }
    }

    /// Says nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::bytes([])
    }

    /// Ends the server's direction after what it says.
    #[must_use]
    pub fn and_close(mut self) -> Self {
        self.flow = Flow::Close;
        self
    }
}
