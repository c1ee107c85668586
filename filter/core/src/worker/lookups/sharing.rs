//! What the workers of one host share: whoever claims a client asks about it for all.

use super::open::{Open, Stage};
use super::steps::{Now, Ruling, Steps};
use super::{Lookups, seconds};
use crate::client::Client;
use crate::worker::health::{Health, Standing};
use crate::worker::known::Known;
use crate::worker::slots::{Claimant, Claimed, Slot};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What became of a claim; opaque to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim(Claimed);

/// A slot's name. Policies with other sites have other slots: two listeners of one host would
/// wipe out each other's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlotId {
    sites: u32,
    number: u32,
}

impl fmt::Display for SlotId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.sites, self.number)
    }
}

impl<W: Copy + Eq> Lookups<W> {
    /// The next client whose lookup is to begin, with the slot in which workers share what they
    /// know of it, if they do. None begins before all sites have been tested, which takes one
    /// answer each: until then clients wait, rather than be let in unasked.
    pub fn next_queued(&mut self) -> Option<(Client, Option<SlotId>)> {
        let mut standings = self.health.iter().map(Health::standing);
        if standings.any(|standing| standing == Standing::Untested) {
            return None;
        }
        let client = self.queued.pop_front()?;
        Some((client, self.slot_of(client)))
    }

    /// The slot of a client.
    #[must_use]
    pub fn slot_of(&self, client: Client) -> Option<SlotId> {
        let mut hasher = DefaultHasher::new();
        client.hash(&mut hasher);
        let number = fold(hasher.finish()).checked_rem(self.config().cache.shared_slots)?;
        Some(SlotId {
            sites: self.fingerprint,
            number,
        })
    }

    /// Begins a lookup. `slot` is the client's shared slot as it is now; the octets to replace it
    /// with come back. Pure, since the replacement may have to be tried again; nothing is asked
    /// before [`Self::begin`] is told what it came to.
    #[must_use]
    pub fn claim(&self, client: Client, slot: &[u8], queue: u32, now: Now) -> (Claim, Vec<u8>) {
        let zones = self.policy.zones();
        let mut slot = Slot::decode(slot, self.fingerprint, zones.len());
        let by = Claimant {
            queue,
            now: now.seconds(),
            holds: seconds(self.patience()).saturating_add(1),
        };
        let own = self.open.get(&client).map(|open| &open.known);
        let claimed = slot.claim(client, Known::nothing(zones), by, |shared| {
            let mut all = shared.clone().fresh(now.seconds(), self.longest());
            if let Some(own) = own {
                all.merge(own.clone(), now.seconds());
            }
            // Nothing is claimed that is not asked: only answers give a claim back.
            self.missing(&all).next().is_none()
        });
        (Claim(claimed), slot.encode(self.fingerprint))
    }

    /// Goes on with a lookup, with what workers share of the client, if they share anything.
    pub fn begin(&mut self, client: Client, claim: Option<Claim>, now: Now) -> Steps<W> {
        let mut steps = Steps::default();
        let until = now.steady.saturating_add(self.patience());
        let longest = self.longest();
        let Some(open) = self.open.get_mut(&client) else {
            return steps;
        };
        let (known, stage) = match claim {
            Some(Claim(Claimed::Mine(known))) => (Some(known), Stage::Asking { left: 0 }),
            Some(Claim(Claimed::Theirs(known))) => (Some(known), Stage::Elsewhere { until }),
            None => (None, Stage::Asking { left: 0 }),
        };
        if let Some(known) = known {
            let known = known.fresh(now.seconds(), longest);
            open.known.merge(known, now.seconds());
        }
        open.stage = stage;
        match stage {
            Stage::Elsewhere { .. } => self.elsewhere.push_back((until, client)),
            Stage::Queued | Stage::Asking { .. } => self.ask_missing(client, now, &mut steps),
        }
        self.weigh(client, now, &mut steps);
        steps
    }

    /// Another worker has written down what it found out; `slot` is the client's as it is now.
    pub fn published(&mut self, client: Client, slot: &[u8], now: Now) -> Steps<W> {
        let mut steps = Steps::default();
        let slot = Slot::decode(slot, self.fingerprint, self.health.len());
        let longest = self.longest();
        let Some(open) = self.open.get_mut(&client) else {
            return steps;
        };
        if let Stage::Elsewhere { .. } = open.stage {
            if let Some(known) = slot.known(client) {
                let known = known.clone().fresh(now.seconds(), longest);
                open.known.merge(known, now.seconds());
            }
            open.stage = Stage::Asking { left: 0 };
            if self.has_room() {
                self.ask_missing(client, now, &mut steps);
            }
            self.weigh(client, now, &mut steps);
        }
        steps
    }

    /// What this worker found out of a client, written into its shared slot `slot`; the octets to
    /// replace it with, and the queues of the workers that wait for it.
    #[must_use]
    pub fn publish(&mut self, client: Client, slot: &[u8], now: Now) -> (Vec<u32>, Vec<u8>) {
        let zones = self.health.len();
        let mut slot = Slot::decode(slot, self.fingerprint, zones);
        let nothing = Known(vec![None; zones]);
        let known = self.memory.peek(&client).map(|memory| &memory.known);
        let waiting = slot.publish(client, known.unwrap_or(&nothing), now.seconds());
        (waiting, slot.encode(self.fingerprint))
    }

    pub(super) fn give_up_on_others(
        &mut self,
        client: Client,
        until: Duration,
        steps: &mut Steps<W>,
    ) {
        let still = |open: &mut Open<W>| open.stage == Stage::Elsewhere { until };
        if self.open.get_mut(&client).is_some_and(still)
            && let Some(open) = self.open.remove(&client)
        {
            let rulings = open.waiters.into_iter();
            steps
                .rulings
                .extend(rulings.map(|waiter| (waiter, Ruling::OverBudget)));
        }
    }
}

/// What stands for the sites of a policy, by the order of which findings are kept.
pub(super) fn fingerprint<'a>(domains: impl Iterator<Item = &'a str>) -> u32 {
    let mut hasher = DefaultHasher::new();
    domains.for_each(|domain| domain.hash(&mut hasher));
    fold(hasher.finish())
}

/// Folds a hash to half its width.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the other half is folded in"
)]
fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}
