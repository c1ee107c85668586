//! What the live sessions of one client on one worker have in common.

use super::entry::Entry;
use super::terms::Reason;
use super::watch::Watch;
use crate::client::Client;
use std::cell::Cell;
use std::rc::Rc;

/// One client on one worker, as long as it has sessions: what all workers knew of it when somebody
/// last looked, what its sessions here have done since, and how many recipients they are asking
/// the server about. Sessions take turns, so plain cells do.
#[derive(Debug)]
pub struct Account {
    client: Client,
    watch: Rc<Watch>,
    entry: Cell<Entry>,
    news: Cell<News>,
    in_flight: Cell<u32>,
    abandoned: Cell<u32>,
    waiting: Cell<u32>,
}

/// Whose turn it is to ask about recipients, where sessions wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The session's own.
    Own,
    /// That of whoever has waited longest.
    Others,
}

/// What sessions have to tell of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// Unknown recipients.
    pub rejected: u32,
    /// Recipients of messages that the server has taken.
    pub delivered: u32,
    /// What became of the streak.
    pub streak: Streak,
    /// Why the client is to be listed, as far as is known here.
    pub fault: Option<Reason>,
}

/// Whether an unknown recipient is the next one in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// It is.
    Next,
    /// What lies between it and the one before is not known.
    Lost,
}

/// Unknown recipients in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streak {
    /// So many more.
    Longer(u32),
    /// It ended; so many since.
    Anew(u32),
}

impl Default for Streak {
    fn default() -> Self {
        Self::Longer(0)
    }
}

impl Streak {
    fn grow(self) -> Self {
        match self {
            Self::Longer(by) => Self::Longer(by.saturating_add(1)),
            Self::Anew(since) => Self::Anew(since.saturating_add(1)),
        }
    }
}

impl News {
    pub(super) fn trapped(&self) -> bool {
        self.fault == Some(Reason::Trap)
    }
}

impl Account {
    /// A client of which all workers know `entry`.
    #[must_use]
    pub fn new(client: Client, entry: Entry, watch: Rc<Watch>) -> Self {
        let entry = entry.at(watch.now(), &watch.terms());
        Self {
            client,
            watch,
            entry: Cell::new(entry),
            news: Cell::default(),
            in_flight: Cell::new(0),
            abandoned: Cell::new(0),
            waiting: Cell::new(0),
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client
    }

    /// What all sessions of the worker have in common.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// What is known of the client here and now.
    #[must_use]
    pub fn entry(&self) -> Entry {
        self.entry.get().at(self.watch.now(), &self.watch.terms())
    }

    /// Whether the client is known for good mail.
    #[must_use]
    pub fn has_standing(&self) -> bool {
        self.entry().has_standing(&self.watch.terms())
    }

    /// How many recipients more a session may ask about that is asking about `own` already.
    #[must_use]
    pub fn room(&self, own: u32) -> u32 {
        let entry = self.entry();
        if entry.listing(self.watch.now()).is_some() {
            // Its sessions are about to end.
            return 0;
        }
        let allowance = entry.allowance(&self.watch.terms()).max(1);
        // Those of the session itself are its own affair.
        let others = self.in_flight.get().saturating_sub(own);
        allowance.saturating_sub(others)
    }

    /// As [`Self::room`], where some sessions wait for their turn: whoever has one takes no more
    /// than its share, and others take nothing.
    #[must_use]
    pub fn room_for(&self, own: u32, turn: Turn) -> u32 {
        match (turn, self.waiting.get()) {
            (_, 0) => self.room(own),
            (Turn::Others, _) => 0,
            (Turn::Own, waiting) => {
                let allowance = self.entry().allowance(&self.watch.terms());
                let share = allowance / waiting.saturating_add(1);
                self.room(own).min(share.max(1))
            }
        }
    }

    /// So many sessions wait for their turn.
    pub fn let_wait(&self, sessions: usize) {
        let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
        self.waiting.set(sessions);
    }

    /// A session asks about `now` recipients and no longer about `before`.
    pub fn asks(&self, before: u32, now: u32) {
        let others = self.in_flight.get().saturating_sub(before);
        self.in_flight.set(others.saturating_add(now));
    }

    /// A session is over that was asking about so many recipients. The server may go on looking for
    /// them, so they count as being asked about until [`Self::asks`] takes them back.
    pub fn abandon(&self, recipients: u32) {
        let abandoned = self.abandoned.get().saturating_add(recipients);
        self.abandoned.set(abandoned);
    }

    /// Recipients abandoned since this was last asked.
    #[must_use]
    pub fn take_abandoned(&self) -> u32 {
        self.abandoned.take()
    }

    /// Whether recipients are being asked about.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.in_flight.get() > 0
    }

    /// A recipient was unknown. Why that lists the client, if it does.
    pub fn rejected(&self, row: Row) -> Option<Reason> {
        let mut entry = self.entry();
        let mut news = self.news.get();
        entry.reject(1);
        news.rejected = news.rejected.saturating_add(1);
        if row == Row::Next {
            entry.streak += 1.0;
            news.streak = news.streak.grow();
        }
        let fault = entry.fault(&self.watch.terms());
        self.entry.set(entry);
        news.fault = news.fault.or(fault);
        self.news.set(news);
        fault
    }

    /// The server has taken a message for this many recipients.
    pub fn delivered(&self, recipients: u32) {
        let mut entry = self.entry();
        entry.deliver(recipients);
        self.entry.set(entry);
        let mut news = self.news.get();
        news.delivered = news.delivered.saturating_add(recipients);
        self.news.set(news);
        self.accepted();
    }

    /// The server has taken a recipient: if there was a streak, it is over.
    pub fn accepted(&self) {
        let mut entry = self.entry.get();
        if entry.streak > 0.0 {
            entry.streak = 0.0;
            self.entry.set(entry);
            let mut news = self.news.get();
            news.streak = Streak::Anew(0);
            self.news.set(news);
        }
    }

    /// Whether what there is to tell can wait, and no session waits for its turn.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.waiting.get() == 0 && !self.has_urgent_news()
    }

    /// Whether what there is to tell cannot wait until the client's last session is over: all but
    /// further deliveries of a client that others know for good mail already.
    #[must_use]
    pub fn has_urgent_news(&self) -> bool {
        let news = self.news.get();
        if news == News::default() {
            return false;
        }
        let mut told = self.entry();
        told.delivered = (told.delivered - news.delivered as f32).max(0.0);
        let was_known = told.has_standing(&self.watch.terms());
        news.rejected > 0 || news.fault.is_some() || !was_known
    }

    /// A recipient was tried that never existed.
    pub fn trapped(&self) {
        let mut news = self.news.get();
        news.fault = Some(Reason::Trap);
        self.news.set(news);
    }

    /// What there is to tell since this was last asked.
    #[must_use]
    pub fn take_news(&self) -> Option<News> {
        let news = self.news.take();
        (news != News::default()).then_some(news)
    }

    /// Takes over what all workers know by now. What they have not been told yet comes on top.
    pub fn learn(&self, entry: Entry) {
        let mut entry = entry.at(self.watch.now(), &self.watch.terms());
        entry.hear(&self.news.get());
        self.entry.set(entry);
    }
}
