//! The EHLO before TLS and what the server said to it, by which the first EHLO under TLS can be
//! answered without the server.
//!
//! RFC 3207 section 4.2 has both sides forget what they learnt before TLS, and the client say EHLO
//! again. The server behind the guard sees one connection in cleartext all the time: for it the
//! second EHLO is the first once more, after which it stands as it does now (RFC 5321 section
//! 4.1.4). So where the client says the very same line, and the server was asked nothing since that
//! could have changed where it stands, it would say the very same, and need not be asked.

use super::Session;
use super::effects::{Effects, Voice};
use super::tls::Tls;
use crate::smtp::{Answer, Command, Hello, LineEnd, ReplyCode, Unit, Verb};

/// Octets that an EHLO and the reply to it may have together to be remembered.
const MOST: usize = 1024;
/// The only code that RFC 5321 section 4.1.1.1 has for an EHLO that was taken.
const TAKEN: ReplyCode = ReplyCode(250);

/// An EHLO in cleartext.
#[derive(Debug)]
pub(super) struct Remembered {
    line: Box<[u8]>,
    /// What the server has said to it; empty before it has taken it.
    reply: Box<[u8]>,
}

impl Session {
    /// A command is read: remembers an EHLO that may be said again under TLS, or that the server no
    /// longer stands where the last one left it.
    pub(super) fn remember_hello(&mut self, line: &[u8], command: &Command<'_>, end: LineEnd) {
        match command.verb {
            // The server stays where it is, and of STARTTLS it hears no more than a NOOP.
            Verb::Noop | Verb::StartTls => {}
            Verb::Ehlo if self.tls == Tls::Offered(Voice::HostAgain) => {
                let is_clear = end == LineEnd::Crlf && !command.has_stray_controls();
                self.hello = (is_clear && line.len() < MOST).then(|| {
                    Box::new(Remembered {
                        line: line.into(),
                        reply: Box::default(),
                    })
                });
            }
            _ => self.hello = None,
        }
    }

    /// The server has taken the EHLO that was said last.
    pub(super) fn remember_reply(&mut self, code: ReplyCode, reply: &[u8]) {
        let fits = |hello: &Remembered| hello.line.len() + reply.len() <= MOST;
        match &mut self.hello {
            Some(hello) if code == TAKEN && fits(hello) => hello.reply = reply.into(),
            _ => self.hello = None,
        }
    }

    /// Whether `bytes`, the first of the client under TLS, are the EHLO that it said before: then
    /// they are taken, and what the server would say is in the effects.
    pub(super) fn takes_hello(&mut self, bytes: &[u8]) -> Option<Effects<'static>> {
        let same = |hello: &mut Box<Remembered>| *hello.line == *bytes && !hello.reply.is_empty();
        let reply = self.hello.take_if(same)?.reply;
        let Unit::Command { command, .. } = self.tracker.peek(bytes) else {
            return None;
        };
        self.hears(bytes);
        let mut effects = Effects::default();
        effects.commands.count(command.verb);
        self.traffic.add(bytes.len(), 0);
        self.tell_command(bytes, &command, LineEnd::Crlf);
        self.tell_arrival(bytes.len());
        let answer = Answer::Hello(Hello::Ehlo);
        self.tracker.sent(&command, LineEnd::Crlf, answer);
        self.tracker.replied(TAKEN, &reply);
        let changed = self.greeted(Hello::Ehlo, &reply);
        let reply = changed.unwrap_or_else(|| reply.into_vec());
        self.transcribed(|transcript| transcript.guard(&reply));
        effects.to_client = reply.into();
        Some(effects)
    }
}
