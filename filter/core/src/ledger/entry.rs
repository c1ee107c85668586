//! What is remembered of one client.

use super::account::{News, Streak};
use super::terms::{Reason, Terms};

/// Nothing counts for more: far above every limit, far below where counting loses precision.
pub(super) const MOST: f32 = 100_000.0;
/// The longest listing that is believed, in seconds: the highest `ledger.listing.max_s`.
const LONGEST: u32 = 2_592_000;

/// What a client has done, over all its sessions. Counts fade: each halves in its half-life.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Entry {
    pub(super) score: f32,
    pub(super) streak: f32,
    pub(super) delivered: f32,
    /// Seconds since the Unix epoch for which the counts hold.
    pub(super) at: u32,
    /// The listing made last, be it over.
    pub(super) last: Option<Listing>,
}

/// A client on our list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// Seconds since the Unix epoch at which it ends.
    pub until: u32,
    /// Why.
    pub reason: Reason,
    /// How often in a row it was listed.
    pub times: u8,
}

impl Entry {
    /// The entry as it is at `now`. A clock set back fades nothing.
    #[must_use]
    pub fn at(mut self, now: u32, terms: &Terms) -> Self {
        let passed = now.saturating_sub(self.at);
        if passed > 0 {
            let left = |half_life: u32| fade(passed, half_life);
            let (recent, delivered) = (left(terms.half_life), left(terms.delivered_half_life));
            self.score *= recent;
            self.streak *= recent;
            self.delivered *= delivered;
        }
        self.at = now;
        self
    }

    /// Counts what sessions have to tell.
    pub(super) fn hear(&mut self, news: &News) {
        self.deliver(news.delivered);
        self.reject(news.rejected);
        let streak = match news.streak {
            Streak::Longer(by) => self.streak + by as f32,
            Streak::Anew(since) => since as f32,
        };
        self.streak = streak.min(self.score);
    }

    /// Counts unknown recipients. The streak is its own affair.
    pub fn reject(&mut self, count: u32) {
        self.score = add(self.score, count);
    }

    /// Counts recipients of messages that the server has taken. They lessen nothing.
    pub fn deliver(&mut self, count: u32) {
        self.delivered = add(self.delivered, count);
    }

    /// Whether the client is known for good mail.
    #[must_use]
    pub fn has_standing(&self, terms: &Terms) -> bool {
        let known = terms.min_delivered;
        known.is_some_and(|min| whole(self.delivered) >= min) && !self.is_beyond_ratio(terms)
    }

    /// Why the counts make a listing, if they do.
    #[must_use]
    pub fn fault(&self, terms: &Terms) -> Option<Reason> {
        let met = |limit: Option<u32>, count| limit.is_some_and(|limit| whole(count) >= limit);
        let reason = if met(terms.streak, self.streak) {
            Reason::Streak
        } else if met(terms.score, self.score) {
            Reason::Score
        } else {
            return None;
        };
        (self.is_beyond_ratio(terms) && !self.has_standing(terms)).then_some(reason)
    }

    /// How many more unknown recipients make a listing; the last of them is the one that does.
    /// One can always be tried.
    #[must_use]
    pub fn allowance(&self, terms: &Terms) -> u32 {
        let left = |limit: Option<u32>, count| {
            limit.map_or(u32::MAX, |limit| limit.saturating_sub(whole(count)))
        };
        let by_count = left(terms.streak, self.streak).min(left(terms.score, self.score));
        let spare = self.delivered * ratio(terms) - self.score;
        // The first one beyond what the ratio spares.
        let by_ratio = match spare < 0.0 {
            true => 1,
            false => (spare as u32).saturating_add(1),
        };
        by_count.max(by_ratio)
    }

    /// Lists the client. Each time in a row the listing is twice as long as the one before.
    pub fn list(&mut self, reason: Reason, now: u32, terms: &Terms) -> Listing {
        let again = |last: &Listing| now < last.until.saturating_add(terms.longest);
        let before = self.last.filter(again).map_or(0, |last| last.times);
        let doubled = terms.first.checked_shl(before.into());
        // What is shifted out makes it shorter, not longer.
        let doubled = doubled.filter(|length| length >> before == terms.first);
        let length = doubled.map_or(terms.longest, |length| length.min(terms.longest));
        let listing = Listing {
            until: now.saturating_add(length),
            reason,
            times: before.saturating_add(1),
        };
        self.last = Some(listing);
        // It is paid for; the score stays.
        self.streak = 0.0;
        listing
    }

    /// Takes over a listing that somebody else has made; whether it is news.
    pub fn told(&mut self, listing: Listing, now: u32) -> bool {
        let until = listing.until.min(now.saturating_add(LONGEST));
        if self.listing(now).is_some_and(|mine| mine.until >= until) || until <= now {
            return false;
        }
        self.last = Some(Listing { until, ..listing });
        self.streak = 0.0;
        true
    }

    /// Takes the client off the list; whether it was on it.
    pub fn pardon(&mut self, now: u32) -> bool {
        let listed = self.listing(now).is_some();
        if listed {
            self.last = None;
            self.score = 0.0;
        }
        listed
    }

    /// The listing in force. None is believed that ends later than any may.
    #[must_use]
    pub fn listing(&self, now: u32) -> Option<Listing> {
        let left = |last: &Listing| last.until.saturating_sub(now);
        self.last.filter(|last| (1..=LONGEST).contains(&left(last)))
    }

    /// Unknown recipients of late, rounded.
    #[must_use]
    pub fn score(&self) -> u32 {
        whole(self.score)
    }

    /// Delivered recipients of late, rounded.
    #[must_use]
    pub fn delivered(&self) -> u32 {
        whole(self.delivered)
    }

    /// How much would be lost without it, in the order in which entries are given up for others:
    /// those that say nothing, those with a score only (the oldest first), those listed (the one
    /// that ends first), those with good standing.
    pub(super) fn worth(&self, now: u32, terms: &Terms) -> (u8, u32) {
        match self.listing(now) {
            _ if self.has_standing(terms) => (3, self.at),
            Some(listing) => (2, listing.until),
            None if self.score >= 0.5 || self.delivered >= 0.5 => (1, self.at),
            None => (0, self.at),
        }
    }

    /// Whether there is anything to remember.
    pub(super) fn is_of_use(&self, now: u32, terms: &Terms) -> bool {
        self.last.is_some() || self.worth(now, terms).0 > 0
    }

    fn is_beyond_ratio(&self, terms: &Terms) -> bool {
        self.score > self.delivered * ratio(terms)
    }
}

fn ratio(terms: &Terms) -> f32 {
    terms.ratio_percent as f32 / 100.0
}

fn add(count: f32, more: u32) -> f32 {
    (count + more as f32).min(MOST)
}

/// Counts fade a little between any two events: nearly five is five.
fn whole(count: f32) -> u32 {
    (count + 0.5) as u32
}

/// What is left after `passed` of something that halves in `half_life`.
fn fade(passed: u32, half_life: u32) -> f32 {
    (-(passed as f32) / half_life.max(1) as f32).exp2()
}
