//! What has been sent and has not arrived.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::chance::Way;
use crate::clock::Timestamp;
use crate::connection::End;
use crate::observe::ConnId;

use super::endpoint::Ways;

/// Something that comes to the host from one end of a connection.
#[derive(Debug)]
pub(super) enum Input {
    /// A client connects.
    Opened { peer: SocketAddr, local: SocketAddr },
    /// The client writes.
    ClientWrote(Vec<u8>),
    /// The client ends its direction or is gone.
    ClientEnded(End),
    /// The server accepts the connection.
    ServerReached,
    /// The server could not be reached.
    ServerFailed,
    /// The server writes.
    ServerWrote(Vec<u8>),
    /// The server ends its direction or is gone.
    ServerEnded(End),
}

impl Input {
    /// The way this takes.
    pub(super) fn way<'a>(&self, ways: &'a mut Ways) -> &'a mut Way {
        match self {
            Self::Opened { .. } | Self::ClientWrote(_) | Self::ClientEnded(_) => {
                &mut ways.from_client
            }
            Self::ServerReached
            | Self::ServerFailed
            | Self::ServerWrote(_)
            | Self::ServerEnded(_) => &mut ways.from_server,
        }
    }
}

/// Everything on its way to the host, by its time of arrival, then by age.
#[derive(Default)]
pub(super) struct Wire {
    under_way: BTreeMap<(Timestamp, u64), (ConnId, Input)>,
    sent: u64,
}

impl Wire {
    pub(super) fn send(&mut self, due: Timestamp, conn: ConnId, input: Input) {
        self.sent += 1;
        self.under_way.insert((due, self.sent), (conn, input));
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let ((due, _), _) = self.under_way.first_key_value()?;
        Some(*due)
    }

    /// The next thing to arrive, if its time has come.
    pub(super) fn arrive(&mut self, now: Timestamp) -> Option<(ConnId, Input)> {
        self.next_due().filter(|due| *due <= now)?;
        let (_, arrival) = self.under_way.pop_first()?;
        Some(arrival)
    }
}
