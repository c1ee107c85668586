//! A TCP connection, as packets.

use std::net::SocketAddr;

use super::packets::Packet;

/// Who says what: `C` or `S`, and a line.
pub(crate) const SESSION: &[&str] = &[
    "S220 mx.example ESMTP",
    "CEHLO client.example",
    "S250 mx.example",
    "CMAIL FROM:<a@b.test>",
    "S250 ok",
    "CRCPT TO:<alice@example.test>",
    "S250 ok",
    "CDATA",
    "S354 go on",
    "CSubject: x\r\n\r\nHello\r\n.",
    "S250 queued",
    "CQUIT",
    "S221 bye",
];

/// What each side says in a session.
pub(crate) fn both(session: &[&str]) -> (String, String) {
    let said = |side: char| {
        let lines = session.iter().filter_map(|line| line.strip_prefix(side));
        lines.map(|line| line.to_owned() + "\r\n").collect()
    };
    (said('C'), said('S'))
}

pub(crate) struct Dialogue {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) client_seq: u32,
    pub(crate) server_seq: u32,
    pub(crate) packets: Vec<Packet>,
}

impl Default for Dialogue {
    fn default() -> Self {
        Self::between("192.0.2.1:4000 198.51.100.1:25")
    }
}

impl Dialogue {
    pub(crate) fn between(ends: &str) -> Self {
        let (client, server) = ends.split_once(' ').unwrap();
        Self {
            client: client.parse().unwrap(),
            server: server.parse().unwrap(),
            // Its numbers turn over soon.
            client_seq: u32::MAX - 40,
            server_seq: 1000,
            packets: Vec::new(),
        }
    }

    /// A whole session with handshake and end, each segment acknowledged.
    pub(crate) fn session(mut self) -> Self {
        self.open();
        for line in SESSION {
            let text = line[1..].to_owned() + "\r\n";
            match &line[..1] {
                "C" => self.client(&text),
                _ => self.server(&text),
            }
        }
        self.close();
        self
    }

    pub(crate) fn open(&mut self) {
        self.packet(true, "S", "", false);
        self.client_seq = self.client_seq.wrapping_add(1);
        self.packet(false, "S", "", true);
        self.server_seq = self.server_seq.wrapping_add(1);
        self.packet(true, "", "", true);
    }

    pub(crate) fn client(&mut self, text: &str) {
        self.packet(true, "", text, true);
        self.packet(false, "", "", true);
    }

    pub(crate) fn server(&mut self, text: &str) {
        self.packet(false, "", text, true);
        self.packet(true, "", "", true);
    }

    /// Something of the client's out of its place.
    pub(crate) fn raw_client(&mut self, seq: u32, text: &str) {
        let here = std::mem::replace(&mut self.client_seq, seq);
        self.packet(true, "", text, true);
        self.client_seq = here;
    }

    pub(crate) fn close(&mut self) {
        self.packet(true, "F", "", true);
        self.client_seq = self.client_seq.wrapping_add(1);
        self.packet(false, "F", "", true);
        self.server_seq = self.server_seq.wrapping_add(1);
        self.packet(true, "", "", true);
    }

    pub(crate) fn reset(&mut self) {
        self.packet(true, "R", "", true);
    }

    fn packet(&mut self, from_client: bool, flags: &'static str, text: &str, acks: bool) {
        let (from, to, seq, ack) = if from_client {
            let seq = &mut self.client_seq;
            (self.client, self.server, seq, self.server_seq)
        } else {
            let seq = &mut self.server_seq;
            (self.server, self.client, seq, self.client_seq)
        };
        self.packets.push(Packet {
            from,
            to,
            seq: *seq,
            ack: acks.then_some(ack),
            flags,
            payload: text.as_bytes().to_vec(),
        });
        *seq = seq.wrapping_add(u32::try_from(text.len()).unwrap());
    }
}
