//! Counters, gauges and histograms.
//!
//! As in Envoy, what a metric counts is one for the whole process, by kind and name,
//! while the numbers a filter calls it by are its VM's own: the kind in the lower two
//! bits, and a new one for each definition.

use std::collections::{BTreeMap, HashMap};

use crate::status::Status;

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricValue {
    /// A counter's value.
    Counter(u64),
    /// A gauge's value. Below zero it wraps, as in Envoy.
    Gauge(u64),
    /// What a histogram was given.
    Histogram {
        /// How many samples.
        count: u64,
        /// Their sum.
        sum: u64,
        /// The smallest; 0 of none.
        min: u64,
        /// The largest; 0 of none.
        max: u64,
    },
}

impl MetricValue {
    fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter(0),
            MetricKind::Gauge => Self::Gauge(0),
            MetricKind::Histogram => Self::Histogram {
                count: 0,
                sum: 0,
                min: 0,
                max: 0,
            },
        }
    }

    /// A counter's or gauge's value, a histogram's number of samples.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Counter(value) | Self::Gauge(value) => value,
            Self::Histogram { count, .. } => count,
        }
    }

    fn add(&mut self, offset: i64) -> Result<(), Status> {
        match self {
            Self::Counter(value) if offset > 0 => {
                *value = value.wrapping_add(offset.unsigned_abs());
                Ok(())
            }
            Self::Gauge(value) => {
                *value = value.wrapping_add_signed(offset);
                Ok(())
            }
            Self::Counter(_) | Self::Histogram { .. } => Err(Status::BadArgument),
        }
    }

    fn record(&mut self, sample: u64) {
        match self {
            Self::Counter(value) => *value = value.wrapping_add(sample),
            Self::Gauge(value) => *value = sample,
            Self::Histogram {
                count,
                sum,
                min,
                max,
            } => {
                *min = if *count == 0 {
                    sample
                } else {
                    sample.min(*min)
                };
                *max = sample.max(*max);
                *sum = sum.saturating_add(sample);
                *count += 1;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum MetricKind {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

/// A number's lower bits tell the kind.
const KIND_BITS: u32 = 0b11;
const NEXT: u32 = KIND_BITS + 1;

impl MetricKind {
    fn from_abi(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// All metrics of a process.
#[derive(Debug, Default)]
pub(crate) struct Metrics(BTreeMap<(String, MetricKind), MetricValue>);

impl Metrics {
    /// Every metric, by name and then by kind.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, MetricValue)> {
        let metrics = self.0.iter();
        metrics.map(|((name, _), value)| (name.as_str(), *value))
    }
}

/// What one VM calls its metrics.
#[derive(Debug, Default)]
pub(crate) struct MetricIds {
    names: HashMap<u32, (String, MetricKind)>,
    /// How many of each kind have been defined.
    defined: HashMap<MetricKind, u32>,
}

impl MetricIds {
    /// Defines a metric, and gives it a new number each time.
    ///
    /// # Errors
    /// `BadArgument` for a kind that the ABI does not know.
    pub(crate) fn define(
        &mut self,
        metrics: &mut Metrics,
        kind: u32,
        name: &str,
    ) -> Result<u32, Status> {
        let kind = MetricKind::from_abi(kind).ok_or(Status::BadArgument)?;
        let defined = self.defined.entry(kind).or_default();
        *defined = defined.wrapping_add(1);
        let id = defined.wrapping_mul(NEXT) | kind as u32;
        let key = (name.to_owned(), kind);
        metrics
            .0
            .entry(key.clone())
            .or_insert(MetricValue::new(kind));
        self.names.insert(id, key);
        Ok(id)
    }

    /// Adds to a counter (upwards only) or a gauge.
    ///
    /// # Errors
    /// `NotFound` for an unknown one, `BadArgument` for every other number.
    pub(crate) fn increment(
        &self,
        metrics: &mut Metrics,
        id: u32,
        offset: i64,
    ) -> Result<(), Status> {
        self.countable(id)?;
        self.find(metrics, id)?.add(offset)
    }

    /// Adds to a counter, sets a gauge, gives a histogram a sample.
    ///
    /// # Errors
    /// `NotFound` for an unknown one.
    pub(crate) fn record(&self, metrics: &mut Metrics, id: u32, value: u64) -> Result<(), Status> {
        self.find(metrics, id)?.record(value);
        Ok(())
    }

    /// # Errors
    /// As [`increment`](Self::increment).
    pub(crate) fn value(&self, metrics: &mut Metrics, id: u32) -> Result<u64, Status> {
        self.countable(id)?;
        Ok(self.find(metrics, id)?.number())
    }

    fn countable(&self, id: u32) -> Result<(), Status> {
        match MetricKind::from_abi(id & KIND_BITS) {
            Some(MetricKind::Counter | MetricKind::Gauge) => Ok(()),
            Some(MetricKind::Histogram) | None => Err(Status::BadArgument),
        }
    }

    fn find<'a>(&self, metrics: &'a mut Metrics, id: u32) -> Result<&'a mut MetricValue, Status> {
        let key = self.names.get(&id).ok_or(Status::NotFound)?;
        metrics.0.get_mut(key).ok_or(Status::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_a_vms_own_and_values_the_processes() {
        let (mut metrics, mut one, mut other) = <(Metrics, MetricIds, MetricIds)>::default();
        assert_eq!(one.define(&mut metrics, 0, "c"), Ok(4));
        assert_eq!(one.define(&mut metrics, 0, "c"), Ok(8));
        assert_eq!(one.define(&mut metrics, 1, "c"), Ok(5));
        assert_eq!(one.define(&mut metrics, 2, "h"), Ok(6));
        assert_eq!(one.define(&mut metrics, 3, "x"), Err(Status::BadArgument));
        assert_eq!(other.define(&mut metrics, 0, "c"), Ok(4));
        assert_eq!(one.increment(&mut metrics, 8, 3), Ok(()));
        assert_eq!(other.value(&mut metrics, 4), Ok(3));
        assert_eq!(one.value(&mut metrics, 5), Ok(0), "the gauge is another");
        assert_eq!(other.value(&mut metrics, 8), Err(Status::NotFound));
    }

    #[test]
    fn each_kind_does_its_own() {
        let (mut metrics, mut ids) = <(Metrics, MetricIds)>::default();
        for kind in 0..3 {
            ids.define(&mut metrics, kind, "m").unwrap();
        }
        assert_eq!(ids.increment(&mut metrics, 4, 0), Err(Status::BadArgument));
        assert_eq!(ids.increment(&mut metrics, 4, -1), Err(Status::BadArgument));
        assert_eq!(ids.record(&mut metrics, 4, 7), Ok(()));
        assert_eq!(ids.increment(&mut metrics, 5, -2), Ok(()));
        assert_eq!(ids.value(&mut metrics, 5), Ok(u64::MAX - 1));
        assert_eq!(ids.record(&mut metrics, 5, 9), Ok(()));
        assert_eq!(ids.increment(&mut metrics, 6, 1), Err(Status::BadArgument));
        for sample in [5, 3, 8] {
            assert_eq!(ids.record(&mut metrics, 6, sample), Ok(()));
        }
        let values: Vec<_> = metrics.all().map(|(_, value)| value).collect();
        let (count, sum, min, max) = (3, 16, 3, 8);
        let histogram = MetricValue::Histogram {
            count,
            sum,
            min,
            max,
        };
        assert_eq!(
            values,
            [MetricValue::Counter(7), MetricValue::Gauge(9), histogram]
        );
    }
}
