//! The client's side: what goes on to the server, what waits, what the guard answers.

use super::door::Refusal;
use super::effects::{Close, Effects};
use super::ledger::Room;
use super::passage::{Passage, append};
use super::{ClientSide, Phase, Session};
use crate::policy::{Metering, Rule};
use crate::smtp::{Answer, Clarity, Command, Doubt, LineEnd, Recipient, TlsReply, Unit, Verb};
use std::borrow::Cow;

/// Sent in place of a command the guard answers: its 250 makes room for our reply.
pub(super) const NOOP: &[u8] = b"NOOP\r\n";

/// Whether a command goes on.
enum Gate {
    Pass(Answer),
    /// Not before a reply is in.
    Wait,
    /// The server has just called the recipient unknown; the guard says so.
    Remember(Answer),
    /// The server is asked nothing; the guard answers.
    Refuse,
    /// The same, since it is about TLS.
    Tls(TlsReply),
}

impl Session {
    /// Takes bytes of the client.
    pub fn client_bytes<'a>(&mut self, bytes: &'a [u8]) -> Effects<'a> {
        let mut effects = Effects::default();
        self.take_client_bytes(bytes, &mut effects);
        self.traffic.add(bytes.len() - effects.left, 0);
        self.tell_arrival(bytes.len() - effects.left);
        self.tell_share();
        effects
    }

    /// Takes so many octets of the client, if all of them pass whatever they are: then they need
    /// not be read. That is so within a chunk (RFC 3030), whose size was told before, and once
    /// nothing is read any more.
    #[must_use]
    pub fn client_passes(&mut self, octets: usize) -> bool {
        if self.is_opaque() {
            self.passed(octets, 0);
            return true;
        }
        let passes = self.is_read() && self.held.is_empty() && self.tracker.take_chunk(octets);
        if passes {
            self.traffic.add(octets, 0);
            self.transcribed(|transcript| transcript.chunk_passed(octets));
        }
        passes
    }

    /// Takes the client's end of stream, which has to reach the server with these very effects.
    /// Nothing can wait any more: recipients beyond the budget are refused instead.
    ///
    /// `rest` are the bytes left over by the calls before.
    pub fn client_end<'a>(&mut self, rest: &'a [u8]) -> Effects<'a> {
        let mut effects = Effects::default();
        self.traffic.add(rest.len(), 0);
        self.client_side = ClientSide::Ended;
        self.take_client_end(rest, &mut effects);
        self.tell_arrival(rest.len());
        effects
    }

    fn take_client_end<'a>(&mut self, rest: &'a [u8], effects: &mut Effects<'a>) {
        if self.drops(rest, effects) {
            return;
        }
        self.hears(rest);
        match self.phase {
            Phase::Closed(_) | Phase::Detained(_) => effects.close = Close::Now,
            Phase::Unpaired(_) | Phase::Opaque(_) => effects.to_server = rest.into(),
            Phase::Sentenced(_) | Phase::Cut(_) | Phase::Refused(_, Refusal::Owed) => {}
            Phase::Refused(_, Refusal::Told) => effects.close = Close::Now,
            Phase::Judged | Phase::Exempt(_) => {
                let mut all = std::mem::take(&mut self.held);
                all.extend_from_slice(rest);
                let used = self.walk_into(&all, effects);
                // What is left is half a line, or not for us to read: the server's, as it is.
                if !matches!(self.phase, Phase::Sentenced(_)) {
                    let tail = all.split_off(used.min(all.len()));
                    append(&mut effects.to_server, tail.into());
                }
            }
        }
        self.tell_share();
    }

    /// Sends on what waited for a reply, as far as it may go now.
    pub(super) fn release(&mut self, effects: &mut Effects<'_>) {
        if !self.held.is_empty() && self.client_side == ClientSide::Open {
            self.take_client_bytes(b"", effects);
        }
    }

    fn take_client_bytes<'a>(&mut self, bytes: &'a [u8], effects: &mut Effects<'a>) {
        let mut rest = bytes;
        self.hears(bytes);
        loop {
            if self.drops(rest, effects) {
                return;
            }
            match self.phase {
                Phase::Unpaired(_) | Phase::Opaque(_) => {
                    return append(&mut effects.to_server, rest.into());
                }
                Phase::Detained(_) => {
                    effects.left = self.take_detained(rest);
                    return;
                }
                Phase::Closed(_) | Phase::Refused(_, Refusal::Told) => {
                    if says_quit(rest) {
                        effects.close = Close::Now;
                    }
                    return;
                }
                Phase::Sentenced(_) | Phase::Cut(_) | Phase::Refused(_, Refusal::Owed) => return,
                Phase::Judged | Phase::Exempt(_) => {}
            }
            let used;
            if self.held.is_empty() {
                let mut passage = Passage::new(rest);
                used = self.walk(rest, &mut passage, effects);
                append(&mut effects.to_server, passage.finish());
                rest = rest.get(used..).unwrap_or_default();
            } else {
                let mut all = std::mem::take(&mut self.held);
                rest = fill(&mut all, rest, self.held_limit());
                used = self.walk_into(&all, effects);
                all.drain(..used.min(all.len()));
                self.held = all;
            }
            if self.is_read() && (rest.is_empty() || used == 0) {
                let limit = self.held_limit();
                effects.left = fill(&mut self.held, rest, limit).len();
                if self.held.is_empty() {
                    // Idle sessions keep no buffer.
                    self.held = Vec::new();
                }
                return;
            }
        }
    }

    /// As [`Self::walk`], for bytes that do not outlive the call.
    fn walk_into(&mut self, bytes: &[u8], effects: &mut Effects<'_>) -> usize {
        let mut passage = Passage::new(bytes);
        let used = self.walk(bytes, &mut passage, effects);
        let passed = passage.finish().into_owned();
        append(&mut effects.to_server, Cow::Owned(passed));
        used
    }

    /// Walks through client bytes until they end, have to wait, or are no longer read; how many
    /// went on.
    fn walk(
        &mut self,
        bytes: &[u8],
        passage: &mut Passage<'_>,
        effects: &mut Effects<'_>,
    ) -> usize {
        let mut at = 0;
        self.room = Room::Enough;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.waits_in_doubt(rest, effects) {
                break;
            }
            let (command, len, end) = match self.tracker.peek(rest) {
                Unit::Partial => break,
                Unit::Payload => {
                    let payload = self.tracker.payload();
                    let (len, clarity) = self.tracker.take_payload(rest);
                    self.tell_payload(rest.get(..len).unwrap_or(rest), payload, clarity);
                    if clarity == Clarity::Doubtful && self.ends_in_doubt(effects) {
                        return bytes.len();
                    }
                    passage.keep(at, at + len);
                    at += len;
                    continue;
                }
                Unit::Command { command, len, end } => (command, len, end),
            };
            let condemned = self.condemned_at(&command);
            let line = rest.get(..len).unwrap_or(rest);
            if let Some(verdict) = condemned.or_else(|| self.trapped_at(&command, effects)) {
                self.phase = Phase::Sentenced(verdict);
                self.tell_command(line, &command, end);
                let noop = Command::parse(NOOP.trim_ascii_end());
                self.tracker.sent(&noop, LineEnd::Crlf, Answer::Refused);
                passage.put(NOOP);
                effects.commands.count(command.verb);
                at += len;
                break;
            }
            let name = self.name_in(&command, end);
            let gate = self.gate(&command, end, name.as_ref());
            if let Gate::Wait = gate {
                self.room = Room::Wanted;
                break;
            }
            self.tell_command(line, &command, end);
            self.remember_hello(line, &command, end);
            match gate {
                Gate::Wait => {}
                Gate::Pass(answer) => {
                    if answer == Answer::Rcpt {
                        self.keep_name(name.as_ref());
                    }
                    self.tracker.sent(&command, end, answer);
                    passage.keep(at, at + len);
                }
                Gate::Remember(answer) => {
                    self.keep_name(name.as_ref());
                    self.tracker.sent(&command, LineEnd::Crlf, answer);
                    passage.put(NOOP);
                }
                Gate::Refuse => {
                    self.tracker.sent(&command, LineEnd::Crlf, Answer::Refused);
                    passage.put(NOOP);
                }
                Gate::Tls(reply) => {
                    self.tracker.sent(&command, end, Answer::Tls(reply));
                    match end {
                        // The rest of the line is still to come: all of it becomes what NOOP
                        // does not look at.
                        LineEnd::Overlong => {
                            passage.put(b"NOOP ");
                            passage.keep(at, at + len);
                        }
                        LineEnd::Crlf | LineEnd::Lf => passage.put(NOOP),
                    }
                    if self.starts_tls(reply, bytes.get(at + len..).unwrap_or_default(), effects) {
                        return bytes.len();
                    }
                }
            }
            effects.commands.count(command.verb);
            self.quits |= command.verb == Verb::Quit;
            at += len;
            self.sentence(&command, effects);
            if !self.is_read() {
                break;
            }
        }
        at
    }

    /// Whether what is next cannot be read before a reply is in. A client that has closed its side
    /// cannot wait: its commands go on in the order they came, and a message that may be commands
    /// only where it holds no more recipients than the session may still get wrong.
    fn waits_in_doubt(&mut self, rest: &[u8], effects: &mut Effects<'_>) -> bool {
        match (self.tracker.doubt(), self.client_side) {
            (Some(_), ClientSide::Open) => return true,
            (Some(Doubt::Payload), _) => {}
            _ if self.may_hide(rest) => {}
            _ => return false,
        }
        let hidden = rcpt_lines(rest);
        let too_many = hidden > self.budget_left();
        let rule = too_many.then_some(Rule::HiddenRcpts);
        match rule.and_then(|rule| self.judge(rule, &mut effects.notes)) {
            Some(verdict) => self.phase = Phase::Sentenced(verdict),
            None => {
                self.client_side = ClientSide::Unread;
                self.hidden = hidden;
            }
        }
        true
    }

    /// Whether a client that cannot wait may be sending what one server reads as commands and
    /// another does not: a chunk behind a reply that decides on CHUNKING or on AUTH, or anything
    /// behind a message that bare LFs have ended.
    fn may_hide(&self, rest: &[u8]) -> bool {
        let owed = self.tracker.owed();
        let chunk = || {
            matches!(self.tracker.peek(rest), Unit::Command { command, .. }
                if command.verb == Verb::Bdat)
        };
        self.client_side != ClientSide::Open
            && (owed.ends_in_barrier() == Some(Answer::Message) || owed.holds_barrier() && chunk())
    }

    /// Ends a session whose message servers may end at different places, before the place is out.
    fn ends_in_doubt(&mut self, effects: &mut Effects<'_>) -> bool {
        let rule = self.policy.on_doubtful_end();
        let Some(verdict) = rule.and_then(|rule| self.judge(rule, &mut effects.notes)) else {
            return false;
        };
        // No reply is owed before the message is over, so there is no room for a last word.
        let _ = self.close(verdict, effects);
        effects.close = Close::Now;
        true
    }

    fn gate(&mut self, command: &Command<'_>, end: LineEnd, name: Option<&Recipient<'_>>) -> Gate {
        if let Some(reply) = self.tls_reply(command, end) {
            return Gate::Tls(reply);
        }
        let answer = self.tracker.answer_to(command);
        if !matches!(answer, Answer::Rcpt | Answer::Lookup) {
            return Gate::Pass(answer);
        }
        let recipient = Recipient::parse(command.argument);
        if recipient.is_some_and(|recipient| recipient.is_postmaster()) {
            return Gate::Pass(Answer::Postmaster);
        }
        if !self.is_enforced() || self.budget_left() > 0 {
            let asks = answer == Answer::Rcpt;
            let remembered = asks.then(|| self.remembers(name)).flatten();
            return remembered.map_or(Gate::Pass(answer), Gate::Remember);
        }
        match (self.policy.metering(), self.client_side) {
            (Metering::Hold, ClientSide::Open) => Gate::Wait,
            // What is still to come of the line would be a command of its own behind a NOOP.
            (Metering::Reply452, ClientSide::Open) if end == LineEnd::Overlong => Gate::Wait,
            (Metering::Reply452, _) | (Metering::Hold, _) => Gate::Refuse,
        }
    }

    /// Where the command just sent on ends the session, its reply will be the last word.
    fn sentence(&mut self, command: &Command<'_>, effects: &mut Effects<'_>) {
        let rule = match command.verb {
            Verb::Rset => self.policy.on_rset(),
            _ => None,
        };
        if let Some(verdict) = rule.and_then(|rule| self.judge(rule, &mut effects.notes)) {
            self.phase = Phase::Sentenced(verdict);
        }
    }

    fn held_limit(&self) -> usize {
        self.policy.config().limits.held as usize
    }
}

/// Moves bytes into `buffer` up to `limit`; what did not fit.
fn fill<'a>(buffer: &mut Vec<u8>, bytes: &'a [u8], limit: usize) -> &'a [u8] {
    let room = limit.saturating_sub(buffer.len()).min(bytes.len());
    let (fits, rest) = bytes.split_at_checked(room).unwrap_or((bytes, b""));
    buffer.extend_from_slice(fits);
    rest
}

/// Lines that would ask about a name if they were commands.
fn rcpt_lines(bytes: &[u8]) -> u32 {
    let lines = bytes
        .split(|octet| *octet == b'\n' || *octet == b'\r')
        .filter(|line| {
            let verb = Command::parse(line).verb;
            matches!(verb, Verb::Rcpt | Verb::Vrfy | Verb::Expn)
        })
        .count();
    u32::try_from(lines).unwrap_or(u32::MAX)
}

fn says_quit(bytes: &[u8]) -> bool {
    bytes
        .split(|octet| *octet == b'\n')
        .any(|line| Command::parse(line).verb == Verb::Quit)
}
