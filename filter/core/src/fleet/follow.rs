//! When the feed is read.

use super::wire::{Fault, Feed, FeedId, feed_request};
use crate::dnsbl::Request;
use crate::policy::Policy;
use std::time::Duration;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether the store can be used, when that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It cannot, from now on.
    Gone(Fault),
    /// It can again.
    Back,
}

/// Follows the feed: one question at a time, and after a failure ever longer pauses.
#[derive(Debug)]
pub struct Follow {
    every: Duration,
    after: FeedId,
    next: Option<Duration>,
    pause: Duration,
    health: Health,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Bad,
}

impl Follow {
    /// Reads the feed every `every`, from its beginning.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            after: FeedId::default(),
            next: Some(Duration::ZERO),
            pause: every,
            health: Health::Good,
        }
    }

    /// The question that is due at `now`, a time on any steady clock. It has to be answered by
    /// [`Self::answered`], whatever becomes of it.
    pub fn due(&mut self, policy: &Policy, now: Duration) -> Option<Request> {
        self.next.take_if(|next| *next <= now)?;
        Some(feed_request(policy, &self.after))
    }

    /// What became of the question.
    pub fn answered(&mut self, answer: &Result<Feed, Fault>, now: Duration) -> Option<Turn> {
        match answer {
            Ok(feed) => {
                let before = std::mem::replace(&mut self.after, feed.last.clone());
                self.pause = self.every;
                self.next = Some(match feed.full && before != self.after {
                    true => now,
                    false => now + self.every,
                });
                let before = std::mem::replace(&mut self.health, Health::Good);
                if before == Health::Bad {
                    // A store that has lost its data may count from further back.
                    self.after = FeedId::default();
                    self.next = Some(now);
                    return Some(Turn::Back);
                }
                None
            }
            Err(fault) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.next = Some(now + self.pause);
                let before = std::mem::replace(&mut self.health, Health::Bad);
                (before == Health::Good).then_some(Turn::Gone(*fault))
            }
        }
    }
}
