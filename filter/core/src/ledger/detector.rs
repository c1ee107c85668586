//! Attacks by many clients, of which each alone does little.

use crate::client::Client;
use lru::LruCache;
use std::collections::VecDeque;
use std::num::NonZeroUsize;

/// Whether an attack is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Alert {
    /// No.
    #[default]
    Calm,
    /// Yes.
    Attack,
}

/// What was said of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The server takes it.
    Known,
    /// The server does not know it (5yz).
    Unknown,
    /// The server says so for now (4yz).
    UnknownForNow,
    /// The server refuses it, and it may be for the client that it does.
    Unclear,
    /// It was not asked again: the guard has answered.
    Again,
}

/// What makes an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// Unknown recipients of a hundred, from which on.
    pub enter_percent: u32,
    /// And up to which it is over.
    pub leave_percent: u32,
    /// But fewer unknown recipients a minute are none.
    pub min_rejected: u32,
    /// Clients that try the same unknown recipient.
    pub clients_per_name: Option<u32>,
    /// Seconds an attack lasts at least.
    pub hold: u32,
}

/// Seconds in one bucket; all of them together are the last minute.
const BUCKET: u32 = 10;
const BUCKETS: usize = 6;
/// Names that are watched, and seconds for which.
const MAX_NAMES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2047);
const NAME_WINDOW: u32 = 600;
/// Names tried by many clients that make an attack together: one may be somebody who has left.
const HOT_NAMES: usize = 3;

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Which one it is, in buckets since the epoch.
    number: u32,
    known: u32,
    unknown: u32,
}

#[derive(Debug)]
struct Name {
    since: u32,
    clients: Vec<Client>,
}

/// Looks for attacks over all clients of a worker. Bounded: a minute's counts, and the names tried
/// last.
#[derive(Debug)]
pub struct Detector {
    signs: Signs,
    buckets: VecDeque<Bucket>,
    names: LruCache<Box<[u8]>, Name>,
    /// When each of the last names became one tried by many clients.
    hot: [Option<u32>; HOT_NAMES],
    attack_until: Option<u32>,
}

impl Detector {
    /// Looks for these signs.
    #[must_use]
    pub fn new(signs: Signs) -> Self {
        let mut names = LruCache::unbounded();
        names.resize(MAX_NAMES);
        Self {
            signs,
            buckets: VecDeque::new(),
            names,
            hot: [None; HOT_NAMES],
            attack_until: None,
        }
    }

    /// The server has answered for a recipient, at `now` (seconds).
    pub fn hear(&mut self, client: Client, name: Option<&[u8]>, heard: Heard, now: u32) {
        self.count(heard, now);
        if let (Some(name), Some(limit)) = (name, self.signs.clients_per_name)
            && !matches!(heard, Heard::Known | Heard::Unclear)
        {
            self.tried(client, name, limit as usize, now);
        }
    }

    /// Whether an attack is under way at `now`.
    pub fn judge(&mut self, now: u32) -> Alert {
        let (known, unknown) = self.last_minute(now);
        let total = u64::from(known) + u64::from(unknown);
        let share = |percent: u32| total * u64::from(percent);
        let unknowns = u64::from(unknown) * 100;
        let many = unknown >= self.signs.min_rejected;
        let hot = self.hot.iter().all(|since| is_recent(*since, now));
        if hot || many && unknowns >= share(self.signs.enter_percent) {
            self.attack_until = Some(now.saturating_add(self.signs.hold));
        }
        // Half as many as it takes to begin are too few to go on, whatever their share.
        let quiet = unknown < self.signs.min_rejected.div_ceil(2)
            || unknowns <= share(self.signs.leave_percent);
        let signs = &self.signs;
        self.attack_until.take_if(|until| {
            let held = until
                .checked_sub(now)
                .is_some_and(|left| left > 0 && left <= signs.hold);
            quiet && !held
        });
        match self.attack_until {
            Some(_) => Alert::Attack,
            None => Alert::Calm,
        }
    }

    fn count(&mut self, heard: Heard, now: u32) {
        let number = now / BUCKET;
        if self.buckets.back().is_none_or(|last| last.number != number) {
            self.buckets.push_back(Bucket {
                number,
                ..Bucket::default()
            });
        }
        if self.buckets.len() > BUCKETS {
            self.buckets.pop_front();
        }
        if let Some(bucket) = self.buckets.back_mut() {
            let count = match heard {
                Heard::Known => &mut bucket.known,
                Heard::Unknown | Heard::UnknownForNow | Heard::Unclear | Heard::Again => {
                    &mut bucket.unknown
                }
            };
            *count = count.saturating_add(1);
        }
    }

    fn last_minute(&self, now: u32) -> (u32, u32) {
        let buckets = self.buckets.iter().filter(|bucket| {
            let age = (now / BUCKET).checked_sub(bucket.number);
            age.is_some_and(|age| (age as usize) < BUCKETS)
        });
        buckets.fold((0, 0), |(known, unknown), bucket| {
            let known = bucket.known.saturating_add(known);
            (known, bucket.unknown.saturating_add(unknown))
        })
    }

    /// An unknown recipient was tried by a client.
    fn tried(&mut self, client: Client, name: &[u8], limit: usize, now: u32) {
        let name = name.to_ascii_lowercase().into_boxed_slice();
        let fresh = || Name {
            since: now,
            clients: Vec::new(),
        };
        let seen = self.names.get_or_insert_mut(name, fresh);
        if !is_recent(Some(seen.since), now) {
            *seen = fresh();
        }
        if seen.clients.len() < limit && !seen.clients.contains(&client) {
            seen.clients.push(client);
            if seen.clients.len() == limit {
                self.hot.rotate_left(1);
                if let Some(last) = self.hot.last_mut() {
                    *last = Some(now);
                }
            }
        }
    }
}

fn is_recent(since: Option<u32>, now: u32) -> bool {
    let age = since.and_then(|since| now.checked_sub(since));
    age.is_some_and(|age| age < NAME_WINDOW)
}
