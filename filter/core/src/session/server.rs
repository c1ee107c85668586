//! The server's side: replies are paired, counted, and the one that crosses a line rewritten.

use super::door::Refusal;
use super::effects::{Effects, Exemption, Note, OpaqueCause};
use super::passage::{Passage, append};
use super::{ClientSide, Phase, Session, Transaction};
use crate::ledger::{Heard, Row};
use crate::policy::{RcptReply, Rule, Verdict};
use crate::smtp::{Answer, Framed, ReplyCode, ReplyLine, frame};

/// What becomes of a reply.
enum Fate {
    Pass,
    /// The client reads this instead.
    Rewrite(Vec<u8>),
    /// The session ends with this reply: the client reads the last word instead.
    LastWord(Verdict),
    /// The reply passes, and the last word follows it.
    PassThenLastWord(Verdict),
    /// Nothing is read from here on.
    Opaque(OpaqueCause),
}

impl Session {
    /// Takes bytes of the server.
    pub fn server_bytes<'a>(&mut self, bytes: &'a [u8]) -> Effects<'a> {
        let mut effects = Effects::default();
        self.take_server_bytes(bytes, &mut effects);
        self.tell_arrival(0);
        effects
    }

    fn take_server_bytes<'a>(&mut self, bytes: &'a [u8], effects: &mut Effects<'a>) {
        self.traffic.add(0, bytes.len());
        match self.phase {
            Phase::Closed(_) | Phase::Refused(_, Refusal::Told) => return,
            Phase::Detained(_) => return self.echoed(bytes, effects),
            Phase::Refused(verdict, Refusal::Owed) => {
                if !bytes.is_empty() {
                    self.tell_refusal(verdict, effects);
                }
                return;
            }
            _ => {}
        }
        if self.partial_reply.is_empty() || matches!(self.phase, Phase::Unpaired(_)) {
            let mut passage = Passage::new(bytes);
            let used = self.read_replies(bytes, &mut passage, effects);
            append(&mut effects.to_client, passage.finish());
            self.keep_partial(bytes.get(used..).unwrap_or_default());
        } else {
            let mut all = std::mem::take(&mut self.partial_reply);
            all.extend_from_slice(bytes);
            let mut passage = Passage::new(&all);
            let used = self.read_replies(&all, &mut passage, effects);
            let passed = passage.finish().into_owned();
            append(&mut effects.to_client, passed.into());
            self.keep_partial(all.get(used..).unwrap_or_default());
        }
        self.release(effects);
        self.tell_share();
    }

    /// Takes the server's end of stream: what of a reply was waiting goes out with it, and so does
    /// a refusal that is still owed.
    pub fn server_end(&mut self) -> Effects<'static> {
        let waiting = std::mem::take(&mut self.partial_reply);
        self.hello = None;
        let mut effects = Effects::default();
        if let Phase::Refused(verdict, Refusal::Owed) = self.phase {
            self.tell_refusal(verdict, &mut effects);
            return effects;
        }
        if !matches!(self.phase, Phase::Unpaired(_)) {
            effects.to_client = waiting.into();
        }
        effects
    }

    fn keep_partial(&mut self, bytes: &[u8]) {
        if !matches!(self.phase, Phase::Closed(_) | Phase::Unpaired(_)) {
            // Hardly ever is there anything, and an empty copy is made as any other.
            self.partial_reply = match bytes {
                [] => Vec::new(),
                _ => bytes.to_vec(),
            };
        }
    }

    /// Reads whole replies (whole lines, where a reply cannot be rewritten); how many bytes are
    /// done with.
    fn read_replies(
        &mut self,
        bytes: &[u8],
        passage: &mut Passage<'_>,
        effects: &mut Effects<'_>,
    ) -> usize {
        let limit = self.policy.config().limits.reply as usize;
        let (mut start, mut at) = (0, 0);
        loop {
            match self.phase {
                Phase::Unpaired(_) => {
                    self.tell_passed(0, bytes.len().saturating_sub(start));
                    self.watch(bytes, start, passage, effects);
                    return bytes.len();
                }
                Phase::Opaque(_) => {
                    self.tell_passed(0, bytes.len().saturating_sub(start));
                    passage.keep(start, bytes.len());
                    return bytes.len();
                }
                Phase::Judged
                | Phase::Exempt(_)
                | Phase::Sentenced(_)
                | Phase::Cut(_)
                | Phase::Closed(_)
                | Phase::Detained(_)
                | Phase::Refused(..) => {}
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Framed::Line { content, len, .. } = frame(rest, limit) else {
                break;
            };
            let end = at + len;
            let line = match ReplyLine::parse(content) {
                _ if end - start > limit => Err(OpaqueCause::LongReply),
                Ok(line) => Ok(line),
                Err(_) => Err(OpaqueCause::InvalidReply),
            };
            at = end;
            let fate = match line {
                Ok(line) if !line.last => {
                    if self.passes_by_line() {
                        self.tell_reply(bytes.get(start..at).unwrap_or_default());
                        passage.keep(start, at);
                        start = at;
                    }
                    continue;
                }
                Ok(line) => {
                    let reply = bytes.get(start..at).unwrap_or_default();
                    self.tell_reply(reply);
                    self.answered(line.code, reply, effects)
                }
                Err(cause) => {
                    self.tell_passed(0, at - start);
                    self.desync(cause, effects)
                }
            };
            self.carry_out(fate, (start, at), passage, effects);
            start = at;
            self.end_reading(effects);
            if matches!(self.phase, Phase::Closed(_)) {
                return bytes.len();
            }
        }
        start
    }

    /// Nothing more is read once the command has its reply behind which bytes went on unread.
    fn end_reading(&mut self, effects: &mut Effects<'_>) {
        let answered = self.tracker.owed().ends_in_barrier().is_none();
        if self.client_side == ClientSide::Unread && answered && self.is_read() {
            self.become_opaque(OpaqueCause::ClosedAhead, effects);
        }
    }

    fn carry_out(
        &mut self,
        fate: Fate,
        (from, to): (usize, usize),
        passage: &mut Passage<'_>,
        effects: &mut Effects<'_>,
    ) {
        match fate {
            Fate::Pass => passage.keep(from, to),
            Fate::Rewrite(reply) => self.say(&reply, passage),
            Fate::LastWord(verdict) => {
                let word = self.close(verdict, effects);
                self.say(&word, passage);
            }
            Fate::PassThenLastWord(verdict) => {
                passage.keep(from, to);
                let word = self.close(verdict, effects);
                self.say(&word, passage);
            }
            Fate::Opaque(cause) => {
                passage.keep(from, to);
                self.become_opaque(cause, effects);
            }
        }
    }

    /// Words of the guard's own.
    pub(super) fn say(&mut self, words: &[u8], passage: &mut Passage<'_>) {
        self.transcribed(|transcript| transcript.guard(words));
        passage.put(words);
    }

    /// Whether the lines of the reply under way can pass before its last one is in: those of a
    /// greeting may come seconds apart, and HELP may be long.
    fn passes_by_line(&self) -> bool {
        let head = self.tracker.owed().head().map(|place| place.answer);
        matches!(head, None | Some(Answer::Greeting | Answer::Other))
    }

    /// Takes a whole reply: what it says and what becomes of it.
    fn answered(&mut self, code: ReplyCode, reply: &[u8], effects: &mut Effects<'_>) -> Fate {
        let early = self.tracker.in_body();
        let doubtful = self.tracker.in_doubtful_body();
        let Some(answer) = self.tracker.replied(code, reply) else {
            // The server may say 421 and go at any time (RFC 5321 section 3.8).
            self.hello = None;
            return match code.0 {
                421 => Fate::Pass,
                _ if doubtful => self.smuggled(effects),
                _ => self.desync(OpaqueCause::UnexpectedReply, effects),
            };
        };
        if let Phase::Cut(verdict) = self.phase
            && !self.tracker.owes_for_message()
        {
            return Self::cut_by(verdict, answer, code);
        }
        if let Phase::Sentenced(verdict) = self.phase
            && (self.tracker.owed().is_empty() || self.tracker.in_body())
            && code.0 != 421
        {
            return Fate::LastWord(verdict);
        }
        match answer {
            // A server that closes by itself has the last word. Not all do close.
            Answer::Rcpt | Answer::Remembered | Answer::RememberedForNow if code.0 == 421 => {
                self.heard(None);
                Fate::Pass
            }
            _ if code.0 == 421 => Fate::Pass,
            Answer::Rcpt => self.rcpt_answered(code, reply, effects),
            Answer::Remembered | Answer::RememberedForNow => {
                self.remembered_answered(answer, effects)
            }
            Answer::Lookup => self.lookup_answered(reply, effects),
            Answer::Refused => {
                self.counts.answered += 1;
                Fate::Rewrite(self.policy.metered(self.facts(&self.counts)))
            }
            Answer::Hello(hello) => match self.transaction_ended(answer, code, effects) {
                Fate::Pass if code.is_success() => {
                    self.remember_reply(code, reply);
                    self.greeted(hello, reply).map_or(Fate::Pass, Fate::Rewrite)
                }
                fate => fate,
            },
            Answer::Mail | Answer::Rset | Answer::Quit => {
                self.transaction_ended(answer, code, effects)
            }
            Answer::Tls(reply) => Fate::Rewrite(self.tls_answered(reply, effects).into()),
            Answer::Message | Answer::Chunk { last: true } => {
                self.message_answered(code, early, doubtful, effects)
            }
            Answer::Chunk { last: false } => self.chunk_answered(code),
            Answer::Auth if code.0 == 235 => self.authenticated(effects),
            Answer::StartTls if code.0 == 220 => Fate::Opaque(OpaqueCause::StartTls),
            Answer::Other if code.is_intermediate() => {
                self.desync(OpaqueCause::UnknownDialogue, effects)
            }
            _ => Fate::Pass,
        }
    }

    /// The client was listed while this reply was owed, and none for a whole message is behind it:
    /// what the server says of one has to reach the client, which would send it again.
    fn cut_by(verdict: Verdict, answer: Answer, code: ReplyCode) -> Fate {
        match answer {
            _ if code.0 == 421 => Fate::Pass,
            Answer::Message | Answer::Chunk { last: true } => Fate::PassThenLastWord(verdict),
            _ => Fate::LastWord(verdict),
        }
    }

    /// The server has said nothing of this recipient, but it did a moment ago.
    fn remembered_answered(&mut self, answer: Answer, effects: &mut Effects<'_>) -> Fate {
        self.transaction.get_or_insert_default().rejected += 1;
        self.counts.tried += 1;
        self.counts.answered += 1;
        self.heard(Some(Heard::Again));
        match self.rejected(effects) {
            Fate::Pass => Fate::Rewrite(self.policy.unknown(answer, self.facts(&self.counts))),
            fate => fate,
        }
    }

    fn rcpt_answered(&mut self, code: ReplyCode, reply: &[u8], effects: &mut Effects<'_>) -> Fate {
        let said = self.policy.rejections().classify(reply);
        self.heard(match said {
            RcptReply::Accepted => Some(Heard::Known),
            RcptReply::Rejected => Some(self.unknown_by(code, reply)),
            RcptReply::Refused => None,
        });
        let transaction = self.transaction.get_or_insert_default();
        self.counts.tried += 1;
        match said {
            RcptReply::Accepted => {
                if let Some(account) = &self.account {
                    account.accepted();
                }
                transaction.accepted += 1;
                self.counts.accepted += 1;
                self.counts.consecutive = 0;
                Fate::Pass
            }
            RcptReply::Refused => Fate::Pass,
            RcptReply::Rejected => {
                transaction.rejected += 1;
                self.rejected(effects)
            }
        }
    }

    /// VRFY and EXPN tell of unknown names as RCPT does; a known one is no recipient taken.
    fn lookup_answered(&mut self, reply: &[u8], effects: &mut Effects<'_>) -> Fate {
        match self.policy.rejections().classify(reply) {
            RcptReply::Accepted | RcptReply::Refused => Fate::Pass,
            RcptReply::Rejected => {
                self.counts.tried += 1;
                self.rejected(effects)
            }
        }
    }

    fn rejected(&mut self, effects: &mut Effects<'_>) -> Fate {
        self.counts.rejected += 1;
        self.counts.consecutive += 1;
        self.looks_suspect(effects);
        match self.rejection_met(Row::Next, || self.policy.after_rejection(&self.counts)) {
            Some(rule) => self.act(rule, effects),
            None => Fate::Pass,
        }
    }

    /// A command that ends the transaction under way has been answered.
    fn transaction_ended(
        &mut self,
        by: Answer,
        code: ReplyCode,
        effects: &mut Effects<'_>,
    ) -> Fate {
        // A refused command ends nothing.
        if !code.is_success() {
            return Fate::Pass;
        }
        let ended = self.transaction.take();
        self.mailboxes.clear();
        if by == Answer::Mail {
            self.transaction = Some(Transaction::default());
        }
        let wasted = ended.is_some_and(|ended| ended.accepted == 0 && ended.rejected > 0);
        if !wasted {
            return Fate::Pass;
        }
        self.counts.wasted += 1;
        // RFC 5321 appendix D.2: whoever says QUIT leaves in peace.
        match self.policy.after_wasted_reset(&self.counts) {
            Some(rule) if by != Answer::Quit && !self.has_standing() => self.act(rule, effects),
            _ => Fate::Pass,
        }
    }

    /// A chunk that is refused takes those before it along (RFC 3030 section 2).
    fn chunk_answered(&mut self, code: ReplyCode) -> Fate {
        if let Some(transaction) = &mut self.transaction {
            transaction.chunks = match code.is_success() {
                true => transaction.chunks.saturating_add(1),
                false => 0,
            };
        }
        Fate::Pass
    }

    fn message_answered(
        &mut self,
        code: ReplyCode,
        early: bool,
        doubtful: bool,
        effects: &mut Effects<'_>,
    ) -> Fate {
        self.transaction = None;
        if code.is_success() {
            self.counts.messages += 1;
            let account = self.account.as_ref().filter(|_| self.is_judged());
            if let Some(account) = account.filter(|_| self.mailboxes.count() > 0) {
                account.delivered(self.mailboxes.count());
            }
        }
        self.mailboxes.clear();
        match early {
            true if doubtful => self.smuggled(effects),
            // A server may refuse a message before it is whole, but not take it.
            true if code.is_success() => self.desync(OpaqueCause::UnexpectedReply, effects),
            _ => Fate::Pass,
        }
    }

    fn authenticated(&mut self, effects: &mut Effects<'_>) -> Fate {
        self.authenticated_for_tls();
        if self.phase == Phase::Judged && self.policy.config().exempt.authenticated {
            self.phase = Phase::Exempt(Exemption::Authenticated);
            self.leave_account();
            effects.notes.push(Note::Exempt(Exemption::Authenticated));
        }
        Fate::Pass
    }

    /// A rule was met by the reply at hand.
    fn act(&mut self, rule: Rule, effects: &mut Effects<'_>) -> Fate {
        self.judge(rule, &mut effects.notes)
            .map_or(Fate::Pass, Fate::LastWord)
    }

    /// Replies and commands no longer pair. With refused recipients among what is owed nothing may
    /// pass, whatever the policy says: their 250 would be read as an acceptance.
    fn desync(&mut self, cause: OpaqueCause, effects: &mut Effects<'_>) -> Fate {
        if let Phase::Sentenced(verdict) | Phase::Cut(verdict) = self.phase {
            return Fate::LastWord(verdict);
        }
        let refusals = self.tracker.owed().holds_refusals();
        let rule = refusals.then_some(Rule::Desync);
        rule.or_else(|| self.policy.on_desync())
            .and_then(|rule| self.judge(rule, &mut effects.notes))
            .map_or(Fate::Opaque(cause), Fate::LastWord)
    }

    /// The server took something inside a message for its end, and may have read what followed as
    /// commands: whoever sends that is past trusting, whatever `desync` says.
    fn smuggled(&mut self, effects: &mut Effects<'_>) -> Fate {
        self.judge(Rule::Smuggling, &mut effects.notes).map_or(
            Fate::Opaque(OpaqueCause::UnexpectedReply),
            Fate::PassThenLastWord,
        )
    }
}
