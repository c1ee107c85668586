//! What happens too often to be told each time.

use super::{Known, Lookups};

/// What has happened since this was last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers that were at hand when a client was looked up, by zone: this worker's own of before,
    /// or another one's.
    pub recalled: Vec<u32>,
    /// Clients with answers still believed that were forgotten for others.
    pub evicted: u32,
}

impl Tally {
    pub(super) fn of(zones: usize) -> Self {
        Self {
            recalled: vec![0; zones],
            evicted: 0,
        }
    }

    pub(super) fn recall(&mut self, known: &Known) {
        for (count, finding) in self.recalled.iter_mut().zip(&known.0) {
            *count = count.saturating_add(finding.is_some().into());
        }
    }

    pub(super) fn evict(&mut self) {
        self.evicted = self.evicted.saturating_add(1);
    }
}

impl<W> Lookups<W> {
    /// What has happened since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        let zones = self.tally.recalled.len();
        std::mem::replace(&mut self.tally, Tally::of(zones))
    }
}
