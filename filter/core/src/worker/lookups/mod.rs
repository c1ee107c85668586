//! DNSBL lookups of one worker: one question at a time for each client and site, whoever waits
//! for it.
//!
//! The host drives them: [`Lookups::look_up`] for each client that comes; what it
//! [begins](LookUp::Begins) goes on with [`Lookups::begin`], outside the connection's own
//! callback; each question in [`Steps`] is sent and comes back by [`Lookups::answered`], whatever
//! became of it; [`Lookups::tick`] whenever time has passed.

mod open;
mod questions;
mod sharing;
mod steps;
mod tally;

pub use sharing::{Claim, SlotId};
pub use steps::{LookUp, LookupNote, Now, Question, Ruling, Steps, Told, Wait};
pub use tally::Tally;

use super::health::{Health, Standing};
use super::known::{Finding, Known, Sum, sum};
use crate::client::Client;
use crate::policy::{Listing, LookupMode, Policy, TextMode};
use hashbrown::HashMap;
use lru::LruCache;
use open::{Open, Stage};
use questions::Questions;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

/// What is remembered of a client between sessions.
#[derive(Debug, Clone)]
struct Memory {
    known: Known,
    /// The TXT of the site that weighed most, once asked for.
    text: Option<Reason>,
}

/// What a site says about a listing, once it was asked.
#[derive(Debug, Clone)]
struct Reason {
    zone: usize,
    text: Option<Rc<str>>,
}

/// What can be said of a client without a question.
enum Recalled {
    Ruled(Ruling),
    /// Only its text is not known.
    Listed(Listing),
    Nothing,
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
    tally: Tally,
}

impl<W> Lookups<W> {
    /// Clients of which answers are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }

    /// Whether clients are looked up at a site, for each of them.
    pub fn in_use(&self) -> impl Iterator<Item = bool> {
        let health = self.health.iter();
        health.map(|health| health.standing() == Standing::Fit)
    }
}

impl<W: Copy + Eq> Lookups<W> {
    /// The lookups of a policy.
    #[must_use]
    pub fn new(policy: Rc<Policy>) -> Self {
        let config = &policy.config().dnsbl;
        let zones = policy.zones();
        let capacity = NonZeroUsize::new(config.cache.clients as usize);
        // Made for its whole capacity it would take the memory at once, in every machine.
        let mut memory = LruCache::unbounded();
        memory.resize(capacity.unwrap_or(NonZeroUsize::MIN));
        Self {
            fingerprint: sharing::fingerprint(zones.domains()),
            health: zones.domains().map(|_| Health::new(config)).collect(),
            memory,
            open: HashMap::new(),
            queued: VecDeque::new(),
            questions: Questions::new(config),
            greetings: VecDeque::new(),
            elsewhere: VecDeque::new(),
            tally: Tally::of(zones.len()),
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
        let memory = memory.map(|memory| Memory {
            known: memory.known.fresh(now.seconds(), self.longest()),
            ..memory
        });
        let recalled = memory
            .as_ref()
            .map_or(Recalled::Nothing, |m| self.recall(m));
        let known = memory.map(|memory| memory.known);
        let known = known.unwrap_or_else(|| Known::nothing(self.policy.zones()));
        if let Some(at_once) = self.at_once(recalled) {
            if matches!(at_once, LookUp::Ruled(_, Told::Remembered)) {
                self.tally.recall(&known);
            }
            return at_once;
        }
        self.open.insert(client, Open::new(address, known, waiter));
        self.wait(client, waiter, wait, now);
        self.queued.push_back(client);
        LookUp::Begins
    }

    /// What a client is told without a question: because enough is known, or because nobody can be
    /// asked now.
    fn at_once(&self, recalled: Recalled) -> Option<LookUp> {
        let mut standings = self.health.iter().map(Health::standing);
        let (told, otherwise) = match recalled {
            Recalled::Ruled(ruling) => return Some(LookUp::Ruled(ruling, Told::Remembered)),
            _ if standings.all(|standing| matches!(standing, Standing::Unfit(_))) => {
                (Told::NoSite, Ruling::Clear)
            }
            _ if !self.has_room() => (Told::Full, Ruling::Skipped),
            Recalled::Listed(_) | Recalled::Nothing => return None,
        };
        Some(match recalled {
            Recalled::Listed(listing) => {
                LookUp::Ruled(Ruling::Listed(Rc::new(listing)), Told::Remembered)
            }
            _ => LookUp::Ruled(otherwise, told),
        })
    }

    /// Whether one more question may be asked.
    fn has_room(&self) -> bool {
        let soon = self.queued.len().saturating_mul(self.health.len());
        self.questions.len().saturating_add(soon) < self.config().in_flight as usize
    }

    /// Time has passed: greetings that have waited long enough go on, sites are tested.
    pub fn tick(&mut self, now: Now) -> Steps<W> {
        let mut steps = Steps::default();
        let due = |deadline: Option<&Duration>| deadline.is_some_and(|due| *due <= now.steady);
        while due(self.greetings.front().map(|(due, ..)| due)) {
            if let Some((_, client, waiter)) = self.greetings.pop_front() {
                self.greet(client, waiter, &mut steps);
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
        if self.policy.lookup() != LookupMode::Off {
            self.test_sites(now, &mut steps);
        }
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

    fn greet(&mut self, client: Client, waiter: W, steps: &mut Steps<W>) {
        let Some(open) = self.open.get_mut(&client) else {
            return;
        };
        let Some(at) = open.waiters.iter().position(|waits| *waits == waiter) else {
            return;
        };
        open.waiters.swap_remove(at);
        let known = open.known.clone();
        let ruling = match self.sum(&known) {
            // Only its text is missing.
            Sum::Listed(listing) => Ruling::Listed(Rc::new(listing)),
            Sum::Clear | Sum::Open => Ruling::OverBudget,
        };
        steps.rulings.push((waiter, ruling));
    }

    /// The zones that are to be asked about a client.
    fn missing<'a>(&'a self, known: &'a Known) -> impl Iterator<Item = usize> + 'a {
        let zones = self.health.iter().enumerate();
        let fit = zones.filter(|(_, health)| health.standing() == Standing::Fit);
        fit.map(|(zone, _)| zone)
            .filter(|zone| known.get(*zone).is_none())
    }

    fn sum(&self, known: &Known) -> Sum {
        let zones = self.policy.zones();
        sum(zones, self.config().threshold, known, |zone| {
            let health = self.health.get(zone);
            health.map_or(Standing::Untested, Health::standing)
        })
    }

    fn longest(&self) -> u32 {
        self.config().ttl.max_s.max(self.config().ttl.error_s)
    }

    /// What is remembered of a client, as far as it is still believed.
    fn recall(&self, memory: &Memory) -> Recalled {
        match self.sum(&memory.known) {
            Sum::Clear => Recalled::Ruled(Ruling::Clear),
            Sum::Open => Recalled::Nothing,
            Sum::Listed(listing) if self.config().text == TextMode::Off => {
                Recalled::Ruled(Ruling::Listed(Rc::new(listing)))
            }
            Sum::Listed(listing) => match &memory.text {
                Some(reason) if self.policy.zones().domain(reason.zone) == listing.site() => {
                    Recalled::Ruled(reason.give(listing))
                }
                Some(_) | None => Recalled::Listed(listing),
            },
        }
    }

    fn remember(&mut self, client: Client, zone: usize, finding: Finding, now: Now) {
        self.make_room(client, now);
        let zones = self.policy.zones();
        let fresh = || Memory {
            known: Known::nothing(zones),
            text: None,
        };
        let memory = self.memory.get_or_insert_mut(client, fresh);
        // The answer it explained is another one now.
        memory.text.take_if(|reason| reason.zone == zone);
        memory.known.set(zone, finding);
    }

    /// Counts the client that is forgotten for this one, if anything of it is still believed.
    fn make_room(&mut self, client: Client, now: Now) {
        if self.memory.len() < self.memory.cap().get() || self.memory.contains(&client) {
            return;
        }
        let believed = |(_, memory): (&Client, &Memory)| memory.known.until(now.seconds()) > 0;
        if self.memory.peek_lru().is_some_and(believed) {
            self.tally.evict();
        }
    }
}

impl Reason {
    fn give(&self, listing: Listing) -> Ruling {
        let text = self.text.as_deref().map(str::to_owned);
        Ruling::Listed(Rc::new(Listing { text, ..listing }))
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
