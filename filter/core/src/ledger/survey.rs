//! How many clients are remembered, and how many are listed: the table is looked through a part at
//! a time, since nobody may be kept waiting for all of it.

use super::slot::Slot;
use std::ops::Range;

/// Parts of the table, one a turn.
const PARTS: u32 = 64;

/// Looks through the table, again and again.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    part: u32,
    found: Census,
    /// When each part was looked through last.
    seen: Vec<u32>,
}

/// What a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Clients remembered.
    pub clients: u32,
    /// Those that are listed.
    pub listings: u32,
    /// Listings that ran out since the table was looked through before.
    pub expired: u32,
}

impl Survey {
    /// The slots whose turn it is, of `slots` in all.
    #[must_use]
    pub fn turn(&self, slots: u32) -> Range<u32> {
        let size = slots.div_ceil(PARTS);
        let from = self.part.saturating_mul(size).min(slots);
        from..from.saturating_add(size).min(slots)
    }

    /// Counts one of these slots.
    pub fn look(&mut self, slot: &Slot, now: u32) {
        let before = self.seen.get(self.part as usize).copied();
        for (_, entry) in slot.entries() {
            self.found.clients += 1;
            self.found.listings += u32::from(entry.listing(now).is_some());
            let over = |until: u32| before.is_some_and(|before| before < until && until <= now);
            self.found.expired += u32::from(entry.last.is_some_and(|last| over(last.until)));
        }
    }

    /// All of them are counted; what the whole table holds, once it is through.
    pub fn end_turn(&mut self, slots: u32, now: u32) -> Option<Census> {
        match self.seen.get_mut(self.part as usize) {
            Some(seen) => *seen = now,
            None => self.seen.push(now),
        }
        self.part += 1;
        if self.part < PARTS && self.turn(slots).start < slots {
            return None;
        }
        self.part = 0;
        Some(std::mem::take(&mut self.found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Prefixes;
    use crate::ledger::Listing;
    use crate::ledger::terms::Reason;
    use crate::policy::Policy;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A slot with one listed client.
    fn listed(until: u32, now: u32) -> Slot {
        let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
        let client = prefixes.client("192.0.2.7".parse().unwrap());
        let listing = Listing {
            until,
            reason: Reason::Told,
            times: 1,
        };
        let mut slot = Slot::default();
        let terms = Policy::read(b"").unwrap().terms();
        slot.told(client, listing, now, &terms);
        slot
    }

    /// Looks through all slots once; how many turns it took.
    fn pass(survey: &mut Survey, slots: u32, now: u32, slot: &Slot) -> (u32, Census) {
        for turns in 1..=PARTS {
            for _ in survey.turn(slots) {
                survey.look(slot, now);
            }
            if let Some(census) = survey.end_turn(slots, now) {
                return (turns, census);
            }
        }
        unreachable!("a pass has no more turns than there are parts")
    }

    #[test]
    fn every_slot_is_counted_once() {
        let mut survey = Survey::default();
        let slot = listed(2000, 1000);
        for (slots, turns) in [
            (1, 1),
            (63, 63),
            (64, 64),
            (65, 33),
            (1000, 63),
            (32_768, 64),
        ] {
            let census = Census {
                clients: slots,
                listings: slots,
                expired: 0,
            };
            assert_eq!(pass(&mut survey, slots, 1000, &slot), (turns, census));
        }
        let empty = Survey::default().end_turn(0, 1);
        assert_eq!(empty, Some(Census::default()));
    }

    #[test]
    fn a_listing_runs_out_once() {
        let mut survey = Survey::default();
        let slot = listed(2000, 1000);
        let counts = [1000, 1999, 2000, 2001].map(|now| {
            let (_, census) = pass(&mut survey, 1, now, &slot);
            (census.listings, census.expired)
        });
        assert_eq!(counts, [(1, 0), (1, 0), (0, 1), (0, 0)]);
    }
}
