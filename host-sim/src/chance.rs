//! What is left to chance in a simulation, drawn from one seed.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Timestamp;
use crate::shared::lock;

/// The longest a thing is on its way under a seed. Envoy was seen to take 46 to
/// 136 microseconds from a queue to its consumer.
const LONGEST_WAY: Duration = Duration::from_micros(200);

/// How often in a row a value is made to look changed by another worker: a loop
/// that tries once more than this ends.
const CONTENTIONS_IN_A_ROW: u32 = 3;

/// The order in which things happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// One fixed order; nothing is ever on its way.
    #[default]
    Fixed,
    /// The order this seed gives.
    Seeded(u64),
}

/// The source of every decision that real Envoy leaves to the kernel, to threads
/// and to other machines. One run draws from one source, in one thread.
#[derive(Debug, Default)]
pub(crate) struct Chance {
    order: Order,
    /// Percent.
    contention: u8,
    rng: Mutex<Draws>,
}

/// A generator that begins the same way wherever nothing was said.
#[derive(Debug)]
struct Draws(Rng);

impl Default for Draws {
    fn default() -> Self {
        Self(Rng::with_seed(0))
    }
}

impl Chance {
    pub(crate) fn new(order: Order, contention: u8) -> Self {
        let seed = match order {
            Order::Fixed => 0,
            Order::Seeded(seed) => seed,
        };
        Self {
            order,
            contention: contention.min(100),
            rng: Mutex::new(Draws(Rng::with_seed(seed))),
        }
    }

    pub(crate) fn order(&self) -> Order {
        self.order
    }

    /// A number of this range; its beginning where the range is empty.
    pub(crate) fn draw(&self, range: RangeInclusive<u64>) -> u64 {
        if range.start() >= range.end() {
            return *range.start();
        }
        lock(&self.rng).0.u64(range)
    }

    /// A place among so many.
    pub(crate) fn place(&self, count: usize) -> usize {
        let last = u64::try_from(count.saturating_sub(1)).unwrap_or(u64::MAX);
        usize::try_from(self.draw(0..=last)).unwrap_or(0)
    }

    /// A time of this range, to the nanosecond.
    pub(crate) fn time(&self, range: &RangeInclusive<Duration>) -> Duration {
        let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.draw(nanos(range.start())..=nanos(range.end())))
    }

    /// How long something is on its way; no time at all in the fixed order.
    pub(crate) fn way(&self) -> Duration {
        match self.order {
            Order::Fixed => Duration::ZERO,
            Order::Seeded(_) => self.time(&(Duration::ZERO..=LONGEST_WAY)),
        }
    }

    /// A time below this; none in the fixed order.
    pub(crate) fn jitter(&self, below: Duration) -> Duration {
        match self.order {
            Order::Fixed => Duration::ZERO,
            Order::Seeded(_) => self.time(&(Duration::ZERO..=below)),
        }
    }

    /// When something sent now arrives, on a way where nothing overtakes anything.
    pub(crate) fn arrival(&self, now: Timestamp, way: &mut Way) -> Timestamp {
        self.arrival_after(now, Duration::ZERO, way)
    }

    /// As [`arrival`](Self::arrival), of something sent only after `wait`.
    pub(crate) fn arrival_after(&self, now: Timestamp, wait: Duration, way: &mut Way) -> Timestamp {
        let due = now.after(wait).after(self.way());
        let due = way.last.map_or(due, |last| due.max(last));
        way.last = Some(due);
        due
    }

    /// Whether a value whose number matches is to look changed all the same.
    pub(crate) fn contends(&self, in_a_row: u32) -> bool {
        in_a_row < CONTENTIONS_IN_A_ROW
            && self.contention > 0
            && self.draw(1..=100) <= u64::from(self.contention)
    }
}

/// A way on which things arrive in the order they were sent.
#[derive(Debug, Default)]
pub(crate) struct Way {
    last: Option<Timestamp>,
}

impl Way {
    /// A way on which nothing arrives before this.
    pub(crate) fn not_before(first: Timestamp) -> Self {
        Self { last: Some(first) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overtakes_on_one_way() {
        let chance = Chance::new(Order::Seeded(7), 0);
        let (now, mut way) = (Timestamp::SIMULATION_START, Way::default());
        let due: Vec<_> = (0..50).map(|_| chance.arrival(now, &mut way)).collect();
        assert!(due.is_sorted());
        assert!(due.iter().all(|due| due.since(now) <= LONGEST_WAY));
        assert!(due.first() < due.last());
    }

    #[test]
    fn the_fixed_order_takes_no_time() {
        let chance = Chance::default();
        let (now, mut way) = (Timestamp::SIMULATION_START, Way::default());
        assert_eq!(chance.arrival(now, &mut way), now);
        let wait = Duration::from_millis(3);
        assert_eq!(chance.arrival_after(now, wait, &mut way), now.after(wait));
    }

    #[test]
    fn contention_ends_after_some_tries() {
        let always = Chance::new(Order::Fixed, 200);
        assert!(always.contends(CONTENTIONS_IN_A_ROW - 1));
        assert!(!always.contends(CONTENTIONS_IN_A_ROW));
        assert!(!Chance::default().contends(0));
    }

    #[test]
    fn seeds_that_stand_side_by_side_draw_apart() {
        let first = |seed| Chance::new(Order::Seeded(seed), 0).place(4);
        let counts = (0..4).map(|place| (0..400).filter(|seed| first(*seed) == place).count());
        assert!(counts.into_iter().all(|count| count > 60));
    }
}
