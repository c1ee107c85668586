//! A session to be replayed: who did what when, and what the server answered to what.

use std::collections::VecDeque;
use std::time::Duration;

use super::Transcript;
use super::carrier::is_answered_here;
use crate::scenario::{Action, Side, Step};
use crate::whatif::units::{Replies, Unit, Units};

/// Something that happens in a session, besides what the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Write(Vec<u8>),
    ClientEnd,
    ClientReset,
    ServerEnd,
    Share(String, Vec<u8>),
    Message(Vec<u8>),
}

/// A session out of its transcript.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorded {
    /// What all workers shared before it was let on, the latest at the end.
    pub(super) known: Vec<(String, Vec<u8>)>,
    /// The time from its beginning at which that was so: later where its greeting was held.
    pub(super) known_at: Duration,
    pub(super) deeds: Vec<(Duration, Deed)>,
    pub(super) server: Server,
}

/// What the server says to what, and when it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    greeting: Option<Reply>,
    exchanges: VecDeque<(Unit, Option<Reply>)>,
    units: Units,
}

/// A reply, not to be said before its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) at: Duration,
    pub(super) bytes: Vec<u8>,
}

/// What is said to a command that the client never said: the filter's own.
const OK: &[u8] = b"250 2.0.0 Ok\r\n";

/// What workers shared before the session did anything, and when that was so. What comes with a
/// message ended the session instead.
fn known(steps: &[Step]) -> Vec<(Duration, (String, Vec<u8>))> {
    let shared = |step: &Step| match &step.action {
        Action::Share { key, value } => {
            Some((step.at.unwrap_or_default(), (key.clone(), value.clone())))
        }
        _ => None,
    };
    let mut known: Vec<_> = steps.iter().map_while(shared).collect();
    let next = steps.get(known.len()).map(|step| &step.action);
    if matches!(next, Some(Action::Message(_))) {
        known.pop();
    }
    known
}

impl Recorded {
    pub(super) fn of(transcript: &Transcript) -> Self {
        let mut writer = Writer::default();
        let scenario = &transcript.scenario;
        let answered = answered(&transcript.text);
        for (at, value) in known(&scenario.steps) {
            writer.recorded.known_at = at;
            writer.recorded.known.push(value);
        }
        for step in scenario.steps.iter().skip(writer.recorded.known.len()) {
            writer.at = step.at.map_or(writer.at, |at| at.max(writer.at));
            match &step.action {
                Action::Write(Side::Client, segment) => {
                    writer.client(segment.bytes());
                    if answered.contains(&step.line) {
                        writer.unanswered.pop_back();
                    }
                }
                Action::Write(Side::Server, segment) => writer.server(segment.bytes()),
                Action::HalfClose(Side::Client) => writer.does(Deed::ClientEnd),
                Action::Abort(Side::Client) => writer.does(Deed::ClientReset),
                Action::HalfClose(Side::Server) | Action::Abort(Side::Server) => {
                    writer.does(Deed::ServerEnd);
                }
                Action::Share { key, value } => {
                    writer.does(Deed::Share(key.clone(), value.clone()));
                }
                Action::Message(message) => writer.does(Deed::Message(message.clone())),
                Action::Expect(..) => {}
            }
        }
        writer.finish()
    }
}

/// The lines, from 1, of commands that the server heard nothing of.
fn answered(text: &str) -> Vec<usize> {
    let lines = text.lines().zip(text.lines().skip(1)).zip(1..);
    let here = lines.filter(|((line, next), _)| is_answered_here(line, next).is_some());
    here.map(|(_, number)| number).collect()
}

/// A recorded session in the making.
#[derive(Default)]
struct Writer {
    at: Duration,
    recorded: Recorded,
    units: Units,
    replies: Replies,
    unanswered: VecDeque<Unit>,
}

impl Writer {
    fn does(&mut self, deed: Deed) {
        self.recorded.deeds.push((self.at, deed));
    }

    fn client(&mut self, bytes: &[u8]) {
        self.does(Deed::Write(bytes.to_vec()));
        self.units.read(bytes);
        self.take_units();
    }

    fn take_units(&mut self) {
        while let Some(unit) = self.units.next() {
            self.unanswered.push_back(unit);
        }
    }

    fn server(&mut self, bytes: &[u8]) {
        self.replies.read(bytes);
        while let Some(reply) = self.replies.next() {
            self.reply(reply);
        }
    }

    /// The greeting, the answer to what is unanswered longest, or, when nothing is, more of the
    /// answer before.
    fn reply(&mut self, mut bytes: Vec<u8>) {
        let server = &mut self.recorded.server;
        if server.greeting.is_none() {
            let at = self.at;
            server.greeting = Some(Reply { at, bytes });
            return;
        }
        let Some(unit) = self.unanswered.pop_front() else {
            let last = server
                .exchanges
                .back_mut()
                .and_then(|(_, reply)| reply.as_mut());
            if let Some(reply) = last.or(server.greeting.as_mut()) {
                reply.bytes.append(&mut bytes);
            }
            return;
        };
        if bytes.starts_with(b"354") {
            self.units.expect_content();
        }
        let at = self.at;
        server
            .exchanges
            .push_back((unit, Some(Reply { at, bytes })));
        self.take_units();
    }

    fn finish(self) -> Recorded {
        let mut recorded = self.recorded;
        let unanswered = self.unanswered.into_iter().map(|unit| (unit, None));
        recorded.server.exchanges.extend(unanswered);
        recorded
    }
}

impl Server {
    pub(super) fn greet(&mut self) -> Option<Reply> {
        self.greeting.take()
    }

    /// What it says to these bytes; nothing to what it has left unanswered then.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Vec<Reply> {
        self.units.read(bytes);
        let mut said = Vec::new();
        while let Some(unit) = self.units.next() {
            let same = |then: &Unit| {
                then.is_message == unit.is_message && (unit.is_message || then.bytes == unit.bytes)
            };
            let found = self.exchanges.iter().position(|(then, _)| same(then));
            let reply = match found {
                Some(place) => {
                    // What the filter has answered itself stands before it.
                    self.exchanges.drain(..place);
                    self.exchanges.pop_front().and_then(|(_, reply)| reply)
                }
                None => Some(Reply {
                    at: Duration::ZERO,
                    bytes: OK.to_vec(),
                }),
            };
            if reply
                .as_ref()
                .is_some_and(|reply| reply.bytes.starts_with(b"354"))
            {
                self.units.expect_content();
            }
            said.extend(reply);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(text: &str) -> Recorded {
        Recorded::of(&Transcript {
            line: 1,
            text: text.to_owned(),
            scenario: text.parse().unwrap(),
            record: None,
        })
    }

    #[test]
    fn the_server_heard_nothing_of_what_the_filter_answered_itself() {
        let text = "0.1 S> 220 mx\n0.2 C> STARTTLS\n# 0.2 C< 220 2.0.0 Ready\n0.3 C> NOOP\n\
                    0.3 S> 250 2.0.0 one\n0.4 C> STARTTLS\n0.4 S> 250 2.0.0 two\n# 0.4 C< 503 no\n";
        let mut server = recorded(text).server;
        server.greet();
        assert_eq!(server.exchanges.len(), 2);
        for (command, reply) in [("NOOP\r\n", "one"), ("STARTTLS\r\n", "two")] {
            let said = server.hear(command.as_bytes()).remove(0).bytes;
            assert_eq!(said, format!("250 2.0.0 {reply}\r\n").as_bytes());
        }
    }

    #[test]
    fn of_the_ehlo_under_tls_that_the_filter_knew_the_server_heard_nothing() {
        let known = "0.1 S> 220 mx\n0.2 C> EHLO a\n0.2 S> 250 mx\n# 0.2 C< 250 STARTTLS\n\
                     0.3 C> STARTTLS\n# 0.3 C< 220 go\n0.4 C> EHLO a\n# 0.4 C< 250 mx\n";
        let asked = "0.4 C> EHLO a\n0.4 S> 250 mx\n# 0.4 C< 250 mx\n0.5 C> QUIT\n";
        for (text, exchanges) in [(known.to_owned(), 1), (format!("{known}{asked}"), 3)] {
            assert_eq!(recorded(&text).server.exchanges.len(), exchanges, "{text}");
        }
    }

    #[test]
    fn the_server_answers_what_it_answered_then() {
        let scenario = "W= k v\n0.1 S> 220 mx\n0.2 C> RCPT TO:<a>\nC+ RCPT TO:<b>\n0.3 S> 550 no\n\
                        0.4 W= k w\nW@ m\n0.5 C|\n";
        let held = recorded("W= k v\n0.4 W= k w\n0.5 C|\n");
        assert_eq!(held.known.len(), 2);
        assert_eq!(held.known_at, Duration::from_millis(400));
        let cut = recorded("W= k v\n0.4 W= k w\n0.4 W@ m\n");
        assert_eq!((cut.known.len(), cut.deeds.len()), (1, 2));
        let mut recorded = recorded(scenario);
        assert_eq!(recorded.known, [("k".to_owned(), b"v".to_vec())]);
        assert_eq!(recorded.known_at, Duration::ZERO);
        let at = Duration::from_millis(400);
        let shared = Deed::Share("k".to_owned(), b"w".to_vec());
        assert_eq!(
            recorded.deeds[1..3],
            [(at, shared), (at, Deed::Message(b"m".to_vec()))]
        );
        let server = &mut recorded.server;
        assert_eq!(server.greet().unwrap().bytes, b"220 mx\r\n");
        let said = server.hear(b"NOOP\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\n");
        let said: Vec<_> = said
            .iter()
            .map(|reply| (reply.at.as_millis(), reply.bytes[0]))
            .collect();
        assert_eq!(said, [(0, b'2'), (300, b'5')]);
    }
}
