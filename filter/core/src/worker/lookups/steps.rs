//! What goes between the lookups and their host.

use crate::client::Client;
use crate::dnsbl::{Fault, Request};
use crate::policy::Listing;
use crate::worker::Standing;
use std::rc::Rc;
use std::time::Duration;

/// The time, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the Unix epoch; the clock all workers share. Answers expire by it.
    pub wall: Duration,
    /// By a clock nobody sets. Waiting ends by it.
    pub steady: Duration,
}

impl Now {
    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn seconds(self) -> u32 {
        super::seconds(self.wall)
    }
}

/// What waits for a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A greeting, at most for `dnsbl.budget_ms`.
    Greeting,
    /// A session that goes on meanwhile.
    Session,
}

/// What becomes of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookUp {
    /// It is over already.
    Ruled(Ruling, Told),
    /// Another session's will do.
    Waits,
    /// It is to begin: [`super::Lookups::next_queued`], now and whenever answers have come.
    Begins,
}

/// How a ruling came about without a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Addresses like this one are never asked about.
    Reserved,
    /// It was asked not long ago.
    Remembered,
    /// Another session has just been told.
    Joined,
    /// No site can be asked now.
    NoSite,
    /// Too many questions wait for answers.
    Full,
}

/// What a lookup comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// The client is welcome.
    Clear,
    /// It is listed.
    Listed(Rc<Listing>),
    /// Not known in time: it is let in.
    OverBudget,
    /// Not asked, for want of room: it is let in.
    Skipped,
}

/// A question to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What [`super::Lookups::answered`] knows it by.
    pub ticket: u32,
    /// The zone that is asked.
    pub zone: usize,
    /// The HTTP request.
    pub request: Request,
}

/// Something worth a counter, and where it is a change of standing a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupNote {
    /// A zone was asked about a client.
    Asked(usize),
    /// One of a zone's test points was asked.
    Tested(usize),
    /// A zone has a client.
    Listed(usize),
    /// A zone does not have a client.
    Unlisted(usize),
    /// A question to a zone failed.
    Failed(usize, Fault),
    /// A zone is asked from now on, or is not.
    Standing(usize, Standing),
}

/// What the host is to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps<W> {
    /// What is to be counted and logged.
    pub notes: Vec<LookupNote>,
    /// Connections whose lookup is over.
    pub rulings: Vec<(W, Ruling)>,
    /// Clients of which workers are to be told: [`super::Lookups::publish`].
    pub publish: Vec<Client>,
    /// Questions to be sent. Each comes back, by [`super::Lookups::answered`], whatever becomes
    /// of it.
    pub questions: Vec<Question>,
}

impl<W> Default for Steps<W> {
    fn default() -> Self {
        Self {
            notes: Vec::new(),
            rulings: Vec::new(),
            publish: Vec::new(),
            questions: Vec::new(),
        }
    }
}

impl<W> Steps<W> {
    /// Adds steps that come after these.
    pub fn append(&mut self, mut later: Self) {
        self.notes.append(&mut later.notes);
        self.rulings.append(&mut later.rulings);
        self.publish.append(&mut later.publish);
        self.questions.append(&mut later.questions);
    }
}
