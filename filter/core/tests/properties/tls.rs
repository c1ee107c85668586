//! STARTTLS under any segmentation and timing.

use portcullis_core::policy::Policy;
use portcullis_core::session::{Carrier, Session, Transport, Voice};
use std::rc::Rc;

/// A client, a host that can start TLS, and a server that answers each line by a 250, once it is
/// let.
pub(crate) struct Gate {
    session: Session,
    pub(crate) server_read: Vec<u8>,
    pub(crate) client_read: Vec<u8>,
    pub(crate) transport: Transport,
    /// By whom the client was told, once it was.
    pub(crate) told_by: Option<Voice>,
    /// What the session left with the host.
    host: Vec<u8>,
    answered: usize,
}

impl Gate {
    pub(crate) fn open(policy: Rc<Policy>, voice: Voice) -> Self {
        let (mut session, _) = Session::new(policy, None);
        session.carried_by(Carrier::Switchable(voice));
        let mut gate = Self {
            session,
            server_read: Vec::new(),
            client_read: Vec::new(),
            transport: Transport::Stays,
            told_by: None,
            host: Vec::new(),
            answered: 0,
        };
        gate.serve(b"220 mx\r\n");
        gate
    }

    pub(crate) fn client(&mut self, bytes: &[u8]) {
        self.host.extend_from_slice(bytes);
        let offered = std::mem::take(&mut self.host);
        if let Some(effects) = self.session.answered_by_host(&offered) {
            self.client_read.extend_from_slice(&effects.to_client);
            if effects.transport == Transport::StartTls {
                self.transport = Transport::StartTls;
                self.told_by = Some(Voice::Host);
            }
            return;
        }
        let effects = self.session.client_bytes(&offered);
        self.server_read.extend_from_slice(&effects.to_server);
        self.host = offered[offered.len() - effects.left..].to_vec();
    }

    /// The server answers what it has read, one octet at a time; whether it had anything to say.
    pub(crate) fn answer(&mut self) -> bool {
        let lines = self
            .server_read
            .iter()
            .filter(|octet| **octet == b'\n')
            .count();
        if self.answered == lines || self.transport == Transport::StartTls {
            return false;
        }
        self.answered += 1;
        for octet in b"250-mx\r\n250 STARTTLS\r\n" {
            self.serve(&[*octet]);
        }
        true
    }

    fn serve(&mut self, bytes: &[u8]) {
        let effects = self.session.server_bytes(bytes);
        self.client_read.extend_from_slice(&effects.to_client);
        self.server_read.extend_from_slice(&effects.to_server);
        if effects.transport == Transport::StartTls {
            self.transport = Transport::StartTls;
            self.told_by = Some(Voice::Server);
            self.host.clear();
        }
    }

    /// Octets of the client that anybody still has.
    pub(crate) fn kept(&self) -> usize {
        self.session.held() + self.host.len()
    }
}
