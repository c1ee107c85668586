//! The demo server as the server of a simulation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Mailboxes, Session, Stats};
use crate::observe::ConnId;
use crate::simulator::{Heard, Responder, Said};

/// A demo server for [`Builder::responder`](crate::Builder::responder).
pub struct SimulatedMta {
    mailboxes: Arc<Mailboxes>,
    stats: Arc<Stats>,
    sessions: BTreeMap<ConnId, Session>,
}

impl SimulatedMta {
    /// A server that knows these mailboxes.
    #[must_use]
    pub fn new(mailboxes: Mailboxes) -> Self {
        Self {
            mailboxes: Arc::new(mailboxes),
            stats: Arc::default(),
            sessions: BTreeMap::new(),
        }
    }

    /// The counters, readable while the simulation runs.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

impl Responder for SimulatedMta {
    fn hear(&mut self, conn: ConnId, heard: Heard<'_>) -> Said {
        let mut said = Said::nothing();
        match heard {
            Heard::Connected => {
                let (mailboxes, stats) = (Arc::clone(&self.mailboxes), Arc::clone(&self.stats));
                let session = Session::start(mailboxes, stats, &mut said.bytes);
                self.sessions.insert(conn, session);
            }
            Heard::Bytes(bytes) => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    said.flow = session.receive(bytes, &mut said.bytes);
                }
            }
            Heard::Ended => said = said.and_close(),
            Heard::Gone => drop(self.sessions.remove(&conn)),
        }
        said
    }
}
