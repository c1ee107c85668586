//! Time as the host hands it to the filter. Nobody below the edges reads a clock.

use std::time::Duration;

/// A point in time, as the duration since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// Where a simulation starts: 2026-01-01T00:00:00Z.
    pub const SIMULATION_START: Self = Self(Duration::from_secs(1_767_225_600));

    /// The point `since_epoch` after the Unix epoch.
    #[must_use]
    pub const fn from_unix(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// This point, `later`.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }

    /// How long after `earlier` this is; zero when it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Nanoseconds since the Unix epoch, as the ABI counts time.
    #[must_use]
    pub fn as_unix_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}
