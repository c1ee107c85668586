//! What a session has in common with the others of its client, and how it ends with them.

use super::client::NOOP;
use super::effects::{Effects, Note};
use super::names::Names;
use super::{Phase, Session};
use crate::ledger::{Account, Heard, Row, Turn};
use crate::policy::{Mode, Rule, Verdict};
use crate::smtp::{Answer, Command, LineEnd, Recipient, ReplyCode, Verb, certain_mailbox};
use std::rc::Rc;

/// What became of a session whose client is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It is left alone.
    Spared,
    /// Nothing is owed to the client: the connection can be closed.
    Now,
    /// The server has a whole message, and what it says of it must reach the client, which would
    /// send it again. The last word follows that.
    Message,
    /// The client waits for replies that the server does not owe: these bytes are to be sent to it
    /// instead of all that waits, and then as with [`Self::Owed`].
    Ask(&'static [u8]),
    /// The next reply of the server becomes the last word, or is followed by it. A server that
    /// takes its time need not be waited for.
    Owed,
}

/// Whether a command waits for other sessions of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    Wanted,
}

impl Session {
    /// Lets the session share its client's account, before its first byte.
    pub fn charge_to(&mut self, account: Rc<Account>) {
        if self.is_judged() {
            self.account = Some(account);
        }
    }

    /// Whether the session waits until others of its client have their replies, and can go on now.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        self.lacks_room() && self.budget_in(Turn::Own) > 0
    }

    /// Whether the session waits until others of its client have their replies: no reply that is
    /// owed to itself would wake it.
    #[must_use]
    pub fn waits_for_others(&self) -> bool {
        self.lacks_room() && self.tracker.owed().is_empty()
    }

    /// Whether the session's account has nothing to tell that cannot wait, and nobody waits for what
    /// is in it: as after nearly every input.
    #[must_use]
    pub fn leaves_account_as_it_is(&self) -> bool {
        let account = self.account.as_ref();
        account.is_some_and(|account| account.is_quiet())
    }

    /// Whether something is held for want of room, and could go on.
    fn lacks_room(&self) -> bool {
        self.room == Room::Wanted && self.is_read() && !self.held.is_empty()
    }

    /// The client is listed: whatever the session was about to do, it ends.
    #[must_use]
    pub fn cut(&mut self) -> (Cut, Vec<Note>) {
        let mut notes = Vec::new();
        let verdict = match self.phase {
            Phase::Closed(_) | Phase::Detained(_) | Phase::Refused(..) | Phase::Exempt(_) => {
                return (Cut::Spared, notes);
            }
            Phase::Cut(_) => return (Cut::Spared, notes),
            // Whoever has authenticated has no account any more.
            _ if self.account.is_none() => return (Cut::Spared, notes),
            _ if !self.enforces_ledger() => {
                // Only to be noted, where it can still be judged.
                let _ = self.judge(Rule::Ledger, &mut notes);
                return (Cut::Spared, notes);
            }
            Phase::Sentenced(verdict) => verdict,
            Phase::Judged | Phase::Unpaired(_) | Phase::Opaque(_) => Verdict {
                rule: Rule::Ledger,
                counts: self.counts,
            },
        };
        notes.push(Note::Closed(verdict));
        // In the middle of a message the server has nothing to say.
        let readable =
            matches!(self.phase, Phase::Judged | Phase::Sentenced(_)) && !self.tracker.in_body();
        let held = std::mem::take(&mut self.held);
        self.tell_given_up(&held);
        self.phase = Phase::Cut(verdict);
        let cut = match () {
            () if readable && self.tracker.owes_for_message() => Cut::Message,
            () if readable && !self.tracker.owed().is_empty() => Cut::Owed,
            () if readable && !held.is_empty() => {
                let noop = Command::parse(NOOP.trim_ascii_end());
                self.tracker.sent(&noop, LineEnd::Crlf, Answer::Refused);
                Cut::Ask(NOOP)
            }
            () => {
                self.phase = Phase::Closed(verdict);
                self.partial_reply = Vec::new();
                Cut::Now
            }
        };
        (cut, notes)
    }

    /// Whether what the ledger says is carried out.
    fn enforces_ledger(&self) -> bool {
        self.stance == Mode::Enforce && self.policy.enforces_rule(Rule::Ledger)
    }

    /// Sends on what waited for other sessions of the client: it is this one's turn.
    pub fn go_on(&mut self) -> Effects<'static> {
        let mut effects = Effects::default();
        self.turn = Turn::Own;
        self.release(&mut effects);
        self.turn = Turn::Others;
        self.tell_arrival(0);
        self.tell_share();
        effects
    }

    /// Whether limits do not hold for the client, since it is known for good mail.
    pub(super) fn has_standing(&self) -> bool {
        let account = self.account.as_ref();
        account.is_some_and(|account| account.has_standing())
    }

    /// What the client's other sessions leave; all there is where listings are only observed.
    fn room(&self, account: &Account, turn: Turn) -> u32 {
        match self.policy.enforces_rule(Rule::Ledger) {
            true => account.room_for(self.share, turn),
            false => u32::MAX,
        }
    }

    /// How many more recipients may be asked about before replies to the earlier ones are in.
    pub(super) fn budget_left(&self) -> u32 {
        self.budget_in(self.turn)
    }

    fn budget_in(&self, turn: Turn) -> u32 {
        let in_flight = self.tracker.owed().lookups_in_flight();
        // A session may have gone beyond its limits while its client had standing: its next unknown
        // recipient ends it.
        let own = self.policy.budget(&self.counts).max(1);
        let allowed = match &self.account {
            Some(account) if account.has_standing() => self.room(account, turn),
            Some(account) => self.room(account, turn).min(own),
            None => own,
        };
        allowed.saturating_sub(in_flight)
    }

    /// Tells the client's account how many recipients this session is asking about.
    pub(super) fn tell_share(&mut self) {
        let read = match self.phase {
            // Nobody knows any more when they are answered.
            Phase::Unpaired(_) | Phase::Opaque(_) => 0,
            _ => self.tracker.owed().lookups_in_flight(),
        };
        let share = read.saturating_add(self.hidden);
        if let Some(account) = &self.account
            && share != self.share
        {
            account.asks(self.share, share);
            self.share = share;
        }
    }

    /// Leaves the client's account: what the session does is its own affair from here on.
    pub(super) fn leave_account(&mut self) {
        if let Some(account) = self.account.take() {
            account.asks(self.share, 0);
            self.share = 0;
            self.names = Names::default();
        }
    }

    /// The verdict on a command that names a trap.
    pub(super) fn trapped_at(
        &mut self,
        command: &Command<'_>,
        effects: &mut Effects<'_>,
    ) -> Option<Verdict> {
        if command.verb != Verb::Rcpt || !self.policy.sets_traps() || self.has_standing() {
            return None;
        }
        let recipient = Recipient::parse(command.argument)?;
        let mailbox = recipient.mailbox()?;
        let rule = self
            .policy
            .on_mailbox(&mailbox)
            .filter(|_| !recipient.is_postmaster())?;
        if self.is_judged()
            && let Some(account) = &self.account
        {
            account.trapped();
        }
        self.judge(rule, &mut effects.notes)
    }

    /// What the guard answers for the server, if that has just called the recipient unknown.
    pub(super) fn remembers(&mut self, name: Option<&Recipient<'_>>) -> Option<Answer> {
        if !self.is_enforced() {
            return None;
        }
        let account = self.account.as_ref()?;
        let watch = account.watch();
        let name = name.filter(|_| watch.remembered() > 0)?;
        let heard = watch.unknown(self.names.spell(name));
        match heard.filter(|_| !account.has_standing())? {
            Heard::UnknownForNow => Some(Answer::RememberedForNow),
            _ => Some(Answer::Remembered),
        }
    }

    /// The name that a RCPT asks about, if there is an account. Where servers may read the line
    /// differently, what one says of it need not be about that name.
    pub(super) fn name_in<'a>(&self, command: &Command<'a>, end: LineEnd) -> Option<Recipient<'a>> {
        let asks = command.verb == Verb::Rcpt && self.account.is_some();
        let certain = asks && end == LineEnd::Crlf && !command.has_stray_controls();
        certain.then(|| certain_mailbox(command.argument)).flatten()
    }

    /// Keeps the name of a recipient until its reply is in.
    pub(super) fn keep_name(&mut self, name: Option<&Recipient<'_>>) {
        if self.account.is_some() {
            self.names.push(name);
        }
    }

    /// The recipient asked about first has its answer.
    pub(super) fn heard(&mut self, heard: Option<Heard>) {
        let name = self.names.first();
        if let (Some(account), Some(heard)) = (&self.account, heard) {
            let client = account.client();
            account.watch().heard(client, name, heard);
        }
        if let (Some(Heard::Known), Some(name)) = (heard, name) {
            self.mailboxes.add(name);
        }
        self.names.pop();
    }

    /// What a rejection says of the name.
    pub(super) fn unknown_by(&self, code: ReplyCode, reply: &[u8]) -> Heard {
        match self.policy.rejections().says_so(reply) {
            true if code.is_permanent() => Heard::Unknown,
            true => Heard::UnknownForNow,
            false => Heard::Unclear,
        }
    }

    /// A recipient was unknown: the rule it meets, of the session or of its client.
    pub(super) fn rejection_met(
        &self,
        row: Row,
        of_session: impl FnOnce() -> Option<Rule>,
    ) -> Option<Rule> {
        let account = self.account.as_ref().filter(|_| self.is_judged());
        let fault = account.and_then(|account| account.rejected(row));
        match self.has_standing() {
            true => None,
            false => of_session().or_else(|| fault.map(Rule::from)),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.abandon(self.share);
        }
    }
}
