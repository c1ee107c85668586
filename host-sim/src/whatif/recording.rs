//! A recorded session: what its client said and when, and how its server answered.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::units::{Replies, Unit, Units, class};
use crate::clock::Timestamp;
use crate::mta::{Mailboxes, Session, Stats};
use crate::scenario::{Action, Scenario, Side};

/// A session that can be played again before any filter.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What it is called: its file.
    pub name: String,
    /// The client's address.
    pub client: SocketAddr,
    /// The address it connects to.
    pub local: SocketAddr,
    /// When it began, if it says.
    pub started: Option<Timestamp>,
    /// Messages that the server accepted.
    pub accepted: u32,
    pub(super) sayings: Vec<Saying>,
    pub(super) answers: Answers,
    /// Replies that the server gave in all.
    pub(super) replies: usize,
}

/// Something the client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saying {
    /// Not before this, from the session's beginning.
    pub(super) at: Duration,
    /// Replies that it had seen before.
    pub(super) replies: usize,
    pub(super) deed: Deed,
}

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Write(Vec<u8>),
    HalfClose,
    Reset,
}

/// How the server answers.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    /// As it did then.
    Recorded(Arc<Answered>),
    /// It is the demo mail server.
    Mta(Arc<Mailboxes>),
}

/// What a server said to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) greeting: Vec<u8>,
    pub(super) exchanges: Vec<(Unit, Vec<u8>)>,
}

impl Recording {
    /// What can be played again of a scenario. Expectations are left out: another
    /// filter may fail them.
    #[must_use]
    pub fn of(name: String, scenario: &Scenario) -> Self {
        let mut writer = Writer::new(scenario.server.mailboxes());
        for step in &scenario.steps {
            writer.at = step.at.map_or(writer.at, |at| at.max(writer.at));
            match &step.action {
                Action::Write(Side::Client, segment) => writer.client(segment.bytes()),
                Action::Write(Side::Server, segment) => writer.server(segment.bytes()),
                Action::HalfClose(Side::Client) => writer.say(Deed::HalfClose),
                Action::Abort(Side::Client) => writer.say(Deed::Reset),
                Action::HalfClose(Side::Server)
                | Action::Abort(Side::Server)
                | Action::Expect(..)
                | Action::Share { .. }
                | Action::Message(_) => {}
            }
        }
        Self {
            name,
            client: scenario.client,
            local: scenario.local,
            started: scenario.record.started,
            accepted: writer.accepted,
            sayings: writer.sayings,
            replies: writer.seen,
            answers: match writer.mailboxes {
                Some(mailboxes) => Answers::Mta(mailboxes),
                None => Answers::Recorded(Arc::new(writer.answered)),
            },
        }
    }
}

/// A recording in the making.
#[derive(Default)]
struct Writer {
    at: Duration,
    sayings: Vec<Saying>,
    units: Units,
    replies: Replies,
    seen: usize,
    /// What the server has not answered yet.
    unanswered: VecDeque<Unit>,
    answered: Answered,
    accepted: u32,
    mailboxes: Option<Arc<Mailboxes>>,
    mta: Option<Session>,
}

impl Writer {
    fn new(mailboxes: Option<Mailboxes>) -> Self {
        let mut writer = Self {
            mailboxes: mailboxes.map(Arc::new),
            ..Self::default()
        };
        if let Some(mailboxes) = &writer.mailboxes {
            let mut greeting = Vec::new();
            let stats = Arc::new(Stats::default());
            let session = Session::start(Arc::clone(mailboxes), stats, &mut greeting);
            writer.mta = Some(session);
            writer.server(&greeting);
        }
        writer
    }

    fn say(&mut self, deed: Deed) {
        self.sayings.push(Saying {
            at: self.at,
            replies: self.seen,
            deed,
        });
    }

    fn client(&mut self, bytes: &[u8]) {
        self.say(Deed::Write(bytes.to_vec()));
        self.units.read(bytes);
        self.take_units();
        if let Some(mut mta) = self.mta.take() {
            let mut replies = Vec::new();
            mta.receive(bytes, &mut replies);
            self.mta = Some(mta);
            self.server(&replies);
        }
    }

    fn take_units(&mut self) {
        while let Some(unit) = self.units.next() {
            self.unanswered.push_back(unit);
        }
    }

    fn server(&mut self, bytes: &[u8]) {
        self.replies.read(bytes);
        while let Some(reply) = self.replies.next() {
            self.seen += 1;
            self.reply(reply);
        }
    }

    /// The greeting, the answer to what is unanswered longest, or, when nothing is,
    /// more of the answer before.
    fn reply(&mut self, mut reply: Vec<u8>) {
        if self.answered.greeting.is_empty() {
            self.answered.greeting = reply;
            return;
        }
        let Some(unit) = self.unanswered.pop_front() else {
            let last = self.answered.exchanges.last_mut();
            let last = last.map_or(&mut self.answered.greeting, |(_, said)| said);
            last.append(&mut reply);
            return;
        };
        if reply.starts_with(b"354") {
            self.units.expect_content();
            self.take_units();
        }
        let is_good = class(&reply) == Some(2);
        self.accepted += u32::from(unit.is_message && is_good);
        self.answered.exchanges.push((unit, reply));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(text: &str) -> Recording {
        Recording::of("r".to_owned(), &text.parse().unwrap())
    }

    const DELIVERY: &str = "started: 2026-01-31T10:00:00Z\n\
        S> 220 mx\nC> EHLO a\n0.5 S> 250-mx\nS+ 250 SIZE\n\
        C> MAIL FROM:<>\nC+ RCPT TO:<a@b>\nC+ DATA\nS> 250 ok\nS> 550 no\nS> 354 go\n\
        2 C> x\nC+ .\nC< 250 *\nS> 250 done\nC> QUIT\nC|\n";

    #[test]
    fn each_answer_finds_what_it_answers() {
        let found = recording(DELIVERY);
        let Answers::Recorded(answered) = &found.answers else {
            panic!("a script");
        };
        let head = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..4]).into_owned();
        let exchanges = answered.exchanges.iter();
        let heads: Vec<_> = exchanges
            .map(|(unit, reply)| head(&unit.bytes) + &head(reply))
            .collect();
        let expected = ["EHLO250-", "MAIL250 ", "RCPT550 ", "DATA354 ", "x\r\n.250 "];
        assert_eq!(heads, expected);
        assert_eq!(
            (answered.greeting.as_slice(), found.accepted),
            (&b"220 mx\r\n"[..], 1)
        );
        assert!(found.started.is_some());
    }

    #[test]
    fn the_client_waits_for_as_many_replies_as_it_had_seen() {
        let found = recording(DELIVERY);
        let waits: Vec<_> = found
            .sayings
            .iter()
            .map(|saying| (saying.at.as_millis(), saying.replies))
            .collect();
        assert_eq!(waits, [(0, 1), (500, 2), (2000, 5), (2000, 6), (2000, 6)]);
        assert_eq!(found.sayings.last().unwrap().deed, Deed::HalfClose);
    }

    #[test]
    fn the_demo_server_answers_for_itself() {
        let found = recording(
            "server: mta known=alice\nC> EHLO a\nC> MAIL FROM:<>\nC> RCPT TO:<alice@example.test>\nC> DATA\nC> .\n",
        );
        assert!(matches!(found.answers, Answers::Mta(_)));
        let waits: Vec<_> = found.sayings.iter().map(|saying| saying.replies).collect();
        assert_eq!(
            (waits.as_slice(), found.accepted),
            (&[1, 2, 3, 4, 5][..], 1)
        );
    }
}
