//! Times as programs read them: seconds.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize as _;
use serde::ser::{SerializeMap as _, Serializer};

/// A time in seconds.
pub(super) fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

/// The shortest and the longest time, in seconds.
pub(super) fn range<S: Serializer>(
    range: &RangeInclusive<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    [range.start(), range.end()]
        .map(Duration::as_secs_f64)
        .serialize(to)
}

/// Of sorted times, those that 50, 90, 99 and 100 of a hundred do not exceed, in seconds.
pub(super) fn quantiles<S: Serializer>(sorted: &[Duration], to: S) -> Result<S::Ok, S::Error> {
    let parts = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)];
    let mut map = to.serialize_map(Some(parts.len()))?;
    for (name, part) in parts {
        let time = super::quantile(sorted, part);
        map.serialize_entry(name, &time.as_secs_f64())?;
    }
    map.end()
}
