//! Which mailboxes there are.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// The mailboxes of one domain, and what asking for one costs and says.
#[derive(Clone, Debug)]
pub struct Mailboxes {
    domain: String,
    known: HashSet<String>,
    unknown_reply: String,
    lookup_cost: Duration,
}

impl Mailboxes {
    /// Mailboxes `known` of `domain` (any letter case); `postmaster` is always there.
    pub fn new<I>(domain: &str, known: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut known: HashSet<String> = known
            .into_iter()
            .map(|name| name.as_ref().trim().to_ascii_lowercase())
            .filter(|name| !name.is_empty())
            .collect();
        known.insert("postmaster".to_owned());
        Self {
            domain: domain.to_ascii_lowercase(),
            known,
            unknown_reply: "451 No such user".to_owned(),
            lookup_cost: Duration::ZERO,
        }
    }

    /// The reply line for a mailbox that is not there; `{address}` in it becomes
    /// the address. `451 No such user` by default.
    #[must_use]
    pub fn unknown_reply(mut self, reply: &str) -> Self {
        reply.trim_end().clone_into(&mut self.unknown_reply);
        self
    }

    /// CPU time every look-up burns, to stand for a directory behind the server.
    #[must_use]
    pub fn lookup_cost(mut self, cost: Duration) -> Self {
        self.lookup_cost = cost;
        self
    }

    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// Looks an address up.
    pub(super) fn knows(&self, address: &str) -> bool {
        self.spend();
        let address = address.to_ascii_lowercase();
        match address.rsplit_once('@') {
            Some((local, domain)) => domain == self.domain && self.known.contains(local),
            // RFC 5321 section 4.1.1.3: postmaster needs no domain.
            None => address == "postmaster",
        }
    }

    pub(super) fn reply_to_unknown(&self, address: &str) -> String {
        self.unknown_reply.replace("{address}", address)
    }

    fn spend(&self) {
        if self.lookup_cost.is_zero() {
            return;
        }
        let start = Instant::now();
        while start.elapsed() < self.lookup_cost {
            std::hint::spin_loop();
        }
    }
}
