//! Honest senders: they deliver mail, each in a way met in the field.

use std::time::Duration;

use fastrand::Rng;
use serde::Serialize;

use super::dialogue::{Next, Verb};
use super::names::{self, DOMAIN};
use super::plan::Plan;
use super::reply::Reply;

const BODY: &[u8] = b"Subject: hello\r\n\r\nAs agreed.\r\n.\r\n";

/// Kinds of honest senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One message, one recipient, QUIT.
    Ordinary,
    /// A mistyped recipient, then the right one.
    Typo,
    /// Several messages over one session, RSET after each.
    KeepAlive,
    /// Many messages to many recipients, a share of which is not known.
    Smarthost,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ordinary, Self::Typo, Self::KeepAlive, Self::Smarthost];

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Typo => "typo",
            Self::KeepAlive => "keep-alive",
            Self::Smarthost => "smarthost",
        }
    }

    /// Messages of one session.
    pub(super) fn letters(self) -> u32 {
        match self {
            Self::Ordinary | Self::Typo => 1,
            Self::KeepAlive => 5,
            Self::Smarthost => 10,
        }
    }
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// Its recipients in order, and whether the server knows each.
    recipients: Vec<(String, bool)>,
    /// When it was first tried, once it was.
    pub(super) since: Option<Duration>,
    /// How often it was tried in vain.
    pub(super) tries: u32,
}

impl Letter {
    pub(super) fn draw(kind: Kind, plan: &Plan, rng: &mut Rng) -> Self {
        let (count, unknown_share) = match kind {
            Kind::Smarthost => (5, plan.smarthost_unknown),
            Kind::Ordinary | Kind::Typo | Kind::KeepAlive => (1, 0),
        };
        let mailbox = |rng: &mut Rng| names::mailbox(rng.u32(0..plan.mailboxes.max(1)));
        let mut recipients = Vec::new();
        if kind == Kind::Typo {
            recipients.push((format!("uesr{}", rng.u32(0..10_000)), false));
        }
        // One at least is known, or there would be nothing to deliver.
        let certain = rng.u32(0..count);
        for place in 0..count {
            let is_unknown = place != certain && rng.u8(0..100) < unknown_share;
            recipients.push(match is_unknown {
                true => (format!("former{}", rng.u32(0..10_000)), false),
                false => (mailbox(rng), true),
            });
        }
        Self {
            recipients,
            since: None,
            tries: 0,
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All who are meant have it.
    Delivered,
    /// It is to be tried again, for this reason.
    Deferred(String),
    /// Somebody who is meant will not get it, for this reason.
    Lost(String),
}

/// One session of an honest sender.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) kind: Kind,
    /// Messages still to come, the next one last.
    waiting: Vec<Letter>,
    current: Option<Current>,
    expected: Verb,
    /// What became of the others, and when.
    done: Vec<(Letter, Fate, Duration)>,
    /// The reason for what could not be done.
    last_word: String,
}

/// The message under way.
#[derive(Debug)]
struct Current {
    letter: Letter,
    /// Recipients still to be named, the next one last; whether each is meant.
    to_name: Vec<(String, bool)>,
    naming: Option<(String, bool)>,
    accepted: u32,
    deferred: Vec<String>,
    refused: Option<String>,
}

impl Current {
    fn new(letter: Letter) -> Self {
        Self {
            to_name: letter.recipients.iter().rev().cloned().collect(),
            letter,
            naming: None,
            accepted: 0,
            deferred: Vec::new(),
            refused: None,
        }
    }

    /// Takes the reply to a recipient.
    fn named(&mut self, reply: &Reply, said: &str) {
        match (self.naming.take(), reply.class()) {
            (Some((_, true)), 2) => self.accepted += 1,
            (Some((name, true)), 4) => self.deferred.push(name),
            (Some((_, true)), _) => self.refused = Some(said.to_owned()),
            (Some((_, false)) | None, _) => {}
        }
    }

    /// Takes the reply to the message, or to what came before it and ends it.
    fn end(mut self, reply: &Reply, said: &str) -> (Letter, Fate) {
        let has_all = self.deferred.is_empty();
        let none_accepted = self.accepted == 0 && !has_all;
        let fate = match (reply.class(), self.refused) {
            (_, Some(reason)) => Fate::Lost(reason),
            // Whatever the last recipient was told.
            _ if none_accepted => Fate::Deferred(said.to_owned()),
            (2, None) if has_all => Fate::Delivered,
            (2 | 4, None) => Fate::Deferred(said.to_owned()),
            _ => Fate::Lost(said.to_owned()),
        };
        if reply.class() == 2 {
            let deferred = self.deferred.into_iter();
            self.letter.recipients = deferred.map(|name| (name, true)).collect();
        }
        (self.letter, fate)
    }
}

impl Visit {
    /// A session that begins now with these messages.
    pub(super) fn new(kind: Kind, mut letters: Vec<Letter>, now: Duration) -> Self {
        if let Some(first) = letters.first_mut() {
            first.since.get_or_insert(now);
        }
        letters.reverse();
        Self {
            kind,
            waiting: letters,
            current: None,
            expected: Verb::Connect,
            done: Vec::new(),
            last_word: "the session ended without a word".to_owned(),
        }
    }

    /// Takes a reply; what the sender says then.
    pub(super) fn hear(&mut self, reply: &Reply, now: Duration) -> Next {
        let said = String::from_utf8_lossy(&reply.text).into_owned();
        self.last_word.clone_from(&said);
        if reply.is_last() {
            return Next::Leave;
        }
        let positive = matches!(reply.class(), 2 | 3);
        match self.expected {
            Verb::Connect | Verb::Ehlo if !positive => {
                self.give_up(reply, &said, now);
                return Next::Leave;
            }
            Verb::Quit => return Next::Leave,
            Verb::Mail | Verb::Data if !positive => {
                self.finish_letter(reply, &said, now);
                return self.say(Verb::Rset);
            }
            Verb::Rcpt => {
                if let Some(current) = &mut self.current {
                    current.named(reply, &said);
                }
            }
            Verb::Message => {
                self.finish_letter(reply, &said, now);
                if self.kind == Kind::KeepAlive {
                    return self.say(Verb::Rset);
                }
            }
            Verb::Connect | Verb::Ehlo | Verb::Mail | Verb::Data | Verb::Rset => {}
        }
        self.go_on(reply, &said, now)
    }

    /// The next command after a reply that lets it.
    fn go_on(&mut self, reply: &Reply, said: &str, now: Duration) -> Next {
        match (self.expected, &self.current) {
            (Verb::Connect, _) => self.say(Verb::Ehlo),
            (Verb::Data, _) => self.say(Verb::Message),
            (Verb::Mail | Verb::Rcpt, Some(current)) => {
                if !current.to_name.is_empty() {
                    self.say(Verb::Rcpt)
                } else if current.accepted > 0 {
                    self.say(Verb::Data)
                } else {
                    self.finish_letter(reply, said, now);
                    self.say(Verb::Rset)
                }
            }
            _ => match self.waiting.pop() {
                Some(mut letter) => {
                    letter.since.get_or_insert(now);
                    self.current = Some(Current::new(letter));
                    self.say(Verb::Mail)
                }
                None => self.say(Verb::Quit),
            },
        }
    }

    fn say(&mut self, verb: Verb) -> Next {
        self.expected = verb;
        Next::Say(match verb {
            Verb::Connect => Vec::new(),
            Verb::Ehlo => b"EHLO mail.example.net\r\n".to_vec(),
            Verb::Mail => b"MAIL FROM:<writer@example.net>\r\n".to_vec(),
            Verb::Rcpt => self.recipient(),
            Verb::Data => b"DATA\r\n".to_vec(),
            Verb::Message => BODY.to_vec(),
            Verb::Rset => b"RSET\r\n".to_vec(),
            Verb::Quit => b"QUIT\r\n".to_vec(),
        })
    }

    fn recipient(&mut self) -> Vec<u8> {
        let Some(current) = &mut self.current else {
            return Vec::new();
        };
        current.naming = current.to_name.pop();
        let name = current.naming.as_ref().map_or("", |(name, _)| name);
        format!("RCPT TO:<{name}@{DOMAIN}>\r\n").into_bytes()
    }

    fn finish_letter(&mut self, reply: &Reply, said: &str, now: Duration) {
        if let Some(current) = self.current.take() {
            let (letter, fate) = current.end(reply, said);
            self.done.push((letter, fate, now));
        }
    }

    /// The server wants none of it: now, or ever.
    fn give_up(&mut self, reply: &Reply, said: &str, now: Duration) {
        let waiting = self.waiting.drain(..).rev();
        let fate = match reply.class() {
            4 => Fate::Deferred(said.to_owned()),
            _ => Fate::Lost(said.to_owned()),
        };
        self.done
            .extend(waiting.map(|letter| (letter, fate.clone(), now)));
    }

    /// What became of every message, and when, once the session is over.
    pub(super) fn fates(mut self, now: Duration) -> Vec<(Letter, Fate, Duration)> {
        let cut = self.current.take().map(|current| current.letter);
        let left = cut.into_iter().chain(self.waiting.drain(..).rev());
        let fate = Fate::Deferred(self.last_word.clone());
        self.done
            .extend(left.map(|letter| (letter, fate.clone(), now)));
        self.done
    }
}
