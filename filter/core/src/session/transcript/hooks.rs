//! Where a session tells its transcript, if it has one.

use super::{Rest, Shelf, Shortened, Transcript};
use crate::policy::Transcribe;
use crate::session::{Phase, Record, Session};
use crate::smtp::{Clarity, Command, LineEnd, Payload};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// What stands around what is said.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The client.
    pub client: SocketAddr,
    /// A number that no other worker has.
    pub worker: u32,
    /// When the session begins, since the Unix epoch.
    pub began: Duration,
}

/// What became of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcribed {
    /// The text, a scenario, as a JSON string with its quotes; `None` if there was no memory for it.
    pub json: Option<String>,
    /// Why it is not whole, if it is not.
    pub shortened: Option<Shortened>,
}

impl Session {
    /// Has the session written down, if the policy chooses it by its client or by a lot that no
    /// other session has drawn, or may choose it for what it does. To be called before its first
    /// byte.
    pub fn transcribe(&mut self, shelf: &Rc<Shelf>, frame: &Frame, lot: u64) {
        let choice = self.policy.transcribes(self.client, lot);
        if choice != Transcribe::Never {
            let most = self.policy.config().transcripts.max_bytes as usize;
            let transcript = Transcript::new(Rc::clone(shelf), frame, most, choice);
            self.transcript = Some(Box::new(transcript));
        }
    }

    /// Whether the session is written down: then it wants to know the time.
    #[must_use]
    pub fn is_transcribed(&self) -> bool {
        self.transcript.is_some()
    }

    /// The time since the Unix epoch, for what comes next.
    pub fn tell_time(&mut self, now: Duration) {
        self.transcribed(|transcript| transcript.tell_time(micros(now)));
    }

    /// All workers had this value under `key` when the client came.
    pub fn was_known(&mut self, key: &str, value: &[u8]) {
        self.transcribed(|transcript| transcript.shared(key, value));
    }

    /// The client was listed by a session elsewhere: its entry, shared under `key`, and the message
    /// that told so. To be called before [`Session::cut`].
    pub fn is_told(&mut self, key: &str, value: &[u8], message: &[u8]) {
        self.transcribed(|transcript| {
            transcript.shared(key, value);
            transcript.message(message);
        });
    }

    /// The host says that the client, or the server, has ended its side.
    pub fn side_ended(&mut self, by_client: bool) {
        self.transcribed(|transcript| match by_client {
            true => transcript.client_ended(),
            false => transcript.server_ended(),
        });
    }

    /// The transcript, once the session is over; `None` if the policy does not choose it.
    pub fn take_transcript(&mut self) -> Option<Transcribed> {
        let mut transcript = self.transcript.take()?;
        match transcript.choice {
            Transcribe::From(rejections) if self.counts.rejected < rejections => return None,
            _ => {}
        }
        transcript.never_read(&self.held, self.holds_commands());
        transcript.end();
        let (verdict, met) = Record::verdict_of(self);
        let rule = met.map_or("", |met| met.rule.name());
        Some(Transcribed {
            json: transcript.write(self.policy.version(), [verdict, rule]),
            shortened: transcript.shortened(),
        })
    }

    pub(in crate::session) fn transcribed(&mut self, tell: impl FnOnce(&mut Transcript)) {
        if let Some(transcript) = &mut self.transcript {
            tell(transcript);
        }
    }

    /// Octets of the client were taken, of which some may wait.
    pub(in crate::session) fn tell_arrival(&mut self, octets: usize) {
        let waits = self.held.len() + self.waits_in_dialogue();
        let bulk = self.is_opaque() || !self.tracker.expects_command();
        self.transcribed(|transcript| transcript.arrived(octets, waits, bulk));
    }

    pub(in crate::session) fn tell_command(
        &mut self,
        line: &[u8],
        command: &Command<'_>,
        end: LineEnd,
    ) {
        self.transcribed(|transcript| transcript.command(line, command, end));
    }

    /// A payload was taken from the beginning of `bytes`.
    pub(in crate::session) fn tell_payload(
        &mut self,
        bytes: &[u8],
        payload: Option<Payload>,
        clarity: Clarity,
    ) {
        let rest = match clarity {
            Clarity::Doubtful => Rest::Doubtful,
            Clarity::Clear if self.tracker.expects_command() => Rest::Over,
            Clarity::Clear => Rest::Open,
        };
        self.transcribed(|transcript| {
            if let Some(payload) = payload {
                transcript.payload(bytes, payload, rest);
            }
        });
    }

    /// A whole reply, or a line of one, as it is paired now.
    pub(in crate::session) fn tell_reply(&mut self, reply: &[u8]) {
        if self.transcript.is_some() {
            let answer = self.tracker.owed().head().map(|place| place.answer);
            self.transcribed(|transcript| transcript.reply(answer, reply));
        }
    }

    /// Octets pass unread.
    pub(in crate::session) fn tell_passed(&mut self, from_client: usize, from_server: usize) {
        self.transcribed(|transcript| {
            transcript.arrived(from_client, 0, true);
            transcript.passed_by_server(from_server);
        });
    }

    /// Commands that wait are given up.
    pub(in crate::session) fn tell_given_up(&mut self, held: &[u8]) {
        if !held.is_empty() {
            let clear = self.holds_commands();
            self.transcribed(|transcript| transcript.never_read(held, clear));
        }
    }

    /// Whether what is held begins with a command for certain.
    fn holds_commands(&self) -> bool {
        let read = !matches!(self.phase, Phase::Unpaired(_) | Phase::Opaque(_));
        read && self.tracker.expects_command() && self.tracker.doubt().is_none()
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
