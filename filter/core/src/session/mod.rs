//! One connection: the only place that joins what is said with what we think of it.
//!
//! A host feeds a [`Session`] with the bytes of both sides and carries out the [`Effects`] it gets
//! back, in that order:
//!
//! - [`Session::refuse`] if a rule of the door is met;
//! - [`Session::client_bytes`] for every batch the client sent, [`Session::client_end`] once when
//!   the client closes its side (the bytes that came with it first);
//! - [`Session::server_bytes`] for every batch of the server, [`Session::server_end`] once;
//! - [`Session::record`] when the connection is over.
//!
//! The life of a session is in `LIFECYCLE.md` beside this file.

mod client;
mod door;
mod effects;
mod hello;
mod json;
mod ledger;
mod names;
mod passage;
mod record;
mod server;
mod tarpit;
mod tls;
mod transcript;
mod unpaired;

#[cfg(test)]
mod tests;

pub use door::Door;
pub use effects::{
    Ask, Carrier, Close, Commands, Effects, Exemption, Note, OpaqueCause, Transport, Voice,
};
pub use ledger::Cut;
pub use record::{Ended, Ending, Record};
pub use transcript::{Frame, Shelf, Shortened, Transcribed};

use crate::ledger::{Account, Listing as Listed, Turn};
use crate::policy::{Counts, Facts, Listing, LookupMode, Mode, Policy, Rule, Verdict};
use crate::smtp::Tracker;
use door::Refusal;
use hello::Remembered;
use ledger::Room;
use names::{Mailboxes, Names};
use record::Traffic;
use std::net::IpAddr;
use std::rc::Rc;
use tls::Tls;
use transcript::Transcript;

/// How a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is read and judged.
    Judged,
    /// It is read, but no rule acts.
    Exempt(Exemption),
    /// Replies and commands no longer pair. Bytes pass untouched, but replies that say a mailbox is
    /// unknown still count.
    Unpaired(OpaqueCause),
    /// It is not read any more: bytes pass untouched.
    Opaque(OpaqueCause),
    /// A rule was met by a command: the reply to it will be the last word.
    Sentenced(Verdict),
    /// Its client was listed: the next reply will be the last word, or be followed by it.
    Cut(Verdict),
    /// The last word is out: nothing passes any more.
    Closed(Verdict),
    /// It was let in to nothing but a slow dialogue with the guard itself.
    Detained(Verdict),
    /// It was ended at the door: nothing passes at all.
    Refused(Verdict, Refusal),
}

/// Whether the client may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientSide {
    Open,
    /// Its end of stream was seen: what is held cannot be sent in parts any more, since the host
    /// passes the end of stream on with the first of them.
    Ended,
    /// The same, and what stood behind an unanswered DATA or BDAT went on unread. The session is
    /// read until that has its reply.
    Unread,
}

/// The transaction under way (RFC 5321 section 3.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Transaction {
    accepted: u32,
    rejected: u32,
    /// Chunks of the message under way that the server has taken (RFC 3030 section 2).
    chunks: u32,
}

/// The guard's view of one SMTP session. Holds at most `limits.held` octets of commands and
/// `limits.reply` octets and one batch of one reply, each only while it waits.
#[derive(Debug)]
pub struct Session {
    policy: Rc<Policy>,
    client: Option<IpAddr>,
    /// Whether verdicts on this client are carried out.
    stance: Mode,
    tracker: Tracker,
    phase: Phase,
    client_side: ClientSide,
    tls: Tls,
    /// The last EHLO, as long as the server would say the same to it again.
    hello: Option<Box<Remembered>>,
    counts: Counts,
    transaction: Option<Transaction>,
    traffic: Traffic,
    /// Whether the client has said QUIT.
    quits: bool,
    /// What the ledger says of the client, if it lists it.
    listed: Option<Listed>,
    /// The first verdict of each rule that was met but not carried out.
    observed: Vec<Verdict>,
    /// What DNS blacklists say of the client, if they list it.
    listing: Option<Rc<Listing>>,
    ask: Ask,
    /// The verdict that waits for the client's next command.
    condemned: Option<Verdict>,
    /// What it shares with its client's other sessions, if they are to be remembered.
    account: Option<Rc<Account>>,
    /// Recipients of this session that the account counts as being asked about.
    share: u32,
    /// Recipients that may be among what went on unread, for as long as the session lasts.
    hidden: u32,
    /// Their names, if there is an account: at most `limits.owed_replies`.
    names: Names,
    /// Those of the transaction under way.
    mailboxes: Mailboxes,
    room: Room,
    turn: Turn,
    dialogue: Option<Box<tarpit::Dialogue>>,
    transcript: Option<Box<Transcript>>,
    held: Vec<u8>,
    /// What of a reply waits for its end; once unpaired, the head of a line that has passed.
    partial_reply: Vec<u8>,
}

impl Session {
    /// A connection from `client`, where its address is known; and what is to be noted of it.
    #[must_use]
    pub fn new(policy: Rc<Policy>, client: Option<IpAddr>) -> (Self, Option<Note>) {
        let limits = &policy.config().limits;
        let tracker = Tracker::new(limits.command_line as usize, limits.owed_replies as usize);
        let (phase, note) = match client {
            Some(address) if policy.exempts(address) => {
                let why = Exemption::Network;
                (Phase::Exempt(why), Some(Note::Exempt(why)))
            }
            _ => (Phase::Judged, None),
        };
        let session = Self {
            stance: match policy.enforces_at(client) {
                true => Mode::Enforce,
                false => Mode::Observe,
            },
            policy,
            client: client.map(|address| address.to_canonical()),
            tracker,
            phase,
            client_side: ClientSide::Open,
            tls: Tls::default(),
            hello: None,
            counts: Counts::default(),
            transaction: None,
            traffic: Traffic::default(),
            quits: false,
            listed: None,
            observed: Vec::new(),
            listing: None,
            ask: Ask::Nothing,
            condemned: None,
            account: None,
            share: 0,
            hidden: 0,
            names: Names::default(),
            mailboxes: Mailboxes::default(),
            room: Room::Enough,
            turn: Turn::Others,
            dialogue: None,
            transcript: None,
            held: Vec::new(),
            partial_reply: Vec::new(),
        };
        (session, note)
    }

    /// The client's address, IPv4-mapped ones as IPv4.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Whether bytes pass unread from here on, so that they need not be shown any more.
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        matches!(self.phase, Phase::Opaque(_))
    }

    /// Whether the session ended at the door, be it in a dialogue of the guard's own.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.phase, Phase::Refused(..) | Phase::Detained(_))
    }

    /// What the session has done so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Octets that wait in the guard for a reply, or for the rest of their line.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// What is to be remembered of the session; its end is added by [`Record::ending`].
    #[must_use]
    pub fn record(&self) -> Record {
        Record::new(self)
    }

    /// Whether that is to be logged, by a lot that no other session has drawn.
    #[must_use]
    pub fn is_recorded(&self, lot: u64) -> bool {
        let met_a_rule = Record::verdict_of(self).1.is_some();
        self.policy.records(met_a_rule, lot)
    }

    /// Octets have passed unread.
    pub fn passed(&mut self, from_client: usize, from_server: usize) {
        self.traffic.add(from_client, from_server);
        self.tell_passed(from_client, from_server);
    }

    /// The ledger has listed the client.
    pub fn found_in_ledger(&mut self, listing: Listed) {
        self.listed = Some(listing);
    }

    /// Whether the client's bytes are read as commands.
    fn is_read(&self) -> bool {
        matches!(self.phase, Phase::Judged | Phase::Exempt(_))
    }

    /// Whether rules act on this session now.
    fn is_enforced(&self) -> bool {
        self.is_judged() && self.stance == Mode::Enforce
    }

    /// Whether rules apply to this session now, be it only to be observed.
    fn is_judged(&self) -> bool {
        matches!(self.phase, Phase::Judged | Phase::Unpaired(_))
    }

    /// A rule was met. The verdict if it is to be carried out; noted if it is only observed.
    fn judge(&mut self, rule: Rule, notes: &mut Vec<Note>) -> Option<Verdict> {
        let verdict = Verdict {
            rule,
            counts: self.counts,
        };
        if self.is_enforced() && self.policy.enforces_rule(rule) {
            return Some(verdict);
        }
        let told = self.observed.iter().any(|earlier| earlier.rule == rule);
        if self.is_judged() && !told {
            self.observed.push(verdict);
            notes.push(Note::Observed(verdict));
        }
        None
    }

    /// Ends the session: its last word.
    fn close(&mut self, verdict: Verdict, effects: &mut Effects<'_>) -> Vec<u8> {
        let was_cut = matches!(self.phase, Phase::Cut(_));
        if !was_cut {
            // One that was cut has told so already.
            effects.notes.push(Note::Closed(verdict));
        }
        let held = std::mem::take(&mut self.held);
        self.tell_given_up(&held);
        self.phase = Phase::Closed(verdict);
        self.partial_reply = Vec::new();
        effects.close = match self.client_side {
            ClientSide::Open if !was_cut => Close::Linger,
            // All sessions of a client that was listed end at once.
            _ => Close::Now,
        };
        self.last_word(&verdict)
    }

    /// What reply texts can tell.
    fn facts<'a>(&'a self, counts: &'a Counts) -> Facts<'a> {
        Facts {
            client: self.client,
            counts,
            listing: self.listing.as_deref(),
        }
    }

    /// A recipient was unknown: where only such clients are looked up, now is the time, once.
    fn looks_suspect(&mut self, effects: &mut Effects<'_>) {
        let mode = self.policy.lookup();
        if mode == LookupMode::FirstRejection && self.ask == Ask::Nothing && self.is_judged() {
            self.ask = Ask::Dnsbl;
            effects.ask = Ask::Dnsbl;
        }
    }

    /// Stops reading. What is held goes on as it is.
    fn become_opaque(&mut self, cause: OpaqueCause, effects: &mut Effects<'_>) {
        self.phase = match self.phase {
            // What is encrypted says nothing.
            Phase::Judged if cause != OpaqueCause::StartTls => Phase::Unpaired(cause),
            _ => Phase::Opaque(cause),
        };
        effects.notes.push(Note::Opaque(cause));
        self.names = Names::default();
        self.partial_reply = Vec::new();
        let held = std::mem::take(&mut self.held);
        passage::append(&mut effects.to_server, held.into());
    }
}
