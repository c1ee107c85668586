//! DNSBL lookups of one worker: one question at a time for each client and site, whoever waits
//! for it.
//!
//! The host drives them: [`Lookups::look_up`] for each client that comes; what it
//! [begins](LookUp::Begins) goes on with [`Lookups::begin`], outside the connection's own
//! callback; each question in [`Steps`] is sent and comes back by [`Lookups::answered`], whatever
//! became of it; [`Lookups::tick`] whenever time has passed.

mod open;
mod questions;
mod steps;

pub use steps::{LookUp, LookupNote, Now, Question, Ruling, Steps, Told, Wait};

use super::health::{Health, Standing};
use super::known::{Finding, Known, Says, Sum, sum};
use super::slots::{Claimant, Claimed, Slot};
use crate::client::Client;
use crate::policy::{Policy, TextMode};
use hashbrown::HashMap;
use lru::LruCache;
use open::{Open, Stage};
use questions::Questions;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

/// What is remembered of a client between sessions.
#[derive(Debug, Clone)]
struct Memory {
    known: Known,
    /// The TXT of the site that weighed most, once asked for.
    text: Option<Option<Rc<str>>>,
}

/// The lookups of one worker; `W` is what a waiting connection is known by.
#[derive(Debug)]
pub struct Lookups<W> {
    policy: Rc<Policy>,
    fingerprint: u32,
    health: Vec<Health>,
    memory: LruCache<Client, Memory>,
    open: HashMap<Client, Open<W>>,
    queued: VecDeque<Client>,
    questions: Questions,
    /// When greetings that wait have waited long enough. All wait equally long.
    greetings: VecDeque<(Duration, Client, W)>,
    /// When another worker's answer is not waited for any more.
    elsewhere: VecDeque<(Duration, Client)>,
}

impl<W: Copy + Eq> Lookups<W> {
    /// The lookups of a policy.
    #[must_use]
    pub fn new(policy: Rc<Policy>) -> Self {
        let config = &policy.config().dnsbl;
        let zones = policy.zones();
        let capacity = NonZeroUsize::new(config.cache.clients as usize);
        let mut hasher = DefaultHasher::new();
        zones.domains().for_each(|domain| domain.hash(&mut hasher));
        Self {
            fingerprint: fold(hasher.finish()),
            health: zones.domains().map(|_| Health::new(config)).collect(),
            memory: LruCache::new(capacity.unwrap_or(NonZeroUsize::MIN)),
            open: HashMap::new(),
            queued: VecDeque::new(),
            questions: Questions::new(config),
            greetings: VecDeque::new(),
            elsewhere: VecDeque::new(),
            policy,
        }
    }

    /// A client has to be looked up; `waiter` is told unless it is ruled at once.
    pub fn look_up(&mut self, address: IpAddr, waiter: W, wait: Wait, now: Now) -> LookUp {
        let address = address.to_canonical();
        if !self.policy.may_ask_about(address) {
            return LookUp::Ruled(Ruling::Clear, Told::Reserved);
        }
        let client = self.policy.client(address);
        if let Some(open) = self.open.get_mut(&client) {
            if let Some(ruling) = &open.ruling {
                return LookUp::Ruled(ruling.clone(), Told::Joined);
            }
            open.waiters.push(waiter);
            self.wait(client, waiter, wait, now);
            return LookUp::Waits;
        }
        let memory = self.memory.get(&client).cloned();
        if let Some(ruling) = memory.as_ref().and_then(|memory| self.recall(memory, now)) {
            return LookUp::Ruled(ruling, Told::Remembered);
        }
        if !self
            .health
            .iter()
            .any(|health| health.standing() == Standing::Fit)
        {
            return LookUp::Ruled(Ruling::Clear, Told::NoSite);
        }
        let soon = self.queued.len().saturating_mul(self.health.len());
        if self.questions.len().saturating_add(soon) >= self.config().in_flight as usize {
            return LookUp::Ruled(Ruling::Skipped, Told::Full);
        }
        let known = memory.map(|memory| memory.known);
        let known = known.unwrap_or_else(|| Known::nothing(self.policy.zones()));
        self.open.insert(client, Open::new(address, known, waiter));
        self.wait(client, waiter, wait, now);
        self.queued.push_back(client);
        LookUp::Begins
    }

    /// The next client whose lookup is to begin, with the slot in which workers share what they
    /// know of it, if they do.
    pub fn next_queued(&mut self) -> Option<(Client, Option<u32>)> {
        let client = self.queued.pop_front()?;
        Some((client, self.slot_of(client)))
    }

    /// The slot of a client.
    #[must_use]
    pub fn slot_of(&self, client: Client) -> Option<u32> {
        let slots = self.config().cache.shared_slots;
        let mut hasher = DefaultHasher::new();
        client.hash(&mut hasher);
        fold(hasher.finish()).checked_rem(slots)
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
        let claimed = slot.claim(client, Known::nothing(zones), by, |known| {
            self.missing(known, now).next().is_none()
        });
        (Claim(claimed), slot.encode(self.fingerprint))
    }

    /// Goes on with a lookup, with what workers share of the client, if they share anything.
    pub fn begin(&mut self, client: Client, claim: Option<Claim>, now: Now) -> Steps<W> {
        let mut steps = Steps::default();
        let until = now.steady.saturating_add(self.patience());
        let Some(open) = self.open.get_mut(&client) else {
            return steps;
        };
        let (known, stage) = match claim {
            Some(Claim(Claimed::Mine(known))) => (Some(known), Stage::Asking { left: 0 }),
            Some(Claim(Claimed::Theirs(known))) => (Some(known), Stage::Elsewhere { until }),
            None => (None, Stage::Asking { left: 0 }),
        };
        if let Some(known) = known {
            open.known.merge(known);
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
        let Some(open) = self.open.get_mut(&client) else {
            return steps;
        };
        if let Stage::Elsewhere { .. } = open.stage {
            if let Some(known) = slot.known(client) {
                open.known.merge(known.clone());
            }
            open.stage = Stage::Asking { left: 0 };
            self.ask_missing(client, now, &mut steps);
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

    /// Time has passed: greetings that have waited long enough go on, sites are tested.
    pub fn tick(&mut self, now: Now) -> Steps<W> {
        let mut steps = Steps::default();
        let due = |deadline: Option<&Duration>| deadline.is_some_and(|due| *due <= now.steady);
        while due(self.greetings.front().map(|(due, ..)| due)) {
            if let Some((_, client, waiter)) = self.greetings.pop_front() {
                self.greet(client, waiter, now, &mut steps);
            }
        }
        while due(self.elsewhere.front().map(|(due, _)| due)) {
            if let Some((until, client)) = self.elsewhere.pop_front() {
                self.give_up_on_others(client, until, &mut steps);
            }
        }
        for ticket in self.questions.overdue(now.steady) {
            steps.append(self.answered(ticket, Err(crate::dnsbl::Fault::Timeout), now));
        }
        self.test_sites(now, &mut steps);
        steps
    }

    /// Whether greetings wait.
    #[must_use]
    pub fn hold_greetings(&self) -> bool {
        !self.greetings.is_empty()
    }

    fn config(&self) -> &crate::policy::DnsblConfig {
        &self.policy.config().dnsbl
    }

    /// How long a lookup may take: for the addresses, and then for the text.
    fn patience(&self) -> Duration {
        Duration::from_millis(u64::from(self.config().timeout_ms) * 2 + 1000)
    }

    fn wait(&mut self, client: Client, waiter: W, wait: Wait, now: Now) {
        if wait == Wait::Greeting {
            let budget = Duration::from_millis(self.config().budget_ms.into());
            let until = now.steady.saturating_add(budget);
            self.greetings.push_back((until, client, waiter));
        }
    }

    fn greet(&mut self, client: Client, waiter: W, now: Now, steps: &mut Steps<W>) {
        let Some(open) = self.open.get_mut(&client) else {
            return;
        };
        let Some(at) = open.waiters.iter().position(|waits| *waits == waiter) else {
            return;
        };
        open.waiters.swap_remove(at);
        let known = open.known.clone();
        let ruling = match self.sum(&known, now) {
            // Only its text is missing.
            Sum::Listed(listing) => Ruling::Listed(Rc::new(listing)),
            Sum::Clear | Sum::Open => Ruling::OverBudget,
        };
        steps.rulings.push((waiter, ruling));
    }

    fn give_up_on_others(&mut self, client: Client, until: Duration, steps: &mut Steps<W>) {
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

    /// The zones that are to be asked about a client.
    fn missing<'a>(&'a self, known: &'a Known, now: Now) -> impl Iterator<Item = usize> + 'a {
        let longest = self.longest();
        let zones = self.health.iter().enumerate();
        let fit = zones.filter(|(_, health)| health.standing() == Standing::Fit);
        fit.map(|(zone, _)| zone)
            .filter(move |zone| known.fresh(*zone, now.seconds(), longest).is_none())
    }

    fn sum(&self, known: &Known, now: Now) -> Sum {
        let longest = self.longest();
        sum(
            self.policy.zones(),
            self.config().threshold,
            |zone| known.fresh(zone, now.seconds(), longest),
            |zone| {
                self.health
                    .get(zone)
                    .map_or(Standing::Untested, Health::standing)
            },
        )
    }

    fn longest(&self) -> u32 {
        self.config().ttl.max_s.max(self.config().ttl.error_s)
    }

    /// What is remembered of a client, if it is enough for a ruling.
    fn recall(&self, memory: &Memory, now: Now) -> Option<Ruling> {
        match (self.sum(&memory.known, now), &memory.text) {
            (Sum::Clear, _) => Some(Ruling::Clear),
            (Sum::Listed(listing), None) if self.config().text == TextMode::Off => {
                Some(Ruling::Listed(Rc::new(listing)))
            }
            (Sum::Listed(listing), Some(text)) => Some(Ruling::Listed(with_text(listing, text))),
            (Sum::Listed(_), None) | (Sum::Open, _) => None,
        }
    }

    fn remember(&mut self, client: Client, zone: usize, finding: Finding) {
        let zones = self.policy.zones();
        let fresh = || Memory {
            known: Known::nothing(zones),
            text: None,
        };
        let memory = self.memory.get_or_insert_mut(client, fresh);
        if matches!(finding.says, Says::Listed(_)) {
            memory.text = None;
        }
        memory.known.set(zone, finding);
    }
}

/// What became of a claim; opaque to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim(Claimed);

fn with_text(
    mut listing: crate::policy::Listing,
    text: &Option<Rc<str>>,
) -> Rc<crate::policy::Listing> {
    listing.text = text.as_deref().map(str::to_owned);
    Rc::new(listing)
}

/// Folds a hash to half its width.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the other half is folded in"
)]
fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
