//! Sequences: what goes in, what comes out.

mod chunks;
mod door;
mod hello;
mod ledger;
mod metering;
mod names;
mod observe;
mod odd;
mod passing;
mod rules;
mod standing;
mod tarpit;
mod tls;
mod transcripts;
mod turns;
mod unread;

use super::{Close, Note, OpaqueCause, Session, Transport};
use crate::policy::{Policy, Rule};
use std::rc::Rc;

/// A session between two peers whose every byte is kept.
pub(super) struct Talk {
    pub(super) session: Session,
    pub(super) notes: Vec<Note>,
    pub(super) close: Close,
    pub(super) transport: Transport,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// What the session left with the host.
    host: Vec<u8>,
}

impl Talk {
    /// With this policy, as JSON.
    pub(super) fn with(policy: &str) -> Self {
        let policy = Policy::read(policy.as_bytes()).unwrap();
        let (session, note) = Session::new(Rc::new(policy), "203.0.113.7".parse().ok());
        Self {
            session,
            notes: note.into_iter().collect(),
            close: Close::Keep,
            transport: Transport::Stays,
            to_server: Vec::new(),
            to_client: Vec::new(),
            host: Vec::new(),
        }
    }

    /// With the default policy, greeted, EHLO and MAIL taken, all that read.
    pub(super) fn in_transaction(policy: &str) -> Self {
        let mut talk = Self::with(policy);
        talk.server("220 mx.example.test\r\n");
        talk.exchange(
            "EHLO a.test\r\n",
            "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
        );
        talk.exchange("MAIL FROM:<a@a.test>\r\n", "250 ok\r\n");
        talk.to_client.clear();
        talk
    }

    /// The client sends; what the server now reads.
    pub(super) fn client(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.host.extend_from_slice(bytes.as_ref());
        self.offer();
        self.server_reads()
    }

    fn offer(&mut self) {
        let offered = std::mem::take(&mut self.host);
        if self.session.client_passes(offered.len()) {
            return self.to_server.extend_from_slice(&offered);
        }
        let effects = self.session.client_bytes(&offered);
        assert!(effects.to_client.is_empty(), "nothing can be said here");
        self.to_server.extend_from_slice(&effects.to_server);
        self.notes.extend(effects.notes);
        self.close = self.close.max(effects.close);
        self.host = offered[offered.len() - effects.left..].to_vec();
    }

    /// The client closes its side.
    pub(super) fn client_end(&mut self) -> String {
        let rest = std::mem::take(&mut self.host);
        let effects = self.session.client_end(&rest);
        self.to_server.extend_from_slice(&effects.to_server);
        self.notes.extend(effects.notes);
        self.close = self.close.max(effects.close);
        assert_eq!(effects.left, 0);
        self.server_reads()
    }

    /// The server sends; what the client now reads.
    pub(super) fn server(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let effects = self.session.server_bytes(bytes.as_ref());
        self.to_client.extend_from_slice(&effects.to_client);
        self.to_server.extend_from_slice(&effects.to_server);
        self.notes.extend(effects.notes);
        self.close = self.close.max(effects.close);
        if effects.transport == Transport::StartTls {
            self.transport = Transport::StartTls;
            self.host.clear();
        }
        if !self.host.is_empty() {
            self.offer();
        }
        text(std::mem::take(&mut self.to_client))
    }

    /// What has gone to the server since this was last asked.
    pub(super) fn server_reads(&mut self) -> String {
        text(std::mem::take(&mut self.to_server))
    }

    /// A command and its reply, both of which must pass as they are.
    pub(super) fn exchange(&mut self, command: &str, reply: &str) {
        assert_eq!(self.client(command), command);
        assert_eq!(self.server(reply), reply);
    }

    /// Octets that neither the guard took nor the server got.
    pub(super) fn left_with_host(&self) -> usize {
        self.host.len()
    }

    pub(super) fn closed_by(&self) -> Option<Rule> {
        self.notes.iter().find_map(|note| match note {
            Note::Closed(verdict) => Some(verdict.rule),
            _ => None,
        })
    }

    pub(super) fn opaque_by(&self) -> Option<OpaqueCause> {
        self.notes.iter().find_map(|note| match note {
            Note::Opaque(cause) => Some(*cause),
            _ => None,
        })
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `RCPT` lines of names that do not exist.
pub(super) fn guesses(names: std::ops::Range<usize>) -> String {
    names
        .map(|n| format!("RCPT TO:<guess{n}@example.test>\r\n"))
        .collect()
}

pub(super) const UNKNOWN: &str = "451 No such user\r\n";
