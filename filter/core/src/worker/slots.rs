//! What workers share: slots of a fixed number, each with a few clients.
//!
//! The host's shared data forgets nothing, so there are no keys made of clients: a client's slot
//! is told by a hash, and a slot holds at most [`MAX_ENTRIES`] of them. What is read there is
//! checked like anything from outside: another version, another set of sites or half an entry
//! makes the slot an empty one.

use super::known::{Finding, Known, MAX_CODES, Says};
use crate::client::{Client, ENCODED_LEN};
use std::net::Ipv4Addr;

/// Clients in one slot.
pub const MAX_ENTRIES: usize = 8;
/// Workers that may wait for another one's answer; those beyond ask on their own.
const MAX_WAITING: usize = 16;
/// Seconds no claim holds for longer: a lookup with the longest `dnsbl.timeout_ms`, and one more.
const MAX_HOLD: u32 = 62;
const VERSION: u8 = 1;

/// A worker by the token of its shared queue.
pub(super) type Queue = u32;

/// A worker that is asking about a client on behalf of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Claim {
    queue: Queue,
    /// Seconds since the Unix epoch.
    until: u32,
    waiting: Vec<Queue>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    client: Client,
    known: Known,
    claim: Option<Claim>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claimed {
    /// This worker asks for what is missing.
    Mine(Known),
    /// Another one is asking already, and will tell.
    Theirs(Known),
}

/// Who claims, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimant {
    pub(super) queue: Queue,
    /// Seconds since the Unix epoch.
    pub(super) now: u32,
    /// Seconds a claim holds at most.
    pub(super) holds: u32,
}

/// The contents of one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slot(Vec<Entry>);

impl Slot {
    /// What is known of a client.
    pub(super) fn known(&self, client: Client) -> Option<&Known> {
        let entry = self.0.iter().find(|entry| entry.client == client);
        entry.map(|entry| &entry.known)
    }

    /// Claims a client, unless `complete` says that all is known or another worker has it.
    pub(super) fn claim(
        &mut self,
        client: Client,
        nothing: Known,
        by: Claimant,
        complete: impl Fn(&Known) -> bool,
    ) -> Claimed {
        let Some(entry) = self.entry(client, &nothing, by.now) else {
            return Claimed::Mine(nothing);
        };
        let known = entry.known.clone();
        if complete(&known) {
            return Claimed::Mine(known);
        }
        let until = by.now.saturating_add(by.holds);
        let standing = entry.claim.as_mut();
        match standing.filter(|claim| (by.now..=until).contains(&claim.until)) {
            Some(claim) if claim.queue == by.queue => claim.until = until,
            Some(claim) if claim.waiting.contains(&by.queue) => return Claimed::Theirs(known),
            Some(claim) if claim.waiting.len() < MAX_WAITING => {
                claim.waiting.push(by.queue);
                return Claimed::Theirs(known);
            }
            // Those that wait for the claim must still be told, so it stays.
            Some(_) => {}
            None => {
                entry.claim = Some(Claim {
                    queue: by.queue,
                    until,
                    waiting: Vec::new(),
                });
            }
        }
        Claimed::Mine(known)
    }

    /// Writes down what was found out; the workers that wait for it.
    pub(super) fn publish(&mut self, client: Client, known: &Known, now: u32) -> Vec<Queue> {
        let nothing = Known(vec![None; known.0.len()]);
        let Some(entry) = self.entry(client, &nothing, now) else {
            return Vec::new();
        };
        entry.known.merge(known.clone(), now);
        let claim = entry.claim.take();
        claim.map(|claim| claim.waiting).unwrap_or_default()
    }

    /// The client's entry, made in place of the one that is of least use if there is no room;
    /// `None` where all others are claimed, since workers wait for each of them.
    fn entry(&mut self, client: Client, nothing: &Known, now: u32) -> Option<&mut Entry> {
        let found = self.0.iter().position(|entry| entry.client == client);
        let at = match found {
            Some(at) => at,
            None => {
                if self.0.len() >= MAX_ENTRIES {
                    self.0.remove(self.least_useful(now)?);
                }
                self.0.push(Entry {
                    client,
                    known: nothing.clone(),
                    claim: None,
                });
                self.0.len() - 1
            }
        };
        self.0.get_mut(at)
    }

    fn least_useful(&self, now: u32) -> Option<usize> {
        let entries = self.0.iter().enumerate();
        let free = entries.filter(|(_, entry)| !entry.is_claimed(now));
        let least = free.min_by_key(|(_, entry)| entry.known.until(now));
        least.map(|(at, _)| at)
    }

    /// Reads a slot. `fingerprint` stands for the sites: findings are kept by their order.
    pub(super) fn decode(bytes: &[u8], fingerprint: u32, zones: usize) -> Self {
        let mut reader = Reader(bytes);
        let head = reader.octet() == Some(VERSION) && reader.number() == Some(fingerprint);
        let read = head.then(|| {
            let count = reader.octet()?;
            let entries = (0..count).map(|_| Entry::read(&mut reader, zones));
            let entries = entries.collect::<Option<Vec<_>>>()?;
            (reader.0.is_empty() && entries.len() <= MAX_ENTRIES).then_some(Self(entries))
        });
        read.flatten().unwrap_or_default()
    }

    pub(super) fn encode(&self, fingerprint: u32) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&fingerprint.to_le_bytes());
        bytes.push(count(self.0.len()));
        for entry in &self.0 {
            entry.write(&mut bytes);
        }
        bytes
    }
}

impl Entry {
    fn is_claimed(&self, now: u32) -> bool {
        let until = self.claim.as_ref().map(|claim| claim.until);
        until.is_some_and(|until| (now..=now.saturating_add(MAX_HOLD)).contains(&until))
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.client.encode());
        for finding in &self.known.0 {
            write_finding(finding.as_ref(), bytes);
        }
        let Some(claim) = &self.claim else {
            return bytes.push(0);
        };
        bytes.push(1);
        bytes.extend_from_slice(&claim.queue.to_le_bytes());
        bytes.extend_from_slice(&claim.until.to_le_bytes());
        bytes.push(count(claim.waiting.len()));
        for queue in &claim.waiting {
            bytes.extend_from_slice(&queue.to_le_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>, zones: usize) -> Option<Self> {
        let client = Client::decode(reader.take::<ENCODED_LEN>()?)?;
        let findings = (0..zones).map(|_| read_finding(reader));
        let known = Known(findings.collect::<Option<_>>()?);
        let claim = match reader.octet()? {
            0 => None,
            1 => {
                let (queue, until) = (reader.number()?, reader.number()?);
                let count = reader.octet()?;
                if usize::from(count) > MAX_WAITING {
                    return None;
                }
                let waiting = (0..count).map(|_| reader.number()).collect::<Option<_>>()?;
                Some(Claim {
                    queue,
                    until,
                    waiting,
                })
            }
            _ => return None,
        };
        Some(Self {
            client,
            known,
            claim,
        })
    }
}

const UNKNOWN: u8 = 0xff;
const NOTHING: u8 = 0xfe;

fn write_finding(finding: Option<&Finding>, bytes: &mut Vec<u8>) {
    let Some(finding) = finding else {
        return bytes.push(UNKNOWN);
    };
    let codes: &[Ipv4Addr] = match &finding.says {
        Says::Listed(codes) => codes.get(..MAX_CODES).unwrap_or(codes),
        Says::Unlisted | Says::Nothing => &[],
    };
    bytes.push(match finding.says {
        Says::Nothing => NOTHING,
        Says::Unlisted | Says::Listed(_) => count(codes.len()),
    });
    bytes.extend_from_slice(&finding.until.to_le_bytes());
    for code in codes {
        bytes.extend_from_slice(&code.octets());
    }
}

#[allow(
    clippy::option_option,
    reason = "the outer one says whether it could be read"
)]
fn read_finding(reader: &mut Reader<'_>) -> Option<Option<Finding>> {
    let kind = reader.octet()?;
    if kind == UNKNOWN {
        return Some(None);
    }
    let until = reader.number()?;
    let says = match kind {
        NOTHING => Says::Nothing,
        0 => Says::Unlisted,
        count if usize::from(count) <= MAX_CODES => {
            let codes = (0..count).map(|_| reader.take::<4>().map(|octets| (*octets).into()));
            Says::Listed(codes.collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(Some(Finding { says, until }))
}

fn count(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const LEN: usize>(&mut self) -> Option<&'a [u8; LEN]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take::<1>().map(|[octet]| *octet)
    }

    fn number(&mut self) -> Option<u32> {
        self.take::<4>().map(|octets| u32::from_le_bytes(*octets))
    }
}
