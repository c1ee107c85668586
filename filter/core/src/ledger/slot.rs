//! Where workers share what they remember: slots of a fixed number.
//!
//! The host's shared data forgets nothing, so there are no keys made of clients: a client's slot is
//! told by a hash, and a slot holds at most [`MAX_ENTRIES`] of them. What is read there is checked
//! like anything from outside: another version or half an entry makes the slot an empty one.

use super::account::News;
use super::entry::{Entry, Listing, MOST};
use super::terms::{Reason, Terms};
use crate::client::{Client, ENCODED_LEN};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Clients in one slot. Two hundred thousand clients over the default number of slots make six a
/// slot: that one has more than twenty-four is a matter of one in a hundred million.
pub const MAX_ENTRIES: usize = 24;
const VERSION: u8 = 1;
/// Added to the prefix length of an IPv4 client, above every one of IPv6.
const IPV4: u8 = 160;

/// The slot of a client, of `slots`; `None` if there are none.
#[must_use]
pub fn number_of(client: Client, slots: u32) -> Option<u32> {
    let mut hasher = DefaultHasher::new();
    client.hash(&mut hasher);
    let hash = hasher.finish();
    let folded = (hash >> 32) as u32 ^ hash as u32;
    folded.checked_rem(slots)
}

/// The contents of one slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slot(Vec<(Client, Entry)>);

/// What became of news.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posted {
    /// The client as all workers know it now.
    pub entry: Entry,
    /// The listing that these news made: others have to be told.
    pub listed: Option<Listing>,
    /// Whether somebody else's entry had to go for it that was of use.
    pub evicted: Evicted,
}

/// Whether an entry had to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evicted {
    /// None, or one that said nothing.
    Nothing,
    /// A score.
    Score,
    /// A listing in force, or a client of good standing.
    Listing,
}

impl Slot {
    /// Of one client only.
    #[must_use]
    pub fn of(client: Client, entry: Entry) -> Self {
        match entry == Entry::default() {
            true => Self::default(),
            false => Self(vec![(client, entry)]),
        }
    }

    /// What is remembered of a client.
    #[must_use]
    pub fn get(&self, client: Client) -> Option<Entry> {
        let mut entries = self.0.iter();
        let found = entries.find(|(known, _)| *known == client);
        found.map(|(_, entry)| *entry)
    }

    /// All that is remembered here.
    pub(super) fn entries(&self) -> impl Iterator<Item = &(Client, Entry)> {
        self.0.iter()
    }

    /// Adds what sessions have to tell of a client. A listing is made here and nowhere else, so
    /// that of two workers only one makes it.
    pub fn post(&mut self, client: Client, news: News, now: u32, terms: &Terms) -> Posted {
        self.change(client, now, terms, &mut |entry| {
            entry.hear(&news);
            if news.trapped() {
                list(entry, Some(Reason::Trap), now, terms)
            } else {
                accuse(entry, news.rejected, now, terms)
            }
        })
    }

    /// Takes over a listing that somebody else has made.
    pub fn told(&mut self, client: Client, listing: Listing, now: u32, terms: &Terms) -> Posted {
        self.change(client, now, terms, &mut |entry| {
            let news = entry.told(listing, now);
            entry.listing(now).filter(|_| news)
        })
    }

    /// Takes over what others have counted of a client, where that is more. They say so when they
    /// are told news, which held this many unknown recipients.
    pub fn totals(
        &mut self,
        client: Client,
        news: u32,
        (rejected, delivered): (f32, f32),
        now: u32,
        terms: &Terms,
    ) -> Posted {
        self.change(client, now, terms, &mut |entry| {
            entry.score = entry.score.max(rejected.clamp(0.0, MOST));
            entry.delivered = entry.delivered.max(delivered.clamp(0.0, MOST));
            accuse(entry, news, now, terms)
        })
    }

    /// Takes a client off the list; whether it was on it.
    pub fn pardon(&mut self, client: Client, now: u32) -> bool {
        let mut entries = self.0.iter_mut();
        let found = entries.find(|(known, _)| *known == client);
        found.is_some_and(|(_, entry)| entry.pardon(now))
    }

    fn change(
        &mut self,
        client: Client,
        now: u32,
        terms: &Terms,
        change: &mut dyn FnMut(&mut Entry) -> Option<Listing>,
    ) -> Posted {
        let known = self.0.iter().position(|(known, _)| *known == client);
        let known = known.map(|at| self.0.swap_remove(at).1);
        let mut entry = known.unwrap_or_default().at(now, terms);
        let listed = change(&mut entry);
        let mut evicted = Evicted::Nothing;
        if entry.is_of_use(now, terms) {
            evicted = self.make_room(now, terms);
            self.0.push((client, entry));
        }
        Posted {
            entry,
            listed,
            evicted,
        }
    }

    fn make_room(&mut self, now: u32, terms: &Terms) -> Evicted {
        if self.0.len() < MAX_ENTRIES {
            return Evicted::Nothing;
        }
        let worths = self.0.iter().map(|(_, e)| e.at(now, terms));
        let worths = worths.zip(self.0.iter()).map(|(faded, (_, entry))| {
            let (class, _) = faded.worth(now, terms);
            (class, entry.worth(now, terms).1)
        });
        let least = worths.enumerate().min_by_key(|(_, worth)| *worth);
        let Some((at, (class, _))) = least else {
            return Evicted::Nothing;
        };
        self.0.swap_remove(at);
        match class {
            0 => Evicted::Nothing,
            1 => Evicted::Score,
            _ => Evicted::Listing,
        }
    }

    /// Reads a slot.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((&VERSION, mut rest)) = bytes.split_first() else {
            return Self::default();
        };
        let mut entries = Vec::new();
        while !rest.is_empty() {
            match read(&mut rest) {
                Some(entry) if entries.len() < MAX_ENTRIES => entries.push(entry),
                _ => return Self::default(),
            }
        }
        Self(entries)
    }

    /// Writes the slot.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for (client, entry) in &self.0 {
            write(*client, entry, &mut bytes);
        }
        bytes
    }
}

/// Lists a client for its counts, if one of these unknown recipients is new: a score may last for
/// longer than a listing, and good mail makes none.
fn accuse(entry: &mut Entry, rejected: u32, now: u32, terms: &Terms) -> Option<Listing> {
    let reason = entry.fault(terms).filter(|_| rejected > 0);
    list(entry, reason, now, terms)
}

/// Lists a client that is not on the list.
fn list(entry: &mut Entry, reason: Option<Reason>, now: u32, terms: &Terms) -> Option<Listing> {
    let reason = reason.filter(|_| entry.listing(now).is_none())?;
    Some(entry.list(reason, now, terms))
}

/// One entry: the prefix length (of IPv4 plus [`IPV4`]), as many octets of the address as it
/// covers, three counts (IEEE 754, 32 bits), the time they hold for, and the last listing: its
/// reason (0 for none), and if there is one, how often, and its end. Numbers are little-endian.
fn write(client: Client, entry: &Entry, bytes: &mut Vec<u8>) {
    let [length, family, address @ ..] = client.encode();
    let significant = usize::from(length.div_ceil(8));
    match family {
        4 => {
            bytes.push(length.saturating_add(IPV4));
            let address = address.last_chunk::<4>().into_iter().flatten();
            bytes.extend(address.take(significant));
        }
        _ => {
            bytes.push(length);
            bytes.extend(address.iter().take(significant));
        }
    }
    for count in [entry.score, entry.streak, entry.delivered] {
        bytes.extend_from_slice(&count.to_le_bytes());
    }
    bytes.extend_from_slice(&entry.at.to_le_bytes());
    let Some(last) = entry.last else {
        return bytes.push(0);
    };
    bytes.extend_from_slice(&[last.reason.encode(), last.times]);
    bytes.extend_from_slice(&last.until.to_le_bytes());
}

fn read(bytes: &mut &[u8]) -> Option<(Client, Entry)> {
    let client = read_client(bytes)?;
    let (score, streak, delivered) = (count(bytes)?, count(bytes)?, count(bytes)?);
    let at = u32::from_le_bytes(*take(bytes)?);
    let [reason] = *take(bytes)?;
    let last = match reason {
        0 => None,
        reason => {
            let [times] = *take(bytes)?;
            Some(Listing {
                reason: Reason::decode(reason)?,
                times,
                until: u32::from_le_bytes(*take(bytes)?),
            })
        }
    };
    let entry = Entry {
        score,
        streak,
        delivered,
        at,
        last,
    };
    Some((client, entry))
}

fn read_client(bytes: &mut &[u8]) -> Option<Client> {
    let [length] = *take(bytes)?;
    let (length, family, offset) = match length.checked_sub(IPV4) {
        Some(length) => (length, 4, 12),
        None => (length, 6, 0),
    };
    let (given, rest) = bytes.split_at_checked(length.div_ceil(8).into())?;
    *bytes = rest;
    let mut octets = [0; ENCODED_LEN];
    let (head, address) = octets.split_first_chunk_mut::<2>()?;
    *head = [length, family];
    if family == 4 {
        // ::ffff:0:0/96 (RFC 4291 section 2.5.5.2).
        address.get_mut(10..12)?.fill(0xff);
    }
    let place = address.get_mut(offset..offset + given.len())?;
    place.copy_from_slice(given);
    Client::decode(&octets)
}

fn count(bytes: &mut &[u8]) -> Option<f32> {
    let count = f32::from_le_bytes(*take(bytes)?);
    (count.is_finite() && count >= 0.0).then_some(count)
}

fn take<'a, const LEN: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; LEN]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}
