//! The last readings, and what they say about a minute.

use std::collections::VecDeque;

use serde::Serialize;

use super::reading::{Reading, Trouble};

/// Readings kept: ten minutes at one in three seconds.
const KEPT: usize = 205;
/// A rate is that of the last minute.
const WINDOW_MS: u64 = 60_000;
/// A point of a line stands for so many readings: single ones would jump.
const STRIDE: u64 = 5;

/// The last readings of one run of Envoy.
#[derive(Debug, Default)]
pub(crate) struct History {
    readings: VecDeque<Reading>,
    /// How many there have been, so that the points of a line stay where they are.
    seen: u64,
}

/// What one number did over the last ten minutes; null where it is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line(Vec<Option<f64>>);

impl History {
    /// Adds a reading. An Envoy that started anew counts from 0, so what was before is of no use.
    pub(crate) fn push(&mut self, reading: Reading) {
        let restarted =
            |last: &Reading| reading.uptime_s < last.uptime_s || reading.sessions < last.sessions;
        if self.last().is_some_and(restarted) {
            self.readings.clear();
        }
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
        self.seen += 1;
    }

    /// The last reading.
    pub(crate) fn last(&self) -> Option<&Reading> {
        self.readings.back()
    }

    /// What to look into.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let ends = self.readings.front().zip(self.readings.back());
        ends.map_or_else(Vec::new, |(first, last)| last.troubles(first))
    }

    /// By how much a counter grows in a minute, over the last one; unknown before there are two
    /// readings in it.
    pub(crate) fn per_minute(&self, counter: impl Fn(&Reading) -> u64) -> Option<f64> {
        let last = self.last()?;
        let begin = last.at_ms.saturating_sub(WINDOW_MS);
        let first = self
            .readings
            .iter()
            .find(|reading| reading.at_ms >= begin)?;
        rate(first, last, counter)
    }

    /// How a rate went.
    pub(crate) fn rates(&self, counter: impl Fn(&Reading) -> u64) -> Line {
        let points: Vec<&Reading> = self.points().collect();
        let pairs = points.iter().zip(points.iter().skip(1));
        Line(pairs.map(|(from, to)| rate(from, to, &counter)).collect())
    }

    /// How a gauge went.
    #[expect(clippy::cast_precision_loss, reason = "it is drawn some pixels high")]
    pub(crate) fn levels(&self, gauge: impl Fn(&Reading) -> u64) -> Line {
        let points = self.points().skip(1);
        Line(points.map(|reading| Some(gauge(reading) as f64)).collect())
    }

    /// Every so many readings, always the same ones.
    fn points(&self) -> impl Iterator<Item = &Reading> {
        let first = self.seen.saturating_sub(self.readings.len() as u64);
        let numbered = (first..).zip(&self.readings);
        numbered.filter_map(|(number, reading)| number.is_multiple_of(STRIDE).then_some(reading))
    }
}

/// The growth in a minute between two readings; unknown if there is no time, or a long gap, between
/// them: nobody knows when in it things happened.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is read to three figures"
)]
fn rate(from: &Reading, to: &Reading, counter: impl Fn(&Reading) -> u64) -> Option<f64> {
    let lasted = to.at_ms.saturating_sub(from.at_ms);
    if lasted == 0 || lasted > 5 * WINDOW_MS {
        return None;
    }
    let grown = counter(to).saturating_sub(counter(from));
    Some(grown as f64 * WINDOW_MS as f64 / lasted as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(second: u64, sessions: u64) -> Reading {
        Reading {
            at_ms: second * 1000,
            uptime_s: second,
            sessions,
            open: second,
            ..Reading::default()
        }
    }

    fn history(readings: impl IntoIterator<Item = Reading>) -> History {
        let mut history = History::default();
        readings.into_iter().for_each(|one| history.push(one));
        history
    }

    fn sessions(reading: &Reading) -> u64 {
        reading.sessions
    }

    #[test]
    fn a_rate_is_unknown_before_two_readings() {
        assert_eq!(history([]).per_minute(sessions), None);
        assert_eq!(history([reading(3, 100)]).per_minute(sessions), None);
    }

    #[test]
    fn a_rate_is_that_of_the_last_minute() {
        // One a second for two minutes, then ten a second for thirty seconds.
        let slow = (0..120).map(|second| reading(second, second));
        let fast = (120..151).map(|second| reading(second, 120 + (second - 120) * 10));
        let rate = history(slow.chain(fast)).per_minute(sessions).unwrap();
        assert!((rate - 330.0).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn a_shorter_time_is_reckoned_up() {
        let rate = history([reading(0, 0), reading(3, 6)]).per_minute(sessions);
        assert_eq!(rate, Some(120.0));
    }

    #[test]
    fn after_a_restart_nothing_before_it_counts() {
        let mut history = history((100..110).map(|second| reading(second, second)));
        history.push(reading(1, 7));
        assert_eq!(history.per_minute(sessions), None);
        history.push(reading(4, 10));
        // The clock of readings goes on in truth; here both start anew.
        assert_eq!(history.per_minute(sessions), Some(60.0));
    }

    #[test]
    fn counters_that_fell_are_a_restart_even_if_the_uptime_is_not_known() {
        let mut history = history([reading(100, 50)]);
        history.push(Reading {
            sessions: 3,
            uptime_s: 101,
            at_ms: 103_000,
            ..Reading::default()
        });
        assert_eq!(history.per_minute(sessions), None);
    }

    #[test]
    fn a_gap_has_no_rate() {
        let history = history([reading(0, 0), reading(600, 6000)]);
        assert_eq!(history.per_minute(sessions), None);
        let pair = (reading(0, 0), reading(301, 6000));
        assert_eq!(rate(&pair.0, &pair.1, sessions), None);
    }

    #[test]
    fn no_more_than_ten_minutes_are_kept() {
        let history = history((0..10_000).map(|second| reading(second, second)));
        assert_eq!(history.readings.len(), KEPT);
        let line = history.rates(sessions);
        assert_eq!(line.0.len() as u64, KEPT as u64 / STRIDE - 1);
        assert!(line.0.iter().all(|rate| *rate == Some(60.0)));
    }

    #[test]
    fn points_of_a_line_stay_where_they_are() {
        let mut history = history((0..300).map(|second| reading(second, second)));
        let before = history.levels(|reading| reading.open);
        history.push(reading(300, 300));
        let after = history.levels(|reading| reading.open);
        let shared = before.0.iter().filter(|level| after.0.contains(level));
        assert!(shared.count() >= before.0.len() - 1, "{before:?} {after:?}");
    }
}
