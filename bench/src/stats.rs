//! What a few rounds say together.

use serde::Serialize;

/// The middle of some rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The value in the middle.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

impl Summary {
    /// Of these rounds; `None` if there is none.
    #[must_use]
    pub fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: middle(&sorted)?,
            lowest: *sorted.first()?,
            highest: *sorted.last()?,
        })
    }

    /// Half of what lies between the lowest and the highest, as a share of the median: the `±` of
    /// the tables.
    #[must_use]
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 {
            return 0.0;
        }
        (self.highest - self.lowest) / 2.0 / self.median.abs()
    }
}

/// What two rivals' rounds say when each round of one is held against the same round of the other:
/// both had the same neighbours then.
#[must_use]
pub fn paired(own: &[f64], other: &[f64], compare: impl Fn(f64, f64) -> f64) -> Option<Summary> {
    let pairs = own.iter().zip(other);
    Summary::of(
        &pairs
            .map(|(own, other)| compare(*own, *other))
            .collect::<Vec<_>>(),
    )
}

/// The part of sorted values below which `percent` of them lie (the nearest one).
#[must_use]
pub fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last * percent).div_ceil(100)).copied()
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted.get(half).copied();
    }
    Some((sorted.get(half.checked_sub(1)?)? + sorted.get(half)?) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn the_spread_is_half_of_the_range_beside_the_median() {
        let summary = Summary::of(&[8.0, 10.0, 12.0]).unwrap();
        assert!((summary.spread() - 0.2).abs() < 1e-9);
        assert_eq!(Summary::of(&[0.0]).unwrap().spread(), 0.0);
    }

    #[test]
    fn pairs_are_compared_before_the_median_is_taken() {
        // A neighbour disturbed the second round of both: no ratio is disturbed.
        let (own, other) = ([2.0, 20.0, 2.2], [1.0, 10.0, 1.0]);
        let ratio = paired(&own, &other, |own, other| own / other).unwrap();
        assert_eq!((ratio.median, ratio.highest), (2.0, 2.2));
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 0), Some(1.0));
        assert_eq!(percentile(&sorted, 50), Some(51.0));
        assert_eq!(percentile(&sorted, 99), Some(100.0));
        assert_eq!(percentile(&[], 50), None);
    }
}
