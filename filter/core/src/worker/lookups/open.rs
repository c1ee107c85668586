//! A lookup under way.

use super::questions::Kind;
use super::steps::{Now, Ruling, Steps};
use super::{Known, Lookups, Memory, Reason, Sum};
use crate::client::Client;
use crate::policy::{Listing, TextMode};
use crate::worker::known::{Finding, Says};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// How far a lookup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for its turn.
    Queued,
    /// This many zones have not answered.
    Asking { left: usize },
    /// Another worker asks; it is waited for until then.
    Elsewhere { until: Duration },
}

/// What is known of the text of the site that weighs most.
#[derive(Debug, Clone)]
enum Text {
    NotAsked,
    /// The listing as it was then: what comes of it until the text is here has another site in
    /// front, perhaps.
    Asked(Listing),
    Known(Listing, Reason),
}

/// One client's lookup.
#[derive(Debug)]
pub(super) struct Open<W> {
    /// The address that is asked about: that of the session which came first.
    address: IpAddr,
    /// All of it is believed until the lookup is over, however long that takes.
    pub(super) known: Known,
    pub(super) waiters: Vec<W>,
    pub(super) stage: Stage,
    pub(super) ruling: Option<Ruling>,
    text: Text,
    /// Zones this worker was to ask.
    asked: usize,
}

impl<W> Open<W> {
    pub(super) fn new(address: IpAddr, known: Known, waiter: W) -> Self {
        Self {
            address,
            known,
            waiters: vec![waiter],
            stage: Stage::Queued,
            ruling: None,
            text: Text::NotAsked,
            asked: 0,
        }
    }
}

impl<W: Copy + Eq> Lookups<W> {
    /// Asks all zones of which nothing is known.
    pub(super) fn ask_missing(&mut self, client: Client, now: Now, steps: &mut Steps<W>) {
        let Some(open) = self.open.get(&client) else {
            return;
        };
        let address = open.address;
        self.tally.recall(&open.known);
        let missing: Vec<usize> = self.missing(&open.known).collect();
        let (asked, mut left) = (missing.len(), 0);
        for zone in missing {
            if self.ask(Kind::Client(client), zone, address, now, steps) {
                left += 1;
            } else if let Some(open) = self.open.get_mut(&client) {
                let finding = Finding {
                    says: Says::Nothing,
                    until: now
                        .seconds()
                        .saturating_add(self.policy.config().dnsbl.ttl.error_s),
                };
                open.known.set(zone, finding);
            }
        }
        if let Some(open) = self.open.get_mut(&client) {
            open.stage = Stage::Asking { left };
            open.asked = asked;
        }
    }

    /// Sees what the findings of a lookup add up to by now: tells who waits, and ends it when
    /// nothing more can come.
    pub(super) fn weigh(&mut self, client: Client, now: Now, steps: &mut Steps<W>) {
        let Some(open) = self.open.get(&client) else {
            return;
        };
        let over = open.stage == Stage::Asking { left: 0 };
        let ruling = match (&open.ruling, &open.text) {
            (Some(_), _) | (None, Text::Asked(_)) => None,
            (None, Text::Known(listing, reason)) => Some(reason.give(listing.clone())),
            (None, Text::NotAsked) => match self.sum(&open.known) {
                Sum::Clear => Some(Ruling::Clear),
                Sum::Open => over.then_some(Ruling::Clear),
                Sum::Listed(listing) => match self.ask_text(client, &listing, now, steps) {
                    true => None,
                    false => Some(Ruling::Listed(Rc::new(listing))),
                },
            },
        };
        let Some(open) = self.open.get_mut(&client) else {
            return;
        };
        if let Some(ruling) = ruling {
            let waiters = std::mem::take(&mut open.waiters).into_iter();
            let rulings = waiters.map(|waiter| (waiter, ruling.clone()));
            steps.rulings.extend(rulings);
            open.ruling = Some(ruling);
        }
        if over && !matches!(open.text, Text::Asked(_)) {
            self.end(client, now, steps);
        }
    }

    /// Asks for the text of a listing, if it is wanted; whether it was asked.
    fn ask_text(
        &mut self,
        client: Client,
        listing: &Listing,
        now: Now,
        steps: &mut Steps<W>,
    ) -> bool {
        let site = listing.site();
        let mut domains = self.policy.zones().domains();
        let zone = domains.position(|domain| domain == site);
        let wanted = self.policy.config().dnsbl.text == TextMode::Txt && self.has_room();
        drop(domains);
        let (Some(zone), Some(open), true) = (zone, self.open.get(&client), wanted) else {
            return false;
        };
        let asked = self.ask(Kind::Text(client), zone, open.address, now, steps);
        if let Some(open) = self.open.get_mut(&client).filter(|_| asked) {
            open.text = Text::Asked(listing.clone());
        }
        asked
    }

    /// The text of a listing is known, or there is none.
    pub(super) fn texted(&mut self, client: Client, zone: usize, text: Option<Rc<str>>) {
        if let Some(open) = self.open.get_mut(&client) {
            open.text = match std::mem::replace(&mut open.text, Text::NotAsked) {
                Text::Asked(listing) => Text::Known(listing, Reason { zone, text }),
                other @ (Text::NotAsked | Text::Known(..)) => other,
            };
        }
    }

    fn end(&mut self, client: Client, now: Now, steps: &mut Steps<W>) {
        let Some(open) = self.open.remove(&client) else {
            return;
        };
        let text = match open.text {
            Text::Known(_, reason) => Some(reason),
            Text::NotAsked | Text::Asked(_) => None,
        };
        let known = open.known;
        self.make_room(client, now);
        self.memory.put(client, Memory { known, text });
        if open.asked > 0 {
            steps.publish.push(client);
        }
    }
}
