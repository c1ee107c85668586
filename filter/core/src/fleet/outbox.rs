//! What is to be written into the store.

use super::wire::{Fault, Totals, write_request};
use crate::client::Client;
use crate::dnsbl::Request;
use crate::ledger::Listing;
use crate::policy::Policy;
use lru::LruCache;
use std::time::Duration;

/// Clients in one request, which is some 4 KiB with the script. The next one follows at once.
const BATCH: usize = 20;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// What there is to tell of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// Unknown recipients.
    pub rejected: u32,
    /// Delivered ones.
    pub delivered: u32,
    /// A listing made here.
    pub listed: Option<Listing>,
}

/// What is to be written: bounded, one request at a time. A batch that failed is sent again as it
/// was, under the same number, so that the store counts it once.
#[derive(Debug)]
pub struct Outbox {
    origin: String,
    capacity: usize,
    waiting: LruCache<Client, News>,
    batch: Vec<(Client, News)>,
    number: u64,
    /// When the batch is sent; none while it is on its way.
    next: Option<Duration>,
}

impl Outbox {
    /// Of at most `capacity` clients. `origin` is what no other writer calls itself.
    #[must_use]
    pub fn new(origin: String, capacity: u32) -> Self {
        Self {
            origin,
            capacity: capacity as usize,
            waiting: LruCache::unbounded(),
            batch: Vec::new(),
            number: 0,
            next: Some(Duration::ZERO),
        }
    }

    /// There is news of a client. How many clients' news are lost for it, for want of room.
    pub fn add(&mut self, client: Client, news: News) -> u32 {
        if let Some(waiting) = self.waiting.peek_mut(&client) {
            // It keeps its place: the busiest client must not be the last one written.
            waiting.rejected = waiting.rejected.saturating_add(news.rejected);
            waiting.delivered = waiting.delivered.saturating_add(news.delivered);
            waiting.listed = news.listed.or(waiting.listed);
            return 0;
        }
        self.waiting.put(client, news);
        if self.waiting.len() > self.capacity {
            self.waiting.pop_lru();
            return 1;
        }
        0
    }

    /// The request that is due at `now`, a time on any steady clock; `seconds` since the Unix
    /// epoch. It has to be answered by [`Self::written`] or [`Self::failed`].
    pub fn due(&mut self, policy: &Policy, now: Duration, seconds: u32) -> Option<Request> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        if self.batch.is_empty() {
            while self.batch.len() < BATCH {
                let Some(news) = self.waiting.pop_lru() else {
                    break;
                };
                self.batch.push(news);
            }
            if self.batch.is_empty() {
                return None;
            }
            self.number += 1;
        }
        self.next = None;
        let sender = (self.origin.as_str(), self.number);
        Some(write_request(policy, sender, seconds, &self.batch))
    }

    /// How many clients the batch on its way is about.
    #[must_use]
    pub fn on_its_way(&self) -> usize {
        self.batch.len()
    }

    /// The batch was written: its news, and what all guards together know of their clients.
    pub fn written(&mut self, totals: Vec<Totals>, now: Duration) -> Vec<((Client, News), Totals)> {
        self.next = Some(now);
        let batch = std::mem::take(&mut self.batch).into_iter();
        batch.zip(totals).collect()
    }

    /// The batch was not written, as far as is known. One that Redis itself refuses would be
    /// refused again, and one whose sums make no sense would make none again: how many clients' news
    /// are lost with it.
    pub fn failed(&mut self, fault: Fault, now: Duration) -> u32 {
        self.next = Some(now + PAUSE);
        if !matches!(fault, Fault::Refused | Fault::Garbled) {
            return 0;
        }
        let lost = std::mem::take(&mut self.batch).len();
        u32::try_from(lost).unwrap_or(u32::MAX)
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.batch.is_empty()
    }
}
