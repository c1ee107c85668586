//! Counters over time, in a bounded number of samples.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::serial;

/// Samples that are kept: beyond, every second one goes, and they come half as often.
const MOST_SAMPLES: usize = 480;
/// The time between two samples at first.
const FIRST_STEP: Duration = Duration::from_secs(1);

/// Everything that is sampled, counted from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Recipients that the server looked up.
    pub lookups: u64,
    /// Sessions of bots that were opened.
    pub attack_sessions: u64,
    /// Sessions that reached the server.
    pub server_sessions: u64,
    /// Clients that were turned away before the server was asked, each once.
    pub turned_away: u64,
    /// DNS questions that the filter asked.
    pub dns_questions: u64,
    /// Honest messages delivered.
    pub delivered: u64,
    /// The filter's own metrics.
    pub metrics: BTreeMap<String, u64>,
}

impl Sample {
    fn add(&mut self, other: &Self) {
        self.lookups += other.lookups;
        self.attack_sessions += other.attack_sessions;
        self.server_sessions += other.server_sessions;
        self.turned_away += other.turned_away;
        self.dns_questions += other.dns_questions;
        self.delivered += other.delivered;
        for (name, value) in &other.metrics {
            *self.metrics.entry(name.clone()).or_default() += value;
        }
    }
}

/// Samples at equal steps of time, the first one step after the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// The time between two samples.
    #[serde(serialize_with = "serial::seconds")]
    pub step: Duration,
    /// What had been counted at the end of each step.
    pub samples: Vec<Sample>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            step: FIRST_STEP,
            samples: Vec::new(),
        }
    }
}

impl Series {
    /// When the next sample is due, from the beginning.
    pub(super) fn next_due(&self) -> Duration {
        let taken = u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
        self.step.saturating_mul(taken.saturating_add(1))
    }

    /// Takes the sample that is due.
    pub(super) fn push(&mut self, sample: Sample) {
        self.samples.push(sample);
        if self.samples.len() >= MOST_SAMPLES {
            self.halve();
        }
    }

    /// Keeps every second sample, the last of each two.
    fn halve(&mut self) {
        let mut place = 0;
        self.samples.retain(|_| {
            place += 1;
            place % 2 == 0
        });
        self.step *= 2;
    }

    /// Adds what was sampled elsewhere at the same time; what ended stays as it was.
    #[must_use]
    pub(super) fn and(mut self, mut other: Self) -> Self {
        while self.step < other.step {
            self.halve();
        }
        while other.step < self.step {
            other.halve();
        }
        let (left, right) = (self.samples.last().cloned(), other.samples.last().cloned());
        let length = self.samples.len().max(other.samples.len());
        self.samples.resize(length, left.unwrap_or_default());
        other.samples.resize(length, right.unwrap_or_default());
        for (sample, more) in self.samples.iter_mut().zip(&other.samples) {
            sample.add(more);
        }
        self
    }

    /// What was counted from one sample to the next, each second: for every step
    /// its end in seconds and the rate.
    #[must_use]
    pub fn rate(&self, of: impl Fn(&Sample) -> u64) -> Vec<(f64, f64)> {
        let mut before = 0;
        let seconds = self.step.as_secs_f64();
        let rates = self.samples.iter().zip(1_u32..).map(|(sample, place)| {
            let now = of(sample);
            let more = now.saturating_sub(before);
            before = now;
            (seconds * f64::from(place), float(more) / seconds)
        });
        rates.collect()
    }

    /// What had been counted: for every step its end in seconds and the count.
    #[must_use]
    pub fn count(&self, of: impl Fn(&Sample) -> u64) -> Vec<(f64, f64)> {
        let seconds = self.step.as_secs_f64();
        let counts = self.samples.iter().zip(1_u32..);
        counts
            .map(|(sample, place)| (seconds * f64::from(place), float(of(sample))))
            .collect()
    }
}

/// A count as a chart needs it; counts of a simulation are far below 2^53.
#[allow(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something that has been counted so often at the end of each second.
    fn sampled(lookups: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::default();
        for (lookups, second) in lookups.into_iter().zip(1..) {
            if series.next_due() <= Duration::from_secs(second) {
                series.push(Sample {
                    lookups,
                    ..Sample::default()
                });
            }
        }
        series
    }

    #[test]
    fn samples_stay_few_and_true() {
        let series = sampled(1..=2000);
        assert!(series.samples.len() < MOST_SAMPLES);
        assert_eq!(series.step, Duration::from_secs(8));
        for (at, count) in series.count(|sample| sample.lookups) {
            assert!((at - count).abs() < f64::EPSILON, "one a second: {at}");
        }
        for (_, rate) in series.rate(|sample| sample.lookups) {
            assert!((rate - 1.0).abs() < f64::EPSILON);
        }
        let due = series.next_due();
        assert_eq!(due.as_secs() % 8, 0);
    }

    #[test]
    fn hosts_add_up_whichever_ends_first() {
        let both = sampled([1, 2, 3, 4]).and(sampled([10, 20]));
        let counts: Vec<u64> = both.samples.iter().map(|sample| sample.lookups).collect();
        assert_eq!(counts, [11, 22, 23, 24]);
        let long = sampled(1..=500).and(sampled([10, 20]));
        assert_eq!(long.step, Duration::from_secs(2));
        assert_eq!(
            long.samples.first().map(|sample| sample.lookups),
            Some(2 + 20)
        );
    }
}
