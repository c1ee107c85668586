//! The servers of recorded sessions: each answers as it did then.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::recording::{Answered, Answers};
use super::units::{Unit, Units, class};
use crate::mta::{Flow, Session, Stats, StatsSnapshot};
use crate::observe::ConnId;
use crate::simulator::{Heard, Responder, Said};

/// Who answers on which connection, told before it reaches the server; and how many
/// messages each has accepted.
#[derive(Clone, Default)]
pub(super) struct Servers(Rc<RefCell<HashMap<ConnId, Server>>>);

/// One session's server.
struct Server {
    voice: Voice,
    accepted: u64,
}

enum Voice {
    Recorded(Memory),
    Mta(Answers, Option<Session>, Arc<Stats>),
}

/// What a server remembers of its session.
struct Memory {
    answered: Arc<Answered>,
    units: Units,
    /// Exchanges before this one have been.
    place: usize,
}

impl Servers {
    pub(super) fn expect(&self, conn: ConnId, answers: &Answers) {
        let voice = match answers {
            Answers::Recorded(answered) => Voice::Recorded(Memory {
                answered: Arc::clone(answered),
                units: Units::default(),
                place: 0,
            }),
            Answers::Mta(_) => Voice::Mta(answers.clone(), None, Arc::default()),
        };
        let server = Server { voice, accepted: 0 };
        self.0.borrow_mut().insert(conn, server);
    }

    /// How many messages the server of this session has accepted.
    pub(super) fn forget(&self, conn: ConnId) -> u64 {
        let server = self.0.borrow_mut().remove(&conn);
        server.map_or(0, |server| server.accepted())
    }
}

impl Responder for Servers {
    fn hear(&mut self, conn: ConnId, heard: Heard<'_>) -> Said {
        let mut servers = self.0.borrow_mut();
        let Some(server) = servers.get_mut(&conn) else {
            return Said::nothing();
        };
        match heard {
            Heard::Connected => server.greet(),
            Heard::Bytes(bytes) => server.answer(bytes),
            Heard::Ended => Said::nothing().and_close(),
            Heard::Gone => Said::nothing(),
        }
    }
}

impl Server {
    fn greet(&mut self) -> Said {
        match &mut self.voice {
            Voice::Recorded(memory) => Said::bytes(memory.answered.greeting.clone()),
            Voice::Mta(answers, session, stats) => {
                let mut said = Said::nothing();
                if let Answers::Mta(mailboxes) = answers {
                    let (mailboxes, stats) = (Arc::clone(mailboxes), Arc::clone(stats));
                    *session = Some(Session::start(mailboxes, stats, &mut said.bytes));
                }
                said
            }
        }
    }

    fn answer(&mut self, bytes: &[u8]) -> Said {
        let mut said = Said::nothing();
        match &mut self.voice {
            Voice::Recorded(memory) => {
                memory.units.read(bytes);
                while let Some(unit) = memory.units.next() {
                    let reply = memory.reply(&unit);
                    if reply.starts_with(b"354") {
                        memory.units.expect_content();
                    }
                    let is_good = class(&reply) == Some(2);
                    self.accepted += u64::from(unit.is_message && is_good);
                    if reply.starts_with(b"221") || reply.starts_with(b"421") {
                        said.flow = Flow::Close;
                    }
                    said.bytes.extend(reply);
                }
            }
            Voice::Mta(_, session, _) => {
                if let Some(session) = session {
                    said.flow = session.receive(bytes, &mut said.bytes);
                }
            }
        }
        said
    }

    fn accepted(&self) -> u64 {
        match &self.voice {
            Voice::Recorded(_) => self.accepted,
            Voice::Mta(_, _, stats) => {
                let StatsSnapshot { messages, .. } = stats.snapshot();
                messages
            }
        }
    }
}

impl Memory {
    /// What was answered to this the next time that it was said; for what never was,
    /// as a filter's own commands, a plain word.
    fn reply(&mut self, unit: &Unit) -> Vec<u8> {
        let rest = self.answered.exchanges.iter().enumerate().skip(self.place);
        let mut same = rest.filter(|(_, (then, _))| {
            then.is_message == unit.is_message && (unit.is_message || then.bytes == unit.bytes)
        });
        match same.next() {
            Some((place, (_, reply))) => {
                self.place = place + 1;
                reply.clone()
            }
            None if unit.bytes.to_ascii_uppercase().starts_with(b"QUIT") => {
                b"221 2.0.0 Bye\r\n".to_vec()
            }
            None => b"250 2.0.0 Ok\r\n".to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whatif::Recording;

    const CONN: ConnId = ConnId {
        worker: 0,
        context: 2,
    };

    #[test]
    fn what_the_filter_keeps_back_is_not_answered() {
        let text = "S> 220 mx\nC> RCPT TO:<a@b>\nS> 550 no\nC> RCPT TO:<c@d>\nS> 250 yes\n";
        let recording = Recording::of(String::new(), &text.parse().unwrap());
        let mut servers = Servers::default();
        servers.expect(CONN, &recording.answers);
        let mut hear = |heard| String::from_utf8(servers.hear(CONN, heard).bytes).unwrap();
        assert_eq!(hear(Heard::Connected), "220 mx\r\n");
        assert_eq!(
            hear(Heard::Bytes(b"NOOP\r\nRCPT TO:<c@")),
            "250 2.0.0 Ok\r\n"
        );
        assert_eq!(
            hear(Heard::Bytes(b"d>\r\nquit\r\n")),
            "250 yes\r\n221 2.0.0 Bye\r\n"
        );
    }
}
