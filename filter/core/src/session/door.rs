//! The door: sessions that end before the server is asked anything, and those whose client turns
//! out to be listed later on.

use super::effects::{Close, Effects, Note};
use super::{ClientSide, Phase, Session};
use crate::policy::{Listing, Rule, Verdict};
use crate::smtp::{Answer, Command, Verb};
use std::rc::Rc;

/// Where a session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// To the server.
    Admitted,
    /// Nowhere: the first bytes that come from the other side, whatever they are, become the
    /// refusal, and what the client sends is dropped.
    Refused,
}

/// Whether a refused client has read so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not yet.
    Owed,
    /// Yes.
    Told,
}

impl Session {
    /// A rule of the door is met, before anything was said: what is to be done and noted.
    #[must_use]
    pub fn refuse(&mut self, rule: Rule, listing: Option<Rc<Listing>>) -> (Door, Vec<Note>) {
        let mut notes = Vec::new();
        match self.phase {
            Phase::Judged => {}
            Phase::Refused(..) | Phase::Detained(_) => return (Door::Refused, notes),
            _ => return (Door::Admitted, notes),
        }
        self.listing = listing.or_else(|| self.listing.take());
        match self.judge(rule, &mut notes) {
            None => (Door::Admitted, notes),
            Some(verdict) => {
                self.phase = Phase::Refused(verdict, Refusal::Owed);
                notes.push(Note::Refused(verdict));
                (Door::Refused, notes)
            }
        }
    }

    /// DNS blacklists turn out to have the client of a session under way. Its next command does
    /// not reach the server; the reply in its place is the last word. A message under way is not
    /// lost, and QUIT is still answered.
    #[must_use]
    pub fn found_listed(&mut self, listing: Rc<Listing>) -> Vec<Note> {
        let mut notes = Vec::new();
        if self.is_judged() {
            self.listing = Some(listing);
            self.condemned = self.judge(Rule::Dnsbl, &mut notes);
        }
        notes
    }

    /// The verdict that `command` ends the session with, if the client was found listed.
    pub(super) fn condemned_at(&self, command: &Command<'_>) -> Option<Verdict> {
        let verdict = self.condemned.filter(|_| self.is_enforced())?;
        let passes = match command.verb {
            Verb::Quit => true,
            Verb::Bdat => self.has_message_in_chunks(),
            _ => false,
        };
        (!passes).then_some(Verdict {
            counts: self.counts,
            ..verdict
        })
    }

    /// Whether chunks were sent whose message is not yet whole (RFC 3030 section 2).
    fn has_message_in_chunks(&self) -> bool {
        match self.tracker.owed().tail().map(|place| place.answer) {
            Some(Answer::Chunk { last }) => !last,
            _ => self.transaction.as_ref().is_some_and(|t| t.chunks > 0),
        }
    }

    /// The refusal, as soon as there is something to put it in place of.
    pub(super) fn tell_refusal(&mut self, verdict: Verdict, effects: &mut Effects<'_>) {
        self.phase = Phase::Refused(verdict, Refusal::Told);
        let word = self.last_word(&verdict);
        self.transcribed(|transcript| transcript.guard(&word));
        effects.to_client = word.into();
        effects.close = match self.client_side {
            ClientSide::Open => Close::Linger,
            ClientSide::Ended | ClientSide::Unread => Close::Now,
        };
    }

    pub(super) fn last_word(&self, verdict: &Verdict) -> Vec<u8> {
        let facts = self.facts(&verdict.counts);
        self.policy.last_word(verdict.rule, facts)
    }
}
