//! Recipients that the server has just called unknown.

use super::detector::Heard;
use lru::LruCache;
use std::num::NonZeroUsize;

/// Which refusals are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remember {
    /// Those for good (5yz).
    Permanent,
    /// Those for now (4yz), too.
    All,
}

/// Unknown recipients of late, a bounded number of them. Names are kept whole: one that only
/// resembles another must not be taken for it.
#[derive(Debug)]
pub struct Unknown {
    remember: Remember,
    ttl: u32,
    names: LruCache<Box<[u8]>, (u32, Heard)>,
    evicted: u32,
}

impl Unknown {
    /// At most `capacity` names, each for `ttl` seconds.
    #[must_use]
    pub fn new(remember: Remember, ttl: u32, capacity: u32) -> Self {
        // Made for its whole capacity it would take the memory at once, in every machine.
        let mut names = LruCache::unbounded();
        names.resize(NonZeroUsize::new(capacity as usize).unwrap_or(NonZeroUsize::MIN));
        Self {
            remember,
            ttl,
            names,
            evicted: 0,
        }
    }

    /// How many that were still believed have made room for others since this was last asked.
    pub fn take_evicted(&mut self) -> u32 {
        std::mem::take(&mut self.evicted)
    }

    /// Names in memory, be it that they are no longer believed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// What the server says of a name, at `now` (seconds).
    pub fn hear(&mut self, name: &[u8], heard: Heard, now: u32) {
        match (heard, self.remember) {
            (Heard::Unknown, _) | (Heard::UnknownForNow, Remember::All) => {
                let gone = self.names.push(name.into(), (now, heard));
                // What comes back may also be what was known of this very name.
                let gone = gone.filter(|(other, _)| **other != *name);
                if gone.is_some_and(|(_, (since, _))| self.is_fresh(since, now)) {
                    self.evicted = self.evicted.saturating_add(1);
                }
            }
            (Heard::Known, _) => {
                self.names.pop(name);
            }
            (Heard::UnknownForNow, Remember::Permanent) | (Heard::Unclear | Heard::Again, _) => {}
        }
    }

    /// What the server has said of a name that it does not know. Being asked for does not make it
    /// stay for longer.
    pub fn get(&mut self, name: &[u8], now: u32) -> Option<Heard> {
        let (since, heard) = self.names.get(name).copied()?;
        let fresh = self.is_fresh(since, now);
        if !fresh {
            self.names.pop(name);
        }
        fresh.then_some(heard)
    }

    fn is_fresh(&self, since: u32, now: u32) -> bool {
        now.checked_sub(since).is_some_and(|age| age < self.ttl)
    }
}
